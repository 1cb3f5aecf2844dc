"""The end of a launch is in its log, its record and a callback, also if its keeper was killed."""

import json
import os
import signal
import subprocess
import sys

import pytest
from support.waiting import kill

from tracetail.contract import record as records
from tracetail.contract.record import LaunchLock
from tracetail.launcher import params_input, registry
from tracetail.launcher.operations import new_launch, stop

READY = [["text", "ready now\n"], ["stay"]]


def end_of(world, launch):
    """Return the last event of a launch's log, and its record."""
    return world.events(launch)[-1], launch.read()


def lose_keeper(launch, wait_until):
    kill(launch.read()["keeper"])
    wait_until(lambda: not launch.lock_held())


def rewrite(launch, **changes):
    with LaunchLock(launch) as lock:
        lock.write(launch.read() | changes)


def test_a_stop_whose_keeper_hangs_is_recorded_and_reported(world, wait_until, receiver, tmp_path, monkeypatch):
    monkeypatch.setattr(stop, "GRACE_SECONDS", 0.5)
    go, done = tmp_path / "go", tmp_path / "done"
    steps = [["text", "ready now\n"], ["wait", str(go)], ["text", "last words\n"], ["touch", str(done)], ["stay"]]
    launch = world.launch(world.start(steps, stopTimeoutSec=0.1, callbackUrl=receiver.url).result)
    wait_until(lambda: receiver.events() == ["ready"])
    os.kill(launch.read()["keeper"]["pid"], signal.SIGSTOP)
    go.touch()
    wait_until(done.exists)
    result = stop.stop([registry.read_launch(launch)], world.state)
    assert (result.status, result.state) == (0, "stopped")
    assert not world.members(launch)
    event, record = end_of(world, launch)
    assert (event.name, event.fields["state"], record["state"]) == ("exited", "stopped", "stopped")
    assert world.output(launch) == b"ready now\nlast words\n"
    wait_until(lambda: receiver.events() == ["ready", "stopped"])


def test_an_end_is_recorded_also_without_a_keeper(world, wait_until):
    launch = world.launch(world.start(READY).result)
    lose_keeper(launch, wait_until)
    kill(launch.read()["server"])
    (launch.path / "plan.json").unlink()  # without it no keeper can be had
    assert world.run("status", "--model-name", "m").status == 3
    event, record = end_of(world, launch)
    assert (event.name, event.fields["state"], record["state"]) == ("exited", "crashed", "crashed")
    assert "keeper.log" in record["exit"]["cause"]
    assert world.run("status", "--model-name", "m").result["cause"] == record["exit"]["cause"]
    assert len(world.events(launch)) == 3  # started, ready, exited: recorded once


def test_a_stop_ends_a_server_for_which_no_keeper_can_be_started(world, wait_until):
    launch = world.launch(world.start(READY).result)
    lose_keeper(launch, wait_until)
    (launch.path / "plan.json").unlink()
    assert world.run("stop", "--model-name", "m").status == 0
    assert not world.members(launch)
    event, record = end_of(world, launch)
    assert (event.name, event.fields["state"], record["state"]) == ("exited", "stopped", "stopped")


def draft(world, **more):
    given = json.loads(world.params(READY, **more))
    return params_input.from_object(given)


def test_a_start_that_was_killed_before_it_had_a_keeper_has_failed(world, wait_until, receiver):
    launch, lock = new_launch.prepare(draft(world, callbackUrl=receiver.url), world.state, 0, 0)
    lock.release()
    assert world.run("status", "--model-name", "m").status == 3
    world.ended(launch)
    event, record = end_of(world, launch)
    assert (event.name, event.fields["state"], record["state"]) == ("exited", "failed", "failed")
    assert record["exit"]["exitStatus"] == 10
    wait_until(lambda: receiver.events() == ["failed"])


def test_a_restart_that_was_killed_while_it_waited_has_failed(world):
    launch, lock, begun = new_launch.make_launch(draft(world), world.state)
    with lock:
        lock.write(begun)
    assert world.start(READY).status == 0  # it does not prevent another start
    event, record = end_of(world, launch)
    assert (event.name, event.fields["state"], record["state"]) == ("exited", "failed", "failed")
    assert world.run("stop", "--model-name", "m").status == 0


@pytest.mark.parametrize("command", ["status", "stop", "start", "gc"])
def test_a_launch_that_the_machine_did_not_survive_has_crashed(world, wait_until, receiver, command):
    launch = world.launch(world.start(READY, callbackUrl=receiver.url).result)
    lose_keeper(launch, wait_until)
    kill(launch.read()["server"])
    rewrite(launch, server=launch.read()["server"] | {"bootId": "0" * 36})
    if command == "start":
        assert world.start(READY).status == 0
    else:
        words = [] if command == "gc" else ["--launch", launch.launch_id]
        assert world.run(command, *words).status == (3 if command == "status" else 0)
    world.ended(launch)
    event, record = end_of(world, launch)
    assert (event.name, event.fields["state"], record["state"]) == ("exited", "crashed", "crashed")
    wait_until(lambda: receiver.events() == ["ready", "crashed"])
    world.run("stop", "--model-name", "m")


def test_a_launch_that_has_ended_is_not_adopted(world):
    launch = world.launch(world.start([["exit", 1]]).result)
    world.ended(launch)
    before = world.events(launch)
    command = [sys.executable, "-I", "-m", "tracetail.launcher.keeper.main", str(launch.path), "adopt"]
    subprocess.run(command, check=True, timeout=30)
    assert world.events(launch) == before
    assert launch.read()["state"] == records.FAILED
