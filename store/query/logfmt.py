"""Lines in logfmt, read as Loki's decoder does: what is no pair is stepped over, or ends a strict reading."""

import json
import re
from collections.abc import Iterator

_GAP = re.compile(rb"[\x00-\x20]*")
_WORD = re.compile(rb'[^\x00-\x20="]*')
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_REST = re.compile(rb"[^\x00-\x20]*")


class LogfmtError(ValueError):
    """What is wrong with a line; the text is that of Loki's decoder."""


def logfmt_pairs(line: bytes, *, strict: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values. What is no pair is stepped over, or raises LogfmtError if strict."""
    position = _end(_GAP, line, 0)
    while position < len(line):
        pair, position, error = _pair(line, position)
        if pair is not None:
            yield pair
        elif strict:
            raise LogfmtError(error)
        position = _end(_GAP, line, position)


def _pair(line: bytes, start: int) -> tuple[tuple[bytes, bytes] | None, int, str]:
    """Return the pair at start, or None; where to go on; and why it is None."""
    at = _end(_WORD, line, start)
    key = line[start:at]
    if at == len(line) or line[at] <= 0x20:
        return (key, b""), at, ""
    if line[at] == 0x22 or not key:
        return None, _end(_REST, line, at), _unexpected(line, at)
    at += 1
    if at == len(line) or line[at] <= 0x20:
        return (key, b""), at, ""
    if line[at] == 0x22:
        quoted = _QUOTED.match(line, at)
        if quoted is None:
            return None, len(line), _syntax_error(len(line), "unterminated quoted value")
        value = _unquote(quoted[1])
        error = _syntax_error(quoted.end(), "invalid quoted value")
        return None if value is None else (key, value), quoted.end(), error
    end = _end(_WORD, line, at)
    if end < len(line) and line[end] > 0x20:
        return None, _end(_REST, line, end), _unexpected(line, end)
    return (key, line[at:end]), end, ""


def _unexpected(line: bytes, at: int) -> str:
    return _syntax_error(at, f"unexpected '{chr(line[at])}'")


def _syntax_error(at: int, what: str) -> str:
    return f"logfmt syntax error at pos {at + 1} : {what}"


def _end(pattern: re.Pattern[bytes], line: bytes, start: int) -> int:
    """Return where what pattern matches at start ends."""
    match = pattern.match(line, start)
    return start if match is None else match.end()


def _unquote(quoted: bytes) -> bytes | None:
    if b"\\" not in quoted:
        return quoted
    try:
        return str(json.loads(b'"' + quoted + b'"', strict=False)).encode("utf-8", "replace")
    except ValueError:
        return None
