"""Escape sequences of Go string literals, which LogQL and label sets use.

Source: https://go.dev/ref/spec#String_literals
"""

import re

_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{3}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPES = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_ESCAPES |= {b"\\": b"\\", b'"': b'"'}


def unescape(text: str) -> str:
    """Return the content of a double-quoted Go string with its escapes resolved. Raises ValueError."""
    raw = _ESCAPE.sub(_resolve, text.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "surrogateescape")


def _resolve(match: re.Match[bytes]) -> bytes:
    escape = match[1]
    if escape in _ESCAPES:
        return _ESCAPES[escape]
    kind, digits = escape[:1], escape[1:]
    if kind == b"x" and digits:
        return bytes([int(digits, 16)])
    if kind in b"uU" and digits:
        code = int(digits, 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise ValueError(f"invalid character \\{escape.decode()}")
        return chr(code).encode()
    if len(escape) == 3 and int(escape, 8) < 256:
        return bytes([int(escape, 8)])
    raise ValueError(f"unknown escape \\{escape.decode(errors='replace')}")
