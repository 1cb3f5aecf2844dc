"""A search skips the blocks that cannot have its text, and never one that has it."""

import os
import random

import pytest
import re2
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.database import opened

from tracetail.loki.logql import escape_regex
from tracetail.store.disk import text_filter
from tracetail.store.logql.tree import LineFilter
from tracetail.store.query.line_filter import LineTest

MINUTE = 60 * 10**9


@pytest.fixture(scope="module", autouse=True)
def compiled():
    if text_filter.bits_of_text is None:
        why = "the loop was not compiled: there was no C compiler when tracetail was installed"
        pytest.fail(why) if os.environ.get("TRACETAIL_TEST_REQUIRE_PROGRAMS") else pytest.skip(why)


words = st.text(st.sampled_from("0123456789abcdefABCDEFxyzKkSs"), max_size=60)
others = st.text(st.sampled_from(" -._:\n模é\u017f\u212aÉ*+\\"), max_size=4)
texts = st.lists(words | others, max_size=8).map("".join)


def passes(op, value, text):
    encoded = text_filter.encode_filter(text.encode())
    return encoded is None or LineTest(LineFilter(op, (value,))).may_pass(text_filter.decode_filter(encoded))


@settings(max_examples=500, deadline=None)
@given(before=texts, text=texts, after=texts)
@example(before="x", text="0123456789abcdef", after="y")
@example(before="", text="", after="")
def test_a_text_is_found_in_whatever_it_is_part_of(before, text, after):
    assert passes("|=", text, before + text + after)
    assert passes("|~", escape_regex(text), before + text + after)


@settings(max_examples=500, deadline=None)
@given(before=texts, text=texts, after=texts, change=st.sampled_from((str.upper, str.lower, str.swapcase, str.title)))
def test_a_text_is_found_in_any_case_where_the_expression_matches(before, text, after, change):
    whole = before + change(text) + after
    pattern = "(?i)" + escape_regex(text)
    if re2.search(pattern.encode(), whole.encode()):
        assert passes("|~", pattern, whole)


def test_no_other_characters_match_ascii_letters_when_case_is_ignored():
    ascii_letter = re2.compile(b"(?i)[a-z0-9]")
    others = (chr(code).encode() for code in range(128, 0x110000) if not 0xD800 <= code < 0xE000)
    assert [each.decode() for each in others if ascii_letter.search(each)] == ["\u017f", "\u212a"]


@pytest.mark.parametrize(
    "pattern", ["erro.", "a|b", "^error", "error$", "er+or", "\\d\\d\\d", "(error)", "[e]rror", "\\berror"]
)
def test_an_expression_that_is_not_one_text_rejects_no_block(pattern):
    assert passes("|~", pattern, "something else")
    assert passes("|~", "(?i)" + pattern, "something else")


@pytest.fixture
def searched(store, now_ns):
    """A store with a block of 5,000 lines, of which nothing can be read any more.

    The lines are the same in every run: a third of the filter's bits are set, so that for one in a hundred blocks it
    has all the threes of a word by chance.
    """
    start = now_ns - MINUTE
    dice = random.Random(7)
    values = [[start + i, f"line {i} of request {dice.randbytes(16).hex()}"] for i in range(5000)]
    assert store.push({"traceId": "t1"}, values).status == 204
    with opened(store.database) as connection:
        connection.execute("UPDATE block SET entries_index = x'00', entries_text = x'00'")
    return lambda filters: store.query_range(f'{{traceId="t1"}} {filters}', start, now_ns + MINUTE)


@pytest.mark.parametrize(
    "filters",
    [
        '|= "Traceback"',
        '|~ "(?i)out of MEMORY"',
        '|= "line" |= "cmpl-"',
        '|= "timeout" or "Traceback"',
        f'|= "{"0f1e2d3c4b5a69788796a5b4c3d2e1f0"}"',
    ],
)
def test_a_block_without_the_text_is_not_read(searched, filters):
    answer = searched(filters)
    assert (answer.status, answer.json()["data"]["result"]) == (200, [])


@pytest.mark.parametrize(
    "filters", ['|= "line 4999 "', '|~ "(?i)OF REQUEST"', '!= "Traceback"', '|= "Traceback" or "line"']
)
def test_a_block_that_may_have_the_text_is_read(searched, filters):
    assert searched(filters).status == 500
