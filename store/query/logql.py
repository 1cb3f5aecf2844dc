"""LogQL: the tree of a query, parsing a text into it and printing it again.

The grammar stands in `logql.lark`. Source of the language: https://grafana.com/docs/loki/latest/query/
"""

import functools
import re
from dataclasses import dataclass
from importlib import resources
from itertools import accumulate
from typing import Any

import lark
import re2

from tracetail.loki.logql import quote
from tracetail.store.query.quantities import go_bytes, parse_duration

QUERY_MAX_CHARACTERS = 65_536
NESTING_MAX = 100
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|`[^`]*`')
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

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


class LogQLError(ValueError):
    """A query cannot be answered; the message says where and why, and names Loki if Loki could."""


# ---- the tree


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label: `=`, `!=`, `=~`, `!~`. An absent label counts as empty."""

    name: str
    op: str
    value: str


@dataclass(frozen=True, slots=True)
class LineFilter:
    """`|= "a" or "b"`: one of values must be in the line; with `!=` and `!~` none of them may be."""

    op: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number, a duration (in ns) or a number of bytes, as the right side of a comparison."""

    kind: str
    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`status >= 500`, `took > 10ms`, `size < 5MB`."""

    name: str
    op: str
    value: Quantity


@dataclass(frozen=True, slots=True)
class AllOf:
    """Label filters joined by `and`."""

    parts: "tuple[LabelFilter, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Label filters joined by `or`."""

    parts: "tuple[LabelFilter, ...]"


LabelFilter = Matcher | Comparison | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Extraction:
    """`label="expression"` of a parser; the expression is the label's name if there is none."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class Json:
    """`| json`, of everything or of some expressions."""

    extractions: tuple[Extraction, ...] = ()


@dataclass(frozen=True, slots=True)
class Logfmt:
    """`| logfmt`, of everything or of some keys."""

    strict: bool = False
    keep_empty: bool = False
    extractions: tuple[Extraction, ...] = ()


@dataclass(frozen=True, slots=True)
class Regexp:
    """`| regexp "(?P<name>…)"`."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Drop:
    """`| drop a, b="c"`: these labels go (those with a condition only where it holds)."""

    picks: tuple[Matcher | str, ...]


@dataclass(frozen=True, slots=True)
class Keep:
    """`| keep a, b="c"`: only these labels stay."""

    picks: tuple[Matcher | str, ...]


Stage = LineFilter | LabelFilter | Json | Logfmt | Regexp | Drop | Keep


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A stream selector and what its lines go through."""

    selector: tuple[Matcher, ...]
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True, slots=True)
class RangeAggregation:
    """`count_over_time(… [5m] offset 1h)`: one sample per series and step."""

    function: str
    query: LogQuery
    range_ns: int
    offset_ns: int = 0


@dataclass(frozen=True, slots=True)
class Grouping:
    """`by (a, b)` or `without (a, b)`."""

    without: bool
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VectorAggregation:
    """`sum by (level) (…)`."""

    function: str
    inner: "RangeAggregation | VectorAggregation"
    grouping: Grouping | None = None


@dataclass(frozen=True, slots=True)
class Constant:
    """`vector(1)+vector(1)`: the same value at any time; what Grafana asks to see whether a Loki is well."""

    terms: tuple[str, ...]


Metric = RangeAggregation | VectorAggregation | Constant
Query = LogQuery | Metric


# ---- text to tree


@functools.lru_cache(maxsize=256)
def parse(text: str) -> Query:
    """Return the tree of a query. Raises LogQLError."""
    if len(text) > QUERY_MAX_CHARACTERS:
        raise LogQLError(f"parse error: the query has {len(text)} characters, {QUERY_MAX_CHARACTERS} are allowed")
    if _nesting(text) > NESTING_MAX:
        raise LogQLError(f"parse error: the query is nested more than {NESTING_MAX} brackets deep")
    try:
        tree = _parser().parse(text)
        query = _Builder().transform(tree)
    except lark.exceptions.VisitError as error:
        if isinstance(error.orig_exc, LogQLError):
            raise error.orig_exc from None
        raise
    except lark.UnexpectedInput as error:
        raise LogQLError(_syntax_error(text, error)) from None
    assert isinstance(query, LogQuery | RangeAggregation | VectorAggregation | Constant)
    return query


def parse_selector(text: str) -> tuple[Matcher, ...]:
    """Return the matchers of a stream selector alone, as `series` takes it. Raises LogQLError."""
    query = parse(text)
    if not isinstance(query, LogQuery) or query.stages:
        raise LogQLError(f"parse error: {text!r} is not a stream selector alone")
    return query.selector


def _nesting(text: str) -> int:
    """Return how deep round brackets outside of strings are nested."""
    steps = ({"(": 1, ")": -1}.get(c, 0) for c in _STRING.sub("", text))
    return max(accumulate(steps), default=0)


@functools.cache
def _parser() -> lark.Lark:
    grammar = resources.files("tracetail.store.query").joinpath("logql.lark").read_text(encoding="utf-8")
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


class _Builder(lark.Transformer[lark.Token, Any]):
    """Makes the tree out of what lark found; each method is named for its rule."""

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
        matcher = Matcher(str(name), str(op), _unquote(value))
        compile_matcher(matcher)
        return matcher

    string_comparison = matcher

    def line_filter(self, items: list[lark.Token]) -> LineFilter:
        op, *values = items
        line_filter = LineFilter(str(op), tuple(_unquote(v) for v in values))
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
        return Extraction(name, _unquote(items[2]) if len(items) == 3 else name)

    def json(self, extractions: list[Extraction]) -> Json:
        for extraction in extractions:
            json_path(extraction.expression)
        return Json(tuple(extractions))

    def logfmt(self, items: list[Any]) -> Logfmt:
        extractions = tuple(i for i in items if isinstance(i, Extraction))
        return Logfmt("--strict" in items, "--keep-empty" in items, extractions)

    def regexp(self, items: list[lark.Token]) -> Regexp:
        pattern = _unquote(items[0])
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


# ---- tree to text


def unparse(query: Query) -> str:
    """Return the query as text; parsing it gives the same tree again."""
    match query:
        case LogQuery(selector, stages):
            return " ".join([_selector(selector), *(_stage(s) for s in stages)])
        case RangeAggregation(function, inner, length, offset):
            shift = f" offset {_duration(offset)}" if offset else ""
            return f"{function}({unparse(inner)} [{_duration(length)}]{shift})"
        case VectorAggregation(function, inner, grouping):
            by = ""
            if grouping is not None:
                by = f" {'without' if grouping.without else 'by'} ({', '.join(grouping.names)}) "
            return f"{function}{by}({unparse(inner)})"
        case Constant(terms):
            return " + ".join(f"vector({term})" for term in terms)


def _selector(matchers: tuple[Matcher, ...]) -> str:
    return "{" + ", ".join(f"{m.name}{m.op}{quote(m.value)}" for m in matchers) + "}"


def _stage(stage: Stage) -> str:
    match stage:
        case LineFilter(op, values):
            return f"{op} " + " or ".join(quote(v) for v in values)
        case Json(extractions):
            return "| json" + _extractions(extractions)
        case Logfmt(strict, keep_empty, extractions):
            flags = " --strict" * strict + " --keep-empty" * keep_empty
            return "| logfmt" + flags + _extractions(extractions)
        case Regexp(pattern):
            return f"| regexp {quote(pattern)}"
        case Drop(picks):
            return "| drop " + _picks(picks)
        case Keep(picks):
            return "| keep " + _picks(picks)
        case _:
            return "| " + _label_filter(stage)


def _extractions(extractions: tuple[Extraction, ...]) -> str:
    return " " * bool(extractions) + ", ".join(f"{e.name}={quote(e.expression)}" for e in extractions)


def _picks(picks: tuple[Matcher | str, ...]) -> str:
    return ", ".join(p if isinstance(p, str) else _label_filter(p) for p in picks)


def _label_filter(part: LabelFilter) -> str:
    match part:
        case Matcher(name, op, value):
            return f"{name}{op}{quote(value)}"
        case Comparison(name, op, quantity):
            return f"{name} {op} {quantity.text}"
        case AllOf(parts):
            return " and ".join(_bracketed(p) for p in parts)
        case AnyOf(parts):
            return " or ".join(_bracketed(p) for p in parts)


def _bracketed(part: LabelFilter) -> str:
    return f"({_label_filter(part)})" if isinstance(part, AllOf | AnyOf) else _label_filter(part)


def _duration(nanos: int) -> str:
    sign, nanos = ("-", -nanos) if nanos < 0 else ("", nanos)
    for unit in ("h", "m", "s", "ms"):
        if nanos % parse_duration(f"1{unit}") == 0:
            return f"{sign}{nanos // parse_duration(f'1{unit}')}{unit}"
    return f"{sign}{nanos}ns"


# ---- words of the language


def _quantity(token: lark.Token) -> Quantity:
    text = str(token)
    if token.type == "NUMBER":
        return Quantity("number", float(text), text)
    if token.type == "DURATION":
        return Quantity("duration", parse_duration(text), text)
    return Quantity("bytes", go_bytes(text), text)


def _unquote(token: lark.Token) -> str:
    text = str(token)
    if text.startswith("`"):
        return text[1:-1].replace("\r", "")
    try:
        return unescape(text[1:-1])
    except ValueError as error:
        raise LogQLError(f"parse error at line {token.line}, col {token.column}: {error}") from None


def unescape(text: str) -> str:
    """Return what stands between the quotes of a Go string, its escapes resolved. Raises ValueError."""
    raw = _ESCAPE.sub(_resolve, text.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "surrogateescape")


_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{3}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPES = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_ESCAPES |= {b"\\": b"\\", b'"': b'"'}


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


_PATH_PART = re.compile(r'\.?([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]')


@functools.lru_cache(maxsize=256)
def json_path(expression: str) -> tuple[str | int, ...]:
    """Return the keys and indices of a JSON expression such as `a.b[0]["c"]`. Raises LogQLError."""
    path: list[str | int] = []
    position = 0
    while position < len(expression):
        match = _PATH_PART.match(expression, position)
        if match is None or (position == 0 and expression.startswith(".")):
            break
        name, index, quoted = match.groups()
        path.append(int(index) if index else re.sub(r"\\(.)", r"\1", quoted) if name is None else name)
        position = match.end()
    if not path or position < len(expression):
        raise LogQLError(f"parse error : stage '| json': cannot parse expression [{expression}]")
    return tuple(path)


# ---- regular expressions and matchers


@functools.lru_cache(maxsize=256)
def compile_regex(pattern: str, *, prefix: str = "") -> Any:
    """Return the RE2 regular expression over bytes, with prefix (flags) before it. Raises LogQLError."""
    options = re2.Options()
    options.log_errors = False
    try:
        if prefix:
            re2.compile(pattern.encode("utf-8", "surrogateescape"), options)
        return re2.compile((prefix + pattern).encode("utf-8", "surrogateescape"), options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise LogQLError(f"parse error : error parsing regexp: {reason}: {quote(pattern)}") from None


@functools.lru_cache(maxsize=1024)
def compile_matcher(matcher: Matcher) -> "_Test":
    """Return the test of a label's value. Raises LogQLError."""
    return _Test(matcher)


class _Test:
    """Says whether a label's value fulfils a matcher; a regular expression must match all of the value."""

    def __init__(self, matcher: Matcher) -> None:
        self.matcher = matcher
        self.regex = compile_regex(matcher.value, prefix="(?s)") if matcher.op.endswith("~") else None
        self.negated = matcher.op.startswith("!")

    def __call__(self, value: str) -> bool:
        if self.regex is None:
            return (value == self.matcher.value) != self.negated
        return (self.regex.fullmatch(value.encode("utf-8", "surrogateescape")) is not None) != self.negated
