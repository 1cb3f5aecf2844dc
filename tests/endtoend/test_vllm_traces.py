"""Spans and lines of a real vLLM have the same ids, and Grafana's data sources lead from each to the other."""

import json
import re
import urllib.request
from pathlib import Path

import pytest
import yaml
from support import real_vllm
from support.environment import free_port
from support.span_receiver import SpanReceiver
from support.waiting import wait_for

from tracetail.loki import logql

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]
READY_SECONDS = 900
DATASOURCES = Path(__file__).parents[2] / "deploy/grafana/with-tempo/datasources/tracetail.yaml"
LAUNCH_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
REQUEST_TRACE = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
CLIENTS_SPAN = "00f067aa0ba902b7"


@pytest.fixture
def receiver():
    started = SpanReceiver()
    yield started
    started.close()


def complete(port):
    """Send one request of a client that is traced, as the pytest plugin does."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions",
        json.dumps({"model": "tiny-llama", "prompt": "hello", "max_tokens": 8}).encode(),
        {
            "Content-Type": "application/json",
            "traceparent": f"00-{REQUEST_TRACE}-{CLIENTS_SPAN}-01",
            "X-Request-Id": f"{REQUEST_TRACE}-1",
        },
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())


def derived(field, entry):
    """Return the trace that a derived field of Grafana's Loki data source finds for a line; None if it finds none."""
    if field.get("matcherType") == "label":
        return next(
            (value for name, value in entry.labels.items() if re.fullmatch(field["matcherRegex"], name)), None
        )
    found = re.search(field["matcherRegex"], entry.line)
    return found and found[1]


def lines_of_span(machine, tempo, span):
    """Return the lines that Grafana's *Logs for this span* asks Loki for."""
    back = tempo["jsonData"]["tracesToLogsV2"]
    labels = {tag["value"]: span.resource[tag["key"]] for tag in back["tags"]}
    start, end = (int(back[key].removesuffix("s")) * 10**9 for key in ("spanStartTimeShift", "spanEndTimeShift"))
    found = machine.entries("", logql.selector(labels))
    return [entry for entry in found if span.start_ns + start <= entry.time_ns <= span.end_ns + end]


def test_spans_lead_to_the_lines_of_their_launch_and_lines_to_the_spans_of_their_request(machine, receiver):
    python, model = real_vllm.environment()
    port = free_port()
    started = machine.tracetail(
        "start",
        seconds=READY_SECONDS + 60,
        modelName="tiny-llama",
        modelPath=str(model),
        servedName="tiny-llama",
        engine="vllm",
        pythonBin=str(python),
        port=port,
        host="127.0.0.1",
        args=[*real_vllm.ARGUMENTS, "--enable-log-requests", "--otlp-traces-endpoint", receiver.url],
        environ={
            **real_vllm.ENVIRON,
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        },
        readyTimeoutSec=READY_SECONDS,
        traceId=LAUNCH_TRACE,
    )
    print(started.stdout)
    assert started.returncode == 0, started.stdout + started.stderr
    assert complete(port)["choices"]
    (launch,) = machine.launches()
    record = launch.read()

    span = wait_for(lambda: next((one for one in receiver.spans if one.trace_id == REQUEST_TRACE), None), "the span")
    assert span.parent_id == CLIENTS_SPAN
    of_the_start = [one for one in receiver.spans if one.trace_id == LAUNCH_TRACE]
    ids = ("tracetail.launch_id", "tracetail.trace_id", "tracetail.instance_id", "service.name")
    wanted = [record["launchId"], LAUNCH_TRACE, record["instanceId"], "tiny-llama"]
    for one in (span, *of_the_start):
        assert [one.resource[name] for name in ids] == wanted

    received = wait_for(
        lambda: [entry for entry in machine.entries(LAUNCH_TRACE) if f"cmpl-{REQUEST_TRACE}" in entry.line],
        "the lines of the request",
    )
    labels = ("launchId", "traceId", "instanceId", "service_name")
    assert [received[0].labels[name] for name in labels] == wanted

    sources = {source["uid"]: source for source in yaml.safe_load(DATASOURCES.read_text())["datasources"]}
    fields = {field["name"]: field for field in sources["tracetail-loki"]["jsonData"]["derivedFields"]}
    tempo = sources[fields["Spans of the request"]["datasourceUid"]]
    assert {derived(fields["Spans of the request"], entry) for entry in received} == {span.trace_id}
    assert of_the_start, "spans of the start"
    assert {derived(fields["Spans of the launch"], entry) for entry in received} == {of_the_start[0].trace_id}
    assert set(received) <= set(lines_of_span(machine, tempo, span))

    print(f"{len(receiver.spans)} spans: {sorted({f'{one.trace_id} {one.name}' for one in receiver.spans})}")
    print(json.dumps({"resource": span.resource, "attributes": span.attributes}, indent=1))
    for entry in received:
        print({name: entry.labels.get(name) for name in (*labels, "request_id")}, entry.line[:160])
