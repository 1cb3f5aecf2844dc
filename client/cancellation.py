"""Lets another thread end an operation that waits: for a command, or for the panel's answer."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar


class Cancellation:
    """Ends what an operation waits for, once or as soon as it begins to wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._actions: list[Callable[[], None]] = []
        self.is_cancelled = False

    def cancel(self) -> None:
        """End what the operation waits for now, and what it would wait for later."""
        with self._lock:
            self.is_cancelled = True
            actions = list(self._actions)
        for action in actions:
            action()

    @contextlib.contextmanager
    def ending(self, action: Callable[[], None]) -> Iterator[None]:
        """Call action if the operation is cancelled within this context."""
        with self._lock:
            self._actions.append(action)
            cancelled = self.is_cancelled
        if cancelled:
            action()
        try:
            yield
        finally:
            with self._lock:
                self._actions.remove(action)


CURRENT: ContextVar[Cancellation | None] = ContextVar("tracetail-client-cancellation", default=None)
"""That of the operation which runs in this context."""


@contextlib.contextmanager
def ended_by_cancellation(action: Callable[[], None]) -> Iterator[None]:
    """Call action if the current operation is cancelled within this context; there may be none to cancel it."""
    current = CURRENT.get()
    if current is None:
        yield
        return
    with current.ending(action):
        yield
