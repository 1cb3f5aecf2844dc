"""The path of a log line: discover → follow → parse → redact → batch → push → acknowledge.

Discovery and the follow loop (follow_loop.py) call `ship` for each log that has something to read: one task per such
log, and none for the others. Memory is bounded whatever the backlog: a log holds one block at a time, and at most
READ_SLOTS logs do.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from tracetail.agent.followed_log import FollowedLog
from tracetail.agent.model import LOKI, Batch, BatchSummary, Block, FileRow, Fingerprint, Gap, Ids
from tracetail.agent.parsing.parsed import Stream
from tracetail.agent.parsing.prepare import Preparer
from tracetail.agent.reading.file_names import path_of, shown
from tracetail.agent.resume import Resumer
from tracetail.agent.shipping.in_flight import Budget, ReadSlots, Share
from tracetail.agent.shipping.journaled_delivery import JournaledDelivery
from tracetail.contract import events
from tracetail.contract.logline import render_event
from tracetail.contract.redaction import Redactor
from tracetail.loki.push import BodyBuilder

log = logging.getLogger(__name__)

BODY_MAX_BYTES = 1 << 20
"""Before compression. Loki recognises a repeated batch of this size as a whole; of a larger one it may store a part
again."""
OLD_AFTER_SECONDS = 10.0
"""Lines that are read this long after the log was last read to its end may have been written long ago: one without a
time then follows the line before it instead of getting the time of reading."""


class _Result(Enum):
    """What can be read of a log after one step."""

    MORE = auto()
    CAUGHT_UP = auto()
    NOTHING = auto()
    """There was nothing to ship, or the log was closed because it is read to its end."""


class Observer(Protocol):
    """Is called with each acknowledged batch; must return at once."""

    def __call__(self, followed: FollowedLog, summary: BatchSummary) -> None:
        """Process the summary of a batch."""


class ReadingMetrics(Protocol):
    """Counts what is read of the logs."""

    def read(self, levels: Mapping[str, int], size: int, redacted: int) -> None:
        """Count lines by level, bytes, and masked secrets."""

    def lost(self, size: int) -> None:
        """Count bytes that vanished before they were read."""


@dataclass(slots=True)
class Pipeline:
    """Ships what followed logs contain."""

    resumer: Resumer
    delivery: JournaledDelivery
    redactor: Redactor
    metrics: ReadingMetrics
    slots: ReadSlots
    output: str = LOKI
    """The name of what it ships to."""
    linger_seconds: float = 0.2
    body_max_bytes: int = BODY_MAX_BYTES
    structured_metadata: bool = True
    clock_ns: Callable[[], int] = time.time_ns
    observers: list[Observer] = field(default_factory=list)
    budget: Budget = field(default_factory=Budget)
    stopping: bool = False
    _preparer: Preparer = field(init=False)

    def __post_init__(self) -> None:
        self._preparer = Preparer(self.redactor, self.structured_metadata, self.clock_ns)

    async def ship(self, followed: FollowedLog) -> None:
        """Ship everything that can be read of a log now. Raises OSError if it cannot be read."""
        if not followed.open:
            async with self.slots:
                await self.resumer.open(followed, self.delivery)
        result = _Result.MORE
        read_at = 0.0
        while result is _Result.MORE and not self.stopping:
            async with self.budget.share() as share, self.slots:
                read_at = time.monotonic()
                result = await self._ship_next(followed, share)
        if result is _Result.CAUGHT_UP:
            followed.not_before = read_at + self.linger_seconds

    async def _ship_next(self, followed: FollowedLog, share: Share) -> _Result:
        """Ship the next block, gap or receipt."""
        source = followed.source
        now = time.monotonic()
        old = now - source.caught_up_at > OLD_AFTER_SECONDS
        block = source.read()
        if block is None or not block.behind:
            source.caught_up_at = now
        if source.finished:
            await self.resumer.finish_files(followed)
        if source.gap is not None:
            await self._ship_gap(followed, source.gap, share)
            return _Result.MORE
        if block is None:
            if source.exhausted and not source.complete:
                await self._ship_receipt(followed, share)
            return _Result.NOTHING
        behind = block.behind
        batch, summary = self._batch(followed, block, old=old or behind)
        del block  # must not stay in memory while Loki cannot be reached
        outcome = await self.delivery.deliver(batch, share)
        followed.acknowledge(batch, outcome)
        for observer in self.observers:
            observer(followed, summary)
        if source.asleep:
            return _Result.NOTHING
        return _Result.MORE if behind else _Result.CAUGHT_UP

    def _batch(self, followed: FollowedLog, block: Block, *, old: bool) -> tuple[Batch, BatchSummary]:
        """Parse and redact a block, and encode its entries as request bodies.

        old: the lines may have been written long before they are read.
        """
        assert followed.parser is not None
        source = followed.source
        summary = BatchSummary(source.own_labels)
        bodies: dict[Ids | None, BodyBuilder] = {}
        redacted = 0
        for prepared in self._preparer.prepare(followed.parser, block, behind=old):
            redacted += prepared.redacted
            for stream in prepared.streams:
                if stream.ids not in bodies:
                    bodies[stream.ids] = BodyBuilder(source.labels(stream.ids), self.body_max_bytes)
                rows = [(entry, row + summary.lines) for entry, row in stream.rows]
                bodies[stream.ids].add(stream.entries, rows)
                _summarize(summary, stream)
            summary.lines += prepared.lines
        self.metrics.read(summary.levels, len(block.data), redacted)
        batch = Batch(
            source_id=followed.id,
            file=source.file,
            start=block.start,
            end=block.end,
            fingerprint=source.fingerprint(block.end),
            lines=summary.lines,
            redacted=redacted,
            state=followed.parser.state(),
            bodies=[body for of_stream in bodies.values() for body in of_stream.finish()],
        )
        return batch, summary

    async def _ship_receipt(self, followed: FollowedLog, share: Share) -> None:
        """Ship the event that the launch's log is complete, with its counts."""
        text = render_event(
            events.RECEIPT,
            lines=followed.lines,
            bytes=followed.bytes,
            rejected=followed.rejected,
            redacted=followed.redacted,
        )
        await self.delivery.deliver(self._event_batch(followed, text, completes=True), share)
        followed.source.complete = True

    async def _ship_gap(self, followed: FollowedLog, gap: Gap, share: Share) -> None:
        """Ship the event that bytes of a file are lost; its acknowledgement advances the position past them."""
        row = gap.row
        text = render_event(
            events.GAP, file=shown(path_of(row.path)), **{"from": row.position}, to=gap.end, reason=gap.reason
        )
        log.warning("%s%s", text, "" if self.output == LOKI else f" (for {self.output})")
        self.metrics.lost(gap.end - row.position)
        batch = self._event_batch(followed, text, file=row, position=gap.end)
        await self.delivery.deliver(batch, share)
        row.position, row.tail = gap.end, b""
        followed.source.gap = None

    def _event_batch(
        self,
        followed: FollowedLog,
        text: str,
        *,
        completes: bool = False,
        file: FileRow | None = None,
        position: int = 0,
    ) -> Batch:
        """Return a batch with one event of the agent's own; its acknowledgement sets the file's position."""
        assert followed.parser is not None
        source = followed.source
        # A gap gets the time of its place in the log, so that the lines after it keep their own times.
        time_ns = followed.parser.last_ns or source.started_ns if file else 0
        bodies = BodyBuilder(followed.labels(), self.body_max_bytes)
        bodies.add(followed.parser.event(text.encode(), time_ns or self.clock_ns()))
        return Batch(
            source_id=followed.id,
            file=file,
            start=position,
            end=position,
            fingerprint=Fingerprint(file.head, b"", 0) if file else Fingerprint(b"", b"", 0),
            lines=0,
            redacted=0,
            state=followed.parser.state(),
            bodies=bodies.finish(),
            completes=completes,
        )

    async def settle(self, batches: list[int]) -> None:
        """Deliver what is left of the batches of a log that does not exist any more."""
        async with self.slots:
            await self.delivery.settle(batches)


def _summarize(summary: BatchSummary, stream: Stream) -> None:
    """Add a stream's events, statistics and numbers of lines by level to a batch's summary."""
    summary.events += stream.events
    summary.stats += stream.stats
    for level, count in stream.levels.items():
        summary.levels[level] = summary.levels.get(level, 0) + count
