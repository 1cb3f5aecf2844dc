"""The path of a log line: follow → parse → redact → batch → send → acknowledge. Discovery hands over the sources.

One task per source that has something to read, and none for the others: a look at each file ten times a second
finds out which. Memory is bounded whatever the backlog: a source holds one block at a time, and at most
`BLOCKS_AT_ONCE` sources do.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from tracetail.agent.metrics.counters import Metrics
from tracetail.agent.parsing.parser import Stream
from tracetail.agent.reading.reader import Block, FileRow, Fingerprint
from tracetail.agent.reading.source import Gap, Source
from tracetail.agent.resume import Ledger
from tracetail.agent.shipping.delivery import Batch, Delivery
from tracetail.agent.shipping.in_flight import Budget, Share
from tracetail.contract import events
from tracetail.contract.labels import ENTRY_MAX_BYTES, METADATA_KIND, METADATA_LEVEL
from tracetail.contract.logline import MARK_CUT, render_event
from tracetail.contract.redaction import Redactor
from tracetail.loki.entries import Columns, decode_metadata, encode_metadata
from tracetail.loki.push import BodyBuilder

log = logging.getLogger(__name__)

BODY_MAX_BYTES = 1 << 20
"""Before compression. Loki hides a repeated batch of this size; a larger one partly shows."""
BLOCKS_AT_ONCE = 8
EARLIER_SECONDS = 10.0
"""What is read so long after all had been read may have been written long before: a line without a time then follows
the line before instead of taking the time of reading."""
_PIECE_BYTES = 128 * 1024
"""So much is parsed at once: it stays in the processor's cache."""
_LEVELS_KNOWN_MAX = 1024
TEXT_MAX_BYTES = ENTRY_MAX_BYTES - 2048
"""Longer texts become several entries: Loki's limit is for text and structured metadata together."""


@dataclass(slots=True)
class Observed:
    """What was in a batch that Loki has acknowledged, for those who report on servers."""

    labels: Mapping[str, str]
    """Of the source, but for ids that its lines tell."""
    lines: int = 0
    levels: dict[str, int] = field(default_factory=dict)
    events: list[tuple[int, bytes]] = field(default_factory=list)
    """Time and text of each event of the keeper; tracetail.contract.logline.parse_event reads it."""
    stats: list[tuple[int, bytes]] = field(default_factory=list)
    """Time and text of each line of engine statistics."""


class Observer(Protocol):
    """Wants to know what was shipped; must return at once."""

    def __call__(self, source: Source, observed: Observed) -> None:
        """Take note of a batch."""


class Shipped(NamedTuple):
    """A batch was shipped."""

    behind: bool
    """There is more to read at once."""


class Room:
    """Bounds how many sources hold a block in memory. Who waits for Loki leaves the room to others."""

    def __init__(self, blocks: int = BLOCKS_AT_ONCE) -> None:
        self._semaphore = asyncio.Semaphore(blocks)

    async def __aenter__(self) -> None:
        """Wait until there is room."""
        await self._semaphore.acquire()

    async def __aexit__(self, *exception: object) -> None:
        """Make room."""
        self._semaphore.release()

    async def pause(self, seconds: float) -> None:
        """Leave for some seconds, and come back when there is room again."""
        self._semaphore.release()
        try:
            await asyncio.sleep(seconds)
        finally:
            await self._semaphore.acquire()


@dataclass(slots=True)
class Pipeline:
    """Ships what its sources yield."""

    ledger: Ledger
    delivery: Delivery
    redactor: Redactor
    metrics: Metrics
    room: Room
    linger_seconds: float = 0.2
    body_max_bytes: int = BODY_MAX_BYTES
    structured_metadata: bool = True
    clock_ns: Callable[[], int] = time.time_ns
    observers: list[Observer] = field(default_factory=list)
    budget: Budget = field(default_factory=Budget)
    stopping: bool = False
    _level_of_meta: dict[bytes, str] = field(default_factory=dict)

    async def ship(self, source: Source) -> None:
        """Ship everything that source has to say now."""
        if not source.open:
            async with self.room:
                await self.ledger.open(source, self.delivery)
        while not self.stopping:
            async with self.budget.share() as share, self.room:
                shipped = await self._ship_next(source, share)
            if shipped is None or source.asleep:
                return
            if not shipped.behind:
                source.not_before = time.monotonic() + self.linger_seconds
                return

    async def settle(self, batches: list[int]) -> None:
        """Deliver what is left of batches whose log is not there any more."""
        async with self.room:
            await self.delivery.settle(batches)

    async def _ship_next(self, source: Source, share: Share) -> Shipped | None:
        """Ship what can be read at once; None if there is nothing."""
        now = time.monotonic()
        earlier = now - source.caught_up_at > EARLIER_SECONDS
        block = source.read()
        if block is None or not block.behind:
            source.caught_up_at = now
        if source.finished:
            await self.ledger.finish_files(source)
        if source.gap is not None:
            await self._ship_gap(source, source.gap, share)
            return Shipped(behind=True)
        if block is None:
            if source.exhausted and not source.complete:
                await self._ship_receipt(source, share)
            return None
        batch, observed = self._prepare(source, block, earlier=earlier or block.behind)
        behind = block.behind
        del block  # nothing of it is held while Loki cannot be reached
        outcome = await self.delivery.deliver(batch, share)
        source.acknowledged(batch, outcome)
        for observer in self.observers:
            observer(source, observed)
        return Shipped(behind)

    def _prepare(self, source: Source, block: Block, *, earlier: bool) -> tuple[Batch, Observed]:
        """Parse, redact and encode a block; piece by piece, so that no more than one is there as separate lines.

        earlier: the lines may have been written long before they are read.
        """
        if not source.parser.last_ns:
            source.parser.begin(block.data, self.clock_ns())
        observed = Observed(source.own_labels)
        bodies: dict[object, BodyBuilder] = {}  # by the ids of their lines
        masked = 0
        for piece in _pieces(block.data):
            unfinished = block.unfinished and not piece.endswith(b"\n")
            lines_before = observed.lines
            parsed = source.parser.parse(piece, self.clock_ns(), behind=earlier, unfinished=unfinished)
            for ids, stream in parsed.streams.items():
                masked += redact(stream, self.redactor)
                entries = self.fit(stream.entries)
                source.parser.last_ns = max(source.parser.last_ns, entries.time_ns(-1))
                if ids not in bodies:
                    bodies[ids] = BodyBuilder(source.labels(ids), self.body_max_bytes)
                bodies[ids].add(entries, [(entry, row + lines_before) for entry, row in stream.rows])
                self._note(observed, stream)
        self.metrics.read(observed.levels, len(block.data), masked)
        batch = Batch(
            source_id=source.id,
            file=source.file,
            start=block.start,
            end=block.end,
            fingerprint=source.fingerprint(block.end),
            lines=observed.lines,
            redacted=masked,
            state=source.parser.state(),
            bodies=[body for of_stream in bodies.values() for body in of_stream.finish()],
        )
        return batch, observed

    async def _ship_receipt(self, source: Source, share: Share) -> None:
        """Say in the stream itself that all of the launch's log is there, and how much that is."""
        text = render_event(
            events.RECEIPT,
            lines=source.lines,
            bytes=source.bytes,
            rejected=source.rejected,
            redacted=source.redacted,
        )
        await self.delivery.deliver(self.event_batch(source, text, completes=True), share)
        source.complete = True

    async def _ship_gap(self, source: Source, gap: Gap, share: Share) -> None:
        """Say in the stream which bytes of a file are lost; with that they count as dealt with."""
        row = gap.row
        text = render_event(events.GAP, file=row.path, **{"from": row.position}, to=gap.end, reason=gap.reason)
        log.warning("%s", text)
        self.metrics.gaps.inc(gap.end - row.position)
        batch = self.event_batch(source, text, file=row, position=gap.end)
        await self.delivery.deliver(batch, share)
        row.position = gap.end
        source.gap = None

    def event_batch(
        self, source: Source, text: str, *, completes: bool = False, file: FileRow | None = None, position: int = 0
    ) -> Batch:
        """Return a batch with one event of the agent's own; with its acknowledgement file is at position."""
        # A gap stands where it is in the log: what follows it keeps its own time.
        begun_ns = source.parser.last_ns or source.begun_ns if file else 0
        bodies = BodyBuilder(source.labels(source.parser.ids), self.body_max_bytes)
        bodies.add(source.parser.event(text.encode(), begun_ns or self.clock_ns()))
        return Batch(
            source_id=source.id,
            file=file,
            start=position,
            end=position,
            fingerprint=Fingerprint(file.head, b"", 0) if file else Fingerprint(b"", b"", 0),
            lines=0,
            redacted=0,
            state=source.parser.state(),
            bodies=bodies.finish(),
            completes=completes,
        )

    def fit(self, entries: Columns) -> Columns:
        """Return the entries with each text that is over Loki's limit made into several."""
        if max(map(len, entries.texts)) <= TEXT_MAX_BYTES:
            return entries
        fitting = Columns()
        cut = encode_metadata({METADATA_KIND: MARK_CUT}) if self.structured_metadata else b""
        last_ns = 0
        for index, (text, meta) in enumerate(zip(entries.texts, entries.metas, strict=True)):
            last_ns = max(last_ns + 1, entries.time_ns(index))
            *parts, rest = _parts(text)
            for part in parts:
                fitting.add(last_ns, part, meta if meta.endswith(cut) else meta + cut)
                last_ns += 1
            fitting.add(last_ns, rest, meta)
        return fitting

    def _note(self, observed: Observed, stream: Stream) -> None:
        observed.lines += len(stream.entries.texts)
        observed.events += stream.events
        observed.stats += stream.stats
        levels = observed.levels
        for meta, count in Counter(stream.entries.metas).items():
            level = self._level_of_meta.get(meta)
            if level is None:
                if len(self._level_of_meta) >= _LEVELS_KNOWN_MAX:
                    self._level_of_meta.clear()
                level = decode_metadata(meta).get(METADATA_LEVEL, "info")
                self._level_of_meta[meta] = level
            levels[level] = levels.get(level, 0) + count


def _pieces(block: bytes) -> Iterator[bytes]:
    """Cut a block behind line ends."""
    start = 0
    while start < len(block):
        end = block.rfind(b"\n", start, start + _PIECE_BYTES) + 1 or block.find(b"\n", start) + 1 or len(block)
        yield block[start:end]
        start = end


def redact(stream: Stream, redactor: Redactor) -> int:
    """Mask the secrets in the texts, make them valid UTF-8; return how many were masked."""
    entries = stream.entries
    pieces: dict[int, bytes] = {}
    in_pieces = 0
    for index, piece in stream.pieces.items():
        # A secret may begin in one piece of a line and end in the next.
        pieces[index], found = redactor.redact_piece(piece.before, entries.texts[index], goes_on=piece.goes_on)
        in_pieces += found
        entries.texts[index] = b""
    texts = entries.texts
    count = redactor.redact_lines(texts)
    for index, text in pieces.items():
        texts[index] = text
    for index in [index for index, text in enumerate(texts) if not text.isascii()]:
        texts[index] = texts[index].decode(errors="replace").encode()
    return count + in_pieces


def _parts(text: bytes) -> list[bytes]:
    """Cut a text into parts that Loki takes, never within a character."""
    parts = []
    at = 0
    while len(text) - at > TEXT_MAX_BYTES:
        end = at + TEXT_MAX_BYTES
        while text[end] & 0xC0 == 0x80:
            end -= 1
        parts.append(text[at:end])
        at = end
    parts.append(text[at:])
    return parts
