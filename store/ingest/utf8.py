"""Replaces invalid UTF-8 as Loki does: each invalid byte by U+FFFD, where Python replaces a whole sequence by one."""

import codecs

REPLACE_EACH_BYTE = "replace-each-byte"
"""The error handler for bytes.decode()."""


def _replace_each_byte(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error(REPLACE_EACH_BYTE, _replace_each_byte)


def valid_utf8(lines: list[bytes]) -> list[bytes]:
    """Return lines with each invalid byte replaced by U+FFFD."""
    joined = b"\n".join(lines)
    if joined.isascii():
        return lines
    try:
        joined.decode()
    except UnicodeDecodeError:
        return [line.decode("utf-8", REPLACE_EACH_BYTE).encode() for line in lines]
    return lines
