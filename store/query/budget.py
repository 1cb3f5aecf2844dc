"""The limits of one query: time and memory."""

import time
from collections.abc import Callable


class QueryLimitError(Exception):
    """The query exceeds a limit (400); the message names the limit."""


class QueryTimeoutError(Exception):
    """The query took too long, or was cancelled (504)."""


class Budget:
    """Time and memory that a query may use. The query checks it between blocks."""

    def __init__(self, seconds: float, memory_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._deadline = clock() + seconds
        self._memory_bytes = memory_bytes
        self.cancelled = False

    def check_time(self) -> None:
        """Raise QueryTimeoutError if the time is over or the query was cancelled."""
        if self.cancelled:
            raise QueryTimeoutError("the query was cancelled")
        if self._clock() > self._deadline:
            raise QueryTimeoutError(
                f"the query took longer than {self._seconds:g} s (query_timeout_seconds); query a shorter time range "
                "or fewer streams, or use Loki, which distributes a query over many machines"
            )

    def check_memory(self, used_bytes: int) -> None:
        """Raise QueryLimitError if used_bytes exceeds the limit."""
        if used_bytes > self._memory_bytes:
            raise QueryLimitError(
                f"the query needs more than {self._memory_bytes // (1024 * 1024)} MB of memory (query_memory_mb); "
                "query fewer entries or a shorter time range, or use Loki"
            )
