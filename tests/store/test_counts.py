"""Histograms are answered from the counts that are kept with each block, after deletions and upgrades, too."""

import gzip
from pathlib import Path

import pytest
from support.database import opened
from support.waiting import wait_for

SECOND = 10**9
MINUTE = 60 * SECOND
LINES = 1000
SCHEMA_1 = Path(__file__).parents[1] / "data" / "store" / "schema-1.db.gz"
"""Made by the version before counts: traces t1 and t2, 600 lines each, ten a second, every seventh an error."""
SCHEMA_1_START = 1_795_350_000 * SECOND


def push_counted(store, trace_id, start_ns):
    """Push a block of LINES lines, one a tenth of a second, every fourth an error."""
    values = [
        [
            start_ns + i * SECOND // 10,
            f"line {i}",
            {"level": "info" if i % 4 else "error", "request_id": f"r{i}"},
        ]
        for i in range(LINES)
    ]
    assert store.push({"traceId": trace_id}, values).status == 204


def by_level(store, trace_id, start_ns, end_ns, step="60s", filters=""):
    """Return the number of lines in all steps, by level."""
    query = f'sum by (level) (count_over_time({{traceId="{trace_id}"}}{filters} [{step}]))'
    answer = store.query_range(query, start_ns, end_ns, step=step)
    assert answer.status == 200, answer.text
    return {
        series["metric"].get("level", ""): sum(int(value) for _, value in series["values"])
        for series in answer.json()["data"]["result"]
    }


def destroy_blocks(store):
    """Make every block unreadable, so that only what is kept beside them can be answered."""
    with opened(store.database) as connection:
        connection.execute("UPDATE block SET entries_index = x'00', entries_text = x'00'")


@pytest.fixture
def start_ns(now_ns):
    return now_ns // MINUTE * MINUTE - 10 * MINUTE + SECOND // 20


@pytest.mark.parametrize("step", ["60s", "5s", "1s"])
def test_a_histogram_by_level_does_not_read_the_blocks(store, start_ns, step):
    push_counted(store, "t1", start_ns)
    destroy_blocks(store)
    end_ns = start_ns + 3 * MINUTE
    assert by_level(store, "t1", start_ns, end_ns, step) == {"error": LINES // 4, "info": LINES * 3 // 4}
    assert by_level(store, "t1", start_ns, end_ns, step, '| level="error"') == {"error": LINES // 4}
    assert by_level(store, "t1", start_ns, end_ns, step, '| kind!="event"') == {
        "error": LINES // 4,
        "info": LINES * 3 // 4,
    }


def test_what_is_not_counted_by_is_counted_in_the_blocks(store, start_ns):
    push_counted(store, "t1", start_ns)
    end_ns = start_ns + 3 * MINUTE
    assert by_level(store, "t1", start_ns, end_ns, filters='| request_id="r8"') == {"error": 1}
    assert by_level(store, "t1", start_ns, end_ns, filters='|= "line 99"') == {"error": 2, "info": 9}
    # The buckets of this block are 1 s wide: ranges of 130 ms do not begin and end with them.
    assert sum(by_level(store, "t1", start_ns, end_ns, "130ms").values()) == LINES


def test_counts_are_deleted_with_their_blocks(make_store, start_ns):
    store = make_store(retention_gb=0.000001)
    push_counted(store, "t1", start_ns)
    push_counted(store, "t2", start_ns)

    def rows():
        with opened(store.database, read_only=True) as connection:
            tables = ("block", "block_counts", "block_filter")
            return [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]

    wait_for(lambda: rows() == [0, 0, 0], 60)


def test_a_database_of_the_version_before_counts_is_read_and_gets_them_for_new_lines(make_store, tmp_path):
    path = tmp_path / "state" / "store" / "store.db"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.decompress(SCHEMA_1.read_bytes()))
    store = make_store(reject_older_than_days=0, reject_newer_than_minutes=0, retention_days=0)
    start, end = SCHEMA_1_START, SCHEMA_1_START + 3 * MINUTE
    assert by_level(store, "t1", start, end) == {"error": 86, "info": 514}
    found = store.entries('{traceId="t2"} |= "line 59"', start, end)
    assert [line for _, line, _ in found] == [f"line {i} of t2" for i in (59, *range(590, 600))]
    push_counted(store, "t1", start + MINUTE)
    assert by_level(store, "t1", start, end + MINUTE) == {"error": 86 + LINES // 4, "info": 514 + LINES * 3 // 4}
    store.stop()
    with opened(store.database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM block_counts").fetchone() == (1,)
