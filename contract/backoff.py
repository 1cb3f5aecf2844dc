"""How long to wait before the next attempt."""

import random
from collections.abc import Callable

FIRST_SECONDS = 0.25
MOST_SECONDS = 30.0
SLOW_SECONDS = 15.0
"""Between attempts that need somebody to change a setting."""


class Backoff:
    """Doubles the wait from attempt to attempt; jitter keeps a thousand agents from coming back at once."""

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        """draw: returns numbers from 0 to 1."""
        self._draw = draw
        self._next = FIRST_SECONDS

    def wait(self, at_least: float = 0.0) -> float:
        """Return the seconds to wait now; at_least is what the server asked for (Retry-After)."""
        span = self._next
        self._next = min(self._next * 2, MOST_SECONDS)
        return max(at_least, span / 2) + self._draw() * span / 2
