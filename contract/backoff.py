"""How long to wait before the next attempt."""

import random
from collections.abc import Callable

FIRST_SECONDS = 0.25
LONGEST_SECONDS = 30.0
SETTINGS_SECONDS = 15.0
"""Wait between attempts that fail until somebody changes a setting."""


class Backoff:
    """Doubles the wait from attempt to attempt, with jitter, so that many clients do not come back at once."""

    def __init__(
        self,
        first_seconds: float = FIRST_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """first_seconds, longest_seconds: of the wait. draw: returns random numbers from 0 to 1."""
        self._next = first_seconds
        self._longest = longest_seconds
        self._draw = draw

    def wait(self, at_least: float = 0.0) -> float:
        """Return the seconds to wait before the next attempt; at_least: what the server asked for (Retry-After)."""
        span = self._next
        self._next = min(self._next * 2, self._longest)
        return max(at_least, span / 2) + self._draw() * span / 2
