"""The compiled loops return the same as those in plain Python, for any input."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetail.agent.parsing import scan, scan_plain
from tracetail.agent.parsing.header_cache import HeaderCache
from tracetail.agent.parsing.level_tracker import LevelTracker
from tracetail.agent.parsing.parser import LineParser
from tracetail.agent.parsing.times import EngineTimes
from tracetail.contract.logline import render_line
from tracetail.loki import entries as loki_entries

NOW = 1_795_353_130_000_000_000
LOGS = sorted((Path(__file__).parent.parent / "data" / "vllm-logs").glob("*.log"))
FIXED = b"+08:00 [traceId=t instanceId=i] "

pieces = st.sampled_from(
    [
        *(b" [", b"] ", b" ", b'", "', b', "message": "', b'{"asctime": "', b'"}', b"equest", b"throughput", b"INFO"),
        *(
            b"INFO 11-22 13:12:10 [a.py:1] ",
            b"(A pid=7) ERROR 11-22 13:12:10 [b.py:22] ",
            b"INFO:     ",
            b"CRITICAL: ",
        ),
        *(
            b"Request cmpl-0123456789abcdef: ",
            b"(most recent call last):",
            b"Traceback ",
            b"loggers.py:1",
            b"\x00",
            b"x",
        ),
        b'{"asctime": "2026-11-22 13:39:30,975", "levelname": "INFO", "process": 5, "message": "',
    ]
)
any_text = st.lists(st.one_of(pieces, st.binary(max_size=6)), max_size=8).map(
    lambda parts: b"".join(parts).replace(b"\n", b"|")
)


@pytest.fixture(scope="module", autouse=True)
def compiled():
    if not (scan.COMPILED and loki_entries.COMPILED):
        why = "the loops were not compiled: there was no C compiler when tracetail was installed"
        pytest.fail(why) if os.environ.get("TRACETAIL_TEST_REQUIRE_PROGRAMS") else pytest.skip(why)


def both(compiled_form, plain_form, *arguments):
    ours, compiled = plain_form(*arguments), compiled_form(*arguments)
    assert ours == compiled
    return ours


def looked_up(look_up, lines, chunk):
    """Return all attributes of lines, with one form of the loop."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "look_up", look_up)
        tracker = LevelTracker({}, HeaderCache())
        found = []
        for start in range(0, len(lines), chunk):
            attributes = tracker.add_all(lines[start : start + chunk])
            fields = [(one.timestamp, one.ids) for one in attributes.fields]
            found.append((attributes.metas, attributes.levels, fields, attributes.stats, tracker.state()))
        return found


@given(st.lists(any_text, max_size=12), st.sampled_from([1, 3, 100]))
def test_headers_are_looked_up_alike(lines, chunk):
    twice = [*lines, *lines]  # what was seen before is looked up in another way
    assert looked_up(scan_plain.look_up, twice, chunk) == looked_up(scan.look_up, twice, chunk)


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.stem)
def test_headers_of_real_logs_are_looked_up_alike(log):
    lines = log.read_bytes().split(b"\n") * 2
    assert looked_up(scan_plain.look_up, lines, 50) == looked_up(scan.look_up, lines, 50)


stamps = st.builds(
    lambda second, nanos: b"2026-11-22T21:12:%02d.%09d" % (second, nanos),
    st.integers(10, 13),
    st.integers(0, 999_999_999),
)
stamped_lines = st.one_of(
    st.builds(lambda stamp, text: stamp + FIXED + text, stamps, any_text),
    st.builds(lambda stamp, end: (stamp + FIXED)[:end], stamps, st.integers(0, 62)),
    any_text,
    st.just(b"2026-11-22T21:12:10.12345678x" + FIXED),
)


@given(st.lists(stamped_lines, max_size=12), st.booleans(), st.integers(0, 3))
def test_stamps_are_read_alike(lines, in_order, start):
    lines = sorted(lines) if in_order else lines
    runs, nanos, texts = both(scan.split_stamps, scan_plain.split_stamps, lines, min(start, len(lines)), FIXED)
    assert len(nanos) == len(texts) == sum(count for _, count in runs)


@pytest.mark.parametrize("wrong", [None, "text", 7])
def test_a_value_that_is_not_bytes_is_refused(wrong):
    with pytest.raises(TypeError):
        scan.split_stamps([wrong], 0, FIXED)
    with pytest.raises(TypeError):
        scan.look_up([wrong], HeaderCache(), set(), HeaderCache().levels["info"], lambda *_: None)


def test_a_keepers_log_is_parsed_alike_by_both():
    block = b"".join(
        render_line(NOW + i * 10**8, "t", "i", line) for i, line in enumerate(LOGS[0].read_bytes().split(b"\n"))
    )

    def parsed():
        parser = LineParser(EngineTimes(NOW), HeaderCache())
        return [stream.entries for stream in parser.parse(block, NOW).streams.values()]

    compiled = parsed()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("look_up", "split_stamps"):
            patch.setattr(scan, name, getattr(scan_plain, name))
        assert parsed() == compiled
