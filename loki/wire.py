"""The two pieces of protobuf's wire format of which all messages here are made.

Source: https://protobuf.dev/programming-guides/encoding/
"""


def varint(value: int) -> bytes:
    """Return value, not negative, as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def delimited(number: int, content: bytes) -> bytes:
    """Return a field that holds bytes, text or a message; number is below 16."""
    return bytes((number << 3 | 2,)) + varint(len(content)) + content
