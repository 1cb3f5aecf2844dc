"""Loki's push request in protobuf, put together from columns of bytes; and taken apart again.

    PushRequest{1: repeated Stream}
    Stream{1: string labels, 2: repeated Entry}
    Entry{1: Timestamp{1: seconds, 2: nanos}, 2: string line, 3: repeated Pair{1: name, 2: value}}

Source: https://github.com/grafana/loki/blob/main/pkg/push/push.proto

Everything here is written for speed: a whole batch is put together at once (_entries.pyx). The two varints of a
timestamp are always five bytes long, and the length of a line two, unless it is very long (a varint may carry leading
zero groups: https://protobuf.dev/programming-guides/encoding/#varints).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cramjam

from tracetail.loki.entries_plain import encoded
from tracetail.loki.logql import selector
from tracetail.loki.wire import delimited, varint

COMPILED = True
try:
    from tracetail.loki._entries import encoded  # type: ignore[no-redef]
except ImportError:
    COMPILED = False

SECOND = 1_000_000_000


def second(seconds: int) -> bytes:
    """Return the part of an encoded timestamp that all of one second have in common; the nanoseconds follow it."""
    groups = bytes(seconds >> shift & 0x7F | 0x80 for shift in (0, 7, 14, 21)) + bytes((seconds >> 28 & 0x7F,))
    return b"\x0a\x0c\x08" + groups + b"\x10"


@dataclass(slots=True)
class Columns:
    """Entries of one stream: one item per entry in each column."""

    seconds: list[bytes] = field(default_factory=list)
    """What second() returns for its time."""
    nanos: list[int] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    """UTF-8, once they are to be encoded: protobuf demands it of a string."""
    metas: list[bytes] = field(default_factory=list)
    """What metadata() returns."""
    _last: tuple[int, bytes] = (-1, b"")
    """The last second that was encoded."""

    def add(self, time_ns: int, text: bytes, meta: bytes) -> None:
        """Add an entry."""
        seconds = time_ns // SECOND
        if seconds != self._last[0]:
            self._last = seconds, second(seconds)
        self.seconds.append(self._last[1])
        self.nanos.append(time_ns - seconds * SECOND)
        self.texts.append(text)
        self.metas.append(meta)

    def extend(self, seconds: list[bytes], nanos: list[int], texts: list[bytes], metas: list[bytes]) -> None:
        """Add entries."""
        self.seconds += seconds
        self.nanos += nanos
        self.texts += texts
        self.metas += metas

    def time_ns(self, index: int) -> int:
        """Return the time of an entry."""
        return _varint(self.seconds[index], 3)[0] * SECOND + self.nanos[index]

    def part(self, start: int, end: int) -> "Columns":
        """Return the entries from start to end."""
        here = slice(start, end)
        return Columns(self.seconds[here], self.nanos[here], self.texts[here], self.metas[here])

    def encode(self) -> bytes:
        """Return the entries as they stand in a stream."""
        return encoded(self.seconds, self.nanos, self.texts, self.metas)


def metadata(pairs: Mapping[str, str | bytes | None]) -> bytes:
    """Return the structured metadata of an entry; values that are None are left out."""
    return b"".join(
        delimited(3, delimited(1, name.encode()) + delimited(2, value.encode() if isinstance(value, str) else value))
        for name, value in pairs.items()
        if value is not None
    )


def encode_request(labels: Mapping[str, str], entries: Sequence[bytes]) -> bytes:
    """Return a push request with one stream, in the raw snappy form that Loki takes.

    entries: parts of the stream, each what Columns.encode() returns.
    """
    head = delimited(1, selector(labels).encode())
    size = len(head) + sum(map(len, entries))
    return bytes(cramjam.snappy.compress_raw(b"".join((b"\x0a", varint(size), head, *entries))))


class Entry(NamedTuple):
    """One entry of a request, taken apart as far as delivery needs it."""

    time_ns: int
    text: bytes
    meta: bytes
    """The encoded structured metadata."""


def columns_of(entries: Iterable[Entry]) -> Columns:
    """Return entries as columns."""
    columns = Columns()
    for entry in entries:
        columns.add(*entry)
    return columns


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
            meta += delimited(3, raw[a:b])
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
