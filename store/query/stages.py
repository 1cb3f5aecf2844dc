"""What the entries of a query go through: line filters, parsers, label filters, drop and keep.

One line at a time, as Loki defines it. Line filters depend on nothing but the line, and the stages before the first
parser on nothing but labels and metadata: that is why these three groups stand apart here, and how scan.py
can run them over whole blocks.

What the stages do in the corners was read in Loki's pkg/logql/log (August 2026).
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tracetail.store.disk.block import Labels, Metadata
from tracetail.store.logql.json_path import json_path
from tracetail.store.logql.matching import compile_matcher, compile_regex
from tracetail.store.logql.quantities import go_bytes, go_duration, go_number
from tracetail.store.logql.tree import (
    AllOf,
    AnyOf,
    Comparison,
    Drop,
    Extraction,
    Json,
    Keep,
    LabelFilter,
    LineFilter,
    Logfmt,
    Matcher,
    Regexp,
    Stage,
)
from tracetail.store.query.logfmt import LogfmtError, logfmt_pairs

ERROR = "__error__"
ERROR_DETAILS = "__error_details__"
_SPECIAL = (ERROR, ERROR_DETAILS, "__preserve_error__")
_MALFORMED_OBJECT = "Value looks like object, but can't find closing '}' symbol"
_EXTRACTED = "_extracted"

LabelSet = dict[str, str]
"""All labels of an entry on its way: of the stream, of its metadata, and what parsers found."""
LabelStage = Callable[[LabelSet, Labels, bytes], bool]
"""Changes the labels, given the stream's own ones and the line; says whether the entry stays."""


class Pipeline:
    """The stages of one query, ready to run."""

    def __init__(self, stages: Sequence[Stage], *, parse: bool = True) -> None:
        """Prepare stages; without parse the parsers do nothing (nobody asks for what they would find)."""
        self.line_tests = [LineTest(s) for s in stages if isinstance(s, LineFilter) and not _passes_all(s)]
        others = [s for s in stages if not isinstance(s, LineFilter)]
        if not parse:
            others = [s for s in others if not isinstance(s, Json | Logfmt | Regexp)]
        first_parser = next((i for i, s in enumerate(others) if isinstance(s, Json | Logfmt | Regexp)), len(others))
        self._before = [_compile(s) for s in others[:first_parser]]
        self._from_parser = [_compile(s) for s in others[first_parser:]]
        self.names = {name for stage in others[:first_parser] for name in _names(stage)}
        """The labels on which it depends whether an entry stays, before any parser."""

    @property
    def parses(self) -> bool:
        """Say whether labels depend on the lines."""
        return bool(self._from_parser)

    def of_metadata(self, stream: Labels, metadata: Iterable[tuple[str, str]]) -> LabelSet | None:
        """Return the labels of an entry of this stream and metadata before any parser; None drops the entry."""
        labels = dict(stream)
        for name, value in metadata:
            labels[name + _EXTRACTED if name in labels else name] = value
        return labels if all(stage(labels, stream, b"") for stage in self._before) else None

    def of_line(self, labels: LabelSet, stream: Labels, line: bytes) -> LabelSet | None:
        """Return the labels after the parsers and what follows them; None drops the entry."""
        if not self._from_parser:
            return labels
        labels = labels.copy()
        return labels if all(stage(labels, stream, line) for stage in self._from_parser) else None

    def run(self, stream: Labels, metadata: Metadata, line: bytes) -> LabelSet | None:
        """Return the labels with which an entry comes out; None drops it."""
        if not all(test(line) for test in self.line_tests):
            return None
        labels = self.of_metadata(stream, metadata)
        return None if labels is None else self.of_line(labels, stream, line)


def _names(stage: Stage) -> Iterator[str]:
    match stage:
        case Matcher(name) | Comparison(name):
            yield name
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _names(part)
        case Drop(picks) | Keep(picks):
            for pick in picks:
                yield pick if isinstance(pick, str) else pick.name


def result_labels(labels: LabelSet) -> Labels:
    """Return the labels as a result shows them: by name, without empty ones."""
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def _has(labels: Labels, name: str) -> bool:
    return any(name == known for known, _ in labels)


# ---- line filters


def _passes_all(stage: LineFilter) -> bool:
    return not stage.op.startswith("!") and "" in stage.values


class LineTest:
    """One line filter: says whether a line passes."""

    def __init__(self, stage: LineFilter) -> None:
        self.negated = stage.op.startswith("!")
        self.needles: list[bytes] = []
        self.regexes: list[Any] = []
        self.patterns: list[str] = []
        for value in stage.values:
            if stage.op.endswith("~"):
                self.patterns.append(value)
                self.regexes.append(compile_regex(value))
            else:
                self.needles.append(value.encode("utf-8", "surrogateescape"))

    def __call__(self, line: bytes) -> bool:
        """Say whether line passes."""
        found = any(needle in line for needle in self.needles) or any(
            regex.search(line) is not None for regex in self.regexes
        )
        return found != self.negated


# ---- label stages


def _compile(stage: Stage) -> LabelStage:
    match stage:
        case Json():
            return _json_stage(stage)
        case Logfmt():
            return _logfmt_stage(stage)
        case Regexp():
            return _regexp_stage(stage)
        case Drop():
            return _drop_stage(stage)
        case Keep():
            return _keep_stage(stage)
        case LineFilter():
            raise AssertionError("line filters are not label stages")
        case _:
            return _filter_stage(stage)


def _filter_stage(part: LabelFilter) -> LabelStage:
    match part:
        case Matcher():
            test = compile_matcher(part)
            return lambda labels, _stream, _line: test(labels.get(part.name, ""))
        case Comparison():
            return _comparison_stage(part)
        case AllOf(parts):
            stages = [_filter_stage(p) for p in parts]
            # Each part runs, as in Loki: one that fails to convert a value marks the entry even if another drops it.
            return lambda labels, stream, line: all([stage(labels, stream, line) for stage in stages])  # noqa: C419
        case AnyOf(parts):
            stages = [_filter_stage(p) for p in parts]
            return lambda labels, stream, line: any(stage(labels, stream, line) for stage in stages)


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}
_READ: dict[str, Callable[[str], float]] = {"number": go_number, "duration": go_duration, "bytes": go_bytes}


def _comparison_stage(part: Comparison) -> LabelStage:
    compare, read, wanted = _COMPARE[part.op], _READ[part.value.kind], part.value.value

    def stage(labels: LabelSet, _stream: Labels, _line: bytes) -> bool:
        text = labels.get(part.name)
        if text is None:
            return False
        try:
            value = read(text)
        except ValueError as error:
            if not labels.get(ERROR):
                _set_error(labels, "LabelFilterErr", str(error))
            return True
        return compare(value, wanted)

    return stage


def _drop_stage(part: Drop) -> LabelStage:
    picks = [(p, None) if isinstance(p, str) else (p.name, compile_matcher(p)) for p in part.picks]

    def stage(labels: LabelSet, _stream: Labels, _line: bytes) -> bool:
        for name, test in picks:
            if name in labels and (test is None or test(labels[name])):
                del labels[name]
        return True

    return stage


def _keep_stage(part: Keep) -> LabelStage:
    picks = [(p, None) if isinstance(p, str) else (p.name, compile_matcher(p)) for p in part.picks]

    def stage(labels: LabelSet, _stream: Labels, _line: bytes) -> bool:
        for name in list(labels):
            kept = any(name == wanted and (test is None or test(labels[name])) for wanted, test in picks)
            if not kept and name not in _SPECIAL:
                del labels[name]
        return True

    return stage


# ---- parsers


def _set_error(labels: LabelSet, error: str, details: str) -> None:
    labels[ERROR] = error
    if details:
        labels[ERROR_DETAILS] = details


def _label_name(key: str) -> str:
    """Return key as a label's name: whatever may not stand in one becomes `_`."""
    key = key.strip()
    if key[:1].isdigit() and key[:1].isascii():
        key = "_" + key
    return _NOT_IN_A_NAME.sub("_", key)


_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")


def _no_constant(text: str) -> str:
    """Refuse NaN and Infinity, which Python's JSON has and Loki's has not."""
    raise ValueError(text)


_json_decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_no_constant, strict=False)


def _json_stage(part: Json) -> LabelStage:
    if part.extractions:
        return _json_expressions_stage(part.extractions)

    def stage(labels: LabelSet, stream: Labels, line: bytes) -> bool:
        text = line.decode("utf-8", "replace").lstrip(" \t\r\n")
        if not text.startswith("{"):
            _set_error(labels, "JSONParserErr", _MALFORMED_OBJECT)
            return True
        try:
            # What follows the object is ignored, as in Loki; numbers stay as they are written.
            found, _ = _json_decoder.raw_decode(text)
        except (ValueError, RecursionError):
            found = _whole_members(text)
            _set_error(labels, "JSONParserErr", _MALFORMED_OBJECT)
        for name, value in _flatten("", found):
            if name:
                labels[name + _EXTRACTED if _has(stream, name) else name] = value
        return True

    return stage


def _flatten(prefix: str, members: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield labels for the members of an object, the names of nested ones joined by `_`; arrays are left out."""
    for key, value in members.items():
        name = f"{prefix}_{_NOT_IN_A_NAME.sub('_', key.strip())}" if prefix else _label_name(key)
        if isinstance(value, dict):
            yield from _flatten(name, value)
        elif isinstance(value, str):
            yield name, value.replace("\ufffd", " ")
        elif isinstance(value, bool):
            yield name, "true" if value else "false"


_MEMBER = re.compile(r'\s*[{,]\s*("(?:[^"\\]|\\.)*")\s*:\s*')


def _whole_members(text: str) -> dict[str, Any]:
    """Return the members of a broken object that stand before the break."""
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
            _set_error(labels, "JSONParserErr", "")
            return True
        text = line.decode("utf-8", "replace")
        try:
            document = _json_decoder.raw_decode(text)[0]
        except (ValueError, RecursionError):
            document = _whole_members(text)
        for name, path in paths:
            value = _at(document, path)
            target = name + _EXTRACTED if _has(stream, name) else name
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
    """Return the object or array at path as JSON."""
    try:
        document = _plain_json_decoder.raw_decode(text)[0]
    except (ValueError, RecursionError):
        return ""
    return json.dumps(_at(document, path), ensure_ascii=False, separators=(",", ":"))


_plain_json_decoder = json.JSONDecoder(strict=False)


def _logfmt_stage(part: Logfmt) -> LabelStage:
    wanted = {e.expression: e.name for e in part.extractions}

    def stage(labels: LabelSet, stream: Labels, line: bytes) -> bool:
        for name in wanted.values():
            if not _has(stream, name):
                labels[name] = ""
        try:
            for key, value in logfmt_pairs(line, strict=part.strict):
                name = _label_name(key.decode("utf-8", "replace"))
                if wanted:
                    if name not in wanted and name not in wanted.values():
                        continue
                    name = wanted.get(name, name)
                if name and (value or part.keep_empty or wanted):
                    shown = value.decode("utf-8", "replace").replace("\ufffd", " ")
                    labels[name + _EXTRACTED if _has(stream, name) else name] = shown
        except LogfmtError as error:
            _set_error(labels, "LogfmtParserErr", str(error))
        return True

    return stage


def _regexp_stage(part: Regexp) -> LabelStage:
    regex = compile_regex(part.pattern)
    names = [(index, name.decode()) for name, index in regex.groupindex.items()]

    def stage(labels: LabelSet, stream: Labels, line: bytes) -> bool:
        match = regex.search(line)
        if match is not None:
            for index, name in names:
                value = (match[index] or b"").decode("utf-8", "replace")
                labels[name + _EXTRACTED if _has(stream, name) else name] = value
        return True

    return stage
