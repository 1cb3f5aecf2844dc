"""Launcher and keeper may die at any time: the server lives, and no line of it is lost."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.kernel import KEEPS_EXIT_STATUS, WHY_NOT
from support.waiting import kill

from tracetail.contract.logline import render_stamp
from tracetail.contract.processes import is_alive
from tracetail.contract.record import LaunchLock
from tracetail.launcher.keeper.position import Position, PositionFile

NUMBER = 4000
MOMENTS = random.Random(20261122)
RATE = 2000
FLOOD = b"".join(b"line %d of a flood\n" % number for number in range(NUMBER))


def kill_keeper(launch):
    kill(launch.read()["keeper"])


def last_line_written(world, launch):
    lines = [line for line in world.lines(launch) if line.mark is None]
    return lines[-1].text if lines else b""


def test_a_position_is_whole_after_short_reads_and_writes(tmp_path, monkeypatch):
    """As LD_PRELOAD of torn_io.c makes them in test_field_short_io: read(2) and write(2) allow it of any file."""
    pread, pwrite = os.pread, os.pwrite
    monkeypatch.setattr(os, "pread", lambda file, size, at: pread(file, min(size, 5), at))
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: pwrite(file, data[:5], at))
    position = Position(segment=3, size=70_000, consumed=600, first_ns=1_795_353_130_000_000_000)
    written = PositionFile(tmp_path / "position")
    written.write(position)
    written.close()
    read = PositionFile(tmp_path / "position")
    assert read.read() == position
    read.close()


def test_a_launch_continues_when_its_launcher_is_killed_during_the_start(world, wait_until, tmp_path):
    go = tmp_path / "go"
    steps = [["wait", str(go)], ["text", "ready now\n"], ["stay"]]
    with world.popen("start", "--params", world.params(steps)) as launcher:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        launcher.kill()
    assert world.run("status", "--model-name", "m").status == 20
    go.touch()
    launch = world.launches()[0]
    wait_until(lambda: launch.read()["state"] == "ready")
    assert world.run("status", "--model-name", "m").status == 0
    assert world.run("stop", "--model-name", "m").status == 0


def test_no_line_is_lost_or_doubled_when_keepers_are_killed(world, wait_until, tmp_path):
    done = tmp_path / "done"
    steps = [["text", "ready now\n"], ["flood", NUMBER, RATE], ["touch", str(done)], ["stay"]]
    launch = world.launch(world.start(steps).result)
    server = launch.read()["server"]
    kills = 0
    while not done.exists():
        time.sleep(MOMENTS.uniform(0.02, 0.2))  # the moment of the kill is what varies
        kill_keeper(launch)
        kills += 1
        assert world.run("keep", "--adopt", launch.launch_id).status == 0
        wait_until(launch.lock_held)
    wait_until(lambda: last_line_written(world, launch).endswith(b"%d of a flood" % (NUMBER - 1)))
    assert kills >= 1
    assert world.output(launch) == b"ready now\n" + FLOOD
    assert is_alive(server)
    assert [event.name for event in world.events(launch)].count("adopted") == kills
    assert launch.read()["state"] == "ready"
    assert world.run("stop", "--model-name", "m").status == 0
    assert not is_alive(server)


def test_output_printed_without_a_keeper_is_read_by_the_next_keeper(world, wait_until, tmp_path):
    go, done = tmp_path / "go", tmp_path / "done"
    steps = [["text", "ready now\n"], ["wait", str(go)], ["text", "alone\nand unfin"], ["touch", str(done)], ["stay"]]
    launch = world.launch(world.start(steps).result)
    kill_keeper(launch)
    wait_until(lambda: not launch.lock_held())
    go.touch()
    wait_until(done.exists)
    assert world.run("status", "--model-name", "m").status == 0
    wait_until(lambda: world.output(launch) == b"ready now\nalone\nand unfin")
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_server_without_a_keeper_prints_a_mebibyte_before_it_has_to_wait(world, wait_until, tmp_path):
    go, done, much = tmp_path / "go", tmp_path / "done", tmp_path / "much"
    much.write_bytes(b"x" * 99 + b"\n")
    much.write_bytes(much.read_bytes() * 10_000)
    steps = [["text", "ready now\n"], ["wait", str(go)], ["file", str(much)], ["touch", str(done)], ["stay"]]
    launch = world.launch(world.start(steps).result)
    kill_keeper(launch)
    wait_until(lambda: not launch.lock_held())
    go.touch()
    wait_until(done.exists)
    assert world.run("status", "--model-name", "m").status == 0
    wait_until(lambda: world.output(launch) == b"ready now\n" + much.read_bytes())
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_clock_that_jumps_does_not_make_a_start_late(world, wait_until, tmp_path):
    go = tmp_path / "go"
    steps = [["wait", str(go)], ["text", "ready now\n"], ["stay"]]
    with world.popen("start", "--params", world.params(steps, readyTimeoutSec=60)) as launcher:
        launch = wait_until(lambda: next((one for one in world.launches() if "server" in one.read()), None))
        launcher.kill()
    kill_keeper(launch)
    wait_until(lambda: not launch.lock_held())
    with LaunchLock(launch) as lock:  # as if the clock had been an hour behind at the start
        lock.write(launch.read() | {"startedAt": render_stamp(time.time_ns() - 3600 * 10**9, 0).decode()})
    assert world.run("status", "--model-name", "m").status == 20
    go.touch()
    wait_until(lambda: launch.read()["state"] == "ready")
    ready = next(event for event in world.events(launch) if event.name == "ready")
    assert float(ready.fields["seconds"]) < 600
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_start_whose_keeper_dies_gets_another_one(world, wait_until, tmp_path):
    go = tmp_path / "go"
    steps = [["wait", str(go)], ["text", "ready now\n"], ["stay"]]
    with world.popen("start", "--params", world.params(steps)) as launcher:
        launch = wait_until(lambda: next((one for one in world.launches() if "server" in one.read()), None))
        kill_keeper(launch)
        wait_until(lambda: "adopted" in [event.name for event in world.events(launch)])
        go.touch()
        assert launcher.wait(60) == 0
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_server_that_died_without_a_keeper_is_found_crashed(world, wait_until):
    launch = world.launch(world.start([["text", "ready now\n"], ["stay"]]).result)
    kill_keeper(launch)
    wait_until(lambda: not launch.lock_held())
    server = launch.read()["server"]
    os.kill(server["pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(server))
    answer = world.run("status", "--model-name", "m")
    assert (answer.status, answer.result["state"]) == (3, "crashed")
    world.ended(launch)
    assert launch.read()["state"] == "crashed"
    assert [event.name for event in world.events(launch)][-1] == "exited"


@pytest.mark.skipif(not KEEPS_EXIT_STATUS, reason=WHY_NOT)
@pytest.mark.parametrize(
    ("end", "state", "expected"),
    [
        (["exit", 0], "stopped", (0, None)),
        (["exit", 7], "crashed", (7, None)),
        (["kill", 9], "crashed", (None, "SIGKILL")),
        (["kill", 37], "crashed", (None, "SIG37")),
    ],
)
def test_the_exit_status_of_a_server_that_was_taken_over_is_known(world, wait_until, tmp_path, end, state, expected):
    go = tmp_path / "go"
    launch = world.launch(world.start([["text", "ready now\n"], ["wait", str(go)], end]).result)
    kill_keeper(launch)
    assert world.run("keep", "--adopt", launch.launch_id).status == 0
    wait_until(launch.lock_held)
    go.touch()
    record = world.ended(launch)
    assert (record["state"], (record["exit"]["code"], record["exit"]["signal"])) == (state, expected)


def test_stop_without_a_keeper_ends_everything(world, wait_until, tmp_path):
    child = tmp_path / "child"
    steps = [["fork-away", [["touch", str(child)], ["stay"]]], ["text", "ready now\n"], ["stay"]]
    launch = world.launch(world.start(steps).result)
    wait_until(child.exists)
    kill_keeper(launch)
    wait_until(lambda: not launch.lock_held())
    stopped = world.run("stop", "--model-name", "m")
    assert (stopped.status, stopped.result["state"]) == (0, "stopped")
    assert not world.members(launch)


def test_a_log_whose_first_segments_are_deleted_is_continued_at_its_end(world, wait_until, tmp_path):
    much, go = tmp_path / "much", tmp_path / "go"
    much.write_bytes(FLOOD * 40)
    steps = [["text", "ready now\n"], ["file", str(much)], ["wait", str(go)], ["text", "alone\n"], ["stay"]]
    launch = world.launch(world.start(steps, maxLogMB=1).result)
    wait_until(lambda: len(launch.read()["segments"]) >= 4)
    segments = wait_until(lambda: steady(launch))
    for path in segments[:2]:
        Path(path).unlink()
    kill_keeper(launch)
    wait_until(lambda: not launch.lock_held())
    go.touch()
    assert world.run("status", "--model-name", "m").status == 0
    wait_until(lambda: Path(segments[-1]).read_bytes().endswith(b"] alone\n"))
    assert launch.read()["segments"] == segments
    assert not Path(segments[0]).exists()
    assert world.run("stop", "--model-name", "m").status == 0


def steady(launch):
    """Return a launch's segments once all that the server printed is in them."""
    segments = launch.read()["segments"]
    return segments if Path(segments[-1]).read_bytes().endswith(FLOOD[-20:]) else None


def test_only_one_keeper_adopts(world, wait_until):
    launch = world.launch(world.start([["text", "ready now\n"], ["stay"]]).result)
    kill_keeper(launch)
    adopting = [
        subprocess.Popen(world.command("keep", "--adopt", launch.launch_id), env=world.environ) for _ in range(4)
    ]
    assert [one.wait(60) for one in adopting] == [0, 0, 0, 0]
    wait_until(lambda: "adopted" in [event.name for event in world.events(launch)])
    assert [event.name for event in world.events(launch)].count("adopted") == 1


def test_keepers_killed_at_full_speed_lose_nothing(world, wait_until, tmp_path):
    much, done = tmp_path / "much", tmp_path / "done"
    much.write_bytes(b"".join(b"%d %s\n" % (n, b"x" * (n * 7919 % 400)) for n in range(300_000)))
    steps = [["text", "ready now\n"], ["file", str(much)], ["touch", str(done)], ["stay"]]
    launch = world.launch(world.start(steps).result)
    for _ in range(30):  # on a busy machine a keeper may be killed before it has moved anything, and the next one too
        if done.exists():
            break
        time.sleep(MOMENTS.uniform(0.0, 0.1))
        kill_keeper(launch)
        assert world.run("keep", "--adopt", launch.launch_id).status == 0
        wait_until(launch.lock_held)
    printed = much.read_bytes()
    last = b"] " + printed.splitlines(keepends=True)[-1]
    wait_until(lambda: last in Path(launch.read()["segments"][-1]).read_bytes())
    assert world.output(launch) == b"ready now\n" + printed
