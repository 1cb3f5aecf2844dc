"""The read API: labels, series, forms, the requests of Grafana's Loki data source, and the metrics."""

SECOND = 10**9
HOUR = 3600 * SECOND


def test_labels_and_series_are_those_of_the_requested_time_range(store, now_ns):
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
    """As in Loki's query frontend, start is rounded down and end up."""
    base = now_ns // (60 * SECOND) * 60 - 600
    store.push({"traceId": "t1"}, [[(base + 30) * SECOND, "x"]])
    params = {"query": 'count_over_time({traceId="t1"}[1m])', "start": base + 7, "end": base + 67, "step": 60}
    result = store.call("GET", "/loki/api/v1/query_range", params).json()["data"]["result"]
    assert [s["values"] for s in result] == [[[base + 60, "1"]]]


def test_metrics_count_pushes_and_requests(store, now_ns):
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
