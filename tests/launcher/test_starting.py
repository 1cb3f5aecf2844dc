"""`start` returns as soon as the server is ready or has failed, with the reason."""

import concurrent.futures
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tracetail.contract.processes import is_alive
from tracetail.launcher import engines, registry
from tracetail.launcher.machine import ports, processes

FAKE_SERVER = Path(__file__).with_name("fake_server.py")


def test_the_result_of_a_ready_server_has_all_fields(world, free_port):
    port = free_port()
    started = world.start(
        [["serve", port, ["served"]], ["stay"]],
        port=port,
        readyWhen="http",
        servedName="served",
        traceId="4bf92f3577b34da6a3ce929d0e0e4736",
        instanceId="1008611",
        jobId="7",
    )
    assert started.status == 0
    result = started.result
    assert result["state"] == "ready"
    assert (result["traceId"], result["instanceId"], result["jobId"]) == (
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "1008611",
        "7",
    )
    assert result["url"] == f"http://127.0.0.1:{port}"
    launch = world.launch(result)
    begun, ready = world.events(launch)
    assert begun.name == "started"
    shown = {name: begun.fields[name] for name in ("env", "engine", "model", "servedName", "port", "pid", "jobId")}
    assert shown == {
        "env": "test",
        "engine": "custom",
        "model": "m",
        "servedName": "served",
        "port": str(port),
        "pid": str(result["pid"]),
        "jobId": "7",
    }
    assert (begun.fields["launchId"], begun.fields["service"]) == (launch.launch_id, f"test/m:{port}")
    assert (ready.name, ready.fields["url"]) == ("ready", result["url"])
    environ = Path(f"/proc/{result['pid']}/environ").read_bytes().split(b"\0")
    assert {b"TRACETAIL_LAUNCH_ID=" + launch.launch_id.encode(), b"SPT_NOENV=1", b"PYTHONUNBUFFERED=1"} <= set(
        environ
    )
    assert b"TRACE_ID=4bf92f3577b34da6a3ce929d0e0e4736" in environ
    assert b"INSTANCE_ID=1008611" in environ
    assert any(pair.startswith(b"TRACEPARENT=00-4bf92f3577b34da6a3ce929d0e0e4736-") for pair in environ)
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_server_with_another_model_is_not_ready(world, free_port):
    port = free_port()
    started = world.start(
        [["serve", port, ["other"]], ["stay"]], port=port, readyWhen="http", servedName="mine", readyTimeoutSec=1
    )
    assert started.status == 11
    assert "it serves other, not mine" in started.result["cause"]
    assert not world.members(world.launch(started.result))


@pytest.mark.parametrize("before", ["", "some text\n", "Initializing a V1 LLM engine (v0.32.0)\nhalf a li"])
def test_a_crash_before_ready_is_reported_at_once_with_the_last_lines(world, before):
    begun = time.monotonic()
    started = world.start([["text", before], ["exit", 7]])
    assert started.status == 10
    assert time.monotonic() - begun < 20  # and not the 900 s of the time-out
    assert started.result["state"] == "failed"
    assert started.result["cause"] == "exited with status 7 before it was ready"
    for line in before.splitlines():
        assert line in started.stdout
    launch = world.launch(started.result)
    failed, exited = world.events(launch)[-2:]
    assert (failed.name, failed.fields["exitCode"], failed.fields["exitStatus"]) == ("failed", "7", "10")
    assert (exited.name, exited.fields["state"]) == ("exited", "failed")
    assert world.run("status", "--model-name", "m").status == 3


PHASES = engines.load("vllm").phases


@pytest.mark.parametrize("passed", range(len(PHASES) + 1))
def test_a_server_that_dies_after_a_phase_is_reported_with_the_phases_it_passed(world, passed):
    lines = [f"INFO 11-22 13:12:10 [core.py:1] {phase.anchor.decode()}\n" for phase in PHASES[:passed]]
    started = world.start([*(["text", line] for line in lines), ["exit", 1]], readyWhen="log:never")
    assert (started.status, started.result["state"]) == (10, "failed")
    names = [phase.name for phase in PHASES[:passed]]
    launch = world.launch(started.result)
    assert [phase["name"] for phase in launch.read()["phases"]] == names
    assert [event.fields["name"] for event in world.events(launch) if event.name == "phase"] == names
    assert all(f"{name} 0." in started.stdout for name in names)


def test_the_cause_comes_with_its_evidence_and_without_secrets(world):
    line = "ValueError: No available memory for the cache blocks. api_key='hunter2hunter2'"
    started = world.start([["text", f"loading\n{line}\n"], ["exit", 1]])
    assert started.result["cause"] == "no memory is left for the KV cache"
    assert started.result["evidence"][0].startswith("ValueError: No available memory")
    assert f"evidence: {started.result['evidence'][0]}\n" in started.stdout
    assert "hunter2" not in started.stdout
    status = world.run("status", "--model-name", "m")
    assert (status.result["evidence"], status.result["hint"]) == (started.result["evidence"], started.result["hint"])
    assert "hunter2" not in status.stdout


def test_a_failure_is_reported_within_the_length_that_a_scheduler_keeps(world):
    last = f"ValueError: No available memory for the cache blocks. {'y' * 3000}\n"
    lines = [f"{n:02d} {'x' * 3000}\n" for n in range(40)]
    started = world.start([["text", "".join(lines) + last], ["exit", 1]])
    assert len(started.stdout) < 8000
    assert started.result["cause"] == "no memory is left for the KV cache"
    assert "  39 xxx" in started.stdout


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
            assert launcher.wait(30) == 10
            other.kill()
    record = world.launches()[0].read()
    assert record["exit"]["cause"] == "the port is in use"
    assert f"port {port} is held by pid {other.pid} ({sys.executable} -m http.server {port}" in record["exit"]["hint"]
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
            assert launcher.wait(30) == 10
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


def test_a_server_killed_by_a_signal_is_reported_with_the_signal(world):
    started = world.start([["kill", 9]])
    assert (started.status, started.result["cause"]) == (10, "killed by SIGKILL before it was ready")


def test_a_server_that_never_gets_ready_is_ended_at_its_time_out(world):
    started = world.start([["text", "loading\n"], ["ignore-term"], ["stay"]], readyTimeoutSec=1, stopTimeoutSec=0.5)
    assert started.status == 11
    assert not world.members(world.launch(started.result))


def test_alive_means_still_there_after_two_seconds(world):
    assert world.start([["stay"]], readyWhen="alive").status == 0
    assert world.run("stop", "--model-name", "m").status == 0
    assert world.start([["sleep", 0.5], ["exit", 0]], readyWhen="alive").status == 10


def test_port_means_listening_not_only_bound(world, free_port, tmp_path, wait_until):
    port, go = free_port(), tmp_path / "go"
    steps = [["bind", port], ["wait", str(go)], ["exit", 1]]
    with world.popen("start", "--params", world.params(steps, port=port, readyWhen="port")) as launcher:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        assert world.launches()[0].read()["state"] == "starting"
        go.touch()
        assert launcher.wait(30) == 10


def test_pre_start_runs_first_and_its_failure_fails_the_start(world):
    started = world.start([["text", "ready now\n"], ["stay"]], preStart=["sh", "-c", "echo cleaning"])
    assert started.status == 0
    assert world.output(world.launch(started.result)).startswith(b"cleaning\n")
    assert world.run("stop", "--model-name", "m").status == 0
    started = world.start([["text", "ready now\n"], ["stay"]], preStart=["sh", "-c", "echo broken; exit 4"])
    assert (started.status, started.result["cause"]) == (10, "preStart failed: exit status 4")
    assert world.output(world.launch(started.result)) == b"broken\n"


@pytest.mark.parametrize(
    ("params", "status", "message"),
    [
        ("{", 2, "not valid JSON"),
        ("[]", 2, "must be a JSON object, not a list"),
        ('{"modelNam": "m"}', 2, "did you mean modelName?"),
        ('{"modelName": "m", "modelPath": "/x", "port": 70000}', 2, "port is 70000: expected a port from 1 to 65535"),
        ('{"modelName": "m", "modelPath": "/does/not/exist"}', 15, "modelPath /does/not/exist does not exist"),
        ('{"modelName": "m", "modelPath": "/", "traceId": "a\\"b"}', 2, "contains '\"'"),
        ('{"modelName": "m", "modelPath": "/", "traceId": "a\\nb"}', 2, "contains '\\n'"),
        ('{"modelName": "m"}', 2, "modelPath is missing"),
        ("{}", 2, "modelName is missing"),
        ('{"modelName": "m", "engine": "custom"}', 2, "needs `command`"),
        ('{"modelName": "m", "command": ["/no/such/program"]}', 15, "command: /no/such/program is not an executable"),
        ('{"modelName": "m", "modelPath": "/", "engine": "tgi"}', 2, "engine"),
        ('{"modelName": "m", "modelPath": "/", "env": "staging"}', 2, "expected one of dev, test, prod"),
        ('{"modelName": "m", "command": ["true"], "callbackUrl": "ftp://x"}', 2, "callbackUrl"),
        ('{"modelName": "m", "command": ["true"], "readyWhen": "log:("}', 2, "not a regular expression"),
        ('{"modelName": "m", "model_name": "n"}', 2, "given twice"),
        ('{"modelName": "m", "command": ["true"], "environ": {"A B": "c"}}', 2, "not the name of a variable"),
        ('{"modelName": "m", "service": "nope"}', 2, "service 'nope' is not in the configuration"),
        ("[" * 100_000, 2, "nested too deeply"),
        (
            '{"modelName": "m", "command": ["true"], "environ": {"A": "b\\u0000"}}',
            2,
            "environ.A holds a NUL character",
        ),
        ('{"modelName": "m", "command": ["true"], "args": ["\\ud800"]}', 2, "args holds half of a character"),
        ('{"modelName": "m\\ud800", "command": ["true"], "traceId": "t-1"}', 2, "modelName must be printable"),
    ],
)
def test_a_wrong_parameter_is_reported_in_one_line_that_says_what_to_change(world, params, status, message):
    refused = world.run("start", "--params", params)
    assert refused.status == status
    printed = [line for line in (refused.stdout + refused.stderr).splitlines() if message in line]
    assert printed, (refused.stdout, refused.stderr)
    assert refused.result["exitStatus"] == status
    assert all("server" not in launch.read() for launch in world.launches())


@pytest.mark.parametrize("command", ["start", "stop", "restart", "status", "apply", "warmup", "smoke", "notify"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "abc"], "'abc' is not a valid integer"),
        (["--prot", "1"], "o such option"),
        (["--params"], "'--params' requires an argument"),
        (["m"], "unexpected extra argument (m)"),
    ],
)
def test_a_wrong_flag_ends_with_a_result_too(world, command, words, message):
    refused = world.run(command, *words)
    assert refused.status == 2
    assert message in refused.stderr
    assert message in refused.result["cause"]
    assert (refused.result["action"], refused.result["exitStatus"]) == (command, 2)


def test_a_start_with_a_wrong_flag_is_found_by_its_trace(world):
    refused = world.run("start", "--model-name", "m", "--port", "abc", "--trace-id", "t-9")
    launch = world.launch(refused.result)
    assert (launch.read()["traceId"], launch.read()["modelName"]) == ("t-9", "m")
    assert "'abc' is not a valid integer" in world.events(launch)[-1].fields["cause"]
    refused = world.run("apply", "--params", '{"modelName": "m", "traceId": "t-8"}', "--nonsense")
    assert world.launch(refused.result).read()["traceId"] == "t-8"


@pytest.mark.parametrize("command", ["start", "stop", "status"])
def test_a_state_directory_that_cannot_be_read_is_reported(world, command):
    world.environ["TRACETAIL_STATE_DIR"] = "/" + "x" * 300
    words = ["--params", world.params([["stay"]])] if command == "start" else ["--model-name", "m"]
    printed = world.run(command, *words)
    assert printed.status == 15
    assert "File name too long" in printed.result["cause"]
    assert "Traceback" not in printed.stderr


@pytest.mark.parametrize(
    "params",
    [
        {"modelName": "m", "modelPath": "/does/not/exist"},
        {"modelName": "m", "modelPath": "/x", "port": 70000},
        {"modelName": "m", "modelPat": "/x"},
    ],
)
def test_a_refused_start_is_found_by_its_trace(world, params):
    given = {**params, "traceId": "t-9"}
    refused = world.run("start", "--params", "-", stdin=json.dumps(given))
    launch = world.launch(refused.result)
    line = world.lines(launch)[-1]
    assert (line.trace_id, line.mark) == ("t-9", "event")
    event = world.events(launch)[-1]
    assert event.name == "refused"
    assert event.fields["exitStatus"] == str(refused.status)
    assert (event.fields["engine"], event.fields["model"]) == ("vllm", "m")
    assert launch.read()["state"] == "failed"


def test_flags_and_files_do_as_well_as_json(world, tmp_path):
    path = tmp_path / "params.json"
    path.write_text(world.params([["text", "ready now\n"], ["stay"]]))
    started = world.run("start", "--params", f"@{path}", "--trace-id", "t-7", "--env", "dev")
    assert (started.status, started.result["traceId"], started.result["env"]) == (0, "t-7", "dev")
    assert world.run("stop", "--model-name", "m", "--env", "dev").status == 0


def test_parameters_that_are_not_text_are_an_error(world):
    command = world.command("start", "--params", "-")
    done = subprocess.run(command, input=b"{\xff}", env=world.environ, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"can't decode byte 0xff" in done.stderr
    assert done.stdout.startswith(b"TRACETAIL_RESULT ")


def test_relative_paths_are_those_of_the_caller(world, tmp_path, wait_until, receiver):
    (tmp_path / "sub").mkdir()
    (tmp_path / "token").write_text("s3cret")
    (tmp_path / "params").write_text(
        world.params(
            [["text", "ready now\n"], ["touch", "here"], ["stay"]],
            workDir="sub",
            logDir="~/mine",
            callbackUrl=receiver.url,
            callbackTokenFile="token",
        )
    )
    command = world.command("start", "--params", "@params")
    environ = world.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1].removeprefix("TRACETAIL_RESULT "))
    assert result["logFile"].startswith(str(tmp_path / "mine"))
    wait_until((tmp_path / "sub" / "here").exists)
    wait_until(lambda: receiver.events() == ["ready"])
    assert receiver.headers[0]["Authorization"] == "Bearer s3cret"
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_service_of_the_configuration_gives_defaults(world, tmp_path):
    params = json.loads(world.params([["text", "ready now\n"], ["stay"]]))
    path = tmp_path / "tracetail.toml"
    path.write_text(f"[launcher.services.mine]\nmodel_name = 'm'\ncommand = {json.dumps(params['command'])}\n")
    given = {"service": "mine", "readyWhen": "log:ready now"}
    started = world.run("--config", path, "start", "--params", json.dumps(given))
    assert started.status == 0, started.stdout
    named = '{"service": "mine"}'
    assert world.run("--config", path, "status", "--params", named).status == 0
    assert world.run("--config", path, "restart", "--params", named).status == 0
    assert world.run("--config", path, "stop", "--params", named).status == 0
    assert world.run("status", "--model-name", "m").status == 3
    path.write_text("[launcher]\nservice = 1\n")
    bad = world.run("--config", path, "stop", "--params", named)
    assert (bad.status, "unknown key launcher.service" in bad.result["cause"]) == (2, True)


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


def test_twenty_parallel_starts_start_one_server(world, tmp_path):
    starts = tmp_path / "starts"
    steps = [["append", str(starts)], ["sleep", 1], ["text", "ready now\n"], ["stay"]]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: world.start(steps), range(20)))
    assert starts.read_text() == "started\n"
    assert {answer.status for answer in answers} <= {0, 13}
    assert len({answer.result["launchId"] for answer in answers if answer.status == 0}) == 1
    assert world.run("stop", "--model-name", "m").status == 0


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
        assert launcher.wait(30) == 0
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
        assert launcher.wait(30) == 0
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_state_directory_that_cannot_be_written_is_reported(world):
    world.environ["TRACETAIL_STATE_DIR"] = "/proc/nowhere"
    refused = world.start([["stay"]])
    assert refused.status == 15
    assert "TRACETAIL_STATE_DIR" in refused.result["hint"]


def test_secrets_are_masked_wherever_parameters_are_shown(world, tmp_path):
    command = [sys.executable, "-c", "import time; print('ready now', flush=True); time.sleep(600)"]
    command += ["--api-key", "hunter2hunter2", "--hf-token=hf_abcdefghijklmnopqrstuv"]
    started = world.run(
        "start", "--params", json.dumps({"modelName": "m", "command": command, "readyWhen": "log:ready now"})
    )
    assert started.status == 0
    launch = world.launch(started.result)
    shown = started.stdout + launch.record_path.read_text() + Path(launch.read()["logFile"]).read_text()
    assert "hunter2" not in shown
    assert "hf_abc" not in shown
    assert (launch.path / "plan.json").stat().st_mode & 0o777 == 0o600
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
            assert (first.wait(30), second.wait(30)) == (0, 0)
    assert len(world.launches()) == 1
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_server_that_is_loading_can_be_stopped_while_its_start_waits(world, wait_until):
    with world.popen("start", "--params", world.params([["stay"]])) as launcher:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        assert world.run("stop", "--model-name", "m").status == 0
        printed = launcher.stdout.read()
        assert launcher.wait(30) == 10
    assert "it was stopped before it was ready" in printed
    assert world.launches()[0].read()["state"] == "stopped"


def test_a_pre_start_that_hangs_is_a_time_out(world):
    started = world.start([["stay"]], preStart=["sleep", "600"], readyTimeoutSec=0.5, stopTimeoutSec=1)
    assert (started.status, started.result["cause"]) == (11, "preStart did not end within 0.5 s")


def test_no_server_is_started_once_pre_start_was_too_late(world):
    polite = ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"]
    started = world.start([["stay"]], preStart=polite, readyTimeoutSec=0.5, stopTimeoutSec=1)
    assert started.status == 11
    assert [event.name for event in world.events(world.launch(started.result))] == ["failed", "exited"]


def test_a_huge_time_out_is_as_good_as_none(world):
    started = world.start([["sleep", 0.3], ["text", "ready now\n"], ["stay"]], readyTimeoutSec=1e9)
    assert started.status == 0
    assert not (world.launch(started.result).path / "keeper.log").read_bytes()
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_keeper_that_ends_at_once_is_reported_and_not_restarted_forever(world, wait_until, monkeypatch):
    with world.popen("start", "--params", world.params([["stay"]])) as launcher:
        launch = wait_until(lambda: next((one for one in world.launches() if "server" in one.read()), None))
        record = launch.read()
        (launch.path / "plan.json").rename(launch.path / "plan.away")  # no keeper can do without it
        os.kill(record["keeper"]["pid"], 9)
        printed = launcher.stdout.read()
        assert launcher.wait(60) == 11
    assert "no keeper stays with the launch" in printed
    assert (launch.path / "keeper.log").read_text().count("FileNotFoundError") <= 2
    (launch.path / "plan.away").rename(launch.path / "plan.json")
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_start_that_is_terminated_reports_that_the_launch_continues(world, wait_until):
    with world.popen("start", "--params", world.params([["stay"]])) as launcher:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        launcher.terminate()
        assert "ended by SIGTERM: the launch goes on" in launcher.stdout.read()
        assert launcher.wait(30) == 143
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_scope_is_requested_from_systemd(world, tmp_path):
    fake = tmp_path / "bin" / "systemd-run"
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n'
    )
    fake.chmod(0o755)
    world.environ["PATH"] = f"{fake.parent}:{world.environ['PATH']}"
    started = world.run("start", "--scope", "--params", world.params([["text", "ready now\n"], ["stay"]]))
    assert started.status == 0
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("--scope ")
    assert f"--unit=tracetail-{started.result['launchId']}" in asked
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_scope_that_is_not_available_is_reported(world, tmp_path):
    fake = tmp_path / "bin" / "systemd-run"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'Failed to connect to bus: No medium found' >&2\nexit 1\n")
    fake.chmod(0o755)
    path = world.environ["PATH"]
    world.environ["PATH"] = f"{fake.parent}:{path}"
    started = world.run("start", "--scope", "--params", world.params([["stay"]]))
    assert (started.status, started.result["state"]) == (10, "failed")
    assert started.result["cause"] == "the server was not started: Failed to connect to bus: No medium found"
    fake.unlink()
    (fake.parent / "python3").symlink_to(sys.executable)
    world.environ["PATH"] = str(fake.parent)
    started = world.run("start", "--scope", "--params", world.params([["stay"]]))
    assert (started.status, "needs systemd-run" in started.result["cause"]) == (15, True)


def test_the_instance_id_of_a_powerjob_script_is_found(world, tmp_path):
    script = tmp_path / "shell_4711.sh"
    command = " ".join(f"'{word}'" for word in world.command("start", "--params", f"@{tmp_path}/params"))
    (tmp_path / "params").write_text(world.params([["text", "ready now\n"], ["stay"]]))
    script.write_text(f"{command}\necho done\n")
    done = subprocess.run(["sh", str(script)], env=world.environ, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-2].removeprefix("TRACETAIL_RESULT "))
    assert result["instanceId"] == "4711"
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_server_that_goes_into_the_background_is_a_failure_that_says_so(world):
    started = world.start([["fork-away", [["stay"]]], ["sleep", 0.5], ["exit", 0]])
    assert started.status == 10
    assert started.result["cause"].endswith("and left 1 processes: it must stay in the foreground")


def test_a_terminal_sees_seconds_count_and_a_pipe_sees_lines(world):
    steps = [["text", "non-default args: {}\n"], ["sleep", 1.2], ["text", "ready now\n"], ["stay"]]
    leader, follower = os.openpty()
    command = world.command("start", "--params", world.params(steps))
    with subprocess.Popen(command, env=world.environ, stdout=follower, stderr=follower) as launcher:
        os.close(follower)
        seen = b""
        while b"TRACETAIL_RESULT" not in seen:
            seen += os.read(leader, 65536)
        assert launcher.wait(30) == 0
    os.close(leader)
    assert b"is starting: 1 s, after: arguments read" in seen
    assert world.run("stop", "--model-name", "m").status == 0
    piped = world.start(steps)
    assert "is starting" not in piped.stdout
    assert "arguments read 0." in piped.stdout
    assert world.run("stop", "--model-name", "m").status == 0
