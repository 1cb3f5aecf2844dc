"""Parses LogQL into its syntax tree. The grammar is in logql.lark."""

import functools
import re
from importlib import resources
from itertools import accumulate

import lark

from tracetail.store.logql.builder import build
from tracetail.store.logql.tree import LogQLError, LogQuery, Matcher, Query

QUERY_MAX_CHARACTERS = 65_536
NESTING_MAX = 100
SHAPE_MAX_CHARACTERS = 500
"""Longer queries, without their strings, are parsed each time: their trees are large."""
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|`[^`]*`')

_UNSUPPORTED = {
    "unwrap": "unwrap",
    "line_format": "line_format",
    "label_format": "label_format",
    "pattern": "the pattern parser",
    "unpack": "the unpack parser",
    "xml": "the xml parser",
    "decolorize": "decolorize",
    "distinct": "distinct",
    "ip": "ip()",
    "|>": "pattern line filters",
    "!>": "pattern line filters",
    "topk": "topk",
    "bottomk": "bottomk",
    "approx_topk": "approx_topk",
    "stddev": "stddev",
    "stdvar": "stdvar",
    "sort": "sort",
    "sort_desc": "sort_desc",
    "label_replace": "label_replace",
    "variants": "variants",
    "rate_counter": "rate_counter",
}
_UNSUPPORTED |= {
    f"{word}_over_time": f"{word}_over_time"
    for word in ("absent", "avg", "first", "last", "max", "min", "quantile", "stddev", "stdvar", "sum")
}
_ARITHMETIC = ("+", "-", "*", "/", "%", "^", ">", "<", "==", "!=", "and", "or", "unless")


@functools.lru_cache(maxsize=256)
def parse(text: str) -> Query:
    """Return the syntax tree of a query. Raises LogQLError."""
    if len(text) > QUERY_MAX_CHARACTERS:
        raise LogQLError(f"parse error: the query has {len(text)} characters, {QUERY_MAX_CHARACTERS} are allowed")
    strings: list[str] = []

    def numbered(string: re.Match[str]) -> str:
        strings.append(string[0])
        return f'"{len(strings) - 1}"'

    shape = _STRING.sub(numbered, text)
    # A comment may have quotes that are none of a string.
    if len(shape) <= SHAPE_MAX_CHARACTERS and "#" not in shape:
        try:
            return build(_tree_of_shape(shape), strings)
        except LogQLError:
            pass  # The query itself is parsed for a message that says where the error is.
    return build(_tree(text))


@functools.lru_cache(maxsize=256)
def _tree_of_shape(shape: str) -> lark.ParseTree:
    """Return lark's tree of a query whose strings are numbers: most queries differ from others in their strings."""
    return _tree(shape)


def _tree(text: str) -> lark.ParseTree:
    if _nesting(text) > NESTING_MAX:
        raise LogQLError(f"parse error: the query is nested more than {NESTING_MAX} brackets deep")
    try:
        return _parser().parse(text)
    except lark.UnexpectedInput as error:
        raise LogQLError(_syntax_error(text, error)) from None


def parse_selector(text: str) -> tuple[Matcher, ...]:
    """Return the matchers of a text that is a stream selector only, as in `match[]`. Raises LogQLError."""
    query = parse(text)
    if not isinstance(query, LogQuery) or query.stages:
        raise LogQLError(f"parse error: {text!r} is not a stream selector alone")
    return query.selector


def _nesting(text: str) -> int:
    """Return the nesting depth of parentheses outside of strings."""
    steps = ({"(": 1, ")": -1}.get(c, 0) for c in _STRING.sub("", text))
    return max(accumulate(steps), default=0)


@functools.cache
def _parser() -> lark.Lark:
    grammar = resources.files("tracetail.store.logql").joinpath("logql.lark").read_text(encoding="utf-8")
    return lark.Lark(grammar, start="query", parser="lalr", maybe_placeholders=False)


def _syntax_error(text: str, error: lark.UnexpectedInput) -> str:
    position = len(text) if error.pos_in_stream is None else error.pos_in_stream
    word = _word_at(text, position)
    before = re.search(r"([A-Za-z_]+)\s*\(?\s*$", text[:position])
    operator = text[max(0, position - 1) : position + 1]
    for candidate in (word, operator, before[1] if before else ""):
        if candidate in _UNSUPPORTED:
            return f"the embedded store does not support {_UNSUPPORTED[candidate]}; Loki does"
    if not text.strip():
        return "parse error : syntax error: unexpected $end: the query is empty"
    if isinstance(error, lark.UnexpectedToken) and error.token.type == "$END":
        return "parse error : syntax error: unexpected end of the query"
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    if text.startswith(('"', "`"), position):
        if isinstance(error, lark.UnexpectedCharacters):
            return f"parse error at line {line}, col {column}: literal not terminated"
        word = "a string"
    message = f"parse error at line {line}, col {column}: syntax error: unexpected {word}"
    closed = text[:position].rstrip().endswith((")", "]")) or text[:position].strip() in ("", "(")
    if closed and (word.startswith(_ARITHMETIC) or word[:1].isdigit()):
        message += "; the embedded store does not support arithmetic and literals, Loki does"
    return message


def _word_at(text: str, position: int) -> str:
    match = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|\|>|!>|[^\s\w]+|\S").match(text, position)
    return match[0] if match else "end of the query"
