"""Crashes, full disks, and requests that ask for too much."""

import gzip
import json
import resource
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import cramjam
import pytest
from support.database import opened
from support.store_process import READY_LINE, StoreProcess

SECOND = 10**9
HOUR = 3600 * SECOND
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


def lines(store, trace_id, now_ns):
    """Return all lines of a trace, read page by page."""
    found, start = [], now_ns - HOUR
    while True:
        page = store.entries(f'{{traceId="{trace_id}"}}', start, now_ns + HOUR)
        found += [line for _, line, _ in page]
        if len(page) < 5000:
            return found
        start = page[-1][0] + 1


# ---- crashes


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
def test_what_was_acknowledged_survives_kill_9_in_the_middle_of_pushing(make_store, now_ns, kills):
    store = make_store()
    acknowledged = set()
    sent = 0
    for kill in range(kills):
        threading.Timer(0.05 + 0.02 * (kill % 10), store.process.kill).start()
        while True:
            values = [[now_ns + sent * 100 + i, f"line {sent * 100 + i}"] for i in range(100)]
            sent += 1
            try:
                answer = store.push({"traceId": "t1"}, values, timeout=30)
            except OSError:
                break
            assert answer.status == 204
            acknowledged.update(v[1] for v in values)
        store.kill()
        store.start()
    found = lines(store, "t1", now_ns)
    assert len(found) == len(set(found))
    assert acknowledged <= set(found)
    # A push is stored as a whole or not at all.
    assert len(found) % 100 == 0
    store.stop()
    with opened(store.database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_push_that_is_queued_when_the_store_is_told_to_stop_is_still_answered(store, now_ns):
    with ThreadPoolExecutor(8) as pool:
        pushes = [
            pool.submit(
                store.push, {"traceId": "t1"}, [[now_ns + n, f"line {n}"] for n in range(i * 500, i * 500 + 500)]
            )
            for i in range(40)
        ]
        pushes[0].result()
        store.process.send_signal(signal.SIGTERM)
        statuses = [push.exception() or push.result().status for push in pushes]
    assert store._ended() == 0
    store.start()
    assert len(lines(store, "t1", now_ns)) >= 500 * sum(status == 204 for status in statuses)


# ---- full disks


def push_until_refused(store, trace_id, now_ns):
    """Push lines that do not compress until the store refuses; return the acknowledged lines and the refusal."""
    acknowledged = []
    for n in range(1000):
        line = secrets.token_hex(50_000)
        answer = store.push({"traceId": trace_id}, [[now_ns + n, line]])
        if answer.status != 204:
            return acknowledged, answer
        acknowledged.append(line)
    raise AssertionError("the disk never became full")


def test_a_file_that_may_not_grow_is_a_503_and_the_store_recovers(store, now_ns):
    limit = 3_000_000
    resource.prlimit(store.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    acknowledged, refusal = push_until_refused(store, "t1", now_ns)
    assert refusal.status == 503
    assert "could not be stored" in refusal.text
    assert lines(store, "t1", now_ns) == acknowledged
    resource.prlimit(store.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert store.push({"traceId": "t1"}, [[now_ns + HOUR // 2, "space again"]]).status == 400
    assert store.push({"traceId": "t1"}, [[now_ns + SECOND, "space again"]]).status == 204
    assert lines(store, "t1", now_ns) == [*acknowledged, "space again"]


class StoreOnSmallDisk(StoreProcess):
    """A store whose state is on a file system of a few megabytes, in a mount namespace of its own."""

    def start(self):
        self.state_dir.mkdir()
        script = f'mount -t tmpfs -o size=4m tmpfs "{self.state_dir}" && exec "$@"'
        self.process = subprocess.Popen(
            ["unshare", "-rm", "sh", "-c", script, "sh", sys.executable, "-m", "tracetail", "store"],
            env=self.environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self.process.stdout.readline().removeprefix(READY_LINE).strip()
        return self

    def on_disk(self, name):
        """Return a path on the store's file system as seen from here."""
        return Path(f"/proc/{self.process.pid}/root{self.state_dir}/{name}")


@pytest.fixture
def store_on_small_disk(tmp_path):
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("needs unshare and user namespaces, to mount a small file system")
    with StoreOnSmallDisk(tmp_path / "small") as store:
        yield store


def test_a_full_disk_is_a_503_that_says_so_and_the_store_recovers(store_on_small_disk, now_ns):
    store = store_on_small_disk
    ballast = store.on_disk("ballast")
    ballast.write_bytes(b"\0" * 1_000_000)
    acknowledged, refusal = push_until_refused(store, "t1", now_ns)
    assert refusal.status == 503
    assert "full" in refusal.text
    assert lines(store, "t1", now_ns) == acknowledged
    ballast.unlink()
    assert store.push({"traceId": "t1"}, [[now_ns + SECOND, "space again"]]).status == 204
    assert lines(store, "t1", now_ns) == [*acknowledged, "space again"]


# ---- other people's files


def test_a_database_of_a_newer_version_is_left_alone(store, now_ns, tmp_path):
    store.push({"traceId": "t1"}, [[now_ns, "x"]])
    store.stop()
    with opened(store.database) as connection:
        connection.execute("PRAGMA user_version = 99")
    refused = run(store)
    assert refused.returncode == 1
    assert "newer tracetail (schema 99" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("content", [b"this is not a database at all, but some text" * 100, None])
def test_a_file_that_is_no_store_is_left_alone(tmp_path, content):
    store = StoreProcess(tmp_path)
    store.database.parent.mkdir(parents=True)
    if content is None:
        with opened(store.database) as connection:
            connection.execute("CREATE TABLE theirs (x)")
    else:
        store.database.write_bytes(content)
    before = store.database.read_bytes()
    refused = run(store)
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1
    assert store.database.read_bytes() == before


def run(store):
    return subprocess.run(
        [sys.executable, "-m", "tracetail", "store"],
        env=store.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("damage", ["entries_index = x'00'", "entries_text = x'00'", "entries_index = x''"])
def test_a_damaged_block_is_said_so_and_the_rest_is_answered(store, now_ns, damage):
    store.push({"traceId": "t1"}, [[now_ns, "x"]])
    store.push({"traceId": "t2"}, [[now_ns, "y"]])
    with opened(store.database) as connection:
        connection.execute(f"UPDATE block SET {damage} WHERE id = 1")
    answer = store.query_range('{traceId="t1"}', now_ns - HOUR, now_ns + HOUR)
    assert (answer.status, "damaged" in answer.text) == (500, True)
    assert lines(store, "t2", now_ns) == ["y"]
    assert store.push({"traceId": "t1"}, [[now_ns + 1, "z"]]).status == 204


# ---- requests that ask for too much


def test_a_body_over_the_limit_is_a_413(make_store):
    store = make_store(max_body_mb=1)
    large = b" " * 1_100_000
    assert store.call("POST", "/loki/api/v1/push", body=large, headers=JSON).status == 413
    assert store.call("POST", "/loki/api/v1/push", body=iter([large]), headers=JSON | CHUNKED).status == 413
    packed = gzip.compress(large)
    assert (
        store.call("POST", "/loki/api/v1/push", body=packed, headers=JSON | {"Content-Encoding": "gzip"}).status
        == 413
    )
    snapped = bytes(cramjam.snappy.compress_raw(large))
    assert store.call("POST", "/loki/api/v1/push", body=snapped, headers=PROTOBUF).status == 413
    assert store.call("GET", "/ready").status == 200


CHUNKED = {"Transfer-Encoding": "chunked"}


def test_bombs_are_refused_and_need_little_memory(store):
    import psutil

    process = psutil.Process(store.process.pid)
    store.call("GET", "/ready")
    before = process.memory_info().rss
    claims_4_gb = b"\xff\xff\xff\xff\x0f" + b"\0" * 100
    assert store.call("POST", "/loki/api/v1/push", body=claims_4_gb, headers=PROTOBUF).status == 413
    claims_90_mb = b"\x80\x80\x80\x2d" + b"\0" * 100
    assert store.call("POST", "/loki/api/v1/push", body=claims_90_mb, headers=PROTOBUF).status == 400
    bomb = gzip.compress(b" " * 300_000_000, 1)
    answer = store.call("POST", "/loki/api/v1/push", body=bomb, headers=JSON | {"Content-Encoding": "gzip"})
    assert answer.status == 413
    deep = b'{"streams": [{"values": [["1", "x", ' + b'{"a":' * 100_000
    assert store.call("POST", "/loki/api/v1/push", body=deep, headers=JSON).status == 400
    assert process.memory_info().rss - before < 250_000_000


def fill(store, now_ns, streams, entries, size=10):
    for n in range(streams):
        values = [[now_ns + i, f"{i} " + "x" * size] for i in range(entries)]
        assert store.push({"traceId": f"t{n}", "n": str(n % 7)}, values).status == 204


def test_a_query_over_everything_is_bounded_in_entries_series_and_points(shared_store, now_ns):
    fill(shared_store, now_ns, 600, 1)
    everything = '{traceId=~".+"}'
    start, end = now_ns - HOUR, now_ns + HOUR
    assert shared_store.query_range(everything, start, end, limit=5001).status == 400
    assert len(shared_store.entries(everything, start, end, limit=500)) == 500
    series = shared_store.query_range(f"count_over_time({everything}[1m])", start, end, step="60s")
    assert (series.status, "maximum number of series" in series.text) == (400, True)
    points = shared_store.query_range(f"sum(count_over_time({everything}[1m]))", start, end, step="0.1")
    assert (points.status, "11,000 points" in points.text) == (400, True)
    assert shared_store.query_range(f"sum(count_over_time({everything}[1m]))", start, end, step="60s").status == 200


def test_a_query_that_takes_too_long_is_a_504_that_names_the_limit(make_store, now_ns):
    store = make_store(query_timeout_seconds=0.000_01)
    fill(store, now_ns, 1, 10)
    answer = store.query_range('{traceId=~".+"}', now_ns - HOUR, now_ns + HOUR)
    assert answer.status == 504
    assert "query_timeout_seconds" in answer.text
    assert "Loki" in answer.text


def test_a_query_that_needs_too_much_memory_is_a_400_that_names_the_limit(make_store, now_ns):
    store = make_store(query_memory_mb=1)
    fill(store, now_ns, 1, 30, size=50_000)
    answer = store.query_range('{traceId="t0"}', now_ns - HOUR, now_ns + HOUR)
    assert answer.status == 400
    assert "query_memory_mb" in answer.text
    assert store.query_range('{traceId="t0"}', now_ns - HOUR, now_ns + HOUR, limit=5).status == 200


def test_queries_beyond_what_may_wait_are_a_429(make_store, now_ns):
    from tracetail.store.http.query_executor import QUERIES_WAITING_MAX

    store = make_store()
    fill(store, now_ns, 20, 2000, size=200)
    slow = 'sum(count_over_time({traceId=~".+"} |~ "(x+x+)+y" [1m]))'
    with ThreadPoolExecutor(2 * QUERIES_WAITING_MAX) as pool:
        asked = [
            pool.submit(store.query_range, slow, now_ns - HOUR, now_ns + HOUR, step="60s")
            for _ in range(2 * QUERIES_WAITING_MAX)
        ]
        statuses = {one.result().status for one in asked}
    assert statuses == {200, 429}


def test_lines_are_answered_while_metric_queries_run_and_wait(make_store, now_ns):
    store = make_store()
    fill(store, now_ns, 20, 2000, size=500)
    slow = 'sum(count_over_time({traceId=~".+"} |~ "(x+x+)+y" [1m]))'
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(store.query_range, slow, now_ns - HOUR, now_ns + HOUR, step="60s") for _ in range(20)]
        wait(asked, return_when=FIRST_COMPLETED)
        assert store.query_range('{traceId="t1"}', now_ns - HOUR, now_ns + HOUR, limit=10).status == 200
        # Had the lines stood in the queue behind all of the counting, hardly any of it would be left to do.
        assert sum(one.done() for one in asked) < len(asked) / 2
        assert {one.result().status for one in asked} == {200}


def test_a_client_that_goes_away_ends_its_query(make_store, now_ns):
    import socket

    store = make_store()
    fill(store, now_ns, 100, 200, size=500)
    host, port = store.url.removeprefix("http://").split(":")
    query = (
        "/loki/api/v1/query?query=sum(count_over_time(%7BtraceId%3D~%22.%2B%22%7D%7C~%22(x%2Bx%2B)%2By%22%5B2h%5D))"
    )
    with socket.create_connection((host, int(port))) as client:
        client.sendall(f"GET {query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    deadline = time.monotonic() + 60
    while b'status="499"' not in store.call("GET", "/metrics").body:
        assert time.monotonic() < deadline


def test_a_very_long_query_is_answered(shared_store, now_ns):
    query = '{traceId="t1"}' + ' |= "x"' * 9000
    assert shared_store.query_range(query, now_ns - HOUR, now_ns).status == 200
    form = urllib.parse.urlencode({"query": query})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert shared_store.call("POST", "/loki/api/v1/query_range", body=form, headers=headers).status == 200


# ---- nonsense


@pytest.mark.parametrize(
    "params",
    [
        {"query": '{a="b"}', "start": "x"},
        {"query": '{a="b"}', "start": "99999999999999999999"},
        {"query": '{a="b"}', "end": "1e400"},
        {"query": '{a="b"}', "start": "NaN.0"},
        {"query": '{a="b"}', "start": "2026-13-45T99:99:99Z"},
        {"query": '{a="b"}', "limit": "-1"},
        {"query": '{a="b"}', "limit": "0"},
        {"query": '{a="b"}', "limit": "9" * 30},
        {"query": '{a="b"}', "since": "soon"},
        {"query": 'rate({a="b"}[1m])', "step": "0"},
        {"query": 'rate({a="b"}[1m])', "step": "-5"},
        {"query": 'rate({a="b"}[1m])', "step": "1e30"},
        {"query": 'rate({a="b"}[1m])', "step": "abc"},
        {"query": "\0"},
        {"query": '{a=~"' + "(a{1000}){1000}" + '"}'},
        {"query": '{a="b"} |~ "' + "(" * 2000 + '"'},
    ],
)
def test_nonsense_is_a_400(shared_store, params):
    answer = shared_store.call("GET", "/loki/api/v1/query_range", params)
    assert answer.status == 400, answer
    assert answer.text.strip()


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("query", {"query": 'rate({a="b"}[99999y])', "time": str(2**63 - 1)}),
        ("query", {"query": 'rate({a="b"}[1m] offset -99999y)', "time": str(2**63 - 1)}),
        ("query_range", {"query": 'rate({a="b"}[1m])', "start": str(2**63 - 3), "end": str(2**63 - 1), "step": "1s"}),
        ("query_range", {"query": '{a="b"}', "since": "99999y"}),
        ("labels", {"start": str(1 - 2**63), "end": str(2**63 - 1)}),
        ("labels", {"since": "99999y"}),
        ("label/a/values", {"since": "99999y", "end": str(2**63 - 1)}),
        ("series", {"since": "99999y", "end": str(2**63 - 1)}),
    ],
)
def test_times_at_the_ends_of_the_world_are_answered(shared_store, path, params):
    answer = shared_store.call("GET", f"/loki/api/v1/{path}", params)
    assert answer.status == 200, answer


def test_unknown_paths_are_a_404_that_names_loki(shared_store):
    for path in ("/loki/api/v1/patterns", "/loki/api/v1/index/volume", "/api/prom/push", "/nope"):
        answer = shared_store.call("GET", path)
        assert (answer.status, "Loki" in answer.text) == (404, True)
    wrong = shared_store.call("GET", "/loki/api/v1/push")
    assert (wrong.status, "only POST" in wrong.text) == (405, True)


def test_a_thousand_broken_requests_leave_the_store_well(shared_store, now_ns):
    import random

    rng = random.Random(7)
    good = json.dumps({"streams": [{"stream": {"a": "b"}, "values": [[str(now_ns), "x", {"k": "v"}]]}]}).encode()
    for n in range(1000):
        body = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        headers = rng.choice((JSON, PROTOBUF, JSON | {"Content-Encoding": "gzip"}, {"Content-Type": "x"}))
        answer = shared_store.call(
            "POST", "/loki/api/v1/push", body=bytes(body[: rng.randrange(len(body))]), headers=headers
        )
        assert answer.status in (204, 400, 413, 422), (n, body, answer)
    assert shared_store.call("GET", "/ready").status == 200
