import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from support.npu import RECORDED, make_npu_smi, with_processes
from support.nvml import build_stub

from tracetail.agent.metrics import server_collector
from tracetail.agent.metrics.server_collector import ServerMetrics
from tracetail.agent.metrics.server_families import kind_of_cause
from tracetail.contract import nvml
from tracetail.contract.npu import Npus
from tracetail.contract.processes import process_ref
from tracetail.contract.record import LaunchDir, LaunchLock
from tracetail.contract.state import launches_dir

STARTED = datetime(2026, 11, 22, 21, 12, 10, tzinfo=UTC)

# A server with a child process and an open file. It prints "up" once both run and have used more CPU time than one
# tick of the kernel's clock.
_CHILD = """
import os, time
while sum(os.times()[:2]) < 0.05:
    pass
print("up", flush=True)
time.sleep(600)
"""
_SERVER = f"""
import os, subprocess, sys, threading, time
child = subprocess.Popen([sys.executable, "-c", {_CHILD!r}], stdout=subprocess.PIPE, text=True)
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
held = open(os.devnull)
while sum(os.times()[:2]) < 0.05:
    pass
child.stdout.readline()
print("up", child.pid, flush=True)
sys.stdin.read()
child.kill()
"""


class World:
    """A state directory with launches, and their metrics."""

    def __init__(self, state_dir):
        self.state_dir = state_dir
        self.clock = STARTED.timestamp() + 100
        self.processes = []
        self.metrics = self.metrics_with(None)

    def metrics_with(self, devices):
        return ServerMetrics(
            lambda: [self.state_dir], keep_ended_seconds=600, now=lambda: self.clock, devices=devices
        )

    def launch(self, launch_id="20261122T211210-aaaaaa", *, process=None, **record):
        launch = LaunchDir(launches_dir(self.state_dir) / launch_id)
        launch.path.mkdir(parents=True, exist_ok=True)
        record = {
            "schema": 1,
            "launchId": launch_id,
            "traceId": "t1",
            "instanceId": "i1",
            "env": "test",
            "modelName": "Qwen/Qwen2-7B",
            "engine": "vllm",
            "host": "machine-a",
            "port": 8000,
            "state": "ready",
            "startedAt": STARTED.isoformat(),
            **record,
        }
        if process is not None:
            record["server"] = process_ref(process.pid)
        with LaunchLock(launch) as lock:
            lock.write(record)
        return launch

    def server(self, tag=None):
        environ = {**os.environ, **({"TRACETAIL_LAUNCH_ID": tag} if tag else {})}
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
        )
        self.processes.append(process)
        process.child = int(process.stdout.readline().split()[1])
        return process

    def read(self, metrics=None):
        """Return {name: {(labels that are not of every launch): value}} of what would be scraped."""
        registry = CollectorRegistry()
        registry.register(metrics or self.metrics)
        found = {}
        for family in registry.collect():
            for sample in family.samples:
                more = {key: value for key, value in sample.labels.items() if key not in _COMMON}
                key = (sample.labels["launch_id"], *more.values())
                found.setdefault(sample.name.removeprefix("tracetail_server_"), {})[key] = sample.value
        return found


_COMMON = {"launch_id", "trace_id", "service_name", "env", "engine", "host"}
A = "20261122T211210-aaaaaa"
B = "20261122T211220-bbbbbb"


@pytest.fixture
def world(state_dir):
    world = World(state_dir)
    yield world
    for process in world.processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.child, signal.SIGKILL)
        process.kill()
        process.communicate()


def test_a_running_server_is_up_and_its_process_tree_is_measured(world):
    server = world.server()
    world.launch(process=server)

    found = world.read()

    assert found["up"] == {(A,): 1}
    assert found["processes"] == {(A,): 2}
    assert found["threads"][(A,)] >= 3
    assert found["open_fds"][(A,)] >= 6
    assert found["resident_memory_bytes"][(A,)] > 1_000_000
    assert found["cpu_seconds_total"][(A,)] > 0
    assert found["state"][(A, "ready")] == 1
    assert sum(found["state"].values()) == 1


def test_every_series_carries_the_labels_of_its_launch(world):
    world.launch(process=world.server())

    registry = CollectorRegistry()
    registry.register(world.metrics)
    samples = [sample for family in registry.collect() for sample in family.samples]

    assert len(samples) > 10
    for sample in samples:
        assert {key: sample.labels[key] for key in _COMMON} == {
            "launch_id": A,
            "trace_id": "t1",
            "service_name": "Qwen/Qwen2-7B",
            "env": "test",
            "engine": "vllm",
            "host": "machine-a",
        }


def test_a_process_is_found_by_its_tag_when_the_server_that_started_it_is_gone(world):
    server = world.server(tag=A)
    launch = world.launch(process=server)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()

    with LaunchLock(launch):  # a keeper is still there and cleans up
        found = world.read()

    assert found["processes"] == {(A,): 1}


def test_cpu_time_does_not_fall_when_a_process_of_the_tree_ends(world):
    server = world.server()
    world.launch(process=server)
    before = world.read()["cpu_seconds_total"][(A,)]
    assert before > 0
    os.kill(server.child, signal.SIGKILL)

    assert world.read()["cpu_seconds_total"][(A,)] >= before


def test_a_launch_without_processes_is_crashed_whatever_its_record_says(world):
    server = world.server()
    world.launch(process=server)
    server.kill()
    server.wait()
    os.kill(server.child, signal.SIGKILL)

    found = world.read()

    assert found["up"] == {(A,): 0}
    assert found["state"][(A, "crashed")] == 1
    assert "processes" not in found
    assert found["exit_info"] == {(A, "crashed", "", "", ""): 1}


def test_a_launch_that_its_keeper_found_unhealthy_is_not_up(world):
    world.launch(process=world.server(), state="unhealthy", health={"cause": "x", "since": STARTED.isoformat()})
    found = world.read()
    assert found["up"] == {(A,): 0}
    assert (found["state"][(A, "unhealthy")], found["state"][(A, "ready")]) == (1, 0)


def test_start_and_phases_are_reported(world):
    world.launch(
        process=world.server(),
        readyAt=(STARTED + timedelta(seconds=55.25)).isoformat(),
        phases=[
            {"name": "weights", "seconds": 20.0},
            {"name": "graphs", "seconds": 5.0},
            {"name": "weights", "seconds": 1.5},
        ],
    )

    found = world.read()

    assert found["ready_seconds"] == {(A,): 55.25}
    assert found["start_time_seconds"] == {(A,): STARTED.timestamp()}
    assert found["phase_seconds"] == {(A, "weights"): 21.5, (A, "graphs"): 5.0}


def test_nine_digits_of_a_second_are_read(world):
    world.launch(state="failed", startedAt="2026-11-22T21:12:10.500000001+00:00", endedAt="2026-11-22T21:12:11+00:00")

    assert world.read()["start_time_seconds"] == {(A,): STARTED.timestamp() + 0.5}


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({"code": 1, "signal": None, "cause": "address in use"}, 1),
        ({"code": None, "signal": "SIGKILL", "cause": "killed", "causeCode": "killed"}, 137),
    ],
)
def test_the_end_has_exit_status_and_cause(world, end, code):
    world.launch(state="failed", exit=end, endedAt=(STARTED + timedelta(seconds=5)).isoformat())

    found = world.read()

    assert found["exit_code"] == {(A,): code}
    assert found["exit_info"] == {(A, "failed", end["cause"], end["signal"] or "", end.get("causeCode", "")): 1}


def test_null_in_a_record_means_absent(world):
    nothing = dict.fromkeys(("exit", "phases", "jobId", "logFile", "port"))
    world.launch(state="failed", endedAt=(STARTED + timedelta(seconds=5)).isoformat(), **nothing)

    assert world.read()["exit_info"] == {(A, "failed", "", "", ""): 1}


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        ("CUDA out of memory", "CUDA out of memory"),
        ("only 3.2 of 79.1 GiB are free on cuda:0", "only … of … GiB are free on cuda:…"),
        ("port 8000 is held by pid 812: python -m http.server", "port … is held by pid …"),
        ("x" * 1000, "x" * 100),
        ("", ""),
    ],
)
def test_the_same_failure_has_the_same_cause_as_a_label(cause, kind):
    assert kind_of_cause(cause) == kind


def test_an_ended_launch_is_reported_for_a_while(world):
    world.launch(state="stopped", endedAt=(STARTED + timedelta(seconds=100)).isoformat())
    world.metrics.observe(A, [], {"error": 1})
    assert world.read()["state"][(A, "stopped")] == 1

    world.clock += 599
    assert "state" in world.read()
    world.clock += 2
    assert world.read() == {}


def test_a_launch_without_a_recorded_end_disappears_too(world):
    world.launch()  # its record says ready, nobody is alive
    assert world.read()["state"][(A, "crashed")] == 1

    world.clock += 601
    assert world.read() == {}


def test_launches_of_the_same_service_and_trace_count_as_restarts(world):
    world.launch(A, state="crashed", endedAt=STARTED.isoformat())
    world.launch(B, process=world.server())
    world.launch("20261122T211230-cccccc", port=8001, state="failed", endedAt=STARTED.isoformat())

    assert world.read()["restarts"] == {(A,): 0, (B,): 1, ("20261122T211230-cccccc",): 0}


def test_a_record_that_changes_is_read_again(world):
    world.launch(state="starting", process=world.server())
    assert world.read()["up"] == {(A,): 0}

    world.launch(state="ready", process=world.processes[0])

    assert world.read()["up"] == {(A,): 1}


def test_unreadable_records_do_not_hide_the_others(world):
    world.launch(process=world.server())
    bad = launches_dir(world.state_dir) / B
    bad.mkdir()
    (bad / "record.json").write_text(json.dumps({"schema": 99}))
    (launches_dir(world.state_dir) / "20261122T211230-cccccc").mkdir()
    for number, wrong in enumerate(({"modelName": None}, {"startedAt": "yesterday"}, {"traceId": None})):
        launch = world.launch(f"20261122T21124{number}-dddddd")
        record = {**json.loads(launch.record_path.read_bytes()), **wrong}
        launch.record_path.write_text(json.dumps({key: value for key, value in record.items() if value is not None}))

    assert set(world.read()["up"]) == {(A,)}


def test_throughput_of_the_log_is_a_gauge_until_the_launch_ends(world):
    server = world.server()
    world.launch(process=server)
    line = (
        b"(APIServer pid=1) INFO 11-22 13:13:36 [loggers.py:335] Engine 000: Avg prompt throughput: 45.5 tokens/s, "
        b"Avg generation throughput: %s tokens/s, Running: 1 reqs, Waiting: 2 reqs, GPU KV cache usage: 12.5%%, "
        b"Prefix cache hit rate: 50.0%%\n"
    )
    world.metrics.observe(A, [line % b"65.8"], {"info": 1})
    world.metrics.observe(A, [line % b"70.1", b"boom"], {"info": 1, "error": 1})

    found = world.read()
    assert found["prompt_tokens_per_second"] == {(A, "0"): 45.5}
    assert found["generation_tokens_per_second"] == {(A, "0"): 70.1}
    assert found["requests_running"] == {(A, "0"): 1}
    assert found["requests_waiting"] == {(A, "0"): 2}
    assert found["kv_cache_usage_ratio"] == {(A, "0"): 0.125}
    assert found["prefix_cache_hit_ratio"] == {(A, "0"): 0.5}
    assert found["log_lines_total"] == {(A, "info"): 2, (A, "error"): 1}

    world.launch(state="stopped", endedAt=STARTED.isoformat())
    found = world.read()
    assert "generation_tokens_per_second" not in found
    assert found["log_lines_total"] == {(A, "info"): 2, (A, "error"): 1}


def test_the_number_of_observed_launches_is_bounded_without_a_scrape(world):
    for number in range(server_collector.OBSERVED_MAX + 100):
        world.metrics.observe(f"20261122T211210-{number:06x}", [], {"info": 1})

    assert len(world.metrics._observed) == server_collector.OBSERVED_MAX


def test_lines_are_counted_during_a_collection(world):
    world.launch(process=world.server())
    looking, go_on = threading.Event(), threading.Event()

    def slow_state_dirs():
        looking.set()
        assert go_on.wait(60)
        return [world.state_dir]

    metrics = ServerMetrics(slow_state_dirs, keep_ended_seconds=600, now=lambda: world.clock)
    scrape = threading.Thread(target=lambda: list(metrics.collect()))
    scrape.start()
    try:
        assert looking.wait(60)
        noted = threading.Thread(target=metrics.observe, args=(A, b"", {"info": 1}), daemon=True)
        noted.start()
        noted.join(60)
        assert not noted.is_alive(), "observe waits for the look"
    finally:
        go_on.set()
        scrape.join()


@pytest.mark.needs("cc")
def test_gpu_memory_and_utilisation_are_those_of_the_launchs_processes(world, monkeypatch, tmp_path):
    server = world.server()
    world.launch(process=server)
    held = tmp_path / "held"
    held.write_text(f"0 {server.pid} 1000\n0 {server.child} 2000\n0 {os.getpid()} 4000\n")
    held.with_suffix(".utilization").write_text(f"0 {server.child} 40 1\n0 {os.getpid()} 50 2\n")
    monkeypatch.setenv("STUB_NVML", str(held))
    monkeypatch.setattr(nvml, "LIBRARY", str(build_stub(tmp_path)))
    metrics = world.metrics_with(nvml.Devices.find())

    found = world.read(metrics)
    assert found["gpu_memory_bytes"] == {(A, "0"): 3000}
    assert found["gpu_utilisation_ratio"] == {(A, "0"): 0.4}

    assert world.read(metrics)["gpu_utilisation_ratio"] == {(A, "0"): 0.0}


def test_an_npu_is_reported_as_a_gpu_is(world, tmp_path):
    server = world.server()
    world.launch(process=server)
    recorded = (RECORDED / "910b3-26.txt").read_text()
    (tmp_path / "output").write_text(with_processes(recorded, [(7, server.pid, 3), (7, os.getpid(), 4)]))
    found = world.read(world.metrics_with(Npus(str(make_npu_smi(tmp_path, tmp_path / "output")))))
    assert found["gpu_memory_bytes"] == {(A, "1"): 3 * 1024**2}
    assert found["gpu_utilisation_ratio"] == {(A, "1"): 0.0}
    assert found["gpu_temperature_celsius"] == {(A, "1"): 51}


def test_the_text_format_is_valid_for_prometheus(world):
    world.launch(process=world.server())
    registry = CollectorRegistry()
    registry.register(world.metrics)

    text = generate_latest(registry).decode()

    assert "# TYPE tracetail_server_cpu_seconds_total counter" in text
    assert 'tracetail_server_up{engine="vllm",env="test"' in text


def test_a_collection_reads_only_changed_records(world, monkeypatch):
    for number in range(300):
        world.launch(f"20261120T211210-{number:06x}", state="stopped", endedAt="2026-11-20T21:12:11+00:00")
    world.read()
    read = []
    original = LaunchDir.read
    monkeypatch.setattr(LaunchDir, "read", lambda launch: read.append(launch.launch_id) or original(launch))

    world.launch(process=world.server())
    world.read()

    assert read == [A]
