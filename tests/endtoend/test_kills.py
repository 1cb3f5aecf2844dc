"""kill -9 of any part at any moment: every line is found, each once, and `status` reports the truth."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import commands
from support.environment import free_port
from support.front import Front
from support.machine import processes_of
from support.waiting import kill, wait_for

from tracetail.contract.processes import is_alive

COUNT_LINES = Path(__file__).with_name("count_lines.py")
SAMPLE_SERVER = Path(__file__).parents[2] / "examples" / "sample_server.py"
RATE = 1000


def launch_counter(machine, trace_id, count):
    return machine.launch(
        [sys.executable, str(COUNT_LINES), str(count), str(RATE)],
        modelName="counter",
        traceId=trace_id,
        readyWhen="alive",
    )


def numbers(machine, trace_id):
    found = [re.search(r"line (\d+) of many", entry.line) for entry in machine.entries(trace_id)]
    return [int(match[1]) for match in found if match]


def assert_each_line_once(machine, trace_id, count):
    wait_for(lambda: machine.count(trace_id) >= count, "all lines", 90)
    assert numbers(machine, trace_id) == list(range(count))
    assert machine.count(trace_id) == count, "count_over_time also sees what log queries hide"


def test_agent_killed_while_a_server_prints(machine):
    count = 8 * RATE
    launch_counter(machine, "trace-kill-agent", count)
    for share in (0.3, 0.5, 0.7):
        wait_for(lambda share=share: machine.count("trace-kill-agent") > share * count, f"{share} of the lines")
        machine.kill("agent")
        machine.start("agent")
    assert_each_line_once(machine, "trace-kill-agent", count)


def test_agent_killed_after_the_store_took_a_batch_and_before_its_answer(machine):
    kills = (2, 3, 5, 7)

    def kill_at_some(pushes):
        if pushes in kills:
            os.kill(machine.parts["agent"].pid, signal.SIGKILL)

    machine.kill("agent")
    front = Front(machine.addresses["store"], kill_at_some)
    machine.environ["TRACETAIL_LOKI_URL"] = front.url
    machine.start("agent")
    count = 30 * RATE  # enough for seven pushes of an agent that starts five times on a busy machine
    try:
        launch_counter(machine, "trace-front", count)
        for _ in kills:
            machine.parts["agent"].wait(60)
            machine.kill("agent")
            machine.start("agent")
        assert_each_line_once(machine, "trace-front", count)
        assert front.pushes > max(kills)
    finally:
        front.close()


def test_launcher_killed_during_start_and_the_launch_goes_on(machine, tmp_path):
    port, go = free_port(), tmp_path / "go"
    parameters = {
        "modelName": "slow",
        "traceId": "trace-kill-launcher",
        "engine": "custom",
        "port": port,
        "host": "127.0.0.1",
        "command": [
            "sh",
            "-c",
            f"until [ -e {go} ]; do sleep 0.1; done; exec {sys.executable} {SAMPLE_SERVER} --port {port}",
        ],
    }
    starting = commands.popen(
        *("start", "--params", json.dumps(parameters)),
        env=machine.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    service = {"modelName": "slow", "port": port}
    wait_for(
        lambda: any("server" in launch.read() for launch in machine.launches() if launch.record_path.exists()), "pid"
    )
    starting.kill()
    starting.wait()
    assert machine.tracetail("status", **service).returncode == 20, "starting"
    go.touch()
    wait_for(lambda: machine.tracetail("status", **service).returncode == 0, "ready")
    machine.wait_for_event("trace-kill-launcher", "ready")
    assert machine.tracetail("stop", **service).returncode == 0
    assert machine.tracetail("status", **service).returncode == 3


@pytest.mark.parametrize("agent_runs", [True, False], ids=["the agent adopts", "stop adopts"])
def test_keeper_killed_while_the_server_prints(machine, agent_runs):
    count = 6 * RATE
    result = launch_counter(machine, "trace-kill-keeper", count)
    (launch,) = machine.launches()
    record = launch.read()
    if not agent_runs:
        machine.kill("agent")
    wait_for(lambda: Path(result["logFile"]).stat().st_size > 100_000, "lines")
    kill(record["keeper"])
    assert is_alive(record["server"]), "the server lives"
    if not agent_runs:
        machine.tracetail("status", modelName="counter")
        wait_for(launch.lock_held, "an adopting keeper")
        machine.start("agent")
    wait_for(launch.lock_held, "an adopting keeper")
    assert is_alive(record["server"])
    assert_each_line_once(machine, "trace-kill-keeper", count)
    stop = machine.tracetail("stop", modelName="counter")
    assert stop.returncode == 0, stop.stdout + stop.stderr
    assert not processes_of(launch.launch_id)
    machine.wait_for_event("trace-kill-keeper", "adopted")
    machine.wait_for_event("trace-kill-keeper", "exited")


def test_keeper_and_server_killed_as_when_the_machine_is_restarted(machine):
    result = launch_counter(machine, "trace-kill-both", 60 * RATE)
    (launch,) = machine.launches()
    record = launch.read()
    wait_for(lambda: Path(result["logFile"]).stat().st_size > 100_000, "lines")
    kill(record["keeper"], record["server"])
    # Nobody calls the launcher: the agent starts a keeper that reports the end, and ships it.
    exited = machine.wait_for_event("trace-kill-both", "exited")
    assert "state=crashed" in exited
    wait_for(lambda: launch.shipped_path.exists() and json.loads(launch.shipped_path.read_bytes())["complete"], "all")
    assert machine.tracetail("status", modelName="counter").returncode == 3
