"""deploy/grafana/: every expression of the dashboards is run against a real store and a real Prometheus.

The data is that of a real launch and of one that fails, started by the launcher, shipped by the agent, scraped with
deploy/prometheus' own configuration and rules. Grafana itself is not run.
"""

import json
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from support import monitoring
from support.environment import free_port
from support.machine import Machine, result_of
from support.waiting import wait_for

from tracetail.contract import labels as names
from tracetail.contract.identity import new_trace_id
from tracetail.launcher.trace_context import LAUNCH_ATTRIBUTES

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DASHBOARDS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
}
MODEL = "Qwen/Qwen2-7B"

NEEDS_A_GPU = {"tracetail_server_gpu_memory_bytes", "tracetail_server_gpu_utilisation_ratio"}
NEEDS_A_LOSS = {'"^(dropped|gap) "'}
"""What marks an expression that a healthy machine without a GPU has no data for: it is run, and may be empty."""


def _panels(kind):
    return [
        pytest.param(name, panel["title"], target["expr"], id=f"{name}: {panel['title']} {target['refId']}")
        for name, dashboard in DASHBOARDS.items()
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
        if target["datasource"]["type"] == kind
    ]


class World:
    """A machine with a launch that runs and one that failed, of one trace, and the Prometheus that scrapes it."""

    def __init__(self, machine, prometheus, launch, failed):
        self.machine = machine
        self.prometheus = prometheus
        self.launch = launch
        self.failed = failed
        self.host = launch["host"]
        self.traceId = launch["traceId"]

    def fill_in(self, expression):
        """Return an expression with Grafana's variables replaced as Grafana would."""
        values = {
            "traceId": self.traceId,
            "launchId": ".+",
            "env": ".+",
            "host": ".+",
            "__range": "10m",
            "__auto": "15s",
            "__rate_interval": "20s",
        }
        return re.sub(r"\$\{?(\w+)\}?", lambda match: values[match[1]], expression)


def _python_that_is_a_sample_server(directory):
    """Return a `pythonBin` that, asked for vLLM's module, runs the sample server with vLLM's options."""
    script = directory / "python"
    script.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} {ROOT}/examples/sample_server.py "$@"\n')
    script.chmod(0o755)
    return str(script)


def _prometheus_directory(directory, agent_url):
    """Copy deploy/prometheus, with the agent's address, and with seconds for the minutes of a real one."""
    shutil.copytree(DEPLOY / "prometheus", directory)
    (directory / "agents" / "example.yml").write_text(
        yaml.safe_dump([{"targets": [agent_url.removeprefix("http://")], "labels": {"machine": "the-machine"}}])
    )
    rules = directory / "rules.yml"
    rules.write_text(rules.read_text().replace("interval: 1m", "interval: 1s"))
    config = directory / "prometheus.yml"
    return config.read_text().replace("15s", "1s")


def _complete(port):
    body = json.dumps({"model": MODEL, "prompt": "one two three", "max_tokens": 16}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions", body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=30).read()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    directory = tmp_path_factory.mktemp("demo")
    machine = Machine(directory)
    model = directory / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    parameters = {
        "modelName": MODEL,
        "modelPath": str(model),
        "pythonBin": _python_that_is_a_sample_server(directory),
        "host": "127.0.0.1",
        "traceId": new_trace_id(),
    }
    try:
        machine.start("store")
        machine.start("agent")
        config = _prometheus_directory(directory / "prometheus", machine.addresses["agent"])
        with monitoring.prometheus(directory / "prometheus", config) as prometheus:
            port = free_port()
            run = machine.tracetail("start", **parameters, port=port, args=["--stats-seconds", "0.2"])
            assert run.returncode == 0, run.stdout + run.stderr
            other = free_port()
            failing = machine.tracetail("start", **parameters, port=other, args=["--fail-at", "weights"])
            assert failing.returncode == 10, failing.stdout + failing.stderr
            world = World(machine, prometheus, result_of(run), result_of(failing))

            def busy():
                _complete(port)
                found = prometheus.query("rate(tracetail_server_cpu_seconds_total[20s])")
                return found and prometheus.query("tracetail_server_generation_tokens_per_second > 0")

            wait_for(busy, "throughput in Prometheus")
            wait_for(lambda: prometheus.query("tracetail_server_exit_info"), "the failed launch in Prometheus")
            wait_for(lambda: prometheus.query("service:tracetail_server_ready_seconds:median7d"), "recorded medians")
            wait_for(lambda: any("exited" in text for text in machine.events(world.traceId)), "the end in the store")
            wait_for(
                lambda: prometheus.query("rate(tracetail_agent_push_seconds_bucket[20s]) > 0"), "pushes in Prometheus"
            )
            yield world
    finally:
        machine.close()


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize(("dashboard", "title", "expression"), _panels("prometheus"))
def test_promql_gives_the_series_of_the_launch(world, dashboard, title, expression):
    result = world.prometheus.query(world.fill_in(expression))

    assert result or any(mark in expression for mark in NEEDS_A_GPU), "no data"
    launches = {world.launch["launchId"], world.failed["launchId"]}
    for labels, _ in result:
        assert labels.get("trace_id", world.traceId) == world.traceId
        assert labels.get("service_name", MODEL) == MODEL
        assert labels.get("launch_id", world.launch["launchId"]) in launches
        assert labels.get("host", "the-machine") in {"the-machine", world.host}
        if "launch_id" in labels and "by (" not in expression:
            assert {"trace_id", "service_name", "env", "engine", "host"} <= labels.keys()


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize(("dashboard", "title", "expression"), _panels("loki"))
def test_logql_gives_the_lines_of_the_launch(world, dashboard, title, expression):
    now = time.time_ns()
    answer = world.machine.loki(
        "/loki/api/v1/query_range",
        query=world.fill_in(expression),
        start=now - 600 * 10**9,
        end=now + 10**9,
        step=15,
        limit=5000,
    )
    result = answer["data"]["result"]

    assert result or any(mark in expression for mark in NEEDS_A_LOSS), "no data"
    for series in result:
        labels = series.get("stream", series.get("metric"))
        assert labels.get("traceId", world.traceId) == world.traceId
        assert labels.get("service_name", MODEL) == MODEL
    if '"^(failed|refused|exited) "' in expression:
        assert any(line.startswith("exited state=failed") for series in result for _, line, *_ in series["values"])


@pytest.mark.needs("prometheus")
def test_a_healthy_machine_raises_no_alert_but_that_of_the_launch_that_failed(world):
    def rules():
        return [rule for group in world.prometheus.rules() for rule in group["rules"]]

    def firing():
        return {rule["name"]: rule["alerts"] for rule in rules() if rule.get("state") == "firing"}

    wait_for(lambda: "TracetailLaunchFailed" in firing(), "the alert of the failed launch")
    assert firing().keys() == {"TracetailLaunchFailed"}
    (alert,) = firing()["TracetailLaunchFailed"]
    assert alert["labels"]["launch_id"] == world.failed["launchId"]
    assert alert["annotations"]["summary"] == f"{MODEL} did not start on {world.host}"
    assert all(rule["health"] == "ok" for rule in rules()), [rule.get("lastError") for rule in rules()]


@pytest.mark.needs("prometheus")
def test_the_metrics_that_rules_and_dashboards_name_are_metrics_that_there_are(world):
    known = set(json.loads(monitoring.get(f"{world.prometheus.url}/api/v1/label/__name__/values"))["data"])
    texts = [(DEPLOY / "prometheus" / name).read_text() for name in ("rules.yml", "alerts.yml")]
    texts += [json.dumps(dashboard) for dashboard in DASHBOARDS.values()]
    named = {name for text in texts for name in re.findall(r"\btracetail_(?:agent|server)_[a-z0-9_]+\b(?!:)", text)}

    # The first part of a recorded name (tracetail_server_ended:count1d) is no metric of its own.
    recorded = {part for name in known for part in name.split(":")}
    recorded |= set(re.findall(r"record: \w+:(\w+):", texts[0]))
    assert named - known - recorded - NEEDS_A_GPU == set()


def test_dashboards_are_linked_and_their_ids_are_unique():
    uids = {dashboard["uid"] for dashboard in DASHBOARDS.values()}
    assert uids == {"tracetail-launch", "tracetail-fleet", "tracetail-agents"}
    for name, dashboard in DASHBOARDS.items():
        text = json.dumps(dashboard)
        others = uids - {dashboard["uid"]}
        assert all(f"/d/{uid}" in text for uid in others), name
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(ids) == len(set(ids))
    launch = json.dumps(DASHBOARDS["launch"])
    assert "${panel}/panel?traceId=${traceId}" in launch
    assert "/explore?" in launch


def test_panels_do_not_overlap():
    for dashboard in DASHBOARDS.values():
        taken = set()
        for panel in dashboard["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert at["x"] + at["w"] <= 24
            assert not cells & taken, panel["title"]
            taken |= cells


def test_data_sources_are_those_that_the_dashboards_name():
    provisioned = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/tracetail.yaml").read_text())
    uids = {(source["type"], source["uid"]) for source in provisioned["datasources"]}

    used = {
        (target["datasource"]["type"], target["datasource"]["uid"])
        for dashboard in DASHBOARDS.values()
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    }
    assert used == uids


def test_with_tempo_the_way_leads_from_lines_to_spans_and_back():
    plain = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/tracetail.yaml").read_text())["datasources"]
    tempo = yaml.safe_load((DEPLOY / "grafana/with-tempo/datasources/tracetail.yaml").read_text())["datasources"]
    loki, metrics, traces = tempo
    assert metrics == plain[1]
    fields = {field["name"]: field for field in loki["jsonData"].pop("derivedFields")}
    assert [fields["Trace"]] == plain[0]["jsonData"].pop("derivedFields")
    assert loki == plain[0]

    assert fields["Spans of the launch"]["matcherRegex"] == names.TRACE_ID
    assert {field.get("datasourceUid") for field in fields.values()} == {None, traces["uid"]}
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    printed = f"Received request chatcmpl-{trace_id}-1: params: SamplingParams(n=1)"
    assert re.search(fields["Spans of the request"]["matcherRegex"], printed)[1] == trace_id

    back = traces["jsonData"]["tracesToLogsV2"]
    assert back["datasourceUid"] == loki["uid"]
    for tag in back["tags"]:
        assert LAUNCH_ATTRIBUTES[tag["key"]] == tag["value"] == names.LAUNCH_ID
