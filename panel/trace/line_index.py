"""Line numbers: how many lines a log has before a key, without keeping the lines.

Loki returns lines from a time on, not from a line number on. So the log is read once, in the background, and every
thousand lines a checkpoint is kept: a time, and how many lines each of the trace's logs has before it. An index is
built from Loki alone; when it was evicted, or lines have arrived late, it is built again. (Counting with
count_over_time would be cheaper, and wrong: Loki counts an entry twice that was resent after its chunk was cut, but
returns it once. So that count only serves to detect changes.)
"""

import asyncio
import bisect
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from tracetail.panel.trace.entry import FIRST_KEY, Entry, Key
from tracetail.panel.trace.overview import Overview
from tracetail.panel.trace.reader import Reader

log = logging.getLogger(__name__)

CHECKPOINT_LINES = 1000
LAG_NS = 60 * 1_000_000_000
"""Lines of another machine may still arrive with times this far back: an index that grows reads them again."""
INDEXES_MAX = 64
_PAGE = 4900
_WAIT_SECONDS = 5.0
"""How long a request waits for the index before it is answered as incomplete."""


@dataclass(slots=True)
class Checkpoint:
    """The number of lines of each source before a time, and the last of those lines."""

    time_ns: int
    counts: dict[str, int]
    last: dict[str, Key]

    @property
    def total(self) -> int:
        """The number of lines of all sources before the time."""
        return sum(self.counts.values())


@dataclass(slots=True)
class LineIndex:
    """The checkpoints of one log query, as far as the log was read."""

    query: str
    start: Key
    checkpoints: list[Checkpoint] = field(default_factory=list)
    position: Key = FIRST_KEY
    """Where reading continues: at or after the last checkpoint."""
    counts: dict[str, int] = field(default_factory=dict)
    """Lines before the position, by source."""
    last: dict[str, Key] = field(default_factory=dict)
    """The last line of each source before the position."""
    final: Key = FIRST_KEY
    """Before this key lines are counted, and no more are expected to arrive."""
    loki_count: int = 0
    """Loki's own count of lines before `final`, taken before they were read: a different count means a late line."""
    counted: Key = FIRST_KEY
    """Before this key lines were counted by the build that started at build_started_at."""
    build_started_at: float = 0.0
    build: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        """Create the checkpoint at the start, with no lines before it."""
        self.position = self.start
        self.checkpoints = [Checkpoint(self.start.time_ns, {}, {})]

    def covers(self, key: Key, requested_at: float) -> bool:
        """Return whether all lines before key that had arrived at requested_at are counted."""
        return self.final >= key or (self.counted >= key and self.build_started_at >= requested_at)

    def rewind(self) -> None:
        """Discard the counts after `final`, which lines that arrived late may have changed."""
        while len(self.checkpoints) > 1 and self.checkpoints[-1].time_ns > self.final.time_ns:
            self.checkpoints.pop()
        self.position = Key(self.checkpoints[-1].time_ns)
        self.counts = dict(self.checkpoints[-1].counts)
        self.last = dict(self.checkpoints[-1].last)

    def add(self, entries: list[Entry]) -> None:
        """Count the next entries, which must be in order. A checkpoint never divides the entries of a nanosecond."""
        previous = self.position.time_ns
        for entry in entries:
            time_ns = entry.key.time_ns
            if time_ns > previous and sum(self.counts.values()) - self.checkpoints[-1].total >= CHECKPOINT_LINES:
                self.checkpoints.append(Checkpoint(time_ns, dict(self.counts), dict(self.last)))
            source = entry.stream.source
            self.counts[source] = self.counts.get(source, 0) + 1
            self.last[source] = entry.key
            previous = time_ns
        if entries:
            self.position = entries[-1].key.next

    def before(self, key: Key) -> Checkpoint:
        """Return the last checkpoint that is not after the key."""
        index = bisect.bisect_right(self.checkpoints, key.time_ns, key=lambda checkpoint: checkpoint.time_ns)
        return self.checkpoints[max(0, index - 1)]

    def at_line(self, number: int) -> Checkpoint:
        """Return the last checkpoint with at most this many lines before it."""
        index = bisect.bisect_right(self.checkpoints, number, key=lambda checkpoint: checkpoint.total)
        return self.checkpoints[max(0, index - 1)]


class LineIndexes:
    """The indexes of the log queries that were used most recently."""

    def __init__(self, reader: Reader, overview: Overview) -> None:
        self._reader = reader
        self._overview = overview
        self._indexes: OrderedDict[str, LineIndex] = OrderedDict()

    async def up_to(self, query: str, start: Key, key: Key, *, wait: float = _WAIT_SECONDS) -> LineIndex | None:
        """Return an index that counts every line before key that has arrived by now; None if it takes over `wait` s.

        Raises LokiError.
        """
        requested_at = time.monotonic()
        index = self._indexes.get(query)
        if index is None or not await self._is_valid(index):
            index = self._replace(query, start)
        self._indexes.move_to_end(query)
        while not index.covers(key, requested_at):
            left = requested_at + wait - time.monotonic()
            if left <= 0:
                return None
            if index.build is None or index.build.done():
                index.rewind()
                index.build = asyncio.create_task(self._build(index, key))
                index.build.add_done_callback(_log_failure)
            await asyncio.wait([index.build], timeout=left)
            if index.build.cancelled():
                return None  # another request detected that lines had arrived late
            if index.build.done():
                index.build.result()
        return index

    def _replace(self, query: str, start: Key) -> LineIndex:
        """Return a new, empty index for the query; cancel the build of the old one."""
        stale = self._indexes.get(query)
        if stale is not None and stale.build is not None:
            stale.build.cancel()
        index = self._indexes[query] = LineIndex(query, start)
        while len(self._indexes) > INDEXES_MAX:
            _, evicted = self._indexes.popitem(last=False)
            if evicted.build is not None:
                evicted.build.cancel()
        return index

    async def _is_valid(self, index: LineIndex) -> bool:
        """Return whether no line has arrived in the part of the log that was taken as final.

        Loki may count a line twice that was sent twice, but an unchanged count means that nothing has changed.
        """
        if index.final <= index.start:
            return True
        return await self._loki_count(index, index.final) == index.loki_count

    async def _loki_count(self, index: LineIndex, end: Key) -> int:
        return sum((await self._overview.count(index.query, index.start, end.time_ns)).values())

    async def before(self, index: LineIndex, key: Key) -> Checkpoint:
        """Return the number of lines of each source before the key: those of a checkpoint, and those read from it."""
        checkpoint = index.before(key)
        counts, last = dict(checkpoint.counts), dict(checkpoint.last)
        position = Key(checkpoint.time_ns)
        while True:
            page = await self._reader.forward(index.query, position, key, limit=_PAGE)
            for entry in page.entries:
                counts[entry.stream.source] = counts.get(entry.stream.source, 0) + 1
                last[entry.stream.source] = entry.key
            if not page.more:
                return Checkpoint(key.time_ns, counts, last)
            position = page.entries[-1].key.next

    async def stop(self) -> None:
        """Cancel the builds that run."""
        builds = [index.build for index in self._indexes.values() if index.build is not None]
        for task in builds:
            task.cancel()
        await asyncio.gather(*builds, return_exceptions=True)

    async def _build(self, index: LineIndex, key: Key) -> None:
        """Count the lines before the key. Raises LokiError."""
        build_started_at = time.monotonic()
        final = max(index.start, min(key, Key(time.time_ns() - LAG_NS)))
        loki_count = await self._loki_count(index, final) if final > index.start else 0
        more = True
        while more:
            began = time.monotonic()
            page = await self._reader.forward(index.query, index.position, key, limit=_PAGE)
            index.add(page.entries)
            more = page.more
            # Requests for lines have priority: the index uses at most two thirds of Loki's time.
            await asyncio.sleep((time.monotonic() - began) / 2)
        index.final, index.loki_count = final, loki_count
        index.counted, index.build_started_at = key, build_started_at


def _log_failure(task: "asyncio.Task[None]") -> None:
    """Log the failure of a build that nobody may be waiting for any more; the next request builds again."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("the line numbers of a log could not be computed: %s", error)
