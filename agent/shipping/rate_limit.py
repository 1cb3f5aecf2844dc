"""Limits the bytes per second that are sent to Loki."""

import time
from collections.abc import Callable

_BURST_SECONDS = 1.0


class RateLimit:
    """A token bucket that holds one second's worth of bytes."""

    def __init__(self, bytes_per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        """bytes_per_second: 0 for no limit."""
        self._rate = bytes_per_second
        self._clock = clock
        self._free = bytes_per_second * _BURST_SECONDS
        self._at = clock()

    def wait(self, size: int) -> float:
        """Take size bytes from the bucket; return the seconds to wait before they may be sent."""
        if not self._rate:
            return 0.0
        now = self._clock()
        self._free = min(self._rate * _BURST_SECONDS, self._free + (now - self._at) * self._rate) - size
        self._at = now
        return max(0.0, -self._free / self._rate)
