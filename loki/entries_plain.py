"""Entries of one stream, and their encoding, in plain Python: what `_entries.pyx` does, where it is not compiled."""

import functools
import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from operator import add

from tracetail.loki.wire import read_varint, varint

NS_PER_SECOND = 1_000_000_000
SHORT_MAX = 2048
"""The length of a line is a varint of two bytes if line and metadata together are shorter than this, in bytes."""


def _head(length: int) -> bytes:
    return b"\x12" + varint(length)


def _short_head(length: int) -> bytes:
    return bytes((0x12, length & 0x7F | 0x80, length >> 7))


SECOND_BYTES = 9
"""Length of what entries.encode_second returns."""
_NANOS_PLACE = bytes(5)
_TIMESTAMP_BYTES = SECOND_BYTES + len(_NANOS_PLACE)
_PARTS = 5
"""Parts of an encoded entry: tag and length, timestamp, tag and length of the line, line, metadata."""
_LANE_BYTES = 8
_LANES = 1024
_GROUPS = [(0x7F << 7 * group, group) for group in range(5)]
_MASKS = [(int.from_bytes(mask.to_bytes(_LANE_BYTES, "little") * _LANES, "little"), shift) for mask, shift in _GROUPS]
_CONTINUED = int.from_bytes(bytes((0x80, 0x80, 0x80, 0x80, 0, 0, 0, 0)) * _LANES, "little")
_CUT_AT_ONCE = 64
_CUT = struct.Struct(f"{_TIMESTAMP_BYTES}s" * _CUT_AT_ONCE)


@functools.cache
def _heads() -> tuple[list[bytes], list[bytes]]:
    """Return tags and lengths (field 2): of entries, by the length of line and metadata together, and of lines.

    Those of lines are by the line's length, and equally long. Made at the first use: the compiled form needs none.
    """
    text_heads = [_short_head(n) for n in range(SHORT_MAX)]
    return [_head(n + _TIMESTAMP_BYTES + len(text_heads[0])) for n in range(SHORT_MAX)], text_heads


def encode_second(seconds: int) -> bytes:
    """Return the beginning of an encoded timestamp, the same for all times of one second; the nanoseconds follow."""
    groups = bytes(seconds >> shift & 0x7F | 0x80 for shift in (0, 7, 14, 21)) + bytes((seconds >> 28 & 0x7F,))
    return b"\x0a\x0c\x08" + groups + b"\x10"


@dataclass(slots=True)
class Columns:
    """Entries of one stream in columns: each list has one item per entry."""

    seconds: list[bytes] = field(default_factory=list)
    """What encode_second returns for the time."""
    nanos: list[int] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    """Must be UTF-8 when they are encoded: a protobuf string is."""
    metas: list[bytes] = field(default_factory=list)
    """What encode_metadata returns."""
    _last: tuple[int, bytes] = (-1, b"")
    """The second that was encoded last, and its encoding."""

    def add(self, time_ns: int, text: bytes, meta: bytes) -> None:
        """Add an entry."""
        seconds = time_ns // NS_PER_SECOND
        if seconds != self._last[0]:
            self._last = seconds, encode_second(seconds)
        self.seconds.append(self._last[1])
        self.nanos.append(time_ns - seconds * NS_PER_SECOND)
        self.texts.append(text)
        self.metas.append(meta)

    def extend(self, seconds: list[bytes], nanos: list[int], texts: list[bytes], metas: list[bytes]) -> None:
        """Add entries, given as columns."""
        self.seconds += seconds
        self.nanos += nanos
        self.texts += texts
        self.metas += metas

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self.texts)

    def time_ns(self, index: int) -> int:
        """Return the time of an entry, in nanoseconds."""
        return read_varint(self.seconds[index], 3)[0] * NS_PER_SECOND + self.nanos[index]

    def text(self, index: int) -> bytes:
        """Return the text of an entry."""
        return self.texts[index]

    def meta(self, index: int) -> bytes:
        """Return the encoded structured metadata of an entry."""
        return self.metas[index]

    def replace(self, index: int, text: bytes) -> None:
        """Replace the text of an entry."""
        self.texts[index] = text

    def longest(self) -> int:
        """Return the size of the longest text, in bytes."""
        return max(map(len, self.texts), default=0)

    def not_utf8(self) -> list[int]:
        """Return the indexes of the texts that are not UTF-8."""
        return [index for index, text in enumerate(self.texts) if not (text.isascii() or _is_utf8(text))]

    def part(self, start: int, end: int) -> "Columns":
        """Return the entries from index start up to but without end."""
        here = slice(start, end)
        return Columns(self.seconds[here], self.nanos[here], self.texts[here], self.metas[here])

    def encode(self) -> bytes:
        """Return the encoded entries of a Stream message."""
        return encode_columns(self.seconds, self.nanos, self.texts, self.metas)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def encode_columns(seconds: list[bytes], nanos: list[int], texts: list[bytes], metas: list[bytes]) -> bytes:
    """Return the entries of a Stream message; see Columns.

    Each varint of a timestamp has five bytes, and the length of a line two, unless the line is very long.
    """
    if not texts:
        return b""
    lengths = list(map(len, texts))
    sizes = list(map(add, lengths, map(len, metas)))
    long = []
    if max(sizes) >= SHORT_MAX:
        for place in [place for place, size in enumerate(sizes) if size >= SHORT_MAX]:
            text_head = _head(lengths[place])
            long.append((place * _PARTS, _head(_TIMESTAMP_BYTES + len(text_head) + sizes[place]), text_head))
            lengths[place] = sizes[place] = 0
    parts = [b""] * (_PARTS * len(lengths))
    entry_heads, text_heads = _heads()
    parts[0::_PARTS] = [entry_heads[size] for size in sizes]
    parts[1::_PARTS] = timestamps(seconds, nanos)
    parts[2::_PARTS] = [text_heads[length] for length in lengths]
    parts[3::_PARTS] = texts
    parts[4::_PARTS] = metas
    for at, head, text_head in long:
        parts[at] = head
        parts[at + 2] = text_head
    return b"".join(parts)


def timestamps(seconds: Sequence[bytes], nanos: Sequence[int]) -> list[bytes]:
    """Return encoded timestamps: the seconds as given, and the nanoseconds as a varint of five bytes.

    One large integer holds the numbers in lanes of eight bytes, so that a single shift moves the same group of seven
    bits of all numbers. Slice assignments then copy the resulting bytes between the seconds.
    """
    count = len(seconds)
    fields = bytearray(_NANOS_PLACE.join(seconds))
    fields += bytes(-count % _CUT_AT_ONCE * _TIMESTAMP_BYTES + len(_NANOS_PLACE))
    for start in range(0, len(nanos), _LANES):
        part = nanos[start : start + _LANES]
        size = len(part) * _LANE_BYTES
        lanes = array("Q", part)
        if sys.byteorder == "big":
            lanes.byteswap()
        number = int.from_bytes(lanes.tobytes(), "little")
        spread = _CONTINUED >> (_LANES - len(part)) * _LANE_BYTES * 8
        for mask, shift in _MASKS:
            spread |= (number & mask) << shift
        data = spread.to_bytes(size, "little")
        first = start * _TIMESTAMP_BYTES + SECOND_BYTES
        end = first + len(part) * _TIMESTAMP_BYTES
        for group in range(len(_NANOS_PLACE)):
            fields[first + group : end : _TIMESTAMP_BYTES] = data[group::_LANE_BYTES]
    return list(islice(chain.from_iterable(_CUT.iter_unpack(fields)), count))
