"""The metrics of a real agent, exported in each of the three ways."""

import os
import re
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import monitoring
from support.agent_process import Launch
from support.waiting import eventually

from tracetail.contract.processes import process_ref

AGENT = Path(__file__).parents[2] / "agent"
STATS = (
    "(APIServer pid=71) INFO 11-22 13:13:36 [loggers.py:335] Engine 000: Avg prompt throughput: 45.5 tokens/s, "
    "Avg generation throughput: 65.8 tokens/s, Running: 1 reqs, Waiting: 0 reqs, GPU KV cache usage: 3.0%, "
    "Prefix cache hit rate: 0.0%"
)


def _samples(text):
    """Return {name: [(labels, value)]}."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def _launch(state_dir):
    launch = Launch(state_dir, startedAt="2026-11-22T21:12:10+00:00", server=process_ref(os.getpid()))
    launch.print(STATS, "(APIServer pid=71) ERROR 11-22 13:13:37 [x.py:1] boom: api_key='secret'")
    launch.print('dropped lines=7 bytes=700 reason="disk full"', mark="event")
    return launch


async def test_metrics_count_lines_and_describe_the_server_that_printed_them(start_agent, loki, state_dir):
    launch = _launch(state_dir)
    agent = await start_agent()
    await loki.until(lambda: len(loki.stored) == 3)

    of_source = {"source": launch.launch_id, "kind": "launch", "service_name": "Qwen/Qwen2-7B"}

    async def counted():
        found = _samples(await agent.metrics())
        # The lag is looked at regularly: for a while it is that of before the acknowledgement.
        lag = [found.get(f"tracetail_agent_lag_{unit}") for unit in ("bytes", "seconds")]
        return found["tracetail_agent_dropped_lines_total"] == [({}, 7)] and lag == [[(of_source, 0)]] * 2

    await eventually(counted, "the observers were called")
    found = _samples(await agent.metrics())

    levels = {labels["level"]: value for labels, value in found["tracetail_agent_lines_read_total"]}
    assert levels == {"info": 1, "error": 1, "warning": 1}
    assert found["tracetail_agent_entries_acknowledged_total"] == [({}, 3)]
    assert found["tracetail_agent_redacted_secrets_total"] == [({}, 1)]
    assert found["tracetail_agent_dropped_bytes_total"] == [({}, 700)]
    ((answer, pushes),) = found["tracetail_agent_push_seconds_count"]
    assert answer == {"answer": "204"}
    assert pushes >= 1
    assert found["tracetail_agent_journal_bytes"][0][1] > 0
    assert found["tracetail_agent_info"][0][0]["version"]
    of_launch = {
        "launch_id": launch.launch_id,
        "trace_id": launch.record["traceId"],
        "service_name": "Qwen/Qwen2-7B",
        "env": "test",
        "engine": "vllm",
        "host": "node1",
    }
    assert found["tracetail_server_up"] == [(of_launch, 1)]
    assert found["tracetail_server_processes"][0][1] >= 1
    assert found["tracetail_server_generation_tokens_per_second"] == [(of_launch | {"engine_index": "0"}, 65.8)]
    lines = {labels["level"]: value for labels, value in found["tracetail_server_log_lines_total"]}
    assert lines == {"info": 1, "error": 1, "warning": 1}


async def test_launch_ids_disappear_from_all_metrics_some_time_after_the_end(start_agent, loki, state_dir):
    launch = _launch(state_dir)
    agent = await start_agent("[agent]\nmetrics_keep_ended_seconds = 0\n")
    await loki.until(lambda: len(loki.stored) == 3)
    assert launch.launch_id in await agent.metrics()

    launch.end()

    async def gone():
        return launch.launch_id not in await agent.metrics()

    await eventually(gone, "no series of the launch")


async def test_a_backlog_is_a_lag_in_bytes_and_in_seconds(start_agent, state_dir):
    _launch(state_dir)
    agent = await start_agent(url="http://127.0.0.1:1")

    async def lags():
        found = _samples(await agent.metrics())
        seconds = found.get("tracetail_agent_lag_seconds", [({}, 0)])[0][1]
        return seconds > 1 and found["tracetail_agent_lag_bytes"][0][1] > 0

    await eventually(lags, "the lag grows")
    found = _samples(await agent.metrics())
    assert ({"cause": "unreachable"}) in [labels for labels, _ in found["tracetail_agent_retries_total"]]
    assert [labels for labels, _ in found["tracetail_agent_push_seconds_count"]] == [{"answer": "unreachable"}]
    assert found["tracetail_agent_sources_under_way"] == [({}, 1)]


async def test_metrics_are_not_served_when_switched_off(start_agent):
    agent = await start_agent("[agent]\nserve_metrics = false\n")

    assert "404" in await agent.metrics()
    assert (await agent.status())["healthy"]


@pytest.mark.needs("prometheus", "prometheus-pushgateway")
async def test_a_real_agent_pushes_and_writes_to_real_servers(start_agent, loki, state_dir, tmp_path):
    launch = _launch(state_dir)
    with monitoring.prometheus(tmp_path / "prometheus") as prometheus, monitoring.pushgateway(tmp_path / "gw") as url:
        config = (
            "[agent]\n"
            f'remote_write_url = "{prometheus.write_url}"\nremote_write_interval_seconds = 0.2\n'
            f'pushgateway_url = "{url}"\npushgateway_interval_seconds = 0.2\n'
        )
        agent = await start_agent(config)
        expression = f'tracetail_server_generation_tokens_per_second{{launch_id="{launch.launch_id}"}}'
        await eventually(lambda: bool(prometheus.query(expression)))
        ((labels, value),) = prometheus.query(expression)
        assert value == 65.8
        assert labels["job"] == "tracetail"
        assert labels["trace_id"] == launch.record["traceId"]
        assert labels["host"] == "node1"
        host = os.uname().nodename
        assert [labels["host"] for labels, _ in prometheus.query("tracetail_agent_info")] == [host]
        await eventually(lambda: launch.launch_id in monitoring.get(f"{url}/metrics"))

        assert await agent.stop() == 0

        # The gateway answers before it has deleted the group.
        await eventually(lambda: "tracetail_server" not in monitoring.get(f"{url}/metrics"))
        assert prometheus.query("tracetail_agent_info", time.time() + 1) == []


async def test_a_secret_that_cannot_be_read_is_reported_and_read_again(start_agent, state_dir, tmp_path):
    agent = await start_agent(
        f'[agent]\npushgateway_url = "http://127.0.0.1:1"\npushgateway_username = "u"\n'
        f'pushgateway_password_file = "{tmp_path}/none"\npushgateway_interval_seconds = 0.1\n'
    )

    async def failed_twice():
        found = _samples(await agent.metrics())
        pushes = found.get("tracetail_agent_pushgateway_pushes_total", [({}, 0)])
        return pushes[0][1] >= 2

    await eventually(failed_twice, "two failed pushes")
    assert any("agent.pushgateway_password_file cannot be read" in line for line in agent.errors)


async def test_every_metric_has_its_row_in_the_documentation(start_agent, loki, state_dir):
    _launch(state_dir)
    url = "http://127.0.0.1:1"
    agent = await start_agent(f'[agent]\npushgateway_url = "{url}"\nremote_write_url = "{url}"\n')
    await loki.until(lambda: len(loki.stored) == 3)

    async def observed():
        return "tracetail_server_generation_tokens_per_second{" in await agent.metrics()

    await eventually(observed, "the observers were called")
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(tracetail_\w+)` \|", page, re.MULTILINE))
    families = text_string_to_metric_families(await agent.metrics())
    reported = {f"{f.name}_total" if f.type == "counter" else f.name for f in families if f.samples}

    assert reported - documented == set()
    code = "".join(path.read_text(encoding="utf-8") for path in AGENT.rglob("*.py"))
    for name in documented:
        assert re.sub(r"^tracetail_(?:server_|agent_dropped_)|_total$", "", name) in code, name
