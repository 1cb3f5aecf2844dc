"""Gives queries priority over pushes: a person waits for a query, nobody waits for a push."""

import threading
from types import TracebackType

WAIT_MAX_SECONDS = 0.1
"""How long a push waits at most for running queries. Queries shorter than this are not slowed down at all."""


class QueryPriority:
    """Counts running queries (it is a context manager around each of them), and lets pushes wait for their end.

    Python runs one thread at a time, so a query would otherwise share its time with two threads that process pushes.
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

    def wait_for_queries(self) -> None:
        """Wait until no query runs, but at most WAIT_MAX_SECONDS."""
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0, WAIT_MAX_SECONDS)
