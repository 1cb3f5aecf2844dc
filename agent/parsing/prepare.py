"""Prepares a block of lines for Loki: parse, redact, split what exceeds Loki's limit.

The pipeline ships what this returns, and `tracetail agent try` prints it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tracetail.agent.model import Block
from tracetail.agent.parsing.parsed import Stream
from tracetail.agent.parsing.parser import LineParser
from tracetail.agent.parsing.redact import redact
from tracetail.contract.labels import ENTRY_MAX_BYTES, METADATA_KIND
from tracetail.contract.logline import MARK_CUT
from tracetail.contract.redaction import Redactor
from tracetail.loki.entries import Columns, encode_metadata

TEXT_MAX_BYTES = ENTRY_MAX_BYTES - 2048
"""A longer text is split into several entries: Loki's limit applies to text and structured metadata together."""
_PART_BYTES = 544 * 1024
"""Number of bytes parsed together: each part costs Python's steps once, and takes memory while it is parsed. A block
of a mebibyte has two."""


@dataclass(slots=True)
class Prepared:
    """Part of a block: the entries of each stream, as they are sent."""

    streams: list[Stream]
    """`levels` and `rows` refer to lines; `entries` has more items than lines if a text was split."""
    lines: int
    redacted: int


@dataclass(frozen=True, slots=True)
class Preparer:
    """The settings that all blocks are prepared with."""

    redactor: Redactor
    structured_metadata: bool
    clock_ns: Callable[[], int]

    def prepare(self, parser: LineParser, block: Block, *, behind: bool) -> Iterator[Prepared]:
        """Yield the entries of a block, part by part, so that only one part is in memory as separate lines.

        parser: of the block's log; its state advances. behind: the lines may have been written long ago, so a line
        without a time follows the line before it instead of getting the time of reading.
        """
        if not parser.last_ns:
            parser.begin(block.data, self.clock_ns())
        left = len(block.data)
        for part in _parts(block.data):
            left -= len(part)
            unfinished = block.unfinished and not part.endswith(b"\n")
            caught_up = not left and not block.behind
            parsed = parser.parse(part, self.clock_ns(), behind=behind, unfinished=unfinished, caught_up=caught_up)
            streams = list(parsed.streams.values())
            lines = redacted = 0
            for stream in streams:
                lines += sum(stream.levels.values())
                redacted += redact(stream, self.redactor, parser.secret_lines)
                stream.entries = self._within_limit(stream.entries)
                parser.last_ns = max(parser.last_ns, stream.entries.time_ns(-1))
            yield Prepared(streams, lines, redacted)

    def _within_limit(self, entries: Columns) -> Columns:
        """Return the entries, with each text that exceeds Loki's limit split into several."""
        if entries.longest() <= TEXT_MAX_BYTES:
            return entries
        split = Columns()
        cut = encode_metadata({METADATA_KIND: MARK_CUT}) if self.structured_metadata else b""
        last_ns = 0
        for index, (text, meta) in enumerate(zip(entries.texts, entries.metas, strict=True)):
            last_ns = max(last_ns + 1, entries.time_ns(index))
            *starts, end = _split(text)
            for start in starts:
                split.add(last_ns, start, meta if meta.endswith(cut) else meta + cut)
                last_ns += 1
            split.add(last_ns, end, meta)
        return split


def _parts(data: bytes) -> Iterator[bytes]:
    """Split a block after line ends."""
    start = 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + _PART_BYTES) + 1 or data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end


def _split(text: bytes) -> list[bytes]:
    """Split a text into parts that Loki accepts, never within a UTF-8 character."""
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
