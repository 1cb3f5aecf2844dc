"""How many lines lie before a place in a log: line numbers, without holding the lines.

Loki can give the lines from a time on, and not the thousandth one. So the log is read once, in the background, and
every thousand lines a checkpoint is kept: a time, and how many lines each of the trace's logs has before it. It is
built from Loki alone; when it is forgotten it is built again. (Counting by count_over_time would be cheaper, and
wrong: Loki counts an entry twice that was resent after its block was cut, and shows it once.)
"""

import asyncio
import bisect
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from panel.entry import FIRST_KEY, Entry, Key
from panel.loki import LokiError
from panel.reader import Reader

_log = logging.getLogger(__name__)

CHECKPOINT_LINES = 1000
LAG_NS = 60 * 1_000_000_000
"""Another machine's lines may still arrive for times this far back: that part is read again when an index goes on."""
LIFE_SECONDS = 300.0
"""Then it is built anew: a machine that was cut off for longer may have delivered what it had."""
INDEXES_MAX = 64
_PAGE = 4900
_WAIT_SECONDS = 0.25
"""A request waits this long for the index before it says that it is not there yet."""


@dataclass(slots=True)
class Checkpoint:
    """How many lines each source has before a time."""

    time_ns: int
    counts: dict[str, int]

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
    covered: Key = FIRST_KEY
    """Up to here lines are counted and no more are expected to arrive."""
    made_at: float = field(default_factory=time.monotonic)
    building: asyncio.Task[Key] | None = None

    def __post_init__(self) -> None:
        """Begin with a checkpoint at the start: there is nothing before it."""
        self.position = self.start
        self.checkpoints = [Checkpoint(self.start.time_ns, {})]

    def step_back(self) -> None:
        """Forget what may have changed by lines that arrived late."""
        horizon = self.position.time_ns - LAG_NS
        while len(self.checkpoints) > 1 and self.checkpoints[-1].time_ns > horizon:
            self.checkpoints.pop()
        self.position = Key(self.checkpoints[-1].time_ns)
        self.counts = dict(self.checkpoints[-1].counts)

    def take(self, entries: list[Entry]) -> None:
        """Count the next entries in order. A checkpoint falls between two nanoseconds, never into one."""
        previous = self.position.time_ns
        for entry in entries:
            time_ns = entry.key.time_ns
            if time_ns > previous and sum(self.counts.values()) - self.checkpoints[-1].total >= CHECKPOINT_LINES:
                self.checkpoints.append(Checkpoint(time_ns, dict(self.counts)))
            source = entry.stream.source
            self.counts[source] = self.counts.get(source, 0) + 1
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

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._indexes: OrderedDict[str, LineIndex] = OrderedDict()

    async def up_to(self, query: str, start: Key, key: Key, *, wait: float = _WAIT_SECONDS) -> LineIndex | None:
        """Return the index of a log query up to key, or None while it is being built."""
        index = self._indexes.get(query)
        if index is None or (time.monotonic() - index.made_at > LIFE_SECONDS and _is_idle(index)):
            index = self._indexes[query] = LineIndex(query, start)
            while len(self._indexes) > INDEXES_MAX:
                _, forgotten = self._indexes.popitem(last=False)
                if forgotten.building is not None:
                    forgotten.building.cancel()
        self._indexes.move_to_end(query)
        if index.covered >= key:
            return index
        if index.building is None or index.building.done():
            index.step_back()
            index.building = asyncio.create_task(self._build(index, key))
        reached = index.building
        await asyncio.wait([reached], timeout=wait)
        # Another request may have asked for less: then this one goes on from there, next time.
        return index if reached.done() and not reached.cancelled() and reached.result() >= key else None

    async def counts_before(self, index: LineIndex, key: Key) -> dict[str, int]:
        """Return how many lines each source has before the key: those before the checkpoint, and those from it on."""
        checkpoint = index.before(key)
        counts = dict(checkpoint.counts)
        position = Key(checkpoint.time_ns)
        while True:
            page = await self._reader.forward(index.query, position, key, limit=_PAGE)
            for entry in page.entries:
                counts[entry.stream.source] = counts.get(entry.stream.source, 0) + 1
            if not page.more:
                return counts
            position = page.entries[-1].key.next

    async def stop(self) -> None:
        """End what is being built."""
        building = [index.building for index in self._indexes.values() if index.building is not None]
        for task in building:
            task.cancel()
        await asyncio.gather(*building, return_exceptions=True)

    async def _build(self, index: LineIndex, key: Key) -> Key:
        """Count the lines up to the key; return up to where they are counted."""
        try:
            more = True
            while more:
                began = time.monotonic()
                page = await self._reader.forward(index.query, index.position, key, limit=_PAGE)
                index.take(page.entries)
                more = page.more
                # Those who wait for lines come first: the index takes at most two thirds of Loki's time.
                await asyncio.sleep((time.monotonic() - began) / 2)
        except LokiError as error:
            _log.warning("the line numbers of %s are not there yet: %s", index.query, error)
            return index.position
        index.covered = min(key, Key(time.time_ns() - LAG_NS))
        return key


def _is_idle(index: LineIndex) -> bool:
    return index.building is None or index.building.done()
