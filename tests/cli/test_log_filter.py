"""Lines with those around them, as `grep -C` shows them."""

import pytest

from tracetail.cli.log_filter import LineFilter, with_context
from tracetail.panel.trace.entry import Entry, Key, Stream

STREAMS = {name: Stream.of({"launchId": f"20261122T12000{name}-aaaaaa", "level": "info"}) for name in "12"}


def entries(*texts, stream="1"):
    return [Entry(Key(number), STREAMS[stream], text) for number, text in enumerate(texts)]


def wanted(grep=None, levels=(), **options):
    return LineFilter.of(levels, grep, options.get("regex"), ignore_case=options.get("ignore_case", False))


async def shown(given, chosen, count):
    return ["--" if one is None else one.entry.text async for one in with_context(given, chosen, count)]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, ["E1", "E2", "E3", "E4"]),
        (1, ["b", "E1", "c", "--", "d", "E2", "E3", "e", "--", "g", "E4"]),
        (2, ["a", "b", "E1", "c", "x", "d", "E2", "E3", "e", "f", "g", "E4"]),
    ],
)
async def test_lines_around_each_match_once_and_a_mark_where_some_are_left_out(count, expected):
    given = entries("a", "b", "E1", "c", "x", "d", "E2", "E3", "e", "f", "g", "E4")
    assert await shown(given, wanted("E"), count) == expected


async def test_the_lines_around_are_those_of_the_same_log():
    one, two = entries("a", "E", "b"), entries("x", "y", "z", stream="2")
    mixed = [line for pair in zip(one, two, strict=True) for line in pair]
    assert await shown(mixed, wanted("E"), 1) == ["a", "E", "b"]


async def test_text_is_text_and_an_expression_is_re2():
    given = entries("a.b", "axb", "A.B")
    assert await shown(given, wanted("a.b"), 0) == ["a.b"]
    assert await shown(given, wanted(regex="^a.b$", ignore_case=True), 0) == ["a.b", "axb", "A.B"]
    assert await shown(given, wanted(levels=("error",)), 0) == []


async def test_a_request_is_found_by_the_id_that_its_client_sent():
    fields = {"launchId": "20261122T120001-aaaaaa", "level": "info"}
    ids = {"Received": "cmpl-my.id-0", "Added": "cmpl-my.id-0-a86dea28", "other": "cmpl-my-id-0", "none": None}
    given = [
        Entry(Key(number), Stream.of(fields | ({"request_id": one} if one else {})), text)
        for number, (text, one) in enumerate(ids.items())
    ]
    chosen = LineFilter.of((), None, None, ignore_case=False, request_id="my.id")
    assert await shown(given, chosen, 0) == ["Received", "Added"]


def test_a_bad_expression_is_named(capsys):
    with pytest.raises(SystemExit):
        wanted(regex="(")
    assert capsys.readouterr().err == "error: --regex '(': missing ): (\n"
