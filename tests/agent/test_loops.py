"""The compiled loops return the same as those in plain Python, for any input."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetail.agent.model import Block
from tracetail.agent.parsing import header_cache, scan, scan_plain
from tracetail.agent.parsing.header_cache import HeaderCache
from tracetail.agent.parsing.level_tracker import LevelTracker
from tracetail.agent.parsing.parser import LineParser
from tracetail.agent.parsing.prepare import Preparer
from tracetail.agent.parsing.times import EngineTimes
from tracetail.contract import engine_lines
from tracetail.contract.logline import render_line
from tracetail.contract.redaction import Redactor
from tracetail.contract.tracebacks import Tracebacks
from tracetail.loki import entries as loki_entries

PLAIN_LOOPS = {"COMPILED": False, "look_up": scan_plain.look_up, "split_stamps": scan_plain.split_stamps}
NOW = 1_795_353_130_000_000_000
REDACTOR = Redactor()
LOGS = sorted((Path(__file__).parent.parent / "data" / "vllm-logs").glob("*.log"))
FIXED = b"+08:00 [traceId=t instanceId=i] "

JSON_LINE = b'{"asctime": "2026-11-22 13:%b", "levelname": "INFO", "process": 5, "message": "a", "x": "y"}'

# Real ones are in tests/data/real-lines.jsonl.
mindie_lines = st.builds(
    b"[2025-12-%b 15:19:%b%b] [38] [%b] %b[%b] [%b]%b".__mod__,
    st.tuples(
        st.sampled_from([b"15", b"16"]),
        st.sampled_from([b"22", b"23", b"99"]),
        st.sampled_from([b".681+08:00", b",888", b".681x", b""]),
        st.sampled_from([b"452", b"45]"]),
        st.sampled_from([b"[server] ", b"[llm] ", b""]),
        st.sampled_from([b"ERROR", b"INFO"]),
        st.sampled_from([b"http_server.cpp:163", b"WARN", b"loggers.py:1", b"a] [b"]),
        st.sampled_from(
            [b" : text", b" [c] text", b"", b"x", b" Traceback (most recent call last):", b" throughput: "]
        ),
    ),
)
glog_lines = st.builds(
    b"%b%b22 13:13:%b %b%b]%b".__mod__,
    st.tuples(
        st.sampled_from([b"[W", b"W", b"[E", b"(A pid=7) [W", b"[2026-11-22 13:13:02] [W"]),
        st.sampled_from([b"11", b"1", b"9"]),
        st.sampled_from([b"02.336122353", b"03.336122353", b"02.3361", b"02", b"99.336122353"]),
        st.sampled_from([b"", b"12345 ", b"12346 "]),
        st.sampled_from([b"utils.cpp:68", b"utils.cpp:69", b"3d.cpp:1"]),
        st.sampled_from([b" text", b"", b"x", b" [rank0] text", b" Traceback (most recent call last):", b"] "]),
    ),
)

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
any_line = st.one_of(
    any_text,
    st.sampled_from(
        [
            b"(W pid=7) ERROR 11-22 13:12:11 [a.py:1] Traceback (most recent call last):",
            b"Traceback (most recent call last):",
            b'  File "a.py", line 7, in f',
            b"    f()",
            b"ValueError: no",
            b"(W pid=7) text",
            b"(W pid=7)   text",
            b"(W pid=7) ",
            b"/a/b.py:12: UserWarning: text",
            b"Triton is installed",
            b"[2026-11-22 13:12:10 TP0] text",
            b"INFO 11-22 13:12:10 [a.py:1] text",
            b"INFO 11-22 13:12:11 [a.py:1] text",
            b"INFO 11-22 13:12:10 [a.py:2] text",
            b"",
            b"OPENAI_API_KEY=sk-0123456789abcdef0123",
            b"-----BEGIN RSA PRIVATE KEY-----",
            b"MIIEowIBAAKCAQEAxyz0123456789abcdefghijklmnopqrstuvwxyzABCDE",
            b"-----END RSA PRIVATE KEY-----",
            b"INFO 11-22 13:12:10 [loggers.py:1] Avg prompt throughput: 1.0 tokens/s \xe5\xaf\x86\xff",
            b"INFO 11-20 13:12:10 [a.py:1] Added request cmpl-0123456789abcdef-0.",
            b'{"asctime": "2026-11-22 13:39:30,975", "levelname": "INFO", "process": 5, "message": "a", "x": "y"}',
        ]
    ),
    st.sampled_from(
        # The last but one is further ahead of NOW than a time may be, and the one before it is just not.
        ["10:10,001", "10:10,500", "10:10,x00", "11:10,500", "12:10,001", "17:10,000", "17:10,001", "17:10.000"]
    ).map(lambda clock: JSON_LINE % clock.encode()),
    mindie_lines,
    glog_lines,
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


request_words = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *(b"equest", b"equest ", b"equest(s) ", b"equests: '", b"equest=", b"cmpl-", b"chatcmpl-", b"embd-"),
                *(b"trace_", b"reqid-", b"0123456789abcdef", b"0" * 29, b"abcdefgh", b"x" * 60, b"7", b"-", b"_"),
                *(b",", b"'", b".", b")", b" ", b"\t", b"\x0b", b":"),
            ]
        ),
        st.binary(max_size=3),
    ),
    max_size=9,
).map(b"".join)


@given(request_words)
def test_request_ids_are_found_alike(text):
    both(scan.find_request_id, engine_lines.find_request_id, text)
    both(scan.find_request_id, engine_lines.find_request_id, b"Received request cmpl-" + text)


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.stem)
def test_request_ids_of_real_logs_are_found_alike(log):
    for line in log.read_bytes().split(b"\n"):
        both(scan.find_request_id, engine_lines.find_request_id, line)


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
        scan.look_up([wrong], HeaderCache(), Tracebacks(), HeaderCache().levels["info"], lambda *_: None)


def parsed(parser_of, block, chunk, **how):
    """Return all that is shipped of a block that is read in chunks, and the parser's state after each."""
    preparer = Preparer(REDACTOR, structured_metadata=True, clock_ns=lambda: NOW)
    parser = parser_of()
    found = []
    for start in range(0, len(block), chunk):
        data = block[start : start + chunk]
        for prepared in preparer.prepare(parser, Block(data, start, start + len(data), True, True), **how):
            for stream in prepared.streams:
                entries = stream.entries
                times = [entries.time_ns(index) for index in range(len(entries))]
                found.append((stream.ids, times, entries.texts, entries.metas, entries.encode()))
                found.append((stream.levels, stream.rows, stream.events, stream.stats, stream.pieces))
            found.append((prepared.lines, prepared.redacted, parser.state()))
    return found


def compare(parser_of, block, chunk, **how):
    compiled = parsed(parser_of, block, chunk, **how)
    with pytest.MonkeyPatch.context() as patch:
        for name, plain in PLAIN_LOOPS.items():
            patch.setattr(scan, name, plain)
        assert parsed(parser_of, block, chunk, **how) == compiled


def keepers():
    return LineParser(EngineTimes(NOW), HeaderCache())


def files():
    return LineParser(EngineTimes(NOW), HeaderCache(), by_keeper=False)


marks = st.sampled_from([None, None, None, "cut", "redraw", "event"])


@given(
    st.lists(
        st.tuples(st.integers(-2, 10**9), st.sampled_from(["i", "i", "i", "other"]), any_line, marks), max_size=12
    ),
    st.sampled_from([40, 300, 10_000]),
    st.booleans(),
)
def test_a_keepers_log_is_shipped_alike_by_both(lines, chunk, behind):
    time_ns = NOW
    block = []
    for step, instance, text, mark in lines:
        time_ns += step
        block.append(render_line(time_ns, "t", instance, text, mark) if instance != "other" or mark else text + b"\n")
    compare(keepers, b"".join(block), chunk, behind=behind)


@given(
    st.lists(any_line, max_size=12),
    st.sampled_from([40, 300, 10_000]),
    st.booleans(),
    st.sampled_from([b"\n", b"\r\n"]),
)
def test_a_file_is_shipped_alike_by_both(lines, chunk, behind, end):
    compare(files, b"".join(line + end for line in [*lines, *lines]), chunk, behind=behind)


@given(st.lists(st.one_of(mindie_lines, glog_lines), min_size=2, max_size=20), st.booleans())
def test_headers_that_differ_in_their_time_are_shipped_alike_by_both(lines, by_keeper):
    if by_keeper:
        lines = [render_line(NOW + i * 10**8, "t", "i", line).removesuffix(b"\n") for i, line in enumerate(lines)]
    compare(keepers if by_keeper else files, b"".join(line + b"\n" for line in lines), 10_000, behind=True)


@pytest.mark.parametrize(
    "line",
    [
        b"[W1122 13:13:%02d.336122353 utils.cpp:68] Warning: NUMA binding",
        b"W917 04:55:%02d.6076 12345 utils.cpp:68] text",
        b"[2025-12-15 15:19:%02d.681+08:00] [38] [452] [server] [ERROR] [http_server.cpp:163] : Failed",
    ],
)
def test_a_header_is_parsed_once_though_its_time_goes_on(line, monkeypatch):
    parsed_lines = []
    read_line = header_cache.read_line
    monkeypatch.setattr(
        header_cache, "read_line", lambda text, **how: parsed_lines.append(text) or read_line(text, **how)
    )
    block = b"".join(line % second + b"\n" for second in range(50))
    found = parsed(files, block, 100_000, behind=True)
    assert len({time_ns // 10**9 for time_ns in found[0][1]}) == 50
    assert len(parsed_lines) <= 2  # the first one is parsed for the log's first time, too


def test_times_of_one_second_in_json_are_shipped_alike_by_both():
    assert EngineTimes(NOW).parse(b"2026-11-22 13:12:10,000", None) == NOW
    clocks = [b"12:10,%03d" % fraction for fraction in (1, 500, 2)]
    clocks += [b"17:%02d,%03d" % (second, fraction) for second in (9, 10, 11) for fraction in (0, 1, 0)]
    block = b"".join(JSON_LINE % clock + b"\n" for clock in [*clocks, b"12:11,000", *clocks])
    for chunk in (200, 10_000):
        compare(files, block, chunk, behind=True)


@pytest.mark.parametrize("start", [b'{"asctime"', b'{"asctime""', b'{"asctime": ', b'{"asctime":"'])
def test_json_without_a_time_is_shipped_alike_by_both(start):
    known = JSON_LINE % b"12:10,001"
    compare(files, known + b"\n" + start + known[known.index(b'", "') :] + b"\n", 10_000, behind=True)


@pytest.mark.parametrize(
    "clock",
    [
        b"0001-01-01 00:00:00",
        b"0024-05-08 14:22:55",
        b"1969-12-31 00:00:00",
        b"9999-12-31 23:59:59",
        b"0000-00-00 00:00:00",
    ],
)
def test_times_that_cannot_be_are_shipped_alike_by_both(clock):
    line = b"[WARNING|logging.py:313] %b,479 >> text\n" % clock
    for block in (line, b"INFO 11-22 13:12:10 [a.py:1] text\n" + line):
        compare(files, block * 2, 10_000, behind=True)
        assert all(time_ns > 0 for time_ns in parsed(files, block, 10_000, behind=True)[0][1])


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.stem)
def test_real_logs_are_shipped_alike_by_both(log):
    text = log.read_bytes()
    compare(files, text * 2, 3000, behind=True)
    stamped = [render_line(NOW + i * 10**8, "t", "i", line) for i, line in enumerate(text.split(b"\n") * 2)]
    compare(keepers, b"".join(stamped), 5000, behind=True)


seconds_of_stamps = st.one_of(
    st.builds(b"%02d.%09d".__mod__, st.tuples(st.integers(0, 59), st.integers(0, 999_999_999))),
    st.sampled_from([b"1x.000000000", b"-1.000000000", b"12,000000000", b"59.999999999"]),
)


@given(
    st.lists(
        st.tuples(st.sampled_from([b"2026-11-22T21:12:", b"2026-11-22T21:13:"]), seconds_of_stamps), max_size=12
    ),
    st.booleans(),
)
def test_the_seconds_of_a_minute_are_read_alike_by_both(stamps, in_order):
    stamps = sorted(stamps) if in_order else stamps
    block = b"".join(b"%b%b+08:00 [traceId=t instanceId=i] text\n" % stamp for stamp in stamps)
    compare(keepers, block, 10_000, behind=False)


def test_a_stamp_that_loki_cannot_store_is_text():
    block = b"9999-11-22T21:12:10.123456789+08:00 [traceId=t instanceId=i] text\n"
    [(_, times, texts, *_), *_] = parsed(keepers, block * 2, 1000, behind=False)
    assert texts == [block[:-1]] * 2
    assert times[0] <= NOW
    compare(keepers, block * 2, 1000, behind=False)


def test_the_last_minute_that_loki_can_store_has_seconds_that_are_text():
    """2**63 nanoseconds after 1970 end in second 16 of that minute; the last second before is kept free, too."""
    block = b"".join(
        b"2262-04-11T23:47:%02d.000000000+00:00 [traceId=t instanceId=i] text\n" % (second,)
        for second in (10, 14, 16, 59)
    )
    [(_, _, texts, *_), *_] = parsed(keepers, block, 1000, behind=False)
    assert [text[:5] for text in texts] == [b"text", b"text", b"2262-", b"2262-"]
    compare(keepers, block, 1000, behind=False)
