"""Encodes the entries of a Loki push request in protobuf, from columns of bytes; decodes what it encoded.

    PushRequest{1: repeated Stream}
    Stream{1: string labels, 2: repeated Entry}
    Entry{1: Timestamp{1: seconds, 2: nanos}, 2: string line, 3: repeated Pair{1: name, 2: value}}

Source: https://github.com/grafana/loki/blob/main/pkg/push/push.proto

The encoding is optimised for speed: many entries are encoded in one call (_entries.pyx, entries_plain.py). Both
varints of a timestamp have five bytes, and the length of a line has two, unless the line is very long: a varint may
carry leading zero groups (https://protobuf.dev/programming-guides/encoding/#varints).
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import cramjam

from tracetail.loki.entries_plain import NS_PER_SECOND, Columns, encode_second
from tracetail.loki.logql import selector
from tracetail.loki.wire import delimited, read_fields, read_varint, varint

__all__ = [
    "COMPILED",
    "NS_PER_SECOND",
    "Columns",
    "Entry",
    "columns_of",
    "compress",
    "decode_metadata",
    "decode_request",
    "encode_metadata",
    "encode_request",
    "encode_second",
    "join_request",
    "uncompressed_bytes",
]

COMPILED = True
try:
    from tracetail.loki._entries import Columns  # type: ignore[no-redef]
except ImportError:
    COMPILED = False

_STREAM = 1
_LABELS, _ENTRY = 1, 2
_TIMESTAMP, _LINE, _PAIR = 1, 2, 3
"""Numbers of the fields of a PushRequest, a Stream and an Entry."""


def encode_metadata(pairs: Mapping[str, str | bytes | None]) -> bytes:
    """Return the encoded structured metadata of an entry; pairs with the value None are left out."""
    return b"".join(
        delimited(3, delimited(1, name.encode()) + delimited(2, value.encode() if isinstance(value, str) else value))
        for name, value in pairs.items()
        if value is not None
    )


def encode_request(labels: Mapping[str, str], entries: Sequence[bytes]) -> bytes:
    """Return the body of a push request with one stream: protobuf in raw (block) snappy.

    entries: parts of the stream, each what Columns.encode returns.
    """
    return join_request(labels, sum(map(len, entries)), map(compress, entries))


def join_request(labels: Mapping[str, str], size: int, parts: Iterable[bytes]) -> bytes:
    """Return what encode_request does, of parts that were compressed one by one.

    A part is compressed while the processor's cache has it, and then needs a fifth of the memory.

    Args:
        labels: of the stream.
        size: of all parts together before compression, in bytes.
        parts: what compress returned for parts of the stream.

    """
    head = delimited(1, selector(labels).encode())
    start = b"\x0a" + varint(len(head) + size) + head
    return b"".join((varint(len(start) + size), compress(start), *parts))


_COMPRESSED_BYTES = 256 * 1024
"""At once: the buffer is a little larger, and stays."""


class _Buffers(threading.local):
    """The buffer of each thread to compress into: a new one would have to be filled with zeros each time."""

    def __init__(self) -> None:
        self.buffer = bytearray()


_buffers = _Buffers()


def compress(data: bytes) -> bytes:
    """Return data in raw snappy without the length in front: such parts in a row, behind their length, are a whole.

    Nothing in one refers to another (https://github.com/google/snappy/blob/main/format_description.txt): the format
    is a row of literals, and of copies of what is some bytes back.
    """
    if len(data) > _COMPRESSED_BYTES:
        whole = memoryview(data)
        return b"".join(
            _compress(whole[at : at + _COMPRESSED_BYTES]) for at in range(0, len(data), _COMPRESSED_BYTES)
        )
    return _compress(data)


def _compress(data: bytes | memoryview) -> bytes:
    size = cramjam.snappy.compress_raw_max_len(data)
    if len(_buffers.buffer) < size:
        _buffers.buffer = bytearray(size)
    buffer = _buffers.buffer
    end = cramjam.snappy.compress_raw_into(data, buffer)
    return bytes(memoryview(buffer)[len(varint(len(data))) : end])


class Entry(NamedTuple):
    """One entry of a push request."""

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
    """Return labels (in selector form) and entries of a body that encode_request made. Raises ValueError."""
    raw = bytes(cramjam.snappy.decompress_raw(body))
    try:
        [(number, start, end)] = read_fields(raw, 0, len(raw))
        if number != _STREAM:
            raise ValueError(f"field {number} of a push request is not a stream")
        labels = ""
        entries = []
        for number, a, b in read_fields(raw, start, end):
            if number == _LABELS:
                labels = raw[a:b].decode()
            elif number == _ENTRY:
                entries.append(_decode_entry(raw, a, b))
            else:
                raise ValueError(f"field {number} of a stream is neither labels nor an entry")
    except IndexError as error:
        raise ValueError("a push request ends too early") from error
    return labels, entries


def uncompressed_bytes(body: bytes) -> int:
    """Return the size of a body before compression: a snappy block begins with it."""
    return read_varint(body, 0)[0]


def decode_metadata(meta: bytes) -> dict[str, str]:
    """Return the pairs of encoded structured metadata."""
    pairs = {}
    for _, start, end in read_fields(meta, 0, len(meta)):
        name, value = (meta[a:b].decode() for _, a, b in read_fields(meta, start, end))
        pairs[name] = value
    return pairs


def _decode_entry(raw: bytes, start: int, end: int) -> Entry:
    time_ns = 0
    text = b""
    meta = b""
    for number, a, b in read_fields(raw, start, end):
        if number == _TIMESTAMP:
            seconds, at = read_varint(raw, a + 1)
            time_ns = seconds * NS_PER_SECOND + read_varint(raw, at + 1)[0]
        elif number == _LINE:
            text = raw[a:b]
        elif number == _PAIR:
            meta += delimited(_PAIR, raw[a:b])
    return Entry(time_ns, text, meta)
