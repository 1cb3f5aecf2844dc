"""How far a source's acknowledgements are behind what is written."""

_REMEMBERED_MAX = 128


class Lag:
    """Measures the lag of one source, in bytes and in seconds, from regular looks at it.

    The lag in seconds is the age of the oldest byte that is not acknowledged, as exact as the looks are frequent. An
    idle log has none, and a line after an hour of silence does not begin with an hour of it.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []  # a deque is ten times as large, and most are empty
        self.bytes = 0
        self.seconds = 0.0

    def look(self, now: float, acknowledged: int, backlog: int) -> None:
        """Take note of what is true at now (seconds): bytes acknowledged since the start, and bytes that wait."""
        written = acknowledged + backlog
        while self._seen and self._seen[0][1] <= acknowledged:
            del self._seen[0]
        if backlog and (not self._seen or self._seen[-1][1] < written):
            self._seen.append((now, written))
        if len(self._seen) > _REMEMBERED_MAX:
            self._seen = self._seen[::2]
        self.bytes = backlog
        self.seconds = now - self._seen[0][0] if self._seen else 0.0
