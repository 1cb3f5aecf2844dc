"""A server that was ready and no longer works: it becomes unhealthy everywhere, and ready again when it recovers."""

import os
import signal
import subprocess
import time

import pytest
from support.tls import Authority
from support.waiting import kill

from tracetail.contract.processes import read_process
from tracetail.launcher.keeper.liveness import Problem, StoppedProcesses, Streak
from tracetail.launcher.keeper.phase_watch import PhaseWatch

QUICK = {"livenessIntervalSec": 1, "livenessTimeoutSec": 1}
BAD = Problem("bad")


@pytest.mark.parametrize(
    ("probes", "judged"),
    [
        ([(0, 0, BAD)], None),
        ([(0, 5, BAD)], None),
        ([(0, 5, BAD), (10, 15, BAD)], BAD),
        ([(0, 15, BAD)], BAD),  # one probe that hung for as long
        ([(0, 5, BAD), (10, 10, None), (14, 16, BAD)], None),
        ([(0, 15, BAD), (20, 20, None)], None),
    ],
)
def test_a_server_is_unhealthy_once_its_probes_have_failed_for_the_time_out(probes, judged):
    streak = Streak(15.0)
    assert [streak.add(*probe) for probe in probes][-1] == judged


def test_a_stopped_process_is_found_and_named_until_it_continues(wait_until):
    child = subprocess.Popen(["sleep", "600"])
    try:
        watch = StoppedProcesses(lambda: [read_process(child.pid)])
        assert watch.find() is None
        os.kill(child.pid, signal.SIGSTOP)
        wait_until(lambda: read_process(child.pid).state == "T")
        found = watch.find()
        assert (f"process {child.pid} (sleep 600) is stopped" in found.cause, found.hint) == (
            True,
            f"kill -CONT {child.pid} continues it",
        )
        os.kill(child.pid, signal.SIGCONT)
        wait_until(lambda: watch.find() is None)
    finally:
        child.kill()
        child.wait()


def test_a_stopped_engine_behind_a_healthy_api_server_is_unhealthy_everywhere(world, wait_until, free_port, receiver):
    port = free_port()
    steps = [["fork", [["stay"]]], ["serve", port, ["m"]], ["stay"]]
    started = world.start(steps, port=port, readyWhen="http", callbackUrl=receiver.url, **QUICK)
    launch = world.launch(started.result)
    server = launch.read()["server"]["pid"]
    engine = next(one.pid for one in world.members(launch) if one.pid != server)
    os.kill(engine, signal.SIGSTOP)
    record = wait_until(lambda: (found := launch.read())["state"] == "unhealthy" and found)
    assert f"process {engine} (" in record["health"]["cause"]
    status = world.run("status", "--model-name", "m")
    assert (status.status, status.result["state"]) == (21, "unhealthy")
    assert f"process {engine} (" in status.result["cause"]
    assert status.result["hint"] == f"kill -CONT {engine} continues it"
    assert '"state": "unhealthy"' in world.run("ps", "--json").stdout
    assert (
        world.run("start", "--params", world.params(steps, port=port, readyWhen="http", ifRunning="fail")).status
        == 15
    )
    wait_until(lambda: receiver.events() == ["ready", "unhealthy"])
    assert receiver.posts[1]["health"]["cause"] == record["health"]["cause"]
    os.kill(engine, signal.SIGCONT)
    wait_until(lambda: launch.read()["state"] == "ready")
    assert "health" not in launch.read()
    assert world.run("status", "--model-name", "m").status == 0
    wait_until(lambda: receiver.events() == ["ready", "unhealthy", "recovered"])
    names = [event.name for event in world.events(launch)]
    assert names[-2:] == ["unhealthy", "recovered"]
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_health_path_that_fails_makes_a_server_unhealthy_and_the_next_keeper_sees_it_recover(
    world, wait_until, free_port, tmp_path
):
    port, sick, well = free_port(), tmp_path / "sick", tmp_path / "well"
    steps = [["serve", port, []], ["wait", str(sick)], ["sick"], ["wait", str(well)], ["well"], ["stay"]]
    launch = world.launch(world.start(steps, port=port, readyWhen="http", **QUICK).result)
    sick.touch()
    record = wait_until(lambda: (found := launch.read())["state"] == "unhealthy" and found)
    assert record["health"]["cause"] == "the server no longer answers: /health answers 503"
    kill(record["keeper"])
    assert world.run("status", "--model-name", "m").status == 21
    well.touch()
    wait_until(lambda: launch.read()["state"] == "ready")
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_server_that_generates_no_token_is_unhealthy_if_asked_for_one(world, wait_until, free_port, tmp_path):
    port, mute = free_port(), tmp_path / "mute"
    steps = [["serve", port, ["m"]], ["wait", str(mute)], ["mute"], ["stay"]]
    started = world.start(steps, port=port, readyWhen="http", livenessProbe="token", **QUICK)
    launch = world.launch(started.result)
    mute.touch()
    record = wait_until(lambda: (found := launch.read())["state"] == "unhealthy" and found)
    assert record["health"]["cause"] == "the server no longer answers: /v1/completions: no answer within 1 s"
    started_again = world.start(steps, port=port, readyWhen="http", livenessProbe="token", **QUICK)
    assert (started_again.status, started_again.result["launchId"] != launch.launch_id) == (0, True)
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_custom_server_without_a_health_path_is_left_alone(world, wait_until, free_port, tmp_path):
    port = free_port()
    steps = [["bind", port], ["text", "ready now\n"], ["stay"]]  # nothing ever answers at the port
    launch = world.launch(world.start(steps, port=port, **QUICK).result)
    deadline = time.monotonic() + 3
    wait_until(lambda: time.monotonic() > deadline)
    assert launch.read()["state"] == "ready"
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_pattern_that_would_never_end_neither_hangs_the_keeper_nor_the_server(world):
    steps = [["text", "a" * 5000 + "!\nready now\n"], ["stay"]]
    begun = time.monotonic()
    assert world.start(steps, readyWhen="log:(a+)+$|ready now").status == 0
    assert time.monotonic() - begun < 20
    assert world.run("stop", "--model-name", "m").status == 0


@pytest.mark.parametrize(
    "pattern", ["fired up and ready to roll!", r"fired up and ready to roll\!", "f[i]red .* roll!$"]
)
def test_a_literal_pattern_means_what_the_same_regular_expression_means(pattern):
    watch = PhaseWatch([], pattern)
    watch.search(b"[2026-11-22 13:12:10] The server is warming up\n")
    assert not watch.ready_seen
    watch.search(b"[2026-11-22 13:12:10] The server is fired up and ready to roll!\n")
    assert watch.ready_seen


def test_a_ready_pattern_is_searched_in_each_line_as_text():
    watch = PhaseWatch([], r"^服务.已就绪 \d+$")
    watch.search("服务已就绪 1\n服务\n已就绪 2\n".encode())
    assert not watch.ready_seen
    watch.search("x\n服务器已就绪 12\n".encode())
    assert watch.ready_seen


@pytest.mark.parametrize(
    ("pattern", "line", "others"),
    [
        (r"\Aup", b"up now", b"now up"),
        (r"up\z", b"now up", b"up now"),
        (r"(?-m:^up$)", b"up", b"an up\nup now"),
        (r"(?i)^UP\b", b"up now", b"a\nupper"),
        (r"a\s+b", b"a b", b"a\nb"),
        (r"^[^x]+$", b"up", b"x\nxx"),
        (r"^up!$", b"up!", b"an up!\nup! now"),
        (r"^up\!", b"up! now", b"an up!"),
        (r"up$", b"now up", b"up now"),
        (r"\^up\$", b"a ^up$ b", b"up"),
    ],
)
def test_a_ready_pattern_means_in_a_block_what_it_means_in_a_line_of_its_own(pattern, line, others):
    watch = PhaseWatch([], pattern)
    watch.search(b"x\n" + others + b"\nx\n")
    assert not watch.ready_seen
    watch.search(b"x\n" + line + b"\nx\n")
    assert watch.ready_seen


@pytest.mark.parametrize("pattern", ["log:(?=x)y", r"log:(a)\1", "log:("])
def test_a_pattern_that_re2_does_not_have_is_refused_with_the_reason(world, pattern):
    refused = world.start([["stay"]], readyWhen=pattern)
    assert refused.status == 2
    assert "not a regular expression of RE2" in refused.result["cause"]


@pytest.mark.parametrize("flag", [True, False])
def test_a_server_that_speaks_tls_is_probed_by_https(world, wait_until, free_port, tmp_path, flag):
    port, (certificate, key) = free_port(), map(str, Authority(tmp_path).sign("server"))
    steps = [["serve-tls", port, ["m"], certificate, key], ["stay"]]
    args = {"args": ["--ssl-certfile", certificate]} if flag else {}
    started = world.start(steps, port=port, readyWhen="http", warmup=True, **QUICK, **args)
    assert (started.status, started.result["url"]) == (0, f"https://127.0.0.1:{port}")
    assert world.run("status", "--model-name", "m").status == 0
    assert world.run("warmup", "--model-name", "m").status == 0
    assert world.run("stop", "--model-name", "m").status == 0
