"""Encodes columns of entries in plain Python: the fallback for `_entries.pyx`, with the same result."""

import struct
import sys
from array import array
from collections.abc import Sequence
from itertools import chain, islice
from operator import add

from tracetail.loki.wire import varint

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
_TEXT_HEADS = [_short_head(n) for n in range(SHORT_MAX)]
"""Tag and length of the line in an entry (field 2), by the line's length. All are equally long."""
_ENTRY_HEADS = [_head(n + _TIMESTAMP_BYTES + len(_TEXT_HEADS[0])) for n in range(SHORT_MAX)]
"""Tag and length of an entry in a stream (field 2 as well), by the length of line and metadata together."""
_PARTS = 5
"""Parts of an encoded entry: tag and length, timestamp, tag and length of the line, line, metadata."""
_LANE_BYTES = 8
_LANES = 1024
_GROUPS = [(0x7F << 7 * group, group) for group in range(5)]
_MASKS = [(int.from_bytes(mask.to_bytes(_LANE_BYTES, "little") * _LANES, "little"), shift) for mask, shift in _GROUPS]
_CONTINUED = int.from_bytes(bytes((0x80, 0x80, 0x80, 0x80, 0, 0, 0, 0)) * _LANES, "little")
_CUT_AT_ONCE = 64
_CUT = struct.Struct(f"{_TIMESTAMP_BYTES}s" * _CUT_AT_ONCE)


def encode_columns(seconds: list[bytes], nanos: list[int], texts: list[bytes], metas: list[bytes]) -> bytes:
    """Return the entries of a Stream message; see entries.Columns for the columns.

    Each varint of a timestamp has five bytes, and the length of a line two, unless the line is very long.
    """
    lengths = list(map(len, texts))
    sizes = list(map(add, lengths, map(len, metas)))
    long = []
    if max(sizes) >= SHORT_MAX:
        for place in [place for place, size in enumerate(sizes) if size >= SHORT_MAX]:
            text_head = _head(lengths[place])
            long.append((place * _PARTS, _head(_TIMESTAMP_BYTES + len(text_head) + sizes[place]), text_head))
            lengths[place] = sizes[place] = 0
    parts = [b""] * (_PARTS * len(lengths))
    parts[0::_PARTS] = [_ENTRY_HEADS[size] for size in sizes]
    parts[1::_PARTS] = timestamps(seconds, nanos)
    parts[2::_PARTS] = [_TEXT_HEADS[length] for length in lengths]
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
