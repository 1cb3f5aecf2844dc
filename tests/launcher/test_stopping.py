"""A stop ends everything that belongs to the launch, and nothing else."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tracetail.contract.processes import is_alive, process_ref
from tracetail.launcher.machine import processes

FAKE_SERVER = Path(__file__).with_name("fake_server.py")
CRASH_LOG = Path(__file__).parents[1] / "data" / "vllm-logs" / "engine-crash.log"
READY = [["text", "ready now\n"], ["stay"]]


def pid_of(world, launch):
    return launch.read()["server"]["pid"]


def test_a_polite_server_is_stopped_by_term(world):
    launch = world.launch(world.start(READY).result)
    stopped = world.run("stop", "--model-name", "m")
    assert (stopped.status, stopped.result["state"]) == (0, "stopped")
    record = launch.read()
    assert record["exit"]["signal"] == "SIGTERM"
    assert [event.name for event in world.events(launch)][-2:] == ["stopping", "exited"]


def test_a_server_that_sigstop_has_stopped_is_stopped_by_term_at_once(world):
    launch = world.launch(world.start(READY, stopTimeoutSec=60).result)
    os.kill(pid_of(world, launch), signal.SIGSTOP)
    stopped = world.run("stop", "--model-name", "m")
    assert (stopped.status, stopped.result["state"]) == (0, "stopped")
    assert launch.read()["exit"]["signal"] == "SIGTERM"


def test_a_server_that_ignores_term_is_killed_after_its_time(world):
    launch = world.launch(world.start([["ignore-term"], *READY], stopTimeoutSec=0.3).result)
    assert world.run("stop", "--model-name", "m").status == 0
    assert launch.read()["exit"]["signal"] == "SIGKILL"


@pytest.mark.parametrize("who", ["fork", "fork-away"])
def test_children_end_with_the_server_whatever_they_do(world, wait_until, tmp_path, who):
    up = tmp_path / "up"
    child = [["ignore-term"], ["touch", str(up)], ["empty-environment"], ["stay"]]
    launch = world.launch(world.start([[who, child], *READY], stopTimeoutSec=0.3).result)
    wait_until(up.exists)
    server = pid_of(world, launch)
    keeper = launch.read()["keeper"]["pid"]
    wait_until(
        lambda: any(
            processes.command_line(p.pid).startswith("innocent")
            for p in processes.members(launch.launch_id, launch.read()["server"], keeper=keeper)
        )
    )
    left = [
        process_ref(p.pid)
        for p in processes.members(launch.launch_id, launch.read()["server"], keeper=keeper)
        if p.pid != server
    ]
    assert left
    assert world.run("stop", "--model-name", "m").status == 0
    assert not any(is_alive(ref) for ref in left)


def test_what_a_crashed_server_leaves_behind_is_ended(world, wait_until, tmp_path):
    up, go = tmp_path / "up", tmp_path / "go"
    left_behind = ["fork-away", [["touch", str(up)], ["stay"]]]
    steps = [left_behind, ["wait", str(up)], ["text", "ready now\n"], ["wait", str(go)], ["exit", 0]]
    launch = world.launch(world.start(steps, engine="custom").result)
    go.touch()
    record = world.ended(launch)
    assert record["state"] == "stopped"  # a custom command that ends with 0
    assert not world.members(launch)


def test_a_crash_after_ready_is_crashed(world, tmp_path, wait_until):
    go = tmp_path / "go"
    launch = world.launch(world.start([["text", "ready now\n"], ["wait", str(go)], ["exit", 3]]).result)
    go.touch()
    record = world.ended(launch)
    assert (record["state"], record["exit"]["code"]) == ("crashed", 3)
    status = world.run("status", "--model-name", "m")
    assert (status.status, status.result["cause"]) == (3, "exited with status 3")


def test_an_engine_that_exits_with_status_0_after_its_death_has_crashed(world, free_port, tmp_path):
    """vLLM does so when its EngineCore dies."""
    port, go = free_port(), tmp_path / "go"
    steps = [["serve", port, ["m"]], ["wait", str(go)], ["file", str(CRASH_LOG)], ["exit", 0]]
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec {sys.executable} {FAKE_SERVER} '{json.dumps(steps)}'\n")
    python.chmod(0o755)
    given = {"modelName": "m", "modelPath": str(tmp_path), "pythonBin": str(python), "port": port}
    started = world.run("start", "--params", json.dumps(given))
    assert started.status == 0, started.stdout
    go.touch()
    record = world.ended(world.launch(started.result))
    assert (record["state"], record["exit"]["code"]) == ("crashed", 0)
    assert record["exit"]["cause"] == "the engine process died"


def test_services_side_by_side_are_left_alone(world, free_port):
    ports = [free_port(), free_port(), free_port()]
    names = ["qwen-7b", "qwen-7b-chat", "qwen-7b"]
    launches = [
        world.launch(
            world.start(
                [["serve", port, []], ["stay"]], modelName=name, port=port, readyWhen="port", modelPath="/"
            ).result
        )
        for name, port in zip(names, ports, strict=True)
    ]
    refused = world.run("stop", "--model-name", "qwen-7b")
    assert (refused.status, "several services match" in refused.stderr) == (2, True)
    assert world.run("stop", "--model-name", "qwen-7b", "--port", ports[0]).status == 0
    assert [is_alive(launch.read()["server"]) for launch in launches] == [False, True, True]
    assert world.run("stop", "--launch", launches[1].launch_id).status == 0
    assert world.run("stop", "--params", f'{{"modelName": "qwen-7b", "port": {ports[2]}}}').status == 0
    assert not any(is_alive(launch.read()["server"]) for launch in launches)


def test_a_reused_pid_is_left_alone(world, wait_until):
    launch = world.launch(world.start(READY).result)
    record = launch.read()
    os.kill(record["keeper"]["pid"], signal.SIGKILL)
    wait_until(lambda: not launch.lock_held())
    os.kill(record["server"]["pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(record["server"]))
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True) as other:
        ref = process_ref(other.pid)
        with_its_pid = {**record["server"], "pid": other.pid}
        assert not processes.members(launch.launch_id, with_its_pid)
        record["server"] = with_its_pid
        from tracetail.contract.record import LaunchLock

        with LaunchLock(launch) as lock:
            lock.write(record)
        assert world.run("stop", "--launch", launch.launch_id).status == 0
        assert is_alive(ref)
        other.kill()


def test_stopping_what_does_not_run_is_a_success(world):
    stopped = world.run("stop", "--model-name", "nothing")
    assert (stopped.status, stopped.result["state"]) == (0, "stopped")


def test_restart_starts_with_the_parameters_of_before(world):
    first = world.start(READY, traceId="t-1").result
    again = world.run("restart", "--model-name", "m").result
    assert again["launchId"] != first["launchId"]
    assert (again["state"], again["traceId"]) == ("ready", "t-1")
    assert world.run("apply", "--params", '{"action": "stop", "modelName": "m"}').status == 0
    assert world.run("apply", "--params", '{"action": "status", "modelName": "m"}').status == 3


def test_restart_repeats_the_last_start_that_was_one(world):
    assert world.start(READY, modelName="refused", workDir="/nowhere").status == 15
    nothing = world.run("restart", "--model-name", "refused")
    assert nothing.status == 2
    cause = "no start of modelName refused got as far as to be repeated: give its parameters"
    assert nothing.result["cause"] == cause
    assert world.run("smoke", "--model-name", "refused").result["cause"] == "the server is failed"
    assert world.start(READY, traceId="t-1").status == 0
    assert world.run("stop", "--model-name", "m").status == 0
    assert world.start(READY, workDir="/nowhere").status == 15
    again = world.run("restart", "--model-name", "m").result
    assert (again["state"], again["traceId"]) == ("ready", "t-1")
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_server_that_fails_its_health_check_is_unhealthy(world, free_port, tmp_path, wait_until):
    port, sick = free_port(), tmp_path / "sick"
    steps = [["serve", port, []], ["wait", str(sick)], ["sick"], ["touch", str(tmp_path / "done")], ["stay"]]
    assert world.start(steps, port=port, readyWhen="http").status == 0
    sick.touch()
    wait_until((tmp_path / "done").exists)
    status = world.run("status", "--model-name", "m")
    assert (status.status, status.result["cause"]) == (21, "unhealthy: /health answers 503")
    assert world.run("stop", "--model-name", "m").status == 0


@pytest.mark.parametrize(
    "count", [4, pytest.param(20, marks=pytest.mark.field), pytest.param(100, marks=pytest.mark.soak)]
)
def test_starts_and_ends_leave_no_process_and_no_port(world, free_port, count):
    for number in range(count):
        port = free_port()
        steps = [["fork", [["stay"]]], ["fork-away", [["stay"]]], ["serve", port, []], ["stay"]]
        launch = world.launch(world.start(steps, port=port, readyWhen="port").result)
        record = launch.read()
        assert record["state"] == "ready"
        os.kill(record["server"]["pid"], signal.SIGKILL if number % 2 else signal.SIGTERM)
        ended = world.ended(launch)
        assert ended["state"] == "crashed"
        assert not world.members(launch)
        from tracetail.launcher.machine import ports

        assert ports.holder(port) is None


def test_a_child_with_the_fifo_only_is_found_after_the_keeper_died(world, wait_until, tmp_path):
    up = tmp_path / "up"
    child = [["empty-environment"], ["touch", str(up)], ["stay"]]
    launch = world.launch(world.start([["fork-away", child], *READY]).result)
    wait_until(up.exists)
    os.kill(launch.read()["keeper"]["pid"], signal.SIGKILL)
    wait_until(lambda: not launch.lock_held())
    left = [process_ref(process.pid) for process in world.members(launch)]
    assert len(left) == 2
    assert world.run("stop", "--model-name", "m").status == 0
    assert not any(is_alive(ref) for ref in left)


def test_an_unusable_record_is_an_error_and_not_a_success(world):
    launch = world.launch(world.start([["exit", 1]]).result)
    world.ended(launch)
    launch.record_path.write_text('{"schema": 1}')
    stopped = world.run("stop", "--launch", launch.launch_id)
    assert (stopped.status, "cannot be used" in stopped.stderr) == (2, True)
    assert "is not a whole launch record" in world.run("ps").stderr


def test_a_trace_is_all_its_services_and_the_worst_state_decides(world, free_port):
    ports = [free_port(), free_port()]
    for name, port in zip(("good", "bad"), ports, strict=True):
        started = world.start(
            [["serve", port, []], ["stay"]], modelName=name, port=port, readyWhen="port", modelPath="/", traceId="one"
        )
        assert started.status == 0, started.stdout
    ready = world.run("status", "--trace-id", "one")
    assert (ready.status, len(ready.result["launches"])) == (0, 2)
    bad = world.launch(started.result)
    os.kill(bad.read()["server"]["pid"], signal.SIGKILL)
    world.ended(bad)
    shown = world.run("status", "--trace-id", "one")
    assert (shown.status, shown.result["state"], shown.result["modelName"]) == (3, "crashed", "bad")
    assert [one["state"] for one in shown.result["launches"]] == ["crashed", "ready"]
    assert f"good:{ports[0]} is ready" in shown.stdout


def test_a_stop_of_a_trace_stops_all_its_services(world, free_port):
    ports = [free_port(), free_port()]
    launches = []
    for name, port in zip(("first", "second"), ports, strict=True):
        steps = [["serve", port, []], ["stay"]]
        started = world.start(steps, modelName=name, port=port, readyWhen="port", modelPath="/", traceId="two")
        launches.append(world.launch(started.result))
    stopped = world.run("stop", "--trace-id", "two")
    assert stopped.status == 0, stopped.stdout
    assert {one["launchId"] for one in stopped.result["launches"]} == {launch.launch_id for launch in launches}
    assert stopped.stdout.count("stopped ") == 2
    assert not any(is_alive(launch.read()["server"]) for launch in launches)
