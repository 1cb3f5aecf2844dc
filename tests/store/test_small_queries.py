"""Queries that read little are answered at once, all others in threads; both find the same."""

import asyncio
import platform
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.database import opened

from tracetail.store.disk import reader as readers
from tracetail.store.disk.block import Entries, is_in_text
from tracetail.store.disk.database import Database
from tracetail.store.disk.decoded_cache import DecodedCache
from tracetail.store.disk.reader import Reader
from tracetail.store.http import query_executor
from tracetail.store.http.query_executor import QueryExecutor
from tracetail.store.http.query_routes import may_be_small, may_be_small_metric
from tracetail.store.ingest.limits import TimeWindow
from tracetail.store.ingest.retention import Retention
from tracetail.store.ingest.stream import PushedStream
from tracetail.store.ingest.writer import Writer
from tracetail.store.logql.parser import parse
from tracetail.store.query.aggregate import Steps, evaluate
from tracetail.store.query.log_query import LogRequest, run_log_query
from tracetail.store.query_priority import QueryPriority

START = 1_800_000_000 * 10**9
LOOP = threading.main_thread().name


@pytest.fixture
def database(tmp_path):
    made = Database(tmp_path / "store.db")
    made.open()
    yield made
    made.close()


@pytest.fixture
def push(database):
    """Return a function that stores lines in a stream, as one push."""

    def push(trace_id, lines, env="test", first=0):
        times = list(range(START + first, START + first + len(lines)))
        entries = Entries(times, [line.encode() for line in lines], [0] * len(lines), [()])
        writer = Writer(database, TimeWindow(None, None), Retention(None, None))
        writer.start()
        writer.push([PushedStream((("env", env), ("traceId", trace_id)), entries)], 1).result(60)
        writer.stop()

    return push


@pytest.fixture
def executor(database, monkeypatch):
    monkeypatch.setattr(query_executor, "SLOW_SECONDS", 60.0)  # the machine may be busy with other tests
    with closing(Reader(database)) as reader:
        made = QueryExecutor(reader, QueryPriority(), timeout_seconds=60, memory_bytes=1 << 26)
        yield made
        made.shutdown()


def thread_and_lines(executor, query, end=START + 10**9):
    """Return in which thread a query was answered, and the lines that it found."""

    def run(snapshot, budget):
        found = run_log_query(snapshot, LogRequest(parse(query), START, end, 1000, backward=False), budget)
        return threading.current_thread().name, [entry.line.decode() for entry in found]

    return executor.run(run, may_be_small=True)


async def test_a_query_of_a_small_launch_needs_no_thread(executor, push):
    push("t1", ["one", "two"])
    push("t2", ["other"])
    assert await thread_and_lines(executor, '{traceId="t1"} |= "two"') == (LOOP, ["two"])
    assert await thread_and_lines(executor, '{env="test", traceId="t1"} |= "one"') == (LOOP, ["one"])
    assert await thread_and_lines(executor, '{traceId="t3"} |= "one"') == (LOOP, [])


@pytest.mark.parametrize(
    ("module", "limit"),
    [(readers, "SMALL_BLOCKS"), (readers, "SMALL_TEXT_BYTES"), (query_executor, "SMALL_ENTRIES")],
)
async def test_a_query_that_may_read_much_runs_in_a_thread(executor, push, monkeypatch, module, limit):
    push("t1", ["one", "two"])
    push("t1", ["three"], first=10)
    assert await thread_and_lines(executor, '{traceId="t1"}') == (LOOP, ["one", "two", "three"])
    monkeypatch.setattr(module, limit, 1)
    assert await thread_and_lines(executor, '{traceId="t1"}') == ("store-query_0", ["one", "two", "three"])
    assert await thread_and_lines(executor, '{traceId="t1"} |= "e"') == ("store-query_0", ["one", "three"])


@pytest.mark.parametrize("found", ['|= "line"', '|~ "."', '|~ "(?i)LINE"', '|~ "\\\\Aline"', '!~ "."'])
async def test_a_search_that_finds_many_lines_runs_in_a_thread(executor, push, found):
    push("t1", [f"line {number}" for number in range(readers.SMALL_MATCHES + 1)])
    name, lines = await thread_and_lines(executor, f'{{traceId="t1"}} {found}')
    assert name == "store-query_0"
    assert len(lines) == (0 if "!" in found else readers.SMALL_MATCHES + 1)


async def test_a_metric_query_that_opens_many_entries_runs_in_a_thread(executor, push):
    push("t1", ["line"] * 200)

    def run(snapshot, budget):
        evaluate(snapshot, parse('sum(bytes_over_time({traceId="t1"}[1m]))'), Steps(START, 60 * 10**9, 2), budget)
        return threading.current_thread().name

    assert await executor.run(run, is_metric=True, may_be_small=True) == LOOP
    push("t1", ["line"] * 200, first=1000)
    assert await executor.run(run, is_metric=True, may_be_small=True) == "store-metric_0"


@pytest.mark.parametrize(
    ("query", "limit", "is_small"),
    [
        ('{a="b"}', 100, True),
        ('{a="b"}', 101, False),
        ('{a="b"} |= "text"', 1000, True),
        ('{a="b"} |= ""', 1000, False),
        ('{a="b"} |= "text"', 1001, False),
        ('{a="b"} |~ "(?i)text"', 1000, True),
        ('{a="b"} |~ "text.*text"', 10, False),
        ('{a="b"} | json', 1, False),
        ('{a="b"} |= "text" | logfmt | level="error"', 10, False),
        ('{a="b"} | level="error"', 100, True),
    ],
)
def test_a_query_that_takes_long_for_each_line_is_not_small(query, limit, is_small):
    assert may_be_small(parse(query), limit) is is_small


@pytest.mark.parametrize(
    ("query", "count", "is_small"),
    [
        ('sum by (level) (count_over_time({a="b"}[1m]))', 1000, True),
        ('sum by (level) (count_over_time({a="b"}[1m]))', 1001, False),
        ('sum by (level) (count_over_time({a="b"}[1h]))', 50, True),
        ('sum by (level) (count_over_time({a="b"}[1h]))', 51, False),  # each entry counts in 60 steps
        ('sum by (level) (count_over_time({a="b"} | json [1m]))', 1, False),
        ('max by (level) (count_over_time({a="b"}[1m]))', 1, False),
        ('count_over_time({a="b"}[1m])', 1, False),
        ("vector(1)+vector(1)", 1, False),
    ],
)
def test_a_metric_query_with_many_points_is_not_small(query, count, is_small):
    assert may_be_small_metric(parse(query), Steps(START, 60 * 10**9, count)) is is_small


async def test_a_query_of_many_launches_runs_in_a_thread(executor, push):
    for number in range(readers.SMALL_STREAMS + 1):
        push(f"t{number}", ["one"])
    everywhere = ["one"] * (readers.SMALL_STREAMS + 1)
    for selector in ('{env="test"}', '{traceId=~"t.*"}', '{traceId=~".+", env="test"}'):
        # Also where all of them are outside of its range of time: to know that takes a look at each.
        assert await thread_and_lines(executor, selector, START) == ("store-query_0", [])
        assert await thread_and_lines(executor, selector) == ("store-query_0", everywhere)


async def test_after_a_query_that_waited_for_the_disk_all_run_in_threads(executor, push, monkeypatch):
    push("t1", ["one"])
    monkeypatch.setattr(query_executor, "SLOW_SECONDS", 0.0)
    assert await thread_and_lines(executor, '{traceId="t1"}') == (LOOP, ["one"])
    assert await thread_and_lines(executor, '{traceId="t1"}') == ("store-query_0", ["one"])


async def test_only_a_thread_waits_for_a_database_that_is_locked(executor, push, database):
    push("t1", ["one"])
    with closing(sqlite3.connect(database.path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        waiting = asyncio.create_task(thread_and_lines(executor, '{traceId="t1"}'))
        # The loop goes on: it would wait here, for as long as the database is locked.
        async with asyncio.timeout(20):
            while "store-query_0" not in [thread.name for thread in threading.enumerate()]:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert not waiting.done()
        other.execute("COMMIT")
    assert await waiting == ("store-query_0", ["one"])


async def test_a_block_that_took_the_place_of_another_is_read_itself(executor, push, database):
    push("t1", ["one", "two"])
    assert await thread_and_lines(executor, '{traceId="t1"} |= "o"') == (LOOP, ["one", "two"])
    push("t9", ["abc", "xyz"])
    with opened(database.path) as connection:
        taken = connection.execute("SELECT entries_index, entries_text FROM block WHERE id = 2").fetchone()
        connection.execute("UPDATE block SET entries_index = ?, entries_text = ? WHERE id = 1", taken)
    assert await thread_and_lines(executor, '{traceId="t1"} |= "o"') == (LOOP, [])
    assert await thread_and_lines(executor, '{traceId="t1"} |= "y"') == (LOOP, ["xyz"])


def test_what_was_not_asked_for_lately_is_decoded_again():
    decoded = []

    def decode(data):
        decoded.append(data)
        return data.upper()

    cache = DecodedCache(bytes_max=100)

    def get(key, data=b""):
        return cache.get(key, data or key.encode(), 39, decode)

    assert [get("a"), get("b"), get("a")] == [b"A", b"B", b"A"]
    get("c")  # takes the place of b
    assert [get("a"), get("c"), get("b")] == [b"A", b"C", b"B"]
    assert decoded == [b"a", b"b", b"c", b"b"]
    assert get("b", b"other") == b"OTHER"
    assert [get("b", b"other"), get("c")] == [b"OTHER", b"C"]
    assert decoded[4:] == [b"other"]
    assert cache.get("large", b"large", 1000, decode) == b"LARGE"
    assert get("c") == b"C"


@given(before=st.binary(max_size=50), needle=st.binary(max_size=8), after=st.binary(max_size=50))
def test_a_text_is_seen_where_it_is(before, needle, after):
    assert is_in_text(needle, before + needle + after)
    assert is_in_text(needle, bytearray(before)) == (needle in before)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the thresholds are glibc's")
def test_a_search_takes_its_memory_from_what_the_one_before_it_freed(store, now_ns):
    for number in range(60):
        # As many bytes as a launch of 1,700 lines has: 290 KB.
        lines = [[now_ns - 10**9 + i, f"{number} {i} ".ljust(170, "x")] for i in range(1700)]
        assert store.push({"traceId": f"t{number}"}, lines).status == 204

    def faults():
        return int(Path(f"/proc/{store.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[7])

    def search():
        for number in range(60):
            assert store.entries(f'{{traceId="t{number}"}} |= "x y"', now_ns - 10**10, now_ns) == []

    search()
    before = faults()
    for _ in range(5):
        search()
    # Each would take 70 pages for its text, and give them back.
    assert (faults() - before) / 300 < 20
