"""`start` returns as soon as the server is ready or has failed, with the reason."""

import json
import os
import pty
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.terminal import run_on_terminal

from tracetail.launcher import engines

FAKE_SERVER = Path(__file__).with_name("fake_server.py")
NOT_IGNORED = ("env", "--default-signal=INT")
"""Without a terminal's job control a shell starts what runs in the background with SIGINT ignored."""


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


def timed_out_after(words, world, steps, **more):
    """Return a start that came to its time-out after what these words of its cause say.

    The time-out is short; a server that starts slowly, as on a busy machine, gets a longer one.
    """
    for seconds in (1, 5, 25):
        started = world.start(steps, readyTimeoutSec=seconds, **more)
        assert started.status == 11
        if words in started.result["cause"]:
            return started
    raise AssertionError(started.result["cause"])


def test_a_server_with_another_model_is_not_ready(world, free_port):
    port = free_port()
    steps = [["serve", port, ["other"]], ["stay"]]
    words = "it serves other, not mine"
    started = timed_out_after(words, world, steps, port=port, readyWhen="http", servedName="mine")
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


@pytest.mark.parametrize("passed", [0, 1, len(PHASES)])
def test_a_server_that_dies_after_a_phase_is_reported_with_the_phases_it_passed(world, passed):
    lines = [f"INFO 11-22 13:12:10 [core.py:1] {phase.anchor.decode()}\n" for phase in PHASES[:passed]]
    started = world.start([*(["text", line] for line in lines), ["exit", 1]], readyWhen="log:never")
    assert (started.status, started.result["state"]) == (10, "failed")
    names = [phase.name for phase in PHASES[:passed]]
    launch = world.launch(started.result)
    assert [phase["name"] for phase in launch.read()["phases"]] == names
    assert [event.fields["name"] for event in world.events(launch) if event.name == "phase"] == names
    assert all(re.search(rf"^{name} \d+\.\d s$", started.stdout, re.MULTILINE) for name in names)


def test_the_cause_comes_with_its_evidence_and_without_secrets(world):
    line = "ValueError: No available memory for the cache blocks. api_key='hunter2hunter2'"
    started = world.start([["text", f"loading\n{line}\n"], ["exit", 1]])
    assert started.result["cause"] == "no memory is left for the KV cache"
    assert started.result["evidence"][0].startswith("ValueError: No available memory")
    assert f"evidence: {started.result['evidence'][0]}\n" in started.stdout
    assert f"\n> {started.result['evidence'][0]}\n" in started.stdout
    assert f"\nall lines: tracetail logs {started.result['launchId']}\n" in started.stdout
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


def test_a_server_killed_by_a_signal_is_reported_with_the_signal(world):
    started = world.start([["kill", 9]])
    assert (started.status, started.result["cause"]) == (10, "killed by SIGKILL before it was ready")


def test_a_server_that_never_gets_ready_is_ended_at_its_time_out(world, free_port):
    steps = [["text", "loading\n"], ["ignore-term"], ["stay"]]
    words = " s: /health: Connection refused; "
    started = timed_out_after(words, world, steps, port=free_port(), readyWhen="http", stopTimeoutSec=0.5)
    assert " s 后仍未就绪：/health：连接被拒绝；" in started.result["causeZh"]
    assert not world.members(world.launch(started.result))


def test_a_server_that_hangs_while_it_loads_is_ended_in_seconds_and_its_last_phase_named(world):
    steps = [["text", "Starting to load model /m...\n"], ["ignore-term"], ["stay"]]
    # A start that waited for a stop as long as this would not end within the time of world.run.
    started = timed_out_after("; last phase: ", world, steps, stopTimeoutSec=600)
    cause = started.result["cause"]
    assert re.match(r"not ready after \d+ s: the awaited line did not appear; last phase: ", cause)
    assert re.search(r"; silent for \d+ s$", cause)
    assert re.match(r"\d+ s 后仍未就绪：没有出现等待的那一行；", started.result["causeZh"])


def test_a_stop_while_a_server_loads_takes_seconds_and_says_who_asked(world, wait_until):
    with world.popen("start", "--params", world.params([["ignore-term"], ["stay"]], stopTimeoutSec=60)) as launcher:
        launch = wait_until(lambda: next((one for one in world.launches() if "server" in one.read()), None))
        begun = time.monotonic()
        assert (
            subprocess.run(world.command("stop", "--model-name", "m"), env=world.environ, check=False).returncode == 0
        )
        assert time.monotonic() - begun < 20
        launcher.wait(60)
    stopping = next(event for event in world.events(launch) if event.name == "stopping").fields
    assert (stopping["reason"], stopping["user"]) == ("asked to stop", pwd.getpwuid(os.geteuid()).pw_name)
    assert stopping["command"].endswith("-m tracetail stop --model-name m")
    assert launch.read()["stoppedBy"] == {
        "user": stopping["user"],
        "pid": int(stopping["pid"]),
        "command": stopping["command"],
    }


def test_alive_means_still_there_after_two_seconds(world):
    assert world.start([["stay"]], readyWhen="alive").status == 0
    assert world.run("stop", "--model-name", "m").status == 0
    # A program that starts at once: the two seconds include its start.
    assert world.start([], command=["sleep", "0.5"], readyWhen="alive").status == 10


def test_port_means_listening_not_only_bound(world, free_port, tmp_path, wait_until):
    port, go = free_port(), tmp_path / "go"
    steps = [["bind", port], ["wait", str(go)], ["exit", 1]]
    with world.popen("start", "--params", world.params(steps, port=port, readyWhen="port")) as launcher:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        assert world.launches()[0].read()["state"] == "starting"
        go.touch()
        assert launcher.wait(60) == 10


def test_pre_start_runs_first_and_its_failure_fails_the_start(world):
    started = world.start([["text", "ready now\n"], ["stay"]], preStart=["sh", "-c", "echo cleaning"])
    assert started.status == 0
    assert world.output(world.launch(started.result)).startswith(b"cleaning\n")
    assert world.run("stop", "--model-name", "m").status == 0
    started = world.start([["text", "ready now\n"], ["stay"]], preStart=["sh", "-c", "echo broken; exit 4"])
    assert (started.status, started.result["cause"]) == (10, "preStart failed: exit status 4")
    assert world.output(world.launch(started.result)) == b"broken\n"


def test_a_server_that_is_loading_can_be_stopped_while_its_start_waits(world, wait_until):
    with world.popen("start", "--params", world.params([["stay"]])) as launcher:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        assert world.run("stop", "--model-name", "m").status == 0
        printed = launcher.stdout.read()
        assert launcher.wait(60) == 10
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


def test_a_start_that_is_terminated_stops_its_launch_and_reports_that(world, wait_until):
    with world.popen("start", "--params", world.params([["fork-away", [["stay"]]], ["stay"]])) as launcher:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        launcher.terminate()
        printed = launcher.stdout.read()
        assert launcher.wait(60) == 143
    launch = world.launches()[0]
    assert f"stopped launch {launch.launch_id} in " in printed
    result = json.loads(printed.splitlines()[-1].removeprefix("TRACETAIL_RESULT "))
    assert (result["exitStatus"], result["state"], result["launchId"]) == (143, "stopped", launch.launch_id)
    assert result["cause"] == f"ended by SIGTERM: launch {launch.launch_id} was stopped"
    assert not world.members(launch)


def test_sigint_of_a_scheduler_stops_the_launch_as_sigterm_does(world, wait_until):
    """Nomad's kill_signal is SIGINT unless a task says otherwise."""
    command = [*NOT_IGNORED, *world.command("start", "--params", world.params([["stay"]]))]
    with subprocess.Popen(command, env=world.environ, stdout=subprocess.PIPE, start_new_session=True) as launcher:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        launcher.send_signal(signal.SIGINT)
        result = json.loads(launcher.stdout.read().splitlines()[-1].removeprefix(b"TRACETAIL_RESULT "))
    assert (launcher.returncode, result["exitStatus"], result["state"]) == (130, 130, "stopped")
    assert result["cause"].startswith("ended by SIGINT: launch ")
    assert not world.members(world.launches()[0])


def test_after_ctrl_c_at_a_terminal_the_launch_goes_on(world, wait_until):
    ours, theirs = pty.openpty()
    # The first terminal that the leader of a session opens becomes the session's.
    on_it = [*NOT_IGNORED, "sh", "-c", 'exec "$@" <> "$0"', os.ttyname(theirs)]
    command = world.command("start", "--params", world.params([["stay"]]))
    with subprocess.Popen([*on_it, *command], env=world.environ, stdout=theirs, start_new_session=True) as launcher:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        os.write(ours, b"\x03")
    os.close(theirs)
    os.close(ours)
    assert launcher.returncode == 130
    assert world.run("status", "--model-name", "m").result["state"] == "starting"


def test_a_start_that_is_terminated_before_its_launch_is_complete_leaves_nothing(world, wait_until):
    for delay in range(8):  # hundredths of a second after the launch's directory appeared
        with world.popen("start", "--params", world.params([["stay"]], modelName=f"m{delay}")) as launcher:
            wait_until(
                lambda: (world.state / "launches").is_dir() and len(list((world.state / "launches").iterdir()))
            )
            time.sleep(delay / 100)
            launcher.terminate()
            launcher.stdout.read()
            assert launcher.wait(60) in (143, -15)
        for launch in world.launches():
            assert world.ended(launch)["state"] == "stopped"
            assert not world.members(launch)
            shutil.rmtree(launch.path)


def test_a_start_whose_reader_is_gone_stops_its_launch_when_it_is_terminated(world, wait_until):
    """Java's Process.destroy() sends SIGTERM and closes the pipe."""
    with world.popen("start", "--params", world.params([["stay"]])) as launcher:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        launcher.terminate()
        launcher.stdout.close()
        assert launcher.wait(60)
    launch = world.launches()[0]
    assert world.ended(launch)["state"] == "stopped"
    assert not world.members(launch)


def test_a_start_that_joined_another_leaves_it_alone_when_it_is_terminated(world, wait_until):
    params = world.params([["stay"]])
    with world.popen("start", "--params", params) as first:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        with world.popen("start", "--params", params) as joined:
            line = next(line for line in joined.stdout if not line.startswith("warning: no agent"))
            joined.terminate()
            printed = joined.stdout.read()
            assert joined.wait(60) == 143
        left = world.members(world.launches()[0])
        assert world.run("stop", "--model-name", "m").status == 0
        assert first.wait(60) == 10
    assert "is already starting" in line
    assert "is another command's and goes on" in printed
    assert len(left) == 1


def test_a_restart_that_is_terminated_says_that_the_launch_before_is_stopped(world, wait_until):
    stubborn = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]
    more = {"command": stubborn, "readyWhen": "log:up", "stopTimeoutSec": 1}
    assert world.run("start", "--params", world.params([], **more)).status == 0
    (before,) = world.launches()
    with world.popen("start", "--params", world.params([], **more, ifRunning="restart")) as restart:
        wait_until(lambda: before.read()["state"] == "stopping")
        restart.terminate()
        printed = restart.stdout.read()
        assert restart.wait(60) == 143
    assert f"launch {before.launch_id}, which it was to replace, is stopped, and no other was started" in printed
    assert world.ended(before)["state"] == "stopped"
    assert [one.launch_id for one in world.launches()] == [before.launch_id]


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


def test_a_terminal_sees_seconds_count_and_a_pipe_sees_lines(world, tmp_path):
    go = tmp_path / "go"
    steps = [["text", "non-default args: {}\n"], ["wait", str(go)], ["text", "ready now\n"], ["stay"]]

    def go_on_once_shown(shown):
        if re.search(r"is starting: [1-9]\d* s, after: arguments read", shown.text):
            go.touch()

    start = world.command("start", "--params", world.params(steps))
    assert run_on_terminal(start, world.environ, on_output=go_on_once_shown).status == 0
    assert world.run("stop", "--model-name", "m").status == 0
    piped = world.start(steps)
    assert "is starting" not in piped.stdout
    assert re.search(r"^arguments read \d+\.\d s$", piped.stdout, re.MULTILINE)
    assert world.run("stop", "--model-name", "m").status == 0
