"""Hypothesis strategies for queries and for entries that they find something in."""

from itertools import pairwise

from hypothesis import strategies as st

from tracetail.store.logql import tree as logql
from tracetail.store.logql.quantities import go_bytes, parse_duration

NAMES = ("traceId", "env", "level", "status", "took", "size", "msg", "nested_a")
VALUES = ("a", "b", "test", "info", "error", "500", "200", "12.5ms", "3s", "5MB", "", 'quo"te', "back\\slash", "模型")
WORDS = ("456789abcdef0123456789AB", "error", "ERROR", "status", "a", "", "=", "msg", "\n", "12", "模型", '"', "\\")
PATTERNS = (
    "err.r",
    "(?i)error",
    "(?i)statu\u017f=500",
    "(?i)CMPL\\-0123456789abcdef0123",
    "^a",
    "a$",
    "[^x]+",
    ".",
    "status=\\d+",
    "模.",
    "a|b",
    "\\berror\\b",
    "x*",
    "\\Aa",
    "",
)


def matchers(names=NAMES, values=VALUES):
    plain = st.builds(logql.Matcher, st.sampled_from(names), st.sampled_from(("=", "!=")), st.sampled_from(values))
    regex = st.builds(
        logql.Matcher, st.sampled_from(names), st.sampled_from(("=~", "!~")), st.sampled_from((*PATTERNS, "a|test"))
    )
    return plain | regex


selectors = st.lists(matchers(("traceId", "env"), ("a", "b", "test", "")), max_size=2).map(
    lambda more: (logql.Matcher("traceId", "=~", ".+"), *more)
)

line_filters = st.builds(
    logql.LineFilter,
    st.sampled_from(("|=", "!=")),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=2).map(tuple),
) | st.builds(
    logql.LineFilter,
    st.sampled_from(("|~", "!~")),
    st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2).map(tuple),
)

quantities = (
    st.sampled_from(("0", "200", "500", "-1", "12.5")).map(lambda t: logql.Quantity("number", float(t), t))
    | st.sampled_from(("10ms", "3s", "1h30m")).map(lambda t: logql.Quantity("duration", parse_duration(t), t))
    | st.sampled_from(("5MB", "1KiB", "10b")).map(lambda t: logql.Quantity("bytes", go_bytes(t), t))
)
comparisons = st.builds(
    logql.Comparison, st.sampled_from(NAMES), st.sampled_from(("==", "!=", ">", ">=", "<", "<=")), quantities
)


def _joined(parts):
    """Join label filters; `and` within `and` and `or` within `or` would print without brackets of their own."""
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return several.map(logql.AllOf) | several.map(logql.AnyOf)


label_filters = st.recursive(matchers() | comparisons, _joined, max_leaves=5)

extractions = st.lists(
    st.builds(
        logql.Extraction, st.sampled_from(("msg", "x", "env")), st.sampled_from(("msg", "nested.a", "list[0]"))
    ),
    max_size=2,
).map(tuple)
picks = st.lists(st.sampled_from(NAMES) | matchers(), min_size=1, max_size=3).map(tuple)
stages = (
    line_filters
    | label_filters
    | st.builds(logql.Json, extractions)
    | st.builds(
        logql.Logfmt,
        st.booleans(),
        st.booleans(),
        st.lists(
            st.builds(logql.Extraction, st.sampled_from(("msg", "x")), st.sampled_from(("msg", "y"))), max_size=2
        ).map(tuple),
    )
    | st.sampled_from(("(?P<status>\\d+)", "(?P<a>a)(?P<b>b)?", "^(?P<first>.)")).map(logql.Regexp)
    | st.builds(logql.Drop, picks)
    | st.builds(logql.Keep, picks)
)


def _can_be_written(stages):
    """`| drop a != "x"` is a condition on a: what drops a and then filters lines by `!=` cannot be written."""
    return not any(
        isinstance(stage, logql.Drop | logql.Keep)
        and isinstance(stage.picks[-1], str)
        and isinstance(following, logql.LineFilter)
        and following.op in ("!=", "!~")
        for stage, following in pairwise(stages)
    )


log_queries = st.builds(logql.LogQuery, selectors, st.lists(stages, max_size=4).map(tuple).filter(_can_be_written))

SECOND = 10**9
range_aggregations = st.builds(
    logql.RangeAggregation,
    st.sampled_from(("count_over_time", "rate", "bytes_over_time", "bytes_rate")),
    log_queries,
    st.sampled_from((SECOND, 3 * SECOND, 60 * SECOND, 1500 * 10**6)),
    st.sampled_from((0, 0, SECOND, -2 * SECOND)),
)
groupings = st.none() | st.builds(
    logql.Grouping, st.booleans(), st.lists(st.sampled_from(NAMES), max_size=2, unique=True).map(tuple)
)
metrics = st.recursive(
    range_aggregations,
    lambda inner: st.builds(
        logql.VectorAggregation, st.sampled_from(("sum", "min", "max", "avg", "count")), inner, groupings
    ),
    max_leaves=3,
)

START = 1_795_350_000 * SECOND
LINES = (
    "",
    "a",
    "b error",
    "ERROR: a thing",
    "line\nwith error inside",
    'status=500 took=12.5ms msg="a b" size=5MB',
    "status=200 took=3s msg=a",
    'status=abc =broken "quote',
    '{"level":"error","status":500,"took":"12.5ms","nested":{"a":1},"list":["x",2],"ok":true,"none":null}',
    '{"msg":"a \\"b\\"","size":"5MB","traceId":"other"}',
    '{"msg":"cut off',
    '{"msg":"a"} and more',
    "模型加载完成 error",
    "\u017ftatus=500 in Kelvin: 3\u212a",
    "Added request cmpl-0123456789abcdef0123456789ABCDEF.",
    "x" * 300,
)
entries = st.tuples(
    st.sampled_from((("a", "test"), ("a", "dev"), ("b", "test"))),
    st.integers(0, 40).map(lambda n: START + n * SECOND // 2),
    st.sampled_from(LINES),
    st.dictionaries(st.sampled_from(("level", "status", "env", "request")), st.sampled_from(VALUES), max_size=3),
)
