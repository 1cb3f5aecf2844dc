"""The protobuf wire format: reads and writes varints and length-delimited fields.

Reading is strict and bounded, since the embedded store decodes what anybody sends. Positions are indexes into the
message's bytes. Where a message ends too early, IndexError is raised: the check that Python makes anyway.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
"""Wire types."""
_UINT64_MAX = 0xFFFFFFFFFFFFFFFF
_LAST_SHIFT = 63
"""A varint has at most ten bytes of seven bits each."""


class WireFormatError(ValueError):
    """The bytes are not a protobuf message."""


def varint(value: int) -> bytes:
    """Return a number that is not negative as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def delimited(number: int, content: bytes) -> bytes:
    """Return a length-delimited field (bytes, a string or a message). number: below 16, so that its tag is a byte."""
    return bytes((number << 3 | DELIMITED,)) + varint(len(content)) + content


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the varint at position, modulo 2^64, and the position behind it. Raises WireFormatError, IndexError."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return value & _UINT64_MAX, position
        shift += 7
        if shift > _LAST_SHIFT:
            raise WireFormatError("protobuf: a varint is longer than ten bytes")


def read_field(data: bytes, position: int, end: int) -> tuple[int, int, int]:
    """Return number, start and end of the content of the field at position; number 0 if it is not length-delimited.

    Raises WireFormatError; IndexError if the field reaches beyond end.
    """
    tag, position = read_varint(data, position)
    if tag & 7 == DELIMITED:
        size, start = read_varint(data, position)
        stop = start + size
        number = tag >> 3
    else:
        start, stop, number = position, skip_value(data, position, tag & 7), 0
    if stop > end:
        raise IndexError("the field reaches beyond its message")
    return number, start, stop


def read_fields(data: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield what read_field returns for each field of the message from position to end."""
    while position < end:
        number, start, position = read_field(data, position, end)
        yield number, start, position


def skip_value(data: bytes, position: int, wire_type: int) -> int:
    """Return the position behind a value of this wire type. Raises WireFormatError, IndexError."""
    if wire_type == VARINT:
        return read_varint(data, position)[1]
    if wire_type == FIXED64:
        return position + 8
    if wire_type == FIXED32:
        return position + 4
    if wire_type == DELIMITED:
        size, start = read_varint(data, position)
        return start + size
    raise WireFormatError(f"protobuf: wire type {wire_type} is not supported")
