"""A block: entries of one stream in columns, compressed, as they are stored in SQLite.

With columns a query reads only what it needs: a histogram by level reads times and levels but no text, a text search
runs over all lines at once at memory speed, and equal metadata is stored once.

    index   zstd of: number of entries, size of the directory, differences of the times (8 bytes each), lengths of
            the lines (4 bytes each), for each metadata name a column of value indices (1, 2 or 4 bytes each; 0 means
            no value, n the nth value), the directory: names and their values as JSON
    text    zstd of the lines joined by LF (a line may contain LF; the lengths give its end)

Integers are little-endian.
"""

import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import lt, sub
from struct import Struct
from struct import error as StructError  # noqa: N812  (it is a class)
from typing import TypeVar

import cramjam
import orjson

from tracetail.store.disk.running_sums import line_starts, running_sums

try:
    from tracetail.store.disk._text_filter import is_in_text
except ImportError:

    def is_in_text(needle: bytes, text: cramjam.Buffer | bytes) -> bool:
        """Return whether a text contains the needle: in half as much time where the loop is compiled."""
        return needle in bytes(text)


_T = TypeVar("_T")

Metadata = tuple[tuple[str, str], ...]
"""Structured metadata of an entry, sorted by name."""
Labels = tuple[tuple[str, str], ...]
"""Labels of a stream, sorted by name."""

ZSTD_LEVEL = 1
ENTRY_BYTES = 16
"""The size that is counted for an entry's time, length and metadata, in addition to its line."""
_SPLIT_MIN_PART = 8
"""Where more than this part of a block's lines are needed, all are split off, which needs no offsets."""
_HEADER = Struct("<II")


class CorruptBlockError(Exception):
    """The bytes of a block are invalid."""


@dataclass(slots=True)
class Entries:
    """Entries of one stream, sorted by time; entries of equal time are in the order of arrival."""

    times: Sequence[int]
    """Nanoseconds since the epoch."""
    lines: list[bytes]
    """Valid UTF-8."""
    metadata: Sequence[int]
    """For each entry the index of its metadata in metadata_sets."""
    metadata_sets: list[Metadata]

    def __len__(self) -> int:
        return len(self.times)

    def text_bytes(self) -> int:
        """Return the total size of the lines."""
        return sum(map(len, self.lines))

    def size(self) -> int:
        """Return the approximate decompressed size. It counts each entry, so that many empty lines have a size."""
        return self.text_bytes() + ENTRY_BYTES * len(self)

    def identities(self) -> Iterator[tuple[int, bytes, Metadata]]:
        """Return what identifies each entry, as in Loki: time, line and metadata."""
        return zip(self.times, self.lines, (self.metadata_sets[m] for m in self.metadata), strict=True)

    def take(self, positions: Sequence[int]) -> "Entries":
        """Return the entries at these positions."""
        return Entries(
            [self.times[i] for i in positions],
            [self.lines[i] for i in positions],
            [self.metadata[i] for i in positions],
            self.metadata_sets,
        )

    def slice(self, start: int, stop: int) -> "Entries":
        """Return the entries from start to stop (exclusive), with only the metadata sets that they use."""
        indices: dict[int, int] = {}
        metadata = [indices.setdefault(m, len(indices)) for m in self.metadata[start:stop]]
        sets = [self.metadata_sets[m] for m in indices]
        return Entries(self.times[start:stop], self.lines[start:stop], metadata, sets)


def is_increasing(times: Sequence[int]) -> bool:
    """Return whether each time is later than the previous one."""
    return all(map(lt, times, times[1:]))


def merge(parts: Sequence[Entries]) -> Entries:
    """Return the entries of all parts, sorted by time; entries of equal time are in the order of the parts."""
    times: list[int] = []
    lines: list[bytes] = []
    metadata: list[int] = []
    indices: dict[Metadata, int] = {}
    for part in parts:
        set_index = [indices.setdefault(s, len(indices)) for s in part.metadata_sets]
        times.extend(part.times)
        lines.extend(part.lines)
        metadata.extend([set_index[m] for m in part.metadata])
    merged = Entries(times, lines, metadata, list(indices))
    return merged if is_increasing(times) else sort(merged)


def sort(entries: Entries) -> Entries:
    """Return the entries sorted by time. The sort is stable."""
    return entries.take(sorted(range(len(entries)), key=entries.times.__getitem__))


@dataclass(frozen=True, slots=True)
class EncodedBlock:
    """An encoded block, with the columns that the database indexes."""

    first: int
    last: int
    count: int
    text_bytes: int
    """The size of the joined lines before compression."""
    index: bytes
    text: bytes


def encode(entries: Entries, text: bytes, sets: "dict[str, SetColumn]", level: int = ZSTD_LEVEL) -> EncodedBlock:
    """Encode entries, which must be sorted and not empty.

    text: their lines, joined by LF.
    sets: the columns of their metadata sets.
    """
    times = entries.times
    columns = {
        name: Column(
            column.values, array(_index_type(len(column.values)), map(column.of_sets.__getitem__, entries.metadata))
        )
        for name, column in sets.items()
    }
    directory = orjson.dumps([(name, column.values) for name, column in columns.items()])
    index = b"".join(
        (
            _HEADER.pack(len(times), len(directory)),
            _bytes_of(array("q", [times[0], *map(sub, times[1:], times)])),
            _bytes_of(array("I", map(len, entries.lines))),
            *(_bytes_of(column.indices) for column in columns.values()),
            directory,
        )
    )
    return EncodedBlock(
        times[0],
        times[-1],
        len(times),
        len(text),
        bytes(cramjam.zstd.compress(index, level)),
        bytes(cramjam.zstd.compress(text, level)),
    )


@dataclass(frozen=True, slots=True)
class Column:
    """The values of one metadata name."""

    values: list[str]
    indices: "array[int]"
    """For each entry 0 if it has no value, else n for the nth value."""


@dataclass(frozen=True, slots=True)
class SetColumn:
    """The values of one metadata name in the metadata sets of some entries."""

    values: list[str]
    of_sets: list[int]
    """For each set 0 if it has no value, else n for the nth value."""


def columns_of_sets(sets: Sequence[Metadata]) -> dict[str, SetColumn]:
    """Return metadata sets as columns, by name."""
    values: dict[str, dict[str, int]] = {}
    of_sets: dict[str, list[int]] = {}
    for i, pairs in enumerate(sets):
        for name, value in pairs:
            known = values.get(name)
            if known is None:
                known, of_sets[name] = values.setdefault(name, {}), [0] * len(sets)
            of_sets[name][i] = known.setdefault(value, len(known) + 1)
    return {name: SetColumn(list(known), of_sets[name]) for name, known in values.items()}


def _index_type(value_count: int) -> str:
    return "B" if value_count < 1 << 8 else "H" if value_count < 1 << 16 else "I"


class BlockIndex:
    """The decoded index of a block: times, lengths of the lines, metadata columns."""

    __slots__ = ("_starts", "columns", "lengths", "times")

    def __init__(self, data: bytes) -> None:
        self._starts: Sequence[int] | None = None
        try:
            index = memoryview(bytes(cramjam.zstd.decompress(data)))
            count, directory_bytes = _HEADER.unpack_from(index)
            at = _HEADER.size
            self.times = running_sums(_array_of("q", index[at : at + 8 * count]))
            at += 8 * count
            self.lengths = _array_of("I", index[at : at + 4 * count])
            at += 4 * count
            self.columns: dict[str, Column] = {}
            for name, values in orjson.loads(index[len(index) - directory_bytes :]):
                kind = _index_type(len(values))
                size = count * array(kind).itemsize
                self.columns[name] = Column(values, _array_of(kind, index[at : at + size]))
                at += size
        except (cramjam.DecompressionError, StructError, ValueError, TypeError) as error:
            raise CorruptBlockError(f"a block's index cannot be read: {error}") from error

    def __len__(self) -> int:
        return len(self.times)

    def between(self, start: int, end: int) -> tuple[int, int]:
        """Return the positions of the entries with start <= time < end: the first, and the end (exclusive)."""
        return bisect_left(self.times, start), bisect_left(self.times, end)

    def starts(self) -> Sequence[int]:
        """Return the offset of each line in the text, and the offset at which a further line would start."""
        if self._starts is None:
            self._starts = line_starts(self.lengths)
        return self._starts


class StoredBlock:
    """A block for a query; its index and its text are fetched and decompressed when they are first needed."""

    __slots__ = ("_decoded", "_fetch_index", "_fetch_text", "_index", "_starts", "_text")

    def __init__(
        self, fetch_index: Callable[[], BlockIndex], fetch_text: Callable[[], cramjam.Buffer | bytes]
    ) -> None:
        self._fetch_index = fetch_index
        self._fetch_text = fetch_text
        self._index: BlockIndex | None = None
        self._decoded: cramjam.Buffer | bytes | None = None
        self._text: bytes | None = None
        self._starts: Sequence[int] | None = None

    @property
    def index(self) -> BlockIndex:
        """Times, lengths and metadata."""
        if self._index is None:
            self._index = self._fetch_index()
        return self._index

    @property
    def text(self) -> bytes:
        """The lines joined by LF."""
        if self._text is None:
            self._text = bytes(self._fetch_text() if self._decoded is None else self._decoded)
            self._decoded = None
        return self._text

    def has_text(self, needle: bytes) -> bool:
        """Return whether a text is in the lines, or across the ends of some. The lines are not copied for that."""
        if self._text is None and self._decoded is None:
            self._decoded = self._fetch_text()
        return bool(is_in_text(needle, self._decoded if self._text is None else self._text))

    @property
    def starts(self) -> Sequence[int]:
        """The offset of each line in the text, and the offset at which a further line would start."""
        if self._starts is None:
            self._starts = self.index.starts()
        return self._starts

    def line(self, position: int) -> bytes:
        """Return the line at a position."""
        start = self.starts[position]
        return self.text[start : start + self.index.lengths[position]]

    def lines(self, positions: Sequence[int]) -> Sequence[bytes]:
        """Return the lines at these positions."""
        if self._starts is None and len(positions) > len(self.index) // _SPLIT_MIN_PART:
            every = _split(self.text, len(self.index))
            if every is not None:
                return taken(every, positions)
        text, starts, lengths = self.text, self.starts, self.index.lengths
        return [text[starts[i] : starts[i] + lengths[i]] for i in positions]


def decode_text(data: bytes, text_bytes: int) -> cramjam.Buffer | bytes:
    """Return the decompressed lines, joined by LF. Raises CorruptBlockError."""
    if text_bytes == 0:
        return b""
    try:
        return cramjam.zstd.decompress(data, output_len=text_bytes)
    except cramjam.DecompressionError as error:
        raise CorruptBlockError(f"a block's text cannot be read: {error}") from error


def taken(column: Sequence[_T], positions: Sequence[int]) -> Sequence[_T]:
    """Return the values of a column at these positions."""
    if isinstance(positions, range):
        return column[positions.start : positions.stop]
    return [column[i] for i in positions]


def _split(text: bytes, count: int) -> list[bytes] | None:
    """Return the lines of a text, of which there are `count`; None if one of them contains LF."""
    lines = text.split(b"\n")
    return lines if len(lines) == count else None


def decode(index: bytes, text: bytes, text_bytes: int) -> Entries:
    """Return the entries of a block. Raises CorruptBlockError."""
    columns = BlockIndex(index)
    joined = bytes(decode_text(text, text_bytes))
    lines = _split(joined, len(columns))
    if lines is None:
        starts = columns.starts()
        lines = [joined[start : start + length] for start, length in zip(starts, columns.lengths, strict=False)]
    metadata, sets = _sets_of(columns)
    return Entries(columns.times, lines, metadata, sets)


def _sets_of(index: BlockIndex) -> tuple[list[int], list[Metadata]]:
    """Return metadata columns as sets: for each entry the index of its set, and the sets."""
    if not index.columns:
        return [0] * len(index), [()]
    found: dict[tuple[int, ...], int] = {}
    metadata = [
        found.setdefault(indices, len(found))
        for indices in zip(*(column.indices for column in index.columns.values()), strict=True)
    ]
    names = sorted(index.columns)
    order = [list(index.columns).index(name) for name in names]
    sets = [
        tuple(
            (name, index.columns[name].values[indices[o] - 1])
            for name, o in zip(names, order, strict=True)
            if indices[o]
        )
        for indices in found
    ]
    return metadata, sets


def _bytes_of(column: "array[int]") -> bytes:
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _array_of(typecode: str, data: memoryview) -> "array[int]":
    column: array[int] = array(typecode)
    column.frombytes(data)
    if sys.byteorder == "big":
        column.byteswap()
    return column
