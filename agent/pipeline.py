"""The path of a log line: follow → parse → redact → batch → send → acknowledge. Discovery hands over the sources.

One task per source that has something to read, and none for the others: a look at each file ten times a second
finds out which. Memory is bounded whatever the backlog: a source holds one block at a time, and at most
`BLOCKS_AT_ONCE` sources do.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from agent import encoding
from agent.delivery import Batch, Body, Delivery
from agent.follower import Block
from agent.ledger import Ledger
from agent.metrics import Metrics
from agent.parsing import Columns
from agent.sources import Source
from contract import events
from contract.labels import ENTRY_MAX_BYTES
from contract.logline import MARK_CUT, render_event
from contract.redaction import Redactor

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 0.1
BODY_MAX_BYTES = 1 << 20
BLOCKS_AT_ONCE = 4
TEXT_MAX_BYTES = ENTRY_MAX_BYTES - 2048
"""Longer texts become several entries: Loki's limit is for text and structured metadata together."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What was in a batch that Loki has acknowledged, for those who report on servers."""

    labels: Mapping[str, str]
    lines: int
    levels: Mapping[str, int]
    events: list[tuple[int, bytes]]
    """Time and text of each event of the keeper; contract.logline.parse_event reads it."""
    stats: list[tuple[int, bytes]]
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
    structured_metadata: bool = True
    clock_ns: Callable[[], int] = time.time_ns
    observers: list[Observer] = field(default_factory=list)
    stopping: bool = False
    _level_of_meta: dict[bytes, str] = field(default_factory=dict)

    async def ship(self, source: Source) -> None:
        """Ship everything that source has to say now."""
        if not source.open:
            async with self.room:
                await self.ledger.open(source, self.delivery)
        while not self.stopping:
            async with self.room:
                shipped = await self._ship_next(source)
            if shipped is None:
                return
            if not shipped.behind:
                source.not_before = time.monotonic() + self.linger_seconds
                return

    async def _ship_next(self, source: Source) -> Shipped | None:
        """Ship what can be read at once; None if there is nothing."""
        block = source.read()
        if block is None:
            if source.exhausted and not source.complete:
                await self._ship_receipt(source)
            return None
        await self.ledger.know_file(source)
        batch, observed = self._prepare(source, block)
        behind = block.behind or batch.end < block.end
        source.go_on_at(batch.end)
        del block  # nothing of it is held while Loki cannot be reached
        outcome = await self.delivery.deliver(batch)
        source.acknowledged(batch, outcome)
        for observer in self.observers:
            observer(source, observed)
        return Shipped(behind)

    def _prepare(self, source: Source, block: Block) -> tuple[Batch, Observed]:
        """Parse, redact and encode a block, as far as it is of one stream."""
        columns = source.parser.parse(block.data, self.clock_ns(), behind=block.behind, unfinished=block.unfinished)
        taken = len(block.data) if columns.stopped_at is None else columns.stopped_at
        redacted = self.redact(columns)
        source.parser.last_ns = max(source.parser.last_ns, self.fit(columns))
        lines = block.data.count(b"\n", 0, taken) + (block.unfinished and taken == len(block.data))
        observed = self._observe(source, columns, lines)
        self.metrics.read(observed.levels, taken, redacted)
        end = block.start + taken
        batch = Batch(
            source_id=source.id,
            file_id=source.file.id,
            start=block.start,
            end=end,
            tail=source.tail(end),
            lines=lines,
            redacted=redacted,
            state=source.parser.state(),
            bodies=self.bodies(source.labels(), columns),
        )
        return batch, observed

    async def _ship_receipt(self, source: Source) -> None:
        """Say in the stream itself that all of the launch's log is there, and how much that is."""
        text = render_event(
            events.RECEIPT,
            lines=source.lines,
            bytes=source.bytes,
            rejected=source.rejected,
            redacted=source.redacted,
        )
        await self.delivery.deliver(self.event_batch(source, text, completes=True))
        source.complete = True

    def event_batch(self, source: Source, text: str, *, completes: bool = False) -> Batch:
        """Return a batch with one event of the agent's own."""
        columns = source.parser.event(text.encode(), self.clock_ns())
        return Batch(
            source_id=source.id,
            file_id=None,
            start=0,
            end=0,
            tail=b"",
            lines=0,
            redacted=0,
            state=source.parser.state(),
            bodies=self.bodies(source.labels(), columns),
            completes=completes,
        )

    def redact(self, columns: Columns) -> int:
        """Mask the secrets in the texts, make them valid UTF-8; return how many were masked."""
        block = b"\n".join(columns.texts)
        block, count = self.redactor.redact(block)
        if not block.isascii():
            try:
                block.decode()
            except UnicodeDecodeError:
                columns.texts = [text.decode(errors="replace").encode() for text in block.split(b"\n")]
                return count
        if count:
            columns.texts = block.split(b"\n")
        return count

    def fit(self, columns: Columns) -> int:
        """Make several entries of a text that is over Loki's limit; return the last time."""
        if max(map(len, columns.texts)) <= TEXT_MAX_BYTES:
            return columns.last_ns
        stamps, texts, metas = columns.stamps, columns.texts, columns.metas
        columns.stamps, columns.texts, columns.metas = [], [], []
        last_ns = 0
        cut = encoding.metadata({"kind": MARK_CUT}) if self.structured_metadata else b""
        for stamp, text, meta in zip(stamps, texts, metas, strict=True):
            parts = _parts(text)
            time_ns = encoding.stamp_time(stamp)
            for index, part in enumerate(parts):
                time_ns = max(time_ns, last_ns + 1)
                last = index == len(parts) - 1
                columns.stamps.append(encoding.stamp(time_ns))
                columns.texts.append(part)
                columns.metas.append(meta if last or meta.endswith(cut) else meta + cut)
                last_ns = time_ns
        columns.last_ns = last_ns
        return last_ns

    def bodies(self, labels: Mapping[str, str], columns: Columns, first_index: int = 0) -> list[Body]:
        """Return the requests for some entries: one, unless it would be over BODY_MAX_BYTES."""
        entries = encoding.encode_entries(columns.stamps, columns.texts, columns.metas)
        count = len(columns.texts)
        if len(entries) <= BODY_MAX_BYTES or count == 1:
            return [
                Body(
                    labels,
                    encoding.encode_request(labels, entries),
                    encoding.stamp_time(columns.stamps[0]),
                    encoding.stamp_time(columns.stamps[-1]),
                    count,
                    first_index,
                )
            ]
        half = count // 2
        bodies = []
        for part in (slice(0, half), slice(half, count)):
            columns_of_part = Columns(columns.stamps[part], columns.texts[part], columns.metas[part])
            bodies += self.bodies(labels, columns_of_part, first_index + part.start)
        return bodies

    def _observe(self, source: Source, columns: Columns, lines: int) -> Observed:
        levels: dict[str, int] = {}
        for meta, count in Counter(columns.metas).items():
            level = self._level_of_meta.get(meta)
            if level is None:
                if len(self._level_of_meta) > 10_000:
                    self._level_of_meta.clear()
                level = encoding.decode_metadata(meta).get("level", "info")
                self._level_of_meta[meta] = level
            levels[level] = levels.get(level, 0) + count
        return Observed(dict(source.labels()), lines, levels, columns.events, columns.stats)


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
