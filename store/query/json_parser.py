"""The json parser: extracts labels from a line that is a JSON object."""

import json
import re
from collections.abc import Iterator
from typing import Any

from tracetail.store.disk.block import Labels
from tracetail.store.logql.json_path import json_path
from tracetail.store.logql.tree import Extraction, Json
from tracetail.store.query.labels import NOT_IN_A_NAME, LabelSet, LabelStage, extracted_name, label_name, set_error

_MALFORMED_OBJECT = "Value looks like object, but can't find closing '}' symbol"


def _reject_constant(text: str) -> str:
    """Reject NaN and Infinity, which Python's JSON accepts and Loki's does not."""
    raise ValueError(text)


_json_decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_reject_constant, strict=False)


def json_stage(part: Json) -> LabelStage:
    """Return the stage of `json`."""
    if part.extractions:
        return _json_expressions_stage(part.extractions)

    def stage(labels: LabelSet, stream: Labels, line: bytes) -> bool:
        text = line.decode("utf-8", "replace").lstrip(" \t\r\n")
        if not text.startswith("{"):
            set_error(labels, "JSONParserErr", _MALFORMED_OBJECT)
            return True
        try:
            # As in Loki, text after the object is ignored, and numbers keep their notation.
            found, _ = _json_decoder.raw_decode(text)
        except (ValueError, RecursionError):
            found = _whole_members(text)
            set_error(labels, "JSONParserErr", _MALFORMED_OBJECT)
        for name, value in _flatten("", found):
            if name:
                labels[extracted_name(stream, name)] = value
        return True

    return stage


def _flatten(prefix: str, members: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a label for each member of an object. Names of nested members are joined by `_`; arrays are skipped."""
    for key, value in members.items():
        name = f"{prefix}_{NOT_IN_A_NAME.sub('_', key.strip())}" if prefix else label_name(key)
        if isinstance(value, dict):
            yield from _flatten(name, value)
        elif isinstance(value, str):
            yield name, value.replace("\ufffd", " ")
        elif isinstance(value, bool):
            yield name, "true" if value else "false"


_MEMBER = re.compile(r'\s*[{,]\s*("(?:[^"\\]|\\.)*")\s*:\s*')


def _whole_members(text: str) -> dict[str, Any]:
    """Return the members of an invalid object before its first error."""
    members = {}
    position = 0
    while match := _MEMBER.match(text, position):
        try:
            key = _json_decoder.raw_decode(match[1])[0]
            members[key], position = _json_decoder.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            break
    return members


def _json_expressions_stage(extractions: tuple[Extraction, ...]) -> LabelStage:
    paths = [(e.name, json_path(e.expression)) for e in extractions]

    def stage(labels: LabelSet, stream: Labels, line: bytes) -> bool:
        if not line:
            return True
        if line[:1] not in (b"{", b"[", b'"'):
            set_error(labels, "JSONParserErr", "")
            return True
        text = line.decode("utf-8", "replace")
        try:
            document = _json_decoder.raw_decode(text)[0]
        except (ValueError, RecursionError):
            document = _whole_members(text)
        for name, path in paths:
            value = _at(document, path)
            target = extracted_name(stream, name)
            if value is None:
                labels.setdefault(name, "")
            elif isinstance(value, dict | list):
                labels[target] = _as_json(text, path)
            elif isinstance(value, bool):
                labels[target] = "true" if value else "false"
            else:
                labels[target] = value.replace("\ufffd", " ")
        return True

    return stage


def _at(document: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        if isinstance(part, str) and isinstance(document, dict):
            document = document.get(part)
        elif isinstance(part, int) and isinstance(document, list) and part < len(document):
            document = document[part]
        else:
            return None
    return document


def _as_json(text: str, path: tuple[str | int, ...]) -> str:
    """Return the object or array at the path as JSON."""
    try:
        document = _plain_json_decoder.raw_decode(text)[0]
    except (ValueError, RecursionError):
        return ""
    return json.dumps(_at(document, path), ensure_ascii=False, separators=(",", ":"))


_plain_json_decoder = json.JSONDecoder(strict=False)
