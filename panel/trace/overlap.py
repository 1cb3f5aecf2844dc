"""The part of a log that is read again when new lines are looked for, because lines may still appear in it.

Loki may divide a stream between shards (`__stream_shard__`), and a push becomes visible shard by shard: a line may
appear after later ones of the same push. So the position from which a sharded log is read lags some seconds behind,
and what was read since is recognised by its key, which stands for time, text and metadata.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence

from tracetail.loki.entries import NS_PER_SECOND
from tracetail.panel.trace.entry import FIRST_KEY, Entry, Key

OVERLAP_SECONDS = 3.0


class Overlap:
    """What was read of one log in the last seconds."""

    def __init__(
        self, position: Key = FIRST_KEY, seconds: float = OVERLAP_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """position: of the last line that was read."""
        self.position = position
        self.is_sharded = False
        self._seconds = seconds
        self._clock = clock
        self._history: deque[tuple[float, Key]] = deque()
        """Positions before each batch of the last seconds, and when that was; empty unless the log is sharded."""
        self._seen: set[Key] = set()
        """The keys of the lines since the oldest of these positions."""

    @property
    def base(self) -> Key:
        """The key after which lines are looked for."""
        return self._history[0][1] if self._history else self.position

    def resumed(self, position: Key) -> Key:
        """Return the key after which a reader continues whose last line was at this position."""
        if not self.is_sharded or position == FIRST_KEY:
            return position
        return Key(max(0, position.time_ns - int(self._seconds * NS_PER_SECOND)))

    def add(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return those of these entries, which are in order, that were not added before."""
        fresh = [entry for entry in entries if entry.key > self.position or self._is_late(entry)]
        if not self.is_sharded and any(entry.stream.is_sharded for entry in fresh):
            self.is_sharded = True
        now = self._clock()
        if self.is_sharded:
            if fresh or not self._history:
                self._history.append((now, self.position))
                self._seen.update(entry.key for entry in fresh)
            self._forget(now)
        if fresh:
            self.position = max(self.position, fresh[-1].key)
        return fresh

    def _is_late(self, entry: Entry) -> bool:
        return self.is_sharded and entry.key > self.base and entry.key not in self._seen

    def _forget(self, now: float) -> None:
        before = self.base
        while len(self._history) > 1 and self._history[1][0] <= now - self._seconds:
            self._history.popleft()
        if self._history and len(self._history) == 1 and self._history[0][0] <= now - self._seconds:
            self._history[0] = (now, self.position)
        if self.base > before:
            base = self.base
            self._seen = {key for key in self._seen if key > base}
