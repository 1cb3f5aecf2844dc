"""The pipeline of a query: line filters, parsers, label filters, drop and keep, for one entry at a time.

Line filters depend on the line only, and the stages before the first parser on labels and metadata only. Therefore
they are compiled into groups of their own, which scan.py runs over whole blocks.

Details were read in Loki's pkg/logql/log (August 2026).
"""

from collections.abc import Iterable, Iterator, Sequence

from tracetail.store.disk.block import Labels, Metadata
from tracetail.store.logql.matching import compile_regex
from tracetail.store.logql.tree import (
    AllOf,
    AnyOf,
    Comparison,
    Drop,
    Json,
    Keep,
    LineFilter,
    Logfmt,
    Matcher,
    Regexp,
    Stage,
)
from tracetail.store.query.json_parser import json_stage
from tracetail.store.query.label_filters import drop_stage, filter_stage, keep_stage
from tracetail.store.query.labels import EXTRACTED, LabelSet, LabelStage, extracted_name
from tracetail.store.query.line_filter import LineTest, passes_all
from tracetail.store.query.logfmt import logfmt_stage

_PARSERS = Json | Logfmt | Regexp


class Pipeline:
    """The compiled stages of one query."""

    def __init__(self, stages: Sequence[Stage], *, parse: bool = True) -> None:
        """Compile the stages. parse: whether to run parsers; a query that ignores their labels does not need them."""
        self.line_tests = [LineTest(s) for s in stages if isinstance(s, LineFilter) and not passes_all(s)]
        others = [s for s in stages if not isinstance(s, LineFilter)]
        if not parse:
            others = [s for s in others if not isinstance(s, _PARSERS)]
        first_parser = next((i for i, s in enumerate(others) if isinstance(s, _PARSERS)), len(others))
        self._before = [_compile(s) for s in others[:first_parser]]
        self._from_first_parser = [_compile(s) for s in others[first_parser:]]
        self.names = {name for stage in others[:first_parser] for name in _names(stage)}
        """The labels that decide whether an entry passes the stages before the first parser."""

    @property
    def parses(self) -> bool:
        """Whether labels depend on the lines."""
        return bool(self._from_first_parser)

    @property
    def keeps_labels(self) -> bool:
        """Whether an entry that passes has the labels of its stream and its metadata."""
        return not (self._before or self._from_first_parser)

    @property
    def passes_all(self) -> bool:
        """Whether every entry passes, with the labels that it has."""
        return self.keeps_labels and not self.line_tests

    @property
    def is_selective(self) -> bool:
        """Whether a block's text filter is worth reading."""
        return any(test.is_selective for test in self.line_tests)

    def may_pass(self, text_filter: bytes) -> bool:
        """Return whether an entry of a block whose text has this filter may pass."""
        return all(test.may_pass(text_filter) for test in self.line_tests)

    def of_metadata(self, stream: Labels, metadata: Iterable[tuple[str, str]]) -> LabelSet | None:
        """Return the labels of an entry of this stream before the first parser; None if it is dropped."""
        labels = dict(stream)
        for name, value in metadata:
            labels[name + EXTRACTED if name in labels else name] = value
        return labels if all(stage(labels, stream, b"") for stage in self._before) else None

    def of_line(self, labels: LabelSet, stream: Labels, line: bytes) -> LabelSet | None:
        """Return the labels after the first parser and all following stages; None if the entry is dropped."""
        if not self._from_first_parser:
            return labels
        labels = labels.copy()
        return labels if all(stage(labels, stream, line) for stage in self._from_first_parser) else None

    def run(self, stream: Labels, metadata: Metadata, line: bytes) -> LabelSet | None:
        """Return the labels of an entry after all stages; None if it is dropped."""
        if not all(test(line) for test in self.line_tests):
            return None
        labels = self.of_metadata(stream, metadata)
        return None if labels is None else self.of_line(labels, stream, line)


def _compile(stage: Stage) -> LabelStage:
    match stage:
        case Json():
            return json_stage(stage)
        case Logfmt():
            return logfmt_stage(stage)
        case Regexp():
            return _regexp_stage(stage)
        case Drop():
            return drop_stage(stage)
        case Keep():
            return keep_stage(stage)
        case LineFilter():
            raise AssertionError("line filters are not label stages")
        case _:
            return filter_stage(stage)


def _regexp_stage(part: Regexp) -> LabelStage:
    """Return the stage of `regexp`: named groups become labels."""
    regex = compile_regex(part.pattern)
    names = [(index, name.decode()) for name, index in regex.groupindex.items()]

    def stage(labels: LabelSet, stream: Labels, line: bytes) -> bool:
        match = regex.search(line)
        if match is not None:
            for index, name in names:
                value = (match[index] or b"").decode("utf-8", "replace")
                labels[extracted_name(stream, name)] = value
        return True

    return stage


def _names(stage: Stage) -> Iterator[str]:
    """Yield the labels that a stage reads or changes."""
    match stage:
        case Matcher(name) | Comparison(name):
            yield name
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _names(part)
        case Drop(picks) | Keep(picks):
            for pick in picks:
                yield pick if isinstance(pick, str) else pick.name
