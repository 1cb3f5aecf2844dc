"""Tail, labels, the store's own pages, backup, and what Grafana's Loki data source asks."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time

import aiohttp
import pytest
from support.database import opened
from support.store_process import StoreProcess

SECOND = 10**9
HOUR = 3600 * SECOND


# ---- tail


async def follow(store, query, **params):
    """Connect a tail; return its session and socket."""
    session = aiohttp.ClientSession()
    url = store.url + "/loki/api/v1/tail"
    return session, await session.ws_connect(url, params={"query": query, **{k: str(v) for k, v in params.items()}})


async def received(socket, count):
    """Return (line, labels) of the next entries, at least count."""
    found = []
    while len(found) < count:
        message = json.loads((await asyncio.wait_for(socket.receive(), 30)).data)
        found += [(v[1], s["stream"]) for s in message["streams"] for v in s["values"]]
    return found


async def push(store, *args):
    answer = await asyncio.to_thread(store.push, *args)
    assert answer.status == 204


async def test_a_tail_begins_with_the_past_and_goes_on_with_what_comes(store, now_ns):
    await push(store, {"traceId": "t1"}, [[now_ns - 2, "first"], [now_ns - 1, "second"]])
    session, socket = await follow(store, '{traceId="t1"} != "noise" | level!="debug"')
    async with session:
        assert [line for line, _ in await received(socket, 2)] == ["first", "second"]
        await push(store, {"traceId": "t2"}, [[now_ns, "of another trace"]])
        await push(
            store,
            {"traceId": "t1"},
            [[now_ns, "third", {"level": "error"}], [now_ns + 1, "noise"], [now_ns + 2, "x", {"level": "debug"}]],
        )
        await push(store, {"traceId": "t1"}, [[now_ns, "third", {"level": "error"}], [now_ns + 3, "fourth"]])
        found = await received(socket, 2)
        assert [line for line, _ in found] == ["third", "fourth"]
        assert found[0][1] == {"traceId": "t1", "service_name": "unknown_service", "level": "error"}
        await socket.close()


async def test_a_tail_limits_its_past_to_the_newest_entries(store, now_ns):
    await push(store, {"traceId": "t1"}, [[now_ns - 100 + i, f"line {i}"] for i in range(50)])
    session, socket = await follow(store, '{traceId="t1"}', limit=3, start=now_ns - HOUR)
    async with session:
        assert [line for line, _ in await received(socket, 3)] == ["line 47", "line 48", "line 49"]
        await socket.close()


async def test_only_ten_tails_at_a_time(store):
    url, params = store.url + "/loki/api/v1/tail", {"query": '{a="b"}'}
    async with aiohttp.ClientSession() as session, contextlib.AsyncExitStack() as tails:

        def tail():
            return tails.enter_async_context(session.ws_connect(url, params=params))

        sockets = [await tail() for _ in range(10)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await tail()
        assert refused.value.status == 429
        await sockets[0].close()
        for _ in range(100):
            try:
                await tail()
                break
            except aiohttp.WSServerHandshakeError:
                await asyncio.sleep(0.05)
        else:
            pytest.fail("no tail was accepted after one had ended")


async def test_a_slow_reader_is_told_what_was_dropped():
    from tracetail.store.disk.block import Entries
    from tracetail.store.http.tail import WAITING_ENTRIES_MAX, Tail, messages, select
    from tracetail.store.ingest.writer import Stored
    from tracetail.store.logql.parser import parse

    labels = (("traceId", "t1"),)
    tail = Tail(parse('{traceId="t1"}'))
    for start in (0, WAITING_ENTRIES_MAX, 2 * WAITING_ENTRIES_MAX):
        times = list(range(start, start + WAITING_ENTRIES_MAX))
        tail.enqueue(Stored(labels, Entries(times, [b"x"] * len(times), [0] * len(times), [()])))
    stored, dropped = await tail.next_batch()
    sent = [json.loads(m) for m in messages(select(tail.query, stored), dropped)]
    assert sum(len(s["values"]) for m in sent for s in m["streams"]) == WAITING_ENTRIES_MAX
    lost = [entry for m in sent for entry in m["dropped_entries"] or ()]
    assert lost[-1] == {"labels": {"traceId": "t1"}, "timestamp": str(3 * WAITING_ENTRIES_MAX - 1)}
    assert len(lost) == 100


async def test_a_tail_does_not_keep_the_store_from_ending(store):
    session, socket = await follow(store, '{a="b"}')
    async with session:
        await asyncio.to_thread(store.stop)
        assert (await asyncio.wait_for(socket.receive(), 30)).type in (
            aiohttp.WSMsgType.CLOSE,
            aiohttp.WSMsgType.CLOSED,
        )


@pytest.mark.parametrize("query", ["", "{}", 'rate({a="b"}[1m])', '{a="b"} | line_format "x"'])
def test_a_tail_of_no_log_query_is_a_400(shared_store, query):
    assert shared_store.call("GET", "/loki/api/v1/tail", {"query": query}).status == 400


def test_a_tail_without_a_websocket_is_a_400(shared_store):
    assert shared_store.call("GET", "/loki/api/v1/tail", {"query": '{a="b"}'}).status == 400


# ---- labels and series


def test_labels_and_series_are_those_of_the_time_asked_for(store, now_ns):
    store.push({"traceId": "new", "env": "test"}, [[now_ns, "x"]])
    store.push({"traceId": "old", "engine": "vllm"}, [[now_ns - 10 * HOUR, "x"]])

    def ask(path, **params):
        return store.call("GET", f"/loki/api/v1/{path}", params).json().get("data")

    late = {"start": now_ns - HOUR, "end": now_ns + HOUR}
    assert ask("labels", **late) == ["env", "service_name", "traceId"]
    assert ask("labels") == ["env", "service_name", "traceId"]
    assert ask("labels", since="12h") == ["engine", "env", "service_name", "traceId"]
    assert ask("label/traceId/values", **late) == ["new"]
    assert ask("label/traceId/values", start=now_ns - 11 * HOUR, end=now_ns) == ["new", "old"]
    assert ask("label/traceId/values", since="12h", query='{engine="vllm"}') == ["old"]
    assert ask("label/none/values") is None
    assert ask("series", **late) == [{"env": "test", "service_name": "unknown_service", "traceId": "new"}]
    assert [
        s["traceId"] for s in ask("series", since="12h", **{"match[]": ['{traceId=~"n.+"}', '{engine="vllm"}']})
    ] == [
        "old",
        "new",
    ]


def test_queries_may_be_posted_as_forms(store, now_ns):
    store.push({"traceId": "t1"}, [[now_ns, "x"]])
    form = f"query=%7BtraceId%3D%22t1%22%7D&start={now_ns - HOUR}&end={now_ns + HOUR}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = store.call("POST", "/loki/api/v1/query_range", body=form, headers=headers)
    assert answer.json()["data"]["result"][0]["values"] == [[str(now_ns), "x"]]


# ---- what Grafana's Loki data source asks


def test_grafana_health_check(shared_store):
    answer = shared_store.call("GET", "/loki/api/v1/query", {"query": "vector(1)+vector(1)", "time": "4000000000"})
    assert answer.json()["data"] == {
        "resultType": "vector",
        "result": [{"metric": {}, "value": [4000000000, "2"]}],
        "stats": {},
    }
    assert shared_store.call("GET", "/loki/api/v1/status/buildinfo").json()["version"]


def test_grafana_log_query_with_histogram_and_label_browser(store, now_ns):
    minute = 60 * SECOND
    base = now_ns // minute * minute - 10 * minute
    store.push(
        {"traceId": "t1"},
        [[base + i * 10 * SECOND, f"line {i}", {"level": "error" if i % 3 == 0 else "info"}] for i in range(12)],
    )
    window = {"start": base, "end": base + 3 * minute}
    log_query = {
        "query": '{traceId="t1"} |= `line`',
        "direction": "backward",
        "limit": 1000,
        "step": "500ms",
    } | window
    flags = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
    answer = store.call("GET", "/loki/api/v1/query_range", log_query, headers=flags)
    assert sum(len(s["values"]) for s in answer.json()["data"]["result"]) == 12
    histogram = 'sum by (level, detected_level) (count_over_time({traceId="t1"} |= `line` | drop __error__[1m]))'
    answer = store.call("GET", "/loki/api/v1/query_range", {"query": histogram, "step": "60000ms"} | window)
    assert {s["metric"]["level"]: s["values"] for s in answer.json()["data"]["result"]} == {
        "error": [[base // SECOND, "1"], [base // SECOND + 60, "2"], [base // SECOND + 120, "1"]],
        "info": [[base // SECOND + 60, "4"], [base // SECOND + 120, "4"]],
    }
    answer = store.call(
        "GET", "/loki/api/v1/label/traceId/values", {"query": '{service_name="unknown_service"}'} | window
    )
    assert answer.json()["data"] == ["t1"]


def test_metric_queries_are_aligned_to_their_step(store, now_ns):
    """As Loki's query frontend does: start is rounded down, end up."""
    base = now_ns // (60 * SECOND) * 60 - 600
    store.push({"traceId": "t1"}, [[(base + 30) * SECOND, "x"]])
    params = {"query": 'count_over_time({traceId="t1"}[1m])', "start": base + 7, "end": base + 67, "step": 60}
    result = store.call("GET", "/loki/api/v1/query_range", params).json()["data"]["result"]
    assert [s["values"] for s in result] == [[[base + 60, "1"]]]


# ---- about the store


def test_metrics_count_what_was_stored_and_asked(store, now_ns):
    values = [[now_ns, "x"], [now_ns + 1, "y"]]
    store.push({"traceId": "t1"}, values)
    store.push({"traceId": "t1"}, values)
    store.push({"traceId": "t1"}, [[now_ns - 9 * 24 * HOUR, "old"]])
    store.query_range('{traceId="t1"}', now_ns - HOUR, now_ns + HOUR)
    page = store.call("GET", "/metrics").text
    for line in (
        "tracetail_store_entries_total 2.0",
        "tracetail_store_text_bytes_total 2.0",
        "tracetail_store_duplicates_total 2.0",
        "tracetail_store_refused_total 1.0",
        "tracetail_store_pushes_total 3.0",
        'tracetail_store_request_seconds_count{path="/loki/api/v1/push",status="204"} 2.0',
        'tracetail_store_request_seconds_count{path="/loki/api/v1/query_range",status="200"} 1.0',
        "process_resident_memory_bytes",
    ):
        assert line in page


# ---- backup


def back_up(store, target):
    return subprocess.run(
        [sys.executable, "-m", "tracetail", "store", "backup", str(target)],
        env=store.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_backup_made_while_the_store_is_written_to_can_be_restored(store, now_ns, tmp_path):
    target = tmp_path / "backup.db"
    acknowledged = 0
    process = None
    deadline = time.monotonic() + 60
    while process is None or process.poll() is None:
        assert store.push({"traceId": "t1"}, [[now_ns + acknowledged, f"line {acknowledged}"]]).status == 204
        acknowledged += 1
        if acknowledged == 50:
            process = subprocess.Popen(
                [sys.executable, "-m", "tracetail", "store", "backup", str(target)], env=store.environment()
            )
        assert time.monotonic() < deadline
    assert process.wait() == 0
    restored = StoreProcess(tmp_path / "restored")
    restored.database.parent.mkdir(parents=True)
    target.rename(restored.database)
    with restored:
        found = [line for _, line, _ in restored.entries('{traceId="t1"}', now_ns - HOUR, now_ns + HOUR)]
    assert 50 <= len(found) <= acknowledged
    assert found == [f"line {n}" for n in range(len(found))]


def test_a_backup_overwrites_nothing_and_needs_a_database(store, tmp_path):
    existing = tmp_path / "precious"
    existing.write_text("mine")
    refused = back_up(store, existing)
    assert (refused.returncode, existing.read_text()) == (1, "mine")
    assert "does not overwrite" in refused.stderr
    refused = back_up(StoreProcess(tmp_path / "nowhere"), tmp_path / "new")
    assert (refused.returncode, "there is no database" in refused.stderr) == (1, True)
    assert not (tmp_path / "new").exists()


def test_a_backup_is_a_sound_database(store, now_ns, tmp_path):
    store.push({"traceId": "t1"}, [[now_ns, "x"]])
    assert back_up(store, tmp_path / "copy.db").returncode == 0
    with opened(tmp_path / "copy.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
