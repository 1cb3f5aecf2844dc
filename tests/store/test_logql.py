"""Parsing and printing of LogQL, and what the store refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.logql_printer import unparse
from support.logql_strategies import log_queries, metrics

from tracetail.store.logql import parser
from tracetail.store.logql.json_path import json_path
from tracetail.store.logql.parser import parse
from tracetail.store.logql.quantities import go_bytes, go_duration, go_number, parse_duration
from tracetail.store.logql.tree import (
    AllOf,
    AnyOf,
    Comparison,
    Drop,
    Grouping,
    Json,
    LineFilter,
    Logfmt,
    LogQLError,
    LogQuery,
    Matcher,
    Quantity,
    RangeAggregation,
    VectorAggregation,
)

SELECTOR = (Matcher("a", "=", "b"),)
SYMBOLS = '{ } ( ) [ ] , = != =~ !~ |= |~ | == > >= < <= + - * / # ` \\ . _ " \0 模 \ud800'
WORDS = "or and by without json logfmt regexp drop keep sum rate count_over_time offset vector --strict unwrap topk"
VALUES = '5m 1.5 10KB "x" "(" `y` a b'
ALL_WORDS = (SYMBOLS + " " + WORDS + " " + VALUES).split(" ")


@given(log_queries | metrics)
def test_a_printed_query_parses_to_the_same_tree(query):
    assert parse(unparse(query)) == query


@given(st.lists(st.sampled_from(ALL_WORDS), max_size=30).map(" ".join) | st.text(max_size=60))
def test_any_text_parses_or_raises_logql_error(text):
    try:
        query = parse(text)
    except LogQLError:
        return
    assert parse(unparse(query)) == query


@given(log_queries | metrics, st.data())
def test_a_damaged_query_parses_or_raises_logql_error(query, data):
    text = unparse(query)
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 5))
    damaged = text[:at] + data.draw(st.sampled_from(ALL_WORDS)) + text[at + length :]
    try:
        parsed = parse(damaged)
    except LogQLError:
        return
    assert parse(unparse(parsed)) == parsed


def parsed_afresh(text):
    """Return the tree or the error of a text, of which no tree was kept."""
    parse.cache_clear()
    try:
        return parse(text)
    except LogQLError as error:
        return str(error)


@given(log_queries | metrics, st.data())
def test_a_query_means_the_same_when_another_one_differed_in_its_strings_alone(query, data):
    text = unparse(query)
    at = data.draw(st.integers(0, len(text)))
    damaged = text[:at] + data.draw(st.sampled_from(["", *ALL_WORDS])) + text[at + data.draw(st.integers(0, 2)) :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parser, "SHAPE_MAX_CHARACTERS", -1)
        wanted = parsed_afresh(damaged)
    assert parsed_afresh(damaged) == wanted


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ('|= "x"', (LineFilter("|=", ("x",)),)),
        ('!= "x" |~ `\\d+`', (LineFilter("!=", ("x",)), LineFilter("|~", ("\\d+",)))),
        ('|= "x" or "y" or "z"', (LineFilter("|=", ("x", "y", "z")),)),
        ("| json", (Json(),)),
        ("| logfmt --strict --keep-empty", (Logfmt(strict=True, keep_empty=True),)),
        ("| drop x, y", (Drop(("x", "y")),)),
        (
            '| x="1" or y>2 and z="3"',
            (
                AnyOf(
                    (
                        Matcher("x", "=", "1"),
                        AllOf((Comparison("y", ">", Quantity("number", 2, "2")), Matcher("z", "=", "3"))),
                    )
                ),
            ),
        ),
        ('| x="1", y="2" z="3"', (AllOf((Matcher("x", "=", "1"), Matcher("y", "=", "2"), Matcher("z", "=", "3"))),)),
        ("| x == 1.5e3", (Comparison("x", "==", Quantity("number", 1500, "1.5e3")),)),
        ("| x = 5", (Comparison("x", "==", Quantity("number", 5, "5")),)),
        ("| x >= 1h30m", (Comparison("x", ">=", Quantity("duration", 5400 * 10**9, "1h30m")),)),
        ("| x < 1.5kb", (Comparison("x", "<", Quantity("bytes", 1500, "1.5kb")),)),
        ("# a comment\n| json # another", (Json(),)),
        ('| json_y="z"', (Matcher("json_y", "=", "z"),)),
    ],
)
def test_stages(text, stages):
    assert parse('{a="b"} ' + text) == LogQuery(SELECTOR, stages)


def test_notations_of_metric_queries():
    counted = RangeAggregation("count_over_time", LogQuery(SELECTOR, (LineFilter("|=", ("x",)),)), 300 * 10**9)
    for text in (
        'count_over_time({a="b"} |= "x" [5m])',
        'count_over_time({a="b"}[5m] |= "x")',
        'count_over_time(({a="b"} |= "x")[300s])',
        '(count_over_time(({a="b"} |= "x" [5m])))',
    ):
        assert parse(text) == counted
    summed = VectorAggregation("sum", counted, Grouping(without=False, names=("l", "m")))
    for text in (
        'sum by (l, m) (count_over_time({a="b"} |= "x" [5m]))',
        'sum(count_over_time({a="b"} |= "x" [5m])) by (l,m)',
    ):
        assert parse(text) == summed


def test_strings_use_the_escapes_of_go():
    assert parse('{a="\\u6a21\\n\\t\\x41\\101\\\\\\""}') == LogQuery((Matcher("a", "=", '模\n\tAA\\"'),))
    assert parse("{a=`\\n`}") == LogQuery((Matcher("a", "=", "\\n"),))


@pytest.mark.parametrize(
    "text",
    [
        'topk(3, rate({a="b"}[1m]))',
        'sum(rate({a="b"}[1m])) / 2',
        'sum(rate({a="b"}[1m])) > 5',
        'rate({a="b"}[1m]) or rate({a="c"}[1m])',
        "1 + 1",
        '{a="b"} | line_format "{{.x}}"',
        '{a="b"} | label_format x=y',
        '{a="b"} | pattern "<_>"',
        '{a="b"} | unpack',
        '{a="b"} | decolorize',
        '{a="b"} |> "<_> x"',
        '{a="b"} | x = ip("10.0.0.0/8")',
        'max_over_time({a="b"} | unwrap x [1m])',
        'count_over_time({a="b"} | unwrap x [1m])',
        'quantile_over_time(0.99, {a="b"} | unwrap x [1m])',
        'absent_over_time({a="b"}[1m])',
        'stddev(rate({a="b"}[1m]))',
        'label_replace(rate({a="b"}[1m]), "x", "$1", "y", "(.*)")',
        "vector(1) * 2",
    ],
)
def test_unsupported_features_are_refused_by_name(text):
    with pytest.raises(LogQLError, match=r"the embedded store does not support .*Loki does"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{a=~".*"}',
        '{a!="b"}',
        '{a="b"',
        '{a="b}',
        '{a="b",}',
        '{a="b"} | = "c"',
        '{a="b"} |~ "("',
        '{a=~"("}',
        '{a="\\q"}',
        '{a="b"} | x > "c"',
        'rate({a="b"})',
        'rate({a="b"}[0s])',
        'rate({a="b"}[5])',
        '{a="b"} | json x="a..b"',
        '{a="b"} | regexp "no name"',
        'sum by (x) (rate({a="b"}[1m])) by (y)',
        'sum({a="b"})',
        "(" * 5000,
        '{a="b"} | ' + "(" * 3000 + 'x="y"' + ")" * 3000,
        '{a="' + "x" * 70_000 + '"}',
    ],
)
def test_invalid_queries_are_refused(text):
    with pytest.raises(LogQLError, match="parse error"):
        parse(text)


def test_quantities():
    assert parse_duration("1d2h") == 26 * 3600 * 10**9
    assert parse_duration("1.5s") == 1_500_000_000
    assert go_duration("-1m") == -60 * 10**9
    assert go_duration("0") == 0
    assert go_bytes("1.5 GiB") == 3 * 2**29
    assert go_bytes("5MB") == go_bytes("5,000,000") == 5_000_000
    assert go_number("1e3") == 1000


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (go_number, "abc", 'strconv.ParseFloat: parsing "abc": invalid syntax'),
        (go_duration, "abc", 'time: invalid duration "abc"'),
        (go_duration, "", 'time: invalid duration ""'),
        (go_duration, "12.5", 'time: missing unit in duration "12.5"'),
        (go_duration, "1d", 'time: unknown unit "d" in duration "1d"'),
        (go_bytes, "five", 'strconv.ParseFloat: parsing "": invalid syntax'),
        (go_bytes, "5 apples", "unhandled size name: apples"),
    ],
)
def test_invalid_quantities_get_the_errors_of_go(read, text, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011  (the message is looked at)
        read(text)
    assert str(refused.value) == message


def test_json_paths():
    assert json_path('a.b[0]["c d"]') == ("a", "b", 0, "c d")
