"""Rendered lines are parsed back byte for byte, for any output of a server."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetail.contract import logline

texts = st.binary(max_size=200).map(lambda data: data.replace(b"\n", b""))
times = st.integers(min_value=0, max_value=4_000_000_000 * 10**9)


@given(time_ns=times, text=texts, mark=st.sampled_from([None, "event", "cut", "redraw"]))
def test_parsing_a_rendered_line_returns_all_of_it(time_ns, text, mark):
    line = logline.render_line(time_ns, "t1", "i:2", text, mark)
    assert line.endswith(b"\n")
    assert logline.parse_line(line[:-1]) == logline.LogLine(time_ns, "t1", "i:2", mark, text)


@given(time_ns=times, offset=st.integers(min_value=-12 * 60, max_value=14 * 60).map(lambda minutes: minutes * 60))
def test_stamp_is_the_same_instant_at_every_offset(time_ns, offset):
    stamp = logline.render_stamp(time_ns, offset)
    assert len(stamp) == logline.STAMP_BYTES
    assert logline.parse_stamp(stamp) == time_ns


def test_line_looks_as_documented(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        line = logline.render_line(1795353130123456789, "4bf92f35", "1008611", b"(APIServer pid=71) INFO text")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert line == (
        b"2026-11-22T21:12:10.123456789+08:00 [traceId=4bf92f35 instanceId=1008611] (APIServer pid=71) INFO text\n"
    )


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"plain",
        b"[traceId=t1 instanceId=i1] (APIServer pid=1) INFO x",
        b"2026-11-22T21:12:10.123456789+08:00 [traceId=t1 instanceId=i1 shout] x",
        b"2026-13-22T21:12:10.123456789+08:00 [traceId=t1 instanceId=i1] x",
    ],
)
def test_lines_in_other_formats_are_not_parsed(line):
    assert logline.parse_line(line) is None


@given(
    fields=st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,9}", fullmatch=True).filter(lambda key: key != "name"),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
        max_size=5,
    )
)
def test_event_fields_survive_logfmt(fields):
    text = logline.render_event("failed", **fields)
    assert "\n" not in text
    assert logline.parse_event(text) == logline.Event("failed", fields)


def test_event_leaves_out_fields_without_a_value():
    assert logline.render_event("ready", seconds=55.2, pid=None, reused=True) == "ready seconds=55.2 reused=true"
