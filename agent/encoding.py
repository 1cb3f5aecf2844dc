"""Loki's push request in protobuf, put together from columns of bytes; and taken apart again.

    PushRequest{1: repeated Stream}
    Stream{1: string labels, 2: repeated Entry}
    Entry{1: Timestamp{1: seconds, 2: nanos}, 2: string line, 3: repeated Pair{1: name, 2: value}}

Source: https://github.com/grafana/loki/blob/main/pkg/push/push.proto

Everything here is written for speed: an entry is five pieces of bytes, four of which come from tables, and a whole
batch is joined once. The two varints of a timestamp are always five bytes long (a varint may carry leading zero
groups: https://protobuf.dev/programming-guides/encoding/#varints), so that every timestamp has the same length.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import cramjam

from contract.logql import selector

SECOND = 1_000_000_000
STAMP_BYTES = 14
"""An encoded timestamp field: tag, length, and two fields of one tag and five bytes."""

_TABLE = 8192


def varint(value: int) -> bytes:
    """Return value, not negative, as a protobuf varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(tag: int, data: bytes) -> bytes:
    return bytes((tag,)) + varint(len(data)) + data


# nanos = high << 14 | low, as five bytes: two of low, three of high
_NANOS_LOW = [bytes((n & 0x7F | 0x80, n >> 7 | 0x80)) for n in range(1 << 14)]
_NANOS_HIGH = [bytes((n & 0x7F | 0x80, n >> 7 & 0x7F | 0x80, n >> 14)) for n in range((SECOND >> 14) + 1)]
_LINE = [b"\x12" + varint(n) for n in range(_TABLE)]
_ENTRY = [b"\x12" + varint(n + STAMP_BYTES) for n in range(_TABLE)]


def stamp_second(seconds: int) -> bytes:
    """Return the part of an encoded timestamp that all of one second have in common; nanos() follows it."""
    groups = bytes(seconds >> shift & 0x7F | 0x80 for shift in (0, 7, 14, 21)) + bytes((seconds >> 28 & 0x7F,))
    return b"\x0a\x0c\x08" + groups + b"\x10"


def stamp(time_ns: int) -> bytes:
    """Return the timestamp field of an entry at time_ns nanoseconds since the epoch."""
    seconds, nanos = divmod(time_ns, SECOND)
    return stamp_second(seconds) + _NANOS_LOW[nanos & 0x3FFF] + _NANOS_HIGH[nanos >> 14]


def stamp_time(encoded: bytes) -> int:
    """Return the time of an encoded timestamp field."""
    seconds, at = _varint(encoded, 3)
    return seconds * SECOND + _varint(encoded, at + 1)[0]


def nanos_tables() -> tuple[list[bytes], list[bytes]]:
    """Return the tables for the nanoseconds of a timestamp: low[n & 0x3FFF] + high[n >> 14] follow stamp_second."""
    return _NANOS_LOW, _NANOS_HIGH


def metadata(pairs: Mapping[str, str | bytes | None]) -> bytes:
    """Return the structured metadata of an entry; values that are None are left out."""
    return b"".join(
        _field(0x1A, _field(0x0A, name.encode()) + _field(0x12, value.encode() if isinstance(value, str) else value))
        for name, value in pairs.items()
        if value is not None
    )


def encode_entries(stamps: Iterable[bytes], texts: Sequence[bytes], metas: Sequence[bytes]) -> bytes:
    """Return the entries of a stream, encoded; the three columns have one item per entry.

    texts must be valid UTF-8, as protobuf demands of a string.
    """
    lines = [_LINE[n] if (n := len(text)) < _TABLE else b"\x12" + varint(n) for text in texts]
    entries = [
        _ENTRY[n] if (n := len(line) + len(text) + len(meta)) < _TABLE else b"\x12" + varint(n + STAMP_BYTES)
        for line, text, meta in zip(lines, texts, metas, strict=True)
    ]
    return b"".join(chain.from_iterable(zip(entries, stamps, lines, texts, metas, strict=True)))


def encode_request(labels: Mapping[str, str], entries: bytes) -> bytes:
    """Return a push request with one stream, in the raw snappy form that Loki takes."""
    head = _field(0x0A, selector(labels).encode())
    return bytes(cramjam.snappy.compress_raw(b"\x0a" + varint(len(head) + len(entries)) + head + entries))


class Entry(NamedTuple):
    """One entry of a request, taken apart as far as delivery needs it."""

    time_ns: int
    text: bytes
    meta: bytes
    """The encoded structured metadata."""

    def encode(self) -> bytes:
        """Return the entry as it stands in a stream."""
        return encode_entries((stamp(self.time_ns),), (self.text,), (self.meta,))


def decode_request(body: bytes) -> tuple[str, list[Entry]]:
    """Return labels (in selector form) and entries of what encode_request made; ValueError if it is not that."""
    raw = bytes(cramjam.snappy.decompress_raw(body))
    streams = list(_fields(raw, 0, len(raw)))
    if len(streams) != 1 or streams[0][0] != 1:
        raise ValueError("a request of the agent holds exactly one stream")
    labels = ""
    entries = []
    for number, start, end in _fields(raw, streams[0][1], streams[0][2]):
        if number == 1:
            labels = raw[start:end].decode()
        else:
            entries.append(_entry(raw, start, end))
    return labels, entries


def decode_metadata(meta: bytes) -> dict[str, str]:
    """Return the pairs of encoded structured metadata."""
    pairs = {}
    for _, start, end in _fields(meta, 0, len(meta)):
        name, value = (meta[a:b].decode() for _, a, b in _fields(meta, start, end))
        pairs[name] = value
    return pairs


def _entry(raw: bytes, start: int, end: int) -> Entry:
    time_ns = 0
    text = b""
    meta = b""
    for number, a, b in _fields(raw, start, end):
        if number == 1:
            seconds, at = _varint(raw, a + 1)
            time_ns = seconds * SECOND + _varint(raw, at + 1)[0]
        elif number == 2:
            text = raw[a:b]
        else:
            meta += _field(0x1A, raw[a:b])
    return Entry(time_ns, text, meta)


def _fields(raw: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of every length-delimited field."""
    while at < end:
        tag = raw[at]
        if tag & 7 != 2:
            raise ValueError(f"unexpected wire type {tag & 7} at byte {at}")
        length, at = _varint(raw, at + 1)
        if at + length > end:
            raise ValueError(f"a field at byte {at} reaches beyond its message")
        yield tag >> 3, at, at + length
        at += length


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
