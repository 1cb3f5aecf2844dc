"""The logfmt parser. Decodes as Loki does: invalid pairs are skipped, or are an error in strict mode."""

import json
import re
from collections.abc import Iterator

from tracetail.store.disk.block import Labels
from tracetail.store.logql.tree import Logfmt
from tracetail.store.query.labels import LabelSet, LabelStage, extracted_name, has_label, label_name, set_error

_GAP = re.compile(rb"[\x00-\x20]*")
_WORD = re.compile(rb'[^\x00-\x20="]*')
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_REST = re.compile(rb"[^\x00-\x20]*")


class LogfmtError(ValueError):
    """The line is invalid logfmt; the text is that of Loki's decoder."""


def logfmt_stage(part: Logfmt) -> LabelStage:
    """Return the stage of `logfmt`."""
    wanted = {e.expression: e.name for e in part.extractions}

    def stage(labels: LabelSet, stream: Labels, line: bytes) -> bool:
        for name in wanted.values():
            if not has_label(stream, name):
                labels[name] = ""
        try:
            for key, value in logfmt_pairs(line, strict=part.strict):
                name = label_name(key.decode("utf-8", "replace"))
                if wanted:
                    if name not in wanted and name not in wanted.values():
                        continue
                    name = wanted.get(name, name)
                if name and (value or part.keep_empty or wanted):
                    text = value.decode("utf-8", "replace").replace("\ufffd", " ")
                    labels[extracted_name(stream, name)] = text
        except LogfmtError as error:
            set_error(labels, "LogfmtParserErr", str(error))
        return True

    return stage


def logfmt_pairs(line: bytes, *, strict: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values. Skips invalid pairs, or raises LogfmtError if strict."""
    position = _end(_GAP, line, 0)
    while position < len(line):
        pair, position, error = _pair(line, position)
        if pair is not None:
            yield pair
        elif strict:
            raise LogfmtError(error)
        position = _end(_GAP, line, position)


def _pair(line: bytes, start: int) -> tuple[tuple[bytes, bytes] | None, int, str]:
    """Return the pair at start, or None if it is invalid; the position to continue from; and the error."""
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
    """Return the end of the match of a pattern at start."""
    match = pattern.match(line, start)
    return start if match is None else match.end()


def _unquote(quoted: bytes) -> bytes | None:
    if b"\\" not in quoted:
        return quoted
    try:
        return str(json.loads(b'"' + quoted + b'"', strict=False)).encode("utf-8", "replace")
    except ValueError:
        return None
