"""How many lines lie before a place in a log: line numbers, without holding the lines.

Loki can give the lines from a time on, and not the thousandth one. So the log is read once, in the background, and
every thousand lines a checkpoint is kept: a time, and how many lines each of the trace's logs has before it. It is
built from Loki alone; when it is forgotten, or lines have arrived late, it is built again. (Counting by
count_over_time would be cheaper, and wrong: Loki counts an entry twice that was resent after its block was cut, and
shows it once. So its count only tells whether something has changed.)
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

_log = logging.getLogger(__name__)

CHECKPOINT_LINES = 1000
LAG_NS = 60 * 1_000_000_000
"""Another machine's lines may still arrive for times this far back: that part is read again when an index goes on."""
INDEXES_MAX = 64
_PAGE = 4900
_WAIT_SECONDS = 5.0
"""A request waits this long for the index before it says that it is not there yet."""


@dataclass(slots=True)
class Checkpoint:
    """How many lines each source has before a time, and the last of them."""

    time_ns: int
    counts: dict[str, int]
    last: dict[str, Key]

    @property
    def total(self) -> int:
        """Lines of all sources before the time."""
        return sum(self.counts.values())


@dataclass(slots=True)
class LineIndex:
    """The checkpoints of one log query, as far as they have been made."""

    query: str
    start: Key
    checkpoints: list[Checkpoint] = field(default_factory=list)
    position: Key = FIRST_KEY
    """Where reading goes on: at or behind the last checkpoint."""
    counts: dict[str, int] = field(default_factory=dict)
    """Lines before the position."""
    last: dict[str, Key] = field(default_factory=dict)
    """The last line of each source before the position."""
    covered: Key = FIRST_KEY
    """Up to here lines are counted and no more are expected to arrive."""
    loki_count: int = 0
    """What Loki itself counted up to `covered` before it was read: another number later tells of a late line."""
    reached: Key = FIRST_KEY
    """Up to here lines were counted by what began at begun_at."""
    begun_at: float = 0.0
    building: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        """Begin with a checkpoint at the start: there is nothing before it."""
        self.position = self.start
        self.checkpoints = [Checkpoint(self.start.time_ns, {}, {})]

    def is_there(self, key: Key, asked_at: float) -> bool:
        """Say whether all lines up to key are counted that had arrived at asked_at."""
        return self.covered >= key or (self.reached >= key and self.begun_at >= asked_at)

    def step_back(self) -> None:
        """Forget what may have changed by lines that arrived late: all that is not covered."""
        while len(self.checkpoints) > 1 and self.checkpoints[-1].time_ns > self.covered.time_ns:
            self.checkpoints.pop()
        self.position = Key(self.checkpoints[-1].time_ns)
        self.counts = dict(self.checkpoints[-1].counts)
        self.last = dict(self.checkpoints[-1].last)

    def take(self, entries: list[Entry]) -> None:
        """Count the next entries in order. A checkpoint falls between two nanoseconds, never into one."""
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
        """Return the last checkpoint that is not behind the key."""
        place = bisect.bisect_right(self.checkpoints, key.time_ns, key=lambda checkpoint: checkpoint.time_ns)
        return self.checkpoints[max(0, place - 1)]

    def at_line(self, number: int) -> Checkpoint:
        """Return the last checkpoint with at most this many lines before it."""
        place = bisect.bisect_right(self.checkpoints, number, key=lambda checkpoint: checkpoint.total)
        return self.checkpoints[max(0, place - 1)]


class LineIndexes:
    """The indexes of the logs that were looked at lately."""

    def __init__(self, reader: Reader, overview: Overview) -> None:
        self._reader = reader
        self._overview = overview
        self._indexes: OrderedDict[str, LineIndex] = OrderedDict()

    async def up_to(self, query: str, start: Key, key: Key, *, wait: float = _WAIT_SECONDS) -> LineIndex | None:
        """Return an index that has every line up to key that is there now, or None while it is being built.

        Raises LokiError.
        """
        asked_at = time.monotonic()
        index = self._indexes.get(query)
        if index is None or not await self._is_right(index):
            index = self._anew(query, start)
        self._indexes.move_to_end(query)
        while not index.is_there(key, asked_at):
            left = asked_at + wait - time.monotonic()
            if left <= 0:
                return None
            if index.building is None or index.building.done():
                index.step_back()
                index.building = asyncio.create_task(self._build(index, key))
                index.building.add_done_callback(_told)
            await asyncio.wait([index.building], timeout=left)
            if index.building.cancelled():
                return None  # another request found that lines had arrived late
            if index.building.done():
                index.building.result()
        return index

    def _anew(self, query: str, start: Key) -> LineIndex:
        stale = self._indexes.get(query)
        if stale is not None and stale.building is not None:
            stale.building.cancel()
        index = self._indexes[query] = LineIndex(query, start)
        while len(self._indexes) > INDEXES_MAX:
            _, forgotten = self._indexes.popitem(last=False)
            if forgotten.building is not None:
                forgotten.building.cancel()
        return index

    async def _is_right(self, index: LineIndex) -> bool:
        """Say whether no line has arrived for a time that was thought to be complete.

        Loki may count a line twice that was sent twice; but a count that has not changed tells that nothing has.
        """
        if index.covered <= index.start:
            return True
        return await self._loki_count(index, index.covered) == index.loki_count

    async def _loki_count(self, index: LineIndex, end: Key) -> int:
        return sum((await self._overview.count(index.query, index.start, end.time_ns)).values())

    async def before(self, index: LineIndex, key: Key) -> Checkpoint:
        """Return how many lines each source has before the key: those before a checkpoint, and those from it on."""
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
        """End what is being built."""
        building = [index.building for index in self._indexes.values() if index.building is not None]
        for task in building:
            task.cancel()
        await asyncio.gather(*building, return_exceptions=True)

    async def _build(self, index: LineIndex, key: Key) -> None:
        """Count the lines up to the key. Raises LokiError."""
        begun_at = time.monotonic()
        covered = max(index.start, min(key, Key(time.time_ns() - LAG_NS)))
        loki_count = await self._loki_count(index, covered) if covered > index.start else 0
        more = True
        while more:
            began = time.monotonic()
            page = await self._reader.forward(index.query, index.position, key, limit=_PAGE)
            index.take(page.entries)
            more = page.more
            # Those who wait for lines come first: the index takes at most two thirds of Loki's time.
            await asyncio.sleep((time.monotonic() - began) / 2)
        index.covered, index.loki_count = covered, loki_count
        index.reached, index.begun_at = key, begun_at


def _told(task: "asyncio.Task[None]") -> None:
    """Look at a build's failure, even if nobody waits for it any more: the next request builds anew."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("line numbers are not there yet: %s", error)
