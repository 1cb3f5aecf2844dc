"""Pushed entries are stored once and in order, across restarts, merges and retention."""

import itertools
import secrets
import sqlite3
import time
from contextlib import closing

import pytest
from support.database import opened
from support.waiting import wait_for

from tracetail.store.disk.block import Entries
from tracetail.store.disk.database import BUSY_TIMEOUT_SECONDS, Database
from tracetail.store.disk.reader import Reader
from tracetail.store.ingest import blocks, compaction, log_truncation, retention
from tracetail.store.ingest.limits import TimeWindow
from tracetail.store.ingest.log_truncation import LogTruncation
from tracetail.store.ingest.retention import Retention
from tracetail.store.ingest.stream import PushedStream
from tracetail.store.ingest.writer import Writer
from tracetail.store.logql.parser import parse
from tracetail.store.query.budget import Budget
from tracetail.store.query.log_query import LogRequest, run_log_query

SECOND = 10**9
HOUR = 3600 * SECOND
QUERY = '{traceId="t1"}'


@pytest.fixture
def labels():
    """A stream that no other test of this module writes to."""
    return {"traceId": secrets.token_hex(8)}


def lines(store, labels, now_ns):
    found = store.entries(f'{{traceId="{labels["traceId"]}"}}', now_ns - 30 * HOUR, now_ns + HOUR)
    return [line for _, line, _ in found]


def test_repeated_pushes_are_stored_once_also_after_a_restart(store, labels, now_ns):
    values = [[now_ns + i, f"line {i % 3}", {"level": "info"}] for i in range(100)]
    for _ in range(3):
        assert store.push(labels, values).status == 204
    store.stop()
    store.start()
    assert store.push(labels, [*values[50:], [now_ns + 100, "new"]]).status == 204
    assert lines(store, labels, now_ns) == [v[1] for v in values] + ["new"]


def test_entries_differ_by_time_line_or_metadata(shared_store, labels, now_ns):
    values = [
        [now_ns, "a"],
        [now_ns, "b"],
        [now_ns, "a", {"k": "1"}],
        [now_ns, "a", {"k": "2"}],
        [now_ns + 1, "a"],
        [now_ns, "a", {"k": "1"}],
        [now_ns, "a"],
    ]
    assert shared_store.push(labels, values).status == 204
    assert shared_store.push(labels, values[::-1]).status == 204
    assert sorted(lines(shared_store, labels, now_ns)) == ["a", "a", "a", "a", "b"]


def test_late_entries_are_returned_in_order_of_time(shared_store, labels, now_ns):
    assert shared_store.push(labels, [[now_ns, "third"], [now_ns - 2 * SECOND, "first"]]).status == 204
    assert shared_store.push(labels, [[now_ns - SECOND, "second"]]).status == 204
    assert lines(shared_store, labels, now_ns) == ["first", "second", "third"]


def test_entries_too_far_behind_are_refused_and_the_others_stored(shared_store, labels, now_ns):
    assert shared_store.push(labels, [[now_ns, "newest"]]).status == 204
    refused = shared_store.push(
        labels, [[now_ns - 2 * HOUR, "old"], [now_ns + 1, "fine"], [now_ns - HOUR + SECOND, "late"]]
    )
    assert refused.status == 400
    assert "entry too far behind" in refused.text
    assert "total ignored: 1 out of 3" in refused.text
    assert lines(shared_store, labels, now_ns) == ["late", "newest", "fine"]
    # The same time is accepted in another stream.
    assert shared_store.push({"traceId": labels["traceId"] + "-2"}, [[now_ns - 2 * HOUR, "old"]]).status == 204


def test_too_far_behind_is_checked_entry_by_entry_as_in_loki(shared_store, labels, now_ns):
    """An old entry that precedes a new one in its request is accepted."""
    assert shared_store.push(labels, [[now_ns - 2 * HOUR, "old"], [now_ns, "new"]]).status == 204
    assert lines(shared_store, labels, now_ns) == ["old", "new"]


def test_too_old_too_new_and_too_long_entries_are_refused_and_the_others_stored(shared_store, labels, now_ns):
    refused = shared_store.push(
        labels,
        [
            [now_ns - 8 * 24 * HOUR, "ancient"],
            [now_ns + 11 * 60 * SECOND, "from the future"],
            [now_ns, "x" * 262_145],
            [now_ns, "m", {"k": "v" * 70_000}],
            [now_ns, "y" * 262_144],
            [2**63 - 1, "overflow"],
        ],
    )
    assert refused.status == 400
    for words in (
        "timestamp too old",
        "timestamp too new",
        "max entry size '262144'",
        "structured metadata too large",
    ):
        assert words in refused.text
    assert lines(shared_store, labels, now_ns) == ["y" * 262_144]


def test_times_outside_of_64_bits_are_refused_whatever_the_settings(make_store, labels, now_ns):
    store = make_store(reject_older_than_days=0, reject_newer_than_minutes=0)
    for bad in (2**63 - 1, -1, 2**64 + 5, -(2**70)):
        assert store.push(labels, [[bad, "x"], [now_ns, "fine"]]).status == 400
    assert lines(store, labels, now_ns) in (["fine"], [])


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({f"l{i}": "x" for i in range(16)}, "label names; limit 15"),
        ({f"l{i}": "x" for i in range(10_000)}, "label names; limit 15"),
        ({"a": "v" * 2049}, "label value too long"),
        ({"a" * 1025: "v"}, "label name too long"),
    ],
)
def test_a_stream_with_invalid_labels_is_refused_and_the_others_stored(shared_store, labels, now_ns, bad, words):
    refused = shared_store.push_json(
        {
            "streams": [
                {"stream": bad, "values": [[str(now_ns), "bad"]]},
                {"stream": labels, "values": [[str(now_ns), "good"]]},
            ]
        }
    )
    assert refused.status == 400
    assert words in refused.text
    assert lines(shared_store, labels, now_ns) == ["good"]


def test_lines_are_kept_byte_for_byte(shared_store, labels, now_ns):
    odd = [
        "",
        " ",
        "nul \0 inside",
        "cr \r inside",
        "lf \n inside",
        "\n",
        "模型加载完成 ✓",
        "\x1b[31mred",
        "tail \ufffd",
    ]
    assert shared_store.push(labels, [[now_ns + i, line] for i, line in enumerate(odd)]).status == 204
    assert lines(shared_store, labels, now_ns) == odd


# ---- the writer by itself, with small blocks and a clock of its own


class Clock:
    def __init__(self, now_ns):
        self.now_ns = now_ns

    def __call__(self):
        return self.now_ns


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "store.db")
    database.open()
    yield database
    database.close()


def stream(times, text="x", trace_id="t1"):
    entries = Entries(list(times), [f"{text} {t}".encode() for t in times], [0] * len(times), [(("level", "info"),)])
    return PushedStream((("traceId", trace_id),), entries)


def stored_times(database, query=QUERY):
    reader = Reader(database)
    with reader.snapshot() as snapshot:
        request = LogRequest(parse(query), 0, 2**62, 10**6, backward=False)
        found = [e.time for e in run_log_query(snapshot, request, Budget(60, 2**30))]
    reader.close()
    return found


def block_rows(database):
    with opened(database.path) as connection:
        return connection.execute("SELECT level, count FROM block ORDER BY id").fetchall()


def test_small_blocks_are_merged_without_loss(database):
    writer = Writer(database, TimeWindow(None, None), Retention(None, None))
    writer.start()
    for i in range(3 * compaction.MERGE_COUNT + 5):
        assert not writer.push([stream([1000 + i, 1001 + i])], 1).result(60)
    wait_for(lambda: len(block_rows(database)) == 3 + 5)
    writer.stop()
    assert [level for level, _ in block_rows(database)] == [1, 1, 1, 0, 0, 0, 0, 0]
    assert stored_times(database) == list(range(1000, 1000 + 3 * compaction.MERGE_COUNT + 6))
    assert writer.counts.duplicates == 3 * compaction.MERGE_COUNT + 4


def log_size(database):
    return database.path.with_name(database.path.name + "-wal").stat().st_size


def test_the_write_ahead_log_is_emptied_once_nothing_is_written(database, monkeypatch):
    monkeypatch.setattr(log_truncation, "IDLE_SECONDS", 0.0)
    writer = Writer(database, TimeWindow(None, None), Retention(None, None))
    writer.start()
    for round_number in range(2):
        assert not writer.push([stream([round_number])], 1).result(60)
        wait_for(lambda: log_size(database) == 0)
    assert stored_times(database) == [0, 1]
    writer.stop()


def test_a_query_that_reads_the_write_ahead_log_is_not_waited_for(database, monkeypatch):
    monkeypatch.setattr(log_truncation, "IDLE_SECONDS", 0.0)
    with closing(database.writer()) as connection, closing(Reader(database)) as reader:
        truncation = LogTruncation(connection)
        connection.execute("INSERT INTO stream (labels, first, last) VALUES ('[]', 0, 1)")
        with reader.snapshot() as snapshot:
            assert snapshot.label_names(0, 1) == []
            connection.execute("INSERT INTO stream (labels, first, last) VALUES ('[[]]', 0, 1)")
            started = time.monotonic()
            truncation.step()
            truncation.step()
            assert time.monotonic() - started < BUSY_TIMEOUT_SECONDS / 2
            assert log_size(database) > 0
        truncation.step()
        assert log_size(database) == 0
        truncation.step()


def test_a_large_push_is_divided_into_blocks(database, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(blocks, "BLOCK_FULL_BYTES", 1000)
    writer = Writer(database, TimeWindow(None, None), Retention(None, None))
    writer.start()
    assert not writer.push([stream(range(1000))], 1).result(60)
    writer.stop()
    assert len(block_rows(database)) > 3
    assert stored_times(database) == list(range(1000))


def test_entries_older_than_the_retention_and_their_streams_are_deleted(database, monkeypatch):
    monkeypatch.setattr(retention, "RETENTION_SECONDS", 0.05)
    clock = Clock(1000 * HOUR)
    writer = Writer(database, TimeWindow(None, None), Retention(24 * HOUR, None), clock_ns=clock)
    writer.start()
    assert not writer.push([stream([980 * HOUR]), stream([999 * HOUR], trace_id="t2")], 1).result(60)
    clock.now_ns = 1005 * HOUR
    wait_for(lambda: len(block_rows(database)) == 1)
    writer.stop()
    assert stored_times(database) == []
    assert stored_times(database, '{traceId="t2"}') == [999 * HOUR]
    with opened(database.path) as connection:
        assert connection.execute("SELECT count(*) FROM stream").fetchone() == (1,)
        assert connection.execute("SELECT DISTINCT value FROM label WHERE name = 'traceId'").fetchall() == [("t2",)]


def test_retention_deletes_in_small_steps_between_pushes(database, monkeypatch):
    monkeypatch.setattr(retention, "RETENTION_SECONDS", 0.0)
    clock = Clock(1000 * HOUR)
    writer = Writer(database, TimeWindow(None, None), Retention(24 * HOUR, None), clock_ns=clock)
    writer.start()
    for i in range(100):
        assert not writer.push([stream([1000 * HOUR], trace_id=f"old-{i}")], 1).result(60)
    later, pushes, answered, deleted = 1100 * HOUR, [], [], [0]
    step = retention.RetentionCleanup.step

    def push_and_step(cleanup):
        answered.append(all(push.done() for push in pushes))
        if deleted[-1] < 100:
            pushes.append(writer.push([stream([later + len(pushes)])], 1))
        has_more = step(cleanup)
        deleted.append(writer.counts.deleted_blocks)
        return has_more

    # In the writer's thread: between the pushes of another one it deletes as much as that one leaves it time for.
    monkeypatch.setattr(retention.RetentionCleanup, "step", push_and_step)
    clock.now_ns = later
    wait_for(lambda: deleted[-1] == 100)
    writer.stop()
    assert all(answered), "a push waits for one step, and not for another one"
    assert len(set(deleted)) > 4
    assert max(after - before for before, after in itertools.pairwise(deleted)) <= retention.RETENTION_BLOCKS
    assert not any(push.result(60) for push in pushes)
    assert stored_times(database) == [later + n for n in range(len(pushes))]


def test_the_oldest_entries_are_deleted_when_the_file_is_too_large(database, monkeypatch):
    import os

    monkeypatch.setattr(retention, "RETENTION_SECONDS", 0.0)
    size = 2_000_000
    writer = Writer(database, TimeWindow(None, None), Retention(None, size))
    writer.start()
    for i in range(80):
        entries = Entries([i * SECOND], [os.urandom(100_000).hex().encode()[:100_000]], [0], [()])
        assert not writer.push([PushedStream((("traceId", "t1"),), entries)], 1).result(60)
    wait_for(lambda: pages(database) <= size + 2 * retention.VACUUM_PAGES * 4096)
    writer.stop()
    kept = stored_times(database)
    assert 10 < len(kept) < 60
    assert kept == [i * SECOND for i in range(80 - len(kept), 80)]


def pages(database):
    with opened(database.path) as connection:
        [count] = connection.execute("PRAGMA page_count").fetchone()
    return count * 4096


def test_many_empty_lines_are_divided_into_blocks(database):
    writer = Writer(database, TimeWindow(None, None), Retention(None, None))
    writer.start()
    count = 200_000
    empty = PushedStream((("traceId", "t1"),), Entries(range(count), [b""] * count, [0] * count, [()]))
    assert not writer.push([empty], 1).result(60)
    writer.stop()
    assert all(entries <= blocks.BLOCK_BYTES // 16 for _, entries in block_rows(database))
    assert stored_times(database) == list(range(count))


def test_pushes_are_stored_while_maintenance_fails(database, monkeypatch):
    def fail(*_):
        raise sqlite3.OperationalError("no space for maintenance")

    monkeypatch.setattr(compaction.Compaction, "step", fail)
    writer = Writer(database, TimeWindow(None, None), Retention(None, None))
    writer.start()
    for i in range(40):
        assert not writer.push([stream([i])], 1).result(60)
    writer.check()
    writer.stop()
    assert stored_times(database) == list(range(40))


def test_a_store_whose_database_is_gone_leaves_that_of_the_next_store_alone(database):
    for file in database.path.parent.glob(f"{database.path.name}*"):
        file.unlink()
    following = Database(database.path)
    following.open()
    try:
        with closing(following.writer()) as connection:
            connection.execute("INSERT INTO stream (labels, first, last) VALUES ('[]', 0, 1)")
            database.close()
            with closing(following.reader()) as reader:
                assert reader.execute("SELECT count(*) FROM stream").fetchone() == (1,)
    finally:
        following.close()
