"""Line numbers: how many lines of each source precede a key. Loki counts them; only the last ones are read.

A log is counted in steps of time: in one query if its lines are spread evenly, and once more, in shorter steps, where
a step has many lines. The ends of steps become checkpoints. From the last checkpoint before a key on, the lines are
read: a key may divide a nanosecond, and new lines are still arriving there.

Loki counts a line twice that it stores twice (one that was sent again after its block was cut), though it shows it
once. The numbers behind such a line are too high until the lines there are read.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tracetail.loki.client import LokiClient
from tracetail.loki.limits import CREATION_GRACE_SECONDS
from tracetail.panel.trace.entry import Key, source_of
from tracetail.panel.trace.reader import Reader, one_entry
from tracetail.panel.trace.shared_answers import SharedAnswers

CHECKPOINT_LINES = 1000
"""At least so many lines are between checkpoints; at most two and a half times as many, if the times allow it."""
_STEP_LINES_MAX = 1500
"""What is counted in shorter steps."""
_STEPS = 2000
"""How many steps a log is counted in."""
_STEPS_MS = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000),
    *(1_800_000, 3_600_000, 21_600_000, 86_400_000),
)
_QUERIES = 8
"""How many parts of logs are counted at a time."""
_PAGE = 4900
_MS = 1_000_000


class Checkpoint(NamedTuple):
    """The lines before a time."""

    time_ns: int
    counts: Mapping[str, int]
    """The number of lines, by source."""
    last: Mapping[str, Key]
    """The last line, by source; where it was not read, a key between it and the next one."""

    @property
    def total(self) -> int:
        """The number of lines of all sources before the time."""
        return sum(self.counts.values())


class LineIndex(NamedTuple):
    """The checkpoints of one log query, in order; the first one is before its first line."""

    query: str
    checkpoints: Sequence[Checkpoint]

    def before(self, key: Key) -> Checkpoint:
        """Return the last checkpoint that is not after the key."""
        return next((each for each in reversed(self.checkpoints) if each.time_ns <= key.time_ns), self.checkpoints[0])

    def at_line(self, number: int) -> Checkpoint:
        """Return the last checkpoint with at most this many lines before it."""
        return next(each for each in reversed(self.checkpoints) if each.total <= number)


class LineIndexes:
    """Makes the indexes of log queries. Equal requests that come while Loki counts share its answer."""

    def __init__(self, loki: LokiClient, reader: Reader) -> None:
        self._loki = loki
        self._reader = reader
        self._shared = SharedAnswers(0.0)
        self._slots = asyncio.Semaphore(_QUERIES)

    async def of(self, query: str, start: Key, by: Sequence[str], *, wait: float) -> LineIndex | None:
        """Return the index of a log query; None if Loki counts for more than `wait` seconds: it goes on meanwhile.

        Args:
            query: a log query.
            start: a key before its first line.
            by: the labels that determine the source of a line, see traces.source_labels.
            wait: seconds.

        Raises:
            LokiError: Loki did not answer, or refused.

        """
        try:
            async with asyncio.timeout(wait):
                return await self._shared.get((query, by), lambda: self._index(query, start, by))
        except TimeoutError:
            return None

    async def before(self, index: LineIndex, key: Key) -> Checkpoint:
        """Return the lines before the key: those before a checkpoint, and those that are read from it on."""
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

    async def _index(self, query: str, start: Key, by: Sequence[str]) -> LineIndex:
        checkpoints = [Checkpoint(start.time_ns, {}, {})]
        end_ns = time.time_ns() + CREATION_GRACE_SECONDS * 1_000_000_000
        first = await one_entry(self._loki, query, start.time_ns, end_ns)
        last = await one_entry(self._loki, query, first.time_ns, end_ns, backward=True) if first else None
        if first is None or last is None:
            return LineIndex(query, checkpoints)
        span_ms = (last.time_ns - first.time_ns) // _MS
        step_ns = next((step for step in _STEPS_MS if step * _STEPS > span_ms), _STEPS_MS[-1]) * _MS
        # A step excludes its beginning. The one of the last line is left out: more lines may come in it.
        begin_ns = (first.time_ns - 1) // step_ns * step_ns
        end_ns = (last.time_ns - 1) // step_ns * step_ns
        steps = await self._steps(query, by, begin_ns, end_ns, step_ns)
        counts: dict[str, int] = {}
        ends: dict[str, Key] = {}
        for step_end_ns in sorted(steps):
            for source, count in steps[step_end_ns].items():
                counts[source] = counts.get(source, 0) + count
                ends[source] = Key(step_end_ns + 1)
            if sum(counts.values()) - checkpoints[-1].total >= CHECKPOINT_LINES:
                checkpoints.append(Checkpoint(step_end_ns + 1, dict(counts), dict(ends)))
        return LineIndex(query, checkpoints)

    async def _steps(
        self, query: str, by: Sequence[str], begin_ns: int, end_ns: int, step_ns: int
    ) -> dict[int, dict[str, int]]:
        """Return the numbers of lines after begin_ns by the ends of steps, and by source.

        begin_ns and end_ns are multiples of the step, which is divided where it has many lines.
        """
        if begin_ns >= end_ns:
            return {}
        async with self._slots:
            counts = await self._loki.counts_over_time(query, begin_ns + step_ns, end_ns, step_ns, by)
        steps: dict[int, dict[str, int]] = {}
        for values, of_source in counts.items():
            source = source_of({name: value for name, value in zip(by, values, strict=True) if value})
            for step_end_ns, count in of_source.items():
                steps.setdefault(step_end_ns, {})[source] = count
        crowded = sorted(end for end, found in steps.items() if sum(found.values()) > _STEP_LINES_MAX)
        if not crowded or step_ns == _MS:
            return steps
        busiest = max(sum(steps[end].values()) for end in crowded)
        shorter_ns = _part_of(step_ns, CHECKPOINT_LINES / busiest)
        runs = _runs(crowded, step_ns)
        parts = await asyncio.gather(*(self._steps(query, by, run[0], run[1], shorter_ns) for run in runs))
        for end in crowded:
            del steps[end]
        for part in parts:
            steps |= part
        return steps


def _part_of(step_ns: int, share: float) -> int:
    """Return the longest step that divides a step and is at most this share of it, at least a millisecond."""
    step_ms = step_ns // _MS
    return max(part for part in _STEPS_MS if step_ms % part == 0 and (part == 1 or part <= step_ms * share)) * _MS


def _runs(ends: Sequence[int], step_ns: int) -> list[tuple[int, int]]:
    """Return the beginnings and ends of the runs of steps that follow one another. ends: of the steps, in order."""
    runs: list[tuple[int, int]] = []
    for end in ends:
        if runs and runs[-1][1] == end - step_ns:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((end - step_ns, end))
    return runs
