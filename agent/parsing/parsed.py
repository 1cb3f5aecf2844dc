"""The parser's result: the entries of some lines, by stream, in columns."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tracetail.agent.model import Ids
from tracetail.loki.entries import Columns


class Piece(NamedTuple):
    """An entry's context within a line that was cut into pieces."""

    before: bytes
    """The end of the line's text before this piece; empty for the first piece."""
    goes_on: bool
    """Another piece follows."""


@dataclass(slots=True)
class Stream:
    """The entries of lines with the same ids, in columns, and what the metrics need to know of them."""

    ids: Ids | None
    """None before the first line with ids."""
    entries: Columns = field(default_factory=Columns)
    levels: dict[str, int] = field(default_factory=dict)
    """Number of lines by level."""
    rows: list[tuple[int, int]] = field(default_factory=list)
    """Runs of consecutive lines: the index of the first entry, and the index of its line in the block."""
    events: list[tuple[int, bytes]] = field(default_factory=list)
    """Timestamp and text of the keeper's events."""
    stats: list[tuple[int, bytes]] = field(default_factory=list)
    """Timestamp and text of the lines of engine statistics."""
    pieces: dict[int, Piece] = field(default_factory=dict)
    """By the index of the entry."""


@dataclass(slots=True)
class Parsed:
    """The entries of some lines, one per line."""

    streams: dict[Ids | None, Stream] = field(default_factory=dict)

    def stream(self, ids: Ids | None) -> Stream:
        """Return the stream with these ids; it is created if it does not exist."""
        found = self.streams.get(ids)
        if found is None:
            found = self.streams[ids] = Stream(ids)
        return found

    def in_order(self) -> Iterator[tuple[Stream, int]]:
        """Yield for each line, in the log's order, its stream and the index of its entry there."""
        runs = []
        for stream in self.streams.values():
            ends = [entry for entry, _ in stream.rows[1:]] + [len(stream.entries)]
            runs += [(row, stream, entry, end) for (entry, row), end in zip(stream.rows, ends, strict=True)]
        for _, stream, entry, end in sorted(runs, key=lambda run: run[0]):
            for index in range(entry, end):
                yield stream, index
