"""A start beside others: of the same service, by another caller, or at a port or device in use."""

import concurrent.futures
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tracetail.contract.processes import is_alive
from tracetail.launcher import registry
from tracetail.launcher.machine import ports, processes

FAKE_SERVER = Path(__file__).with_name("fake_server.py")


def test_a_process_that_took_the_port_in_the_meantime_is_named(world, free_port, tmp_path, wait_until):
    port, go = free_port(), tmp_path / "go"
    steps = [["wait", str(go)], ["text", "OSError: [Errno 98] Address already in use\n"], ["exit", 1]]
    with world.popen("start", "--params", world.params(steps, port=port)) as launcher:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        command = [sys.executable, "-m", "http.server", str(port), "--bind", "0.0.0.0"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
            wait_until(lambda: ports.holder(port))
            go.touch()
            printed = launcher.stdout.read()
            assert launcher.wait(60) == 12
            other.kill()
    record = world.launches()[0].read()
    assert record["exit"]["cause"] == "the port is in use"
    assert f"port {port} is held by pid {other.pid} ({sys.executable} -m http.server {port}" in record["exit"]["hint"]
    assert f"端口 {port} 被进程 {other.pid}（{sys.executable} -m http.server {port}" in record["exit"]["hintZh"]
    assert record["exit"]["hint"] in printed


def test_another_server_at_the_port_does_not_pass_for_the_engine(world, free_port, tmp_path, wait_until):
    port, go, probed = free_port(), tmp_path / "go", tmp_path / "probed"
    steps = [["wait", str(go)], ["text", "OSError: [Errno 98] Address already in use\n"], ["exit", 1]]
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec {sys.executable} {FAKE_SERVER} '{json.dumps(steps)}'\n")
    python.chmod(0o755)
    given = {"modelName": "m", "modelPath": str(tmp_path), "pythonBin": str(python), "port": port}
    with world.popen("start", "--params", json.dumps(given)) as launcher:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        others = [["serve", port, ["m"], str(probed)], ["stay"]]
        with subprocess.Popen([sys.executable, FAKE_SERVER, json.dumps(others)]) as other:
            wait_until(lambda: probed.exists() and probed.read_text().count("/v1/models") >= 2)
            assert world.launches()[0].read()["state"] == "starting"
            go.touch()
            printed = launcher.stdout.read()
            assert launcher.wait(60) == 12
            other.kill()
    assert f"port {port} is held by pid {other.pid}" in printed


def test_a_process_in_a_container_is_recognised():
    assert processes.same_file_system_view(os.getpid())
    if os.geteuid() != 0:
        pytest.skip("needs root: makes a namespace")
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", "echo there; read -r _"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as inside:
        if inside.stdout.readline() != b"there\n":
            pytest.skip("may not make a namespace here")
        assert not processes.same_file_system_view(inside.pid)
        inside.stdin.close()
        inside.wait()
    assert not processes.same_file_system_view(inside.pid)


def test_equal_parameters_reuse_and_others_restart(world):
    steps = [["text", "ready now\n"], ["stay"]]
    first = world.start(steps, traceId="t-1").result
    again = world.start(steps, traceId="t-1", jobId="8", instanceId="9", stopTimeoutSec=5)
    assert (again.result["launchId"], again.result["reused"]) == (first["launchId"], True)
    any_trace = world.start(steps).result
    assert (any_trace["launchId"], any_trace["traceId"]) == (first["launchId"], "t-1")
    assert world.start(steps, traceId="t-1", ifRunning="fail").status == 15
    other = world.start(steps, traceId="t-2").result
    assert other["launchId"] != first["launchId"]
    assert not is_alive(world.launch(first).read()["server"])
    assert [event.name for event in world.events(world.launch(first))][-2:] == ["stopping", "exited"]
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_restart_that_cannot_succeed_leaves_the_running_server_alone(world):
    first = world.launch(world.start([["text", "ready now\n"], ["stay"]]).result)
    refused = world.start([["text", "ready now\n"], ["stay"]], workDir="/does/not/exist")
    assert (refused.status, refused.result["cause"]) == (15, "workDir /does/not/exist is not a directory")
    assert is_alive(first.read()["server"])
    assert world.run("stop", "--model-name", "m").status == 0


def test_if_running_decides_what_happens_to_a_running_service(world):
    steps = [["text", "ready now\n"], ["stay"]]
    first = world.start(steps).result
    reused = world.start(steps, ifRunning="reuse", args=["other"])
    assert (reused.result["launchId"], reused.result["reused"]) == (first["launchId"], True)
    second = world.start(steps, ifRunning="restart")
    assert second.status == 0
    assert second.result["launchId"] != first["launchId"]
    assert world.run("stop", "--model-name", "m").status == 0


def test_another_operation_on_the_service_is_reported(world):
    with registry.operation_lock(world.state, "test/m", {"action": "stop"}):
        busy = world.start([["stay"]], traceId="t-1")
        assert busy.status == 13
        assert f"another operation on test/m is running (pid {os.getpid()}, stop)" in busy.result["cause"]
        assert world.events(world.launch(busy.result))[-1].fields["exitStatus"] == "13"
    assert world.start([["text", "ready now\n"], ["stay"]]).status == 0
    with registry.operation_lock(world.state, "test/m", {"action": "start"}):
        assert world.run("stop", "--model-name", "m").status == 13
    assert world.run("stop", "--model-name", "m").status == 0


@pytest.mark.parametrize("count", [8, pytest.param(20, marks=pytest.mark.field)])
def test_parallel_starts_start_one_server(world, tmp_path, count):
    starts = tmp_path / "starts"
    steps = [["append", str(starts)], ["sleep", 1], ["text", "ready now\n"], ["stay"]]
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda _: world.start(steps), range(count)))
    assert starts.read_text() == "started\n"
    assert {answer.status for answer in answers} == {0}
    assert len({answer.result["launchId"] for answer in answers}) == 1
    assert world.run("stop", "--model-name", "m").status == 0


def test_an_equal_start_returns_the_failure_of_the_one_that_it_waited_for(world, tmp_path):
    starts = tmp_path / "starts"
    steps = [["append", str(starts)], ["exit", 7]]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: world.start(steps), range(4)))
    assert {(answer.status, answer.result["launchId"]) for answer in answers} == {
        (10, launch.launch_id) for launch in world.launches()
    }
    assert starts.read_text() == "started\n" * len(world.launches())


@pytest.mark.parametrize("text", ["no luck today\n", "ERROR: no luck today\n"])
def test_a_port_that_a_server_lost_to_another_is_reported_so_without_a_line_that_says_it(
    text, world, free_port, tmp_path, wait_until
):
    port, go = free_port(), tmp_path / "go"
    steps = [["wait", str(go)], ["text", text], ["exit", 1]]
    with world.popen("start", "--params", world.params(steps, port=port, engine="custom")) as launcher:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        with socket.create_server(("0.0.0.0", port)):
            go.touch()
            assert launcher.wait(60) == 12
    assert f"port {port} is held by pid {os.getpid()}" in world.launches()[0].read()["exit"]["cause"]


def test_a_port_held_by_a_listener_is_refused_and_its_holder_named(world):
    command = [sys.executable, "-c", "import socket,time; s=socket.create_server(('0.0.0.0',0));"]
    command[-1] += " print(s.getsockname()[1],flush=True); time.sleep(600)"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        port = int(holder.stdout.readline())
        refused = world.start([["stay"]], port=port, readyWhen="port", traceId="t-1")
        holder.kill()
    assert refused.status == 12
    assert f"port {port} is held by pid {holder.pid} ({sys.executable} -c" in refused.result["cause"]
    assert f"kill {holder.pid}" in refused.result["hint"]
    assert world.events(world.launch(refused.result))[-1].fields["exitStatus"] == "12"


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_a_port_that_is_bound_but_not_listening_is_refused(world, host):
    code = "import socket,time; s=socket.socket(); s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1);"
    code += f" s.bind(('{host}',0)); print(s.getsockname()[1],flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        port = int(holder.stdout.readline())
        refused = world.start([["stay"]], port=port, readyWhen="port")
        holder.kill()
    assert refused.status == 12
    assert "which has bound it and does not listen yet" in refused.result["cause"]
    if os.geteuid() == 0:
        assert f"pid {holder.pid}" in refused.result["cause"]


def test_a_port_in_time_wait_is_free(world):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # the server's end closes first, so its port rests in TIME_WAIT
            client.recv(1)
    started = world.start([["serve", port, []], ["stay"]], port=port, readyWhen="port")
    assert started.status == 0, started.stdout
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_port_and_a_device_that_another_launch_loads_on_are_refused(world, free_port, tmp_path, wait_until):
    go, port = tmp_path / "go", free_port()
    steps = [["wait", str(go)], ["text", "ready now\n"], ["stay"]]
    with world.popen("start", "--params", world.params(steps, port=port, devices=[0, 1])) as launcher:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        refused = world.start(steps, modelName="other", port=port)
        assert (refused.status, "claimed by launch" in refused.result["cause"]) == (12, True)
        refused = world.start(steps, modelName="other", port=free_port(), devices="1")
        assert (refused.status, "still loading" in refused.result["cause"]) == (15, True)
        go.touch()
        assert launcher.wait(60) == 0
    assert world.start(steps, modelName="other", devices="1").status == 0
    assert world.run("stop", "--model-name", "m").status == 0
    assert world.run("stop", "--model-name", "other").status == 0


def test_a_claim_in_another_state_directory_of_the_machine_is_seen(world, tmp_path, wait_until):
    go, elsewhere = tmp_path / "go", {"TRACETAIL_STATE_DIR": str(tmp_path / "elsewhere")}
    world.state = tmp_path / ".local" / "state" / "tracetail"  # that of the user
    world.environ["TRACETAIL_STATE_DIR"] = str(world.state)
    steps = [["wait", str(go)], ["text", "ready now\n"], ["stay"]]
    with world.popen("start", "--params", world.params(steps, devices=[0])) as launcher:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        refused = world.run("start", "--params", world.params(steps, devices=[0]), environ=elsewhere)
        assert (refused.status, "still loading" in refused.result["cause"]) == (15, True)
        go.touch()
        assert launcher.wait(60) == 0
    assert world.run("stop", "--model-name", "m").status == 0


def test_an_identical_start_joins_one_that_is_loading(world, tmp_path, wait_until):
    go = tmp_path / "go"
    steps = [["wait", str(go)], ["text", "ready now\n"], ["stay"]]
    with world.popen("start", "--params", world.params(steps)) as first:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        with world.popen("start", "--params", world.params(steps)) as second:
            line = second.stdout.readline()
            assert "is already starting" in line
            go.touch()
            assert (first.wait(60), second.wait(60)) == (0, 0)
    assert len(world.launches()) == 1
    assert world.run("stop", "--model-name", "m").status == 0


@pytest.fixture
def locker():
    """Return a function that has another process lock a file which it has open for reading only; its pid."""
    running = []

    def lock(path):
        code = (
            "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_SH); print(1, flush=True); input()"
        )
        command = [sys.executable, "-c", code, str(path)]
        running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert running[-1].stdout.readline()
        return running[-1].pid

    yield lock
    for process in running:
        process.kill()
        process.communicate()


def test_a_start_waits_no_longer_than_a_minute_for_who_locks_the_claims_and_names_him(state_dir, locker, monkeypatch):
    """Whoever may read the file can lock it, by flock(2), and never unlock it."""
    with registry.claims_lock(state_dir):
        pass
    pid = locker(state_dir / "locks" / "claims.lock")
    monkeypatch.setattr(registry, "CLAIMS_SECONDS", 0.1)
    named = rf"claims.lock has been locked .* \(pid {pid}, user \w+\)"
    with pytest.raises(registry.BusyError, match=named) as busy, registry.claims_lock(state_dir):
        pass
    assert f"pid {pid}" in busy.value.zh[0]


def test_who_locks_a_service_is_named_whatever_the_file_says(state_dir, locker):
    with registry.operation_lock(state_dir, "test/m", {"action": "stop"}):
        pass
    pid = locker(next((state_dir / "locks").glob("service-*.lock")))
    named = rf"on test/m is running \(pid {pid}, user"
    with (
        pytest.raises(registry.BusyError, match=named),
        registry.operation_lock(state_dir, "test/m", {"action": "stop"}),
    ):
        pass
