"""Properties for any input: splitting into blocks, times, encoding, a restart at any point."""

import itertools
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracetail.agent.model import Ids
from tracetail.agent.parsing.header_cache import HeaderCache
from tracetail.agent.parsing.parsed import Stream
from tracetail.agent.parsing.parser import PIECE_TAIL_BYTES, LineParser
from tracetail.agent.parsing.redact import redact
from tracetail.agent.parsing.times import DAY, SECOND, EngineTimes
from tracetail.agent.reading.reader import FileReader
from tracetail.contract.logline import render_line
from tracetail.contract.redaction import Redactor
from tracetail.loki.entries import (
    Entry,
    decode_metadata,
)
from tracetail.loki.original_time import split_original_time
from tracetail.loki.push import rows_from

NOW = 1_795_353_130_000_000_000
REDACTOR = Redactor()
pytestmark = pytest.mark.usefixtures("either_loops")

texts = st.one_of(
    st.binary(max_size=60).map(lambda data: data.replace(b"\n", b"|")),
    st.sampled_from(
        [
            b"(APIServer pid=7) INFO 11-22 13:12:10 [api_server.py:90] Received request cmpl-0123456789abcdef-0: x",
            b"(APIServer pid=7) WARNING 11-22 13:12:11 [vllm.py:1] careful",
            b"(Worker pid=8) ERROR 11-22 13:12:11 [w.py:2] Traceback (most recent call last):",
            b"(Worker pid=8) INFO 11-22 13:12:11 [w.py:2] Traceback (most recent call last):",
            b"(Worker pid=8) INFO 11-22 13:12:11 [w.py:2] ValueError: no",
            b'INFO:     127.0.0.1:57792 - "POST /v1/completions HTTP/1.1" 200 OK',
            b"Traceback (most recent call last):",
            b'  File "x.py", line 1, in <module>',
            b"ValueError: no",
            b"",
            b"  indented",
            b"\tindented",
            b'{"asctime": "2026-11-22 13:39:30,975", "levelname": "ERROR", "process": 5, "message": "a \\", \\" b"}',
            b'{"level": "warning", "message": "x"}',
            b"[traceId=t1 instanceId=i1] (A pid=1) INFO 11-22 13:12:12 [a.py:1] own prefix",
            b"[traceId=t2 instanceId=i2] (A pid=2) INFO 11-22 13:12:12 [a.py:1] that of another launch",
            b"(APIServer pid=7) INFO 11-22 13:12:13 [api_server.py:90] a second later",
            b"(APIServer pid=7) INFO no clock here! [api_server.py:90] a header's shape only",
            b"[2026-11-22 13:12:10 TP0] Traceback (most recent call last):",
            b"api_key='geheim' and hf_abcdefghijklmnopqrst",
            b"[2026-11-22 13:12:10 TP0] Decode batch",
            b"/x/y.py:3: FutureWarning: old",
        ]
    ),
)


@st.composite
def kept_logs(draw: st.DrawFn) -> bytes:
    """A segment as a keeper writes it, with marks, and stamps that sometimes increase by 1 ns only."""
    time_ns = NOW
    block = b""
    for text in draw(st.lists(texts, min_size=1, max_size=40)):
        time_ns += draw(st.sampled_from([1, 999, 400_000_000, 3_000_000_000]))
        mark = draw(st.sampled_from([None, None, None, None, "cut", "redraw", "event"]))
        block += render_line(time_ns, "t9", "i9", b"ready seconds=1" if mark == "event" else text, mark)
    return block


plain_logs = st.lists(texts, min_size=1, max_size=40).map(lambda lines: b"".join(line + b"\n" for line in lines))


def entries_of(block: bytes, cuts: list[int], **options: bool) -> list[tuple[Ids | None, Entry]]:
    """Parse a log in blocks that end at these line ends; each block by a new parser with the saved state."""
    state = None
    found = []
    start = 0
    for end in [*cuts, len(block)]:
        parser = LineParser(EngineTimes(NOW), HeaderCache(), state=state, **options)
        for stream, number in parser.parse(block[start:end], NOW).in_order():
            columns = stream.entries
            entry = Entry(columns.time_ns(number), columns.texts[number], columns.metas[number])
            found.append((stream.ids, entry))
        state = parser.state()
        start = end
    return found


def line_ends(block: bytes, draw: st.DataObject) -> list[int]:
    ends = [place + 1 for place, byte in enumerate(block) if byte == 10]
    return sorted(draw.draw(st.sets(st.sampled_from(ends), max_size=5)))


@given(kept_logs(), st.data())
def test_any_split_into_blocks_and_any_restart_between_them_gives_the_same_entries(
    block: bytes, data: st.DataObject
) -> None:
    assert entries_of(block, line_ends(block, data)) == entries_of(block, [])


@given(plain_logs, st.data())
def test_any_split_of_a_file_that_no_keeper_wrote_gives_the_same_entries(block: bytes, data: st.DataObject) -> None:
    whole = entries_of(block, [], ids_from_lines=True)
    assert entries_of(block, line_ends(block, data), ids_from_lines=True) == whole


@given(plain_logs)
def test_each_line_is_in_the_stream_of_its_ids_with_its_row(block: bytes) -> None:
    parser = LineParser(EngineTimes(NOW), HeaderCache(), ids_from_lines=True)
    parsed = parser.parse(block, NOW)
    lines = block.split(b"\n")[:-1]
    ids = None
    wanted: dict[Ids | None, list[int]] = {}
    for row, line in enumerate(lines):
        if line.startswith(b"[traceId="):
            ids = Ids("t1", "i1") if line.startswith(b"[traceId=t1") else Ids("t2", "i2")
        wanted.setdefault(ids, []).append(row)
    for stream in parsed.streams.values():
        rows = [rows_from(stream.rows, entry)[0][1] for entry in range(len(stream.entries.texts))]
        assert rows == wanted[stream.ids]
        assert stream.entries.texts == [lines[row].removesuffix(b"\r") for row in rows]
    assert parsed.streams.keys() == wanted.keys()


@given(kept_logs())
def test_times_strictly_increase_and_are_the_stamps(block: bytes) -> None:
    times = [entry.time_ns for _, entry in entries_of(block, [])]
    assert all(earlier < later for earlier, later in itertools.pairwise(times))
    assert times[0] > NOW


@given(plain_logs)
def test_times_strictly_increase_without_stamps_too(block: bytes) -> None:
    times = [entry.time_ns for _, entry in entries_of(block, [])]
    assert all(earlier < later for earlier, later in itertools.pairwise(times))


@given(kept_logs())
def test_lines_parsed_together_and_one_by_one_give_the_same_entries(block: bytes) -> None:
    line_by_line = [place + 1 for place, byte in enumerate(block) if byte == 10]
    # A new parser for every line has an empty cache, and parses each line by itself.
    assert entries_of(block, line_by_line[:-1]) == entries_of(block, [])


@st.composite
def mixed_logs(draw: st.DrawFn) -> bytes:
    """A file with lines of keepers, several in a row, between others."""
    time_ns = NOW
    block = b""
    printed = st.sampled_from([b"no ids", b"[traceId=t2 instanceId=i2] x", b"[traceId=t9 instanceId=i1] y"])
    for text, kept in draw(st.lists(st.tuples(printed, st.integers(0, 6)), min_size=1, max_size=12)):
        trace_id = draw(st.sampled_from(["t1", "t9"]))
        for _ in range(kept):
            time_ns += 1_000
            block += render_line(time_ns, trace_id, "i1", text)
        block += text + b"\n"
    return block


@given(mixed_logs())
def test_lines_of_keepers_between_others_give_the_same_entries_together_and_one_by_one(block: bytes) -> None:
    line_by_line = [place + 1 for place, byte in enumerate(block) if byte == 10]
    assert entries_of(block, line_by_line[:-1]) == entries_of(block, [])


# NULs at the end are space that a writer may still fill: they are not read.
@settings(max_examples=40)
@given(st.binary(max_size=3000).map(lambda data: data.rstrip(b"\0")), st.lists(st.integers(0, 3000), max_size=6))
def test_a_file_that_grows_in_any_steps_gives_the_same_lines(data: bytes, steps: list[int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "log"
        path.touch()
        follower = FileReader(path)
        got = b""
        done = 0
        for step in [*sorted(steps), len(data)]:
            with path.open("ab") as file:
                file.write(data[done:step])
            done = max(done, min(step, len(data)))
            follower.status()
            while (block := follower.read()) is not None:
                assert block.data.endswith(b"\n")
                got += block.data
        follower.status()
        while (block := follower.read(flush=True)) is not None:
            got += block.data
        follower.close()
    assert got == data


@given(
    st.lists(texts | st.sampled_from([b"password=", b"--api-key x", b"Bearer abcdefgh1234"]), min_size=1, max_size=30)
)
def test_lines_are_masked_together_as_each_is_alone(lines: list[bytes]) -> None:
    alone = [REDACTOR.redact(line) for line in lines]
    together = list(lines)
    assert REDACTOR.redact_lines(together) == sum(count for _, count in alone)
    assert together == [masked for masked, _ in alone]


@given(st.lists(st.binary(max_size=80).map(lambda data: data.replace(b"\n", b"")), min_size=1, max_size=30))
def test_redaction_keeps_lines_and_leaves_valid_utf8(lines: list[bytes]) -> None:
    stream = Stream(None)
    columns = stream.entries
    for line in lines:
        columns.add(NOW, line, b"")
    redact(stream, REDACTOR)
    assert len(columns.texts) == len(lines)
    for line, text in zip(lines, columns.texts, strict=True):
        text.decode()
        if b"***" not in text:
            assert text == line.decode(errors="replace").encode()


SECRET = b"S3cRetV4lue0123456789abcdefGHIJ"
secret_lines = st.sampled_from(
    [
        b"api_key='" + SECRET + b"' and more",
        b"non-default args: {'api_key': ['" + SECRET + b"'], 'model': 'm'}",
        b"password=" + SECRET + b" text",
        b"--api-key " + SECRET + b" --port 8000",
        b"Authorization: Bearer " + SECRET,
        b"token sk-" + SECRET + b", done",
        b"hf_" + SECRET + b".",
        b"aws_secret_access_key = " + SECRET,
        b"GET http://user:" + SECRET + b"@host/path",
        b"a key AKIAABCDEFGHIJKLMNOP of ours",
    ]
)


@given(secret_lines, st.data())
def test_a_secret_in_a_line_that_was_cut_is_masked_wherever_the_cuts_are(line: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(line)), min_size=1, max_size=4)))
    pieces = [line[start:end] for start, end in itertools.pairwise([0, *cuts, len(line)])]
    kept = b""
    for number, piece in enumerate(pieces):
        mark = "cut" if number < len(pieces) - 1 else None
        kept += render_line(NOW + 10 * number, "t9", "i9", piece, mark)
        if data.draw(st.booleans()):
            kept += render_line(NOW + 10 * number + 5, "t9", "i9", b"phase seconds=1", "event")
    kept += render_line(NOW + 1000, "t9", "i9", b"another line")

    def shown(block_ends: list[int]) -> list[bytes]:
        state = None
        found: list[bytes] = []
        for start, end in itertools.pairwise([0, *block_ends, len(kept)]):
            parser = LineParser(EngineTimes(NOW), HeaderCache(), state=json.loads(json.dumps(state)))
            stream = parser.parse(kept[start:end], NOW).stream(None)
            redact(stream, REDACTOR)
            found += stream.entries.texts
            state = parser.state()
        return found

    whole = shown([])
    # The entries depend on the bytes of the log alone, not on the blocks in which they are read.
    assert shown(line_ends(kept, data)) == whole
    text = b"".join(piece for piece in whole if not piece.startswith(b"phase"))
    secret = b"ABCDEFGHIJKLMNOP" if b"AKIA" in line else SECRET
    for size in range(3, len(secret)):
        assert secret[:size] not in text
        assert secret[-size:] not in text
    assert whole[-1] == b"another line"


@given(st.data())
def test_no_line_of_a_private_key_is_shipped_wherever_the_blocks_end(data: st.DataObject) -> None:
    body = [b"Ab+/" * 16] * 5 + [b"Kg=="]
    lines = [b"-----BEGIN PRIVATE KEY-----", *body, b"-----END PRIVATE KEY-----", b"ready"]
    kept = b"".join(render_line(NOW + number, "t9", "i9", line) for number, line in enumerate(lines))
    state = None
    shown: list[bytes] = []
    for start, end in itertools.pairwise([0, *line_ends(kept, data), len(kept)]):
        parser = LineParser(EngineTimes(NOW), HeaderCache(), state=json.loads(json.dumps(state)))
        stream = parser.parse(kept[start:end], NOW).stream(None)
        redact(stream, REDACTOR, parser.secret_lines)
        shown += stream.entries.texts
        state = parser.state()
    assert shown == [lines[0], *[b"***"] * 6, *lines[-2:]]


@given(st.data())
def test_a_value_in_the_line_behind_its_name_is_masked_wherever_the_blocks_end(data: st.DataObject) -> None:
    lines = [b"    - name: HF_TOKEN", b"      value: " + SECRET, b'  "--api-key",', b'  "' + SECRET + b'",', b"ready"]
    kept = b"".join(render_line(NOW + number, "t9", "i9", line) for number, line in enumerate(lines))
    state = None
    shown: list[bytes] = []
    for start, end in itertools.pairwise([0, *line_ends(kept, data), len(kept)]):
        parser = LineParser(EngineTimes(NOW), HeaderCache(), state=json.loads(json.dumps(state)))
        stream = parser.parse(kept[start:end], NOW).stream(None)
        redact(stream, REDACTOR, parser.secret_lines)
        shown += stream.entries.texts
        state = parser.state()
    assert shown == [lines[0], b"      value: ***", lines[2], b'  "***",', lines[4]]


def test_pieces_of_a_long_line_are_masked_in_memory_that_does_not_grow() -> None:
    line = b"x" * 262_144
    block = b"".join(render_line(NOW + n, "t", "i", line, "cut") for n in range(20))
    parser = LineParser(EngineTimes(NOW), HeaderCache())
    stream = parser.parse(block, NOW).stream(None)
    assert redact(stream, REDACTOR) == 0
    assert stream.entries.texts == [line] * 20
    assert len(json.dumps(parser.state())) < 3 * PIECE_TAIL_BYTES


def test_a_line_moved_after_the_one_before_has_its_original_time() -> None:
    block = b"".join(render_line(time_ns, "t", "i", b"x") for time_ns in (NOW + 5, NOW + 2, NOW + 7))
    for structured in (True, False):
        parser = LineParser(EngineTimes(NOW), HeaderCache(structured_metadata=structured))
        entries = parser.parse(block, NOW).stream(None).entries
        assert [entries.time_ns(n) for n in range(3)] == [NOW + 5, NOW + 6, NOW + 7]
        own = [
            split_original_time(text.decode(), decode_metadata(meta).get("original_time"))
            for text, meta in zip(entries.texts, entries.metas, strict=True)
        ]
        assert own == [("x", None), ("x", NOW + 2), ("x", None)]


def test_a_line_without_a_stamp_that_is_moved_far_has_its_original_time() -> None:
    now = at("2026-11-22T13:00:00")
    lines = [b"INFO 11-22 12:00:00 [a.py:1] x", b"INFO 11-22 11:59:59 [a.py:1] x", b"INFO 11-22 11:50:00 [a.py:1] x"]
    parser = LineParser(EngineTimes(now, ZoneInfo("UTC")), HeaderCache())
    entries = parser.parse(b"".join(line + b"\n" for line in lines), now).stream(None).entries
    original = [decode_metadata(meta).get("original_time") for meta in entries.metas]
    assert original == [None, None, "2026-11-22T11:50:00.000000000Z"]


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * SECOND


def parsed(first_seen: str, *whens: str, zone: str = "UTC") -> list[str]:
    times = EngineTimes(at(first_seen), ZoneInfo(zone))
    last = None
    found = []
    for when in whens:
        last = times.parse(when.encode(), last)
        assert last is not None
        found.append(datetime.fromtimestamp(last / SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    return found


def test_the_year_turns_over() -> None:
    assert parsed("2026-12-31T23:00:00", "12-31 23:59:59", "01-01 00:00:01") == [
        "2026-12-31T23:59:59",
        "2027-01-01T00:00:01",
    ]
    # A file first seen in the new year, begun in the old one.
    assert parsed("2027-01-01T00:00:10", "12-31 23:59:59", "01-01 00:00:01") == [
        "2026-12-31T23:59:59",
        "2027-01-01T00:00:01",
    ]


def test_a_leap_day_is_in_the_last_leap_year() -> None:
    assert parsed("2026-11-22T00:00:00", "02-29 12:00:00") == ["2024-02-29T12:00:00"]
    assert parsed("2028-02-29T13:00:00", "02-29 12:00:00", "03-01 00:00:00") == [
        "2028-02-29T12:00:00",
        "2028-03-01T00:00:00",
    ]


def test_clocks_go_forward_and_back() -> None:
    assert parsed("2026-03-29T00:00:00", "03-29 01:59:59", "03-29 03:00:00", zone="Europe/Berlin") == [
        "2026-03-29T00:59:59",
        "2026-03-29T01:00:00",
    ]
    # The hour from two to three occurs twice: the second time must not go back.
    assert parsed(
        "2026-10-25T00:00:00",
        "10-25 02:30:00",
        "10-25 02:59:59",
        "10-25 02:00:01",
        "10-25 03:00:00",
        zone="Europe/Berlin",
    ) == ["2026-10-25T00:30:00", "2026-10-25T00:59:59", "2026-10-25T01:00:01", "2026-10-25T02:00:00"]


@given(st.integers(at("2000-01-01T00:00:00"), at("2099-01-01T00:00:00")), st.integers(0, 300))
def test_a_time_without_a_year_is_parsed_with_its_year(first_seen_ns: int, days_before: int) -> None:
    time_ns = (first_seen_ns // SECOND) * SECOND - days_before * DAY
    when = datetime.fromtimestamp(time_ns // SECOND, UTC).strftime("%m-%d %H:%M:%S").encode()
    assert EngineTimes(first_seen_ns, ZoneInfo("UTC")).parse(when, None) == time_ns


@given(
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Asia/Kolkata"]),
    st.sampled_from(["2026-10-24T22:00:00", "2026-04-04T13:00:00", "2026-11-01T04:00:00", "2026-12-31T17:00:00"]),
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 7, 50, 600, 1800, 3600, 5400, -1, -2, -1800, 86_400]),
            st.sampled_from(["%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%m/%d/%Y-%H:%M:%S", "%Y-%m-%dT%H:%M:%S"]),
            st.sampled_from(["", "", ",123", ".5", "Z", " +08:00", ".123.456"]),
        ),
        max_size=40,
    ),
)
def test_a_time_does_not_depend_on_what_is_remembered(
    zone: str, start: str, steps: list[tuple[int, str, str]]
) -> None:
    """Around the hours in which clocks are set back: the days are those of 2026."""
    times = EngineTimes(at(start), ZoneInfo(zone))
    second, last = at(start) // SECOND, None
    for step, form, more in steps:
        second += step
        when = (datetime.fromtimestamp(second, ZoneInfo(zone)).strftime(form) + more).encode()
        found = times.parse(when, last)
        assert found == EngineTimes(at(start), ZoneInfo(zone)).parse(when, last)
        last = found


def test_another_zone_and_a_zone_in_the_line() -> None:
    assert parsed("2026-11-22T14:00:00", "11-22 21:12:10", zone="Asia/Shanghai") == ["2026-11-22T13:12:10"]
    assert parsed("2026-11-22T14:00:00", "2026-11-22T21:12:10+08:00") == ["2026-11-22T13:12:10"]


def lines_at(*lines: bytes, now_ns: int, state: dict | None = None) -> tuple[list[int], dict]:
    parser = LineParser(EngineTimes(NOW, ZoneInfo("UTC")), HeaderCache(), state=state)
    parsed = parser.parse(b"".join(line + b"\n" for line in lines), now_ns)
    return [stream.entries.time_ns(number) for stream, number in parsed.in_order()], parser.state()


def test_a_time_too_far_ahead_is_ignored() -> None:
    now = at("2026-11-22T13:00:00")
    [found], _ = lines_at(b"INFO 11-22 13:04:00 [a.py:1] within five minutes", now_ns=now)
    assert found == at("2026-11-22T13:04:00")
    [found], _ = lines_at(b"INFO 11-22 13:06:00 [a.py:1] beyond", now_ns=now)
    assert found == now


def test_a_clock_that_is_set_back_an_hour_or_forward_a_day_never_turns_times_back() -> None:
    now = at("2026-11-22T13:00:00")
    first, state = lines_at(b"INFO 11-22 13:00:00 [a.py:1] x", b"no time", now_ns=now)
    back, state = lines_at(b"INFO 11-22 12:00:00 [a.py:1] x", b"no time", now_ns=now - 3600 * SECOND, state=state)
    forward, state = lines_at(b"no time", now_ns=now + DAY, state=state)
    again, _ = lines_at(b"INFO 11-22 13:00:05 [a.py:1] x", now_ns=now, state=state)
    times = [*first, *back, *forward, *again]
    assert times == sorted(set(times))
    assert back[0] == first[-1] + 1


def test_many_lines_of_one_second_keep_their_order() -> None:
    times, _ = lines_at(*[b"INFO 11-22 13:12:10 [a.py:1] x"] * 5000, now_ns=at("2026-11-22T13:12:11"))
    start = at("2026-11-22T13:12:10")
    assert times == list(range(start, start + 5000))
