"""Requests that exceed a limit, or are invalid."""

import gzip
import json
import urllib.parse
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import cramjam
import pytest
from support.waiting import wait_for

from tracetail.store.http.query_executor import METRIC_THREADS, QUERIES_WAITING_MAX

SECOND = 10**9
HOUR = 3600 * SECOND
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


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


def test_decompression_bombs_are_refused_and_use_little_memory(store):
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


def test_queries_over_the_limit_of_waiting_queries_get_429(make_store, now_ns):
    store = make_store()
    fill(store, now_ns, 20, 2000, size=200)
    slow = 'sum(count_over_time({traceId=~".+"} |~ "(x+x+)+y" [1m]))'
    statuses = set()

    def some_are_refused():
        # Repeatedly: a store that has the machine to itself may answer as fast as many clients ask.
        with ThreadPoolExecutor(2 * QUERIES_WAITING_MAX) as pool:
            asked = [
                pool.submit(store.query_range, slow, now_ns - HOUR, now_ns + HOUR, step="60s")
                for _ in range(2 * QUERIES_WAITING_MAX)
            ]
            statuses.update(one.result().status for one in asked)
        return 429 in statuses

    wait_for(some_are_refused)
    assert statuses == {200, 429}


def test_log_queries_are_not_delayed_by_metric_queries(make_store, now_ns):
    store = make_store()
    fill(store, now_ns, 20, 2000, size=500)
    slow = 'sum(count_over_time({traceId=~".+"} |~ "(x+x+)+y" [1m]))'
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(store.query_range, slow, now_ns - HOUR, now_ns + HOUR, step="60s") for _ in range(20)]
        wait(asked, return_when=FIRST_COMPLETED)
        assert store.query_range('{traceId="t1"}', now_ns - HOUR, now_ns + HOUR, limit=10).status == 200
        # If the log query had waited for the metric queries, all would be done but those that run at the same time.
        assert sum(one.done() for one in asked) < len(asked) - METRIC_THREADS
        assert {one.result().status for one in asked} == {200}


def test_a_client_that_disconnects_cancels_its_query(make_store, now_ns):
    import socket

    store = make_store()
    fill(store, now_ns, 100, 200, size=500)
    host, port = store.url.removeprefix("http://").split(":")
    query = (
        "/loki/api/v1/query?query=sum(count_over_time(%7BtraceId%3D~%22.%2B%22%7D%7C~%22(x%2Bx%2B)%2By%22%5B2h%5D))"
    )

    def a_query_was_cancelled():
        # Each time anew: on a busy machine the store may have the answer before the client has gone.
        with socket.create_connection((host, int(port))) as client:
            client.sendall(f"GET {query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return b'status="499"' in store.call("GET", "/metrics").body

    wait_for(a_query_was_cancelled)


def test_a_very_long_query_is_answered(shared_store, now_ns):
    query = '{traceId="t1"}' + ' |= "x"' * 9000
    assert shared_store.query_range(query, now_ns - HOUR, now_ns).status == 200
    form = urllib.parse.urlencode({"query": query})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert shared_store.call("POST", "/loki/api/v1/query_range", body=form, headers=headers).status == 200


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
def test_invalid_parameters_get_400(shared_store, params):
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
def test_times_at_the_limits_of_64_bits_are_accepted(shared_store, path, params):
    answer = shared_store.call("GET", f"/loki/api/v1/{path}", params)
    assert answer.status == 200, answer


def test_unknown_paths_get_a_404_that_names_loki(shared_store):
    for path in ("/loki/api/v1/patterns", "/loki/api/v1/index/volume", "/api/prom/push", "/nope"):
        answer = shared_store.call("GET", path)
        assert (answer.status, "Loki" in answer.text) == (404, True)
    wrong = shared_store.call("GET", "/loki/api/v1/push")
    assert (wrong.status, "only POST" in wrong.text) == (405, True)


def test_the_store_stays_ready_after_a_thousand_corrupted_requests(shared_store, now_ns):
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
