"""Builds the syntax tree of LogQL from lark's parse tree, and validates names, regular expressions and ranges."""

import re
from collections.abc import Sequence
from typing import Any

import lark

from tracetail.store.logql.json_path import json_path
from tracetail.store.logql.matching import compile_matcher, compile_regex
from tracetail.store.logql.quantities import go_bytes, parse_duration
from tracetail.store.logql.strings import unescape
from tracetail.store.logql.tree import (
    AllOf,
    AnyOf,
    Comparison,
    Constant,
    Drop,
    Extraction,
    Grouping,
    Json,
    Keep,
    LabelFilter,
    LineFilter,
    Logfmt,
    LogQLError,
    LogQuery,
    Matcher,
    Quantity,
    Query,
    RangeAggregation,
    Regexp,
    VectorAggregation,
)

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def build(tree: lark.ParseTree, strings: Sequence[str] | None = None) -> Query:
    """Return the syntax tree of a parsed query. Raises LogQLError.

    strings: if given, each string in the tree is the number of the one that stands there.
    """
    try:
        query = _TreeBuilder(strings).transform(tree)
    except lark.exceptions.VisitError as error:
        if isinstance(error.orig_exc, LogQLError):
            raise error.orig_exc from None
        raise
    assert isinstance(query, LogQuery | RangeAggregation | VectorAggregation | Constant)
    return query


class _TreeBuilder(lark.Transformer[lark.Token, Any]):
    """Builds the syntax tree from lark's parse tree; each method is named after its rule."""

    def __init__(self, strings: Sequence[str] | None) -> None:
        super().__init__(visit_tokens=False)
        self._strings = strings

    def log_query(self, items: list[Any]) -> LogQuery:
        if isinstance(items[0], LogQuery):
            return items[0]
        return LogQuery(items[0], tuple(items[1:]))

    staged_query = log_query

    def selector(self, matchers: list[Matcher]) -> tuple[Matcher, ...]:
        if not any(not compile_matcher(m)("") for m in matchers):
            raise LogQLError(
                "parse error : queries require at least one regexp or equality matcher that does not have an "
                'empty-compatible value. For instance, app=~".*" does not meet this requirement, but app=~".+" will'
            )
        return tuple(matchers)

    def matcher(self, items: list[lark.Token]) -> Matcher:
        name, op, value = items
        matcher = Matcher(str(name), str(op), self._unquote(value))
        compile_matcher(matcher)
        return matcher

    string_comparison = matcher

    def line_filter(self, items: list[lark.Token]) -> LineFilter:
        op, *values = items
        line_filter = LineFilter(str(op), tuple(self._unquote(v) for v in values))
        if op.endswith("~"):
            for value in line_filter.values:
                compile_regex(value)
        return line_filter

    def any_of(self, parts: list[LabelFilter]) -> AnyOf:
        return AnyOf(tuple(parts))

    def all_of(self, parts: list[LabelFilter]) -> AllOf:
        return AllOf(tuple(parts))

    def comparison(self, items: list[lark.Token]) -> Comparison:
        name, op, value = items
        return Comparison(str(name), "==" if op == "=" else str(op), _quantity(value))

    def extraction(self, items: list[lark.Token]) -> Extraction:
        name = str(items[0])
        return Extraction(name, self._unquote(items[2]) if len(items) == 3 else name)

    def json(self, extractions: list[Extraction]) -> Json:
        for extraction in extractions:
            json_path(extraction.expression)
        return Json(tuple(extractions))

    def logfmt(self, items: list[Any]) -> Logfmt:
        extractions = tuple(i for i in items if isinstance(i, Extraction))
        return Logfmt("--strict" in items, "--keep-empty" in items, extractions)

    def regexp(self, items: list[lark.Token]) -> Regexp:
        pattern = self._unquote(items[0])
        names = [name.decode() for name in compile_regex(pattern).groupindex]
        if not names:
            raise LogQLError("parse error : stage '| regexp': at least one named capture must be supplied")
        for name in names:
            if not _LABEL_NAME.fullmatch(name):
                raise LogQLError(f"parse error : stage '| regexp': invalid extracted label name {name!r}")
        return Regexp(pattern)

    def pick(self, items: list[lark.Token]) -> Matcher | str:
        return self.matcher(items) if len(items) == 3 else str(items[0])

    def drop(self, picks: list[Matcher | str]) -> Drop:
        return Drop(tuple(picks))

    def keep(self, picks: list[Matcher | str]) -> Keep:
        return Keep(tuple(picks))

    def range(self, items: list[lark.Token]) -> tuple[int, int]:
        length = parse_duration(items[0])
        if length <= 0:
            raise LogQLError(f"parse error : the range [{items[0]}] must be longer than 0")
        return length, parse_duration(items[1]) if len(items) == 2 else 0

    def range_aggregation(self, items: list[Any]) -> RangeAggregation:
        function, query, *rest = items
        if isinstance(query, LogQuery):
            (length, offset) = rest[0]
        else:
            query, (length, offset) = LogQuery(query, tuple(rest[1:])), rest[0]
        return RangeAggregation(str(function), query, length, offset)

    def grouping(self, items: list[lark.Token]) -> Grouping:
        word, *names = items
        return Grouping(word == "without", tuple(str(n) for n in names))

    def vector_aggregation(self, items: list[Any]) -> VectorAggregation:
        groupings = [i for i in items if isinstance(i, Grouping)]
        if len(groupings) > 1:
            raise LogQLError("parse error : an aggregation may be grouped once only")
        inner = next(i for i in items if isinstance(i, RangeAggregation | VectorAggregation))
        return VectorAggregation(str(items[0]), inner, groupings[0] if groupings else None)

    def vector(self, items: list[lark.Token]) -> str:
        return str(items[0])

    def constant(self, terms: list[str]) -> Constant:
        return Constant(tuple(terms))

    def _unquote(self, token: lark.Token) -> str:
        text = str(token)
        if self._strings is not None:
            text = self._strings[int(text[1:-1])]
        if text.startswith("`"):
            return text[1:-1].replace("\r", "")
        try:
            return unescape(text[1:-1])
        except ValueError as error:
            raise LogQLError(f"parse error at line {token.line}, col {token.column}: {error}") from None


def _quantity(token: lark.Token) -> Quantity:
    text = str(token)
    if token.type == "NUMBER":
        return Quantity("number", float(text), text)
    if token.type == "DURATION":
        return Quantity("duration", parse_duration(text), text)
    return Quantity("bytes", go_bytes(text), text)
