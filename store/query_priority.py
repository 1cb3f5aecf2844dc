"""Queries first: a person waits for a query, nobody waits for a push."""

import threading
from types import TracebackType

GIVE_WAY_SECONDS = 0.1
"""How long a push waits at most for queries that run: short ones are then not slowed down at all."""


class QueryPriority:
    """Counts the queries that run (as a context manager around each), and lets pushes wait for them a little.

    Python runs one thread at a time; without this a query would share its time with two threads of pushes.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0

    def __enter__(self) -> None:
        with self._changed:
            self._running += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def give_way(self) -> None:
        """Wait until no query runs, or GIVE_WAY_SECONDS."""
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0, GIVE_WAY_SECONDS)
