"""Prints the syntax tree of LogQL as a query, for tests that parse the text again."""

from tracetail.loki.logql import quote
from tracetail.store.logql.quantities import parse_duration
from tracetail.store.logql.tree import (
    AllOf,
    AnyOf,
    Comparison,
    Constant,
    Drop,
    Json,
    Keep,
    LineFilter,
    Logfmt,
    LogQuery,
    Matcher,
    RangeAggregation,
    Regexp,
    VectorAggregation,
)


def unparse(query):
    """Return the query as text. Parsing the text gives an equal tree."""
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


def _selector(matchers):
    return "{" + ", ".join(f"{m.name}{m.op}{quote(m.value)}" for m in matchers) + "}"


def _stage(stage):
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


def _extractions(extractions):
    return " " * bool(extractions) + ", ".join(f"{e.name}={quote(e.expression)}" for e in extractions)


def _picks(picks):
    return ", ".join(p if isinstance(p, str) else _label_filter(p) for p in picks)


def _label_filter(part):
    match part:
        case Matcher(name, op, value):
            return f"{name}{op}{quote(value)}"
        case Comparison(name, op, quantity):
            return f"{name} {op} {quantity.text}"
        case AllOf(parts):
            return " and ".join(_bracketed(p) for p in parts)
        case AnyOf(parts):
            return " or ".join(_bracketed(p) for p in parts)


def _bracketed(part):
    return f"({_label_filter(part)})" if isinstance(part, AllOf | AnyOf) else _label_filter(part)


def _duration(nanos):
    sign, nanos = ("-", -nanos) if nanos < 0 else ("", nanos)
    for unit in ("h", "m", "s", "ms"):
        if nanos % parse_duration(f"1{unit}") == 0:
            return f"{sign}{nanos // parse_duration(f'1{unit}')}{unit}"
    return f"{sign}{nanos}ns"
