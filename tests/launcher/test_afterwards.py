"""What happens after a start: callbacks, restarts after a crash, retention."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tracetail.contract import outbox
from tracetail.contract.logline import render_stamp
from tracetail.contract.processes import is_alive
from tracetail.launcher import restart_policy

READY = [["text", "ready now\n"], ["stay"]]


def test_ready_and_stopped_are_reported(world, wait_until, receiver, free_port, tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    port = free_port()
    started = world.start(
        [["serve", port, []], ["stay"]],
        port=port,
        readyWhen="port",
        callbackUrl=receiver.url,
        callbackTokenFile=str(token),
        jobId="j-1",
        traceId="t-1",
        instanceId="42",
    )
    wait_until(lambda: receiver.events() == ["ready"])
    assert world.run("stop", "--model-name", "m").status == 0
    wait_until(lambda: receiver.events() == ["ready", "stopped"])
    launch = world.launch(started.result)
    record = launch.read()
    post = receiver.posts[0]
    assert (post["model"], post["port"], post["pid"]) == ("m", port, record["server"]["pid"])
    assert post["log_file"] == record["logFile"]
    assert (post["traceId"], post["instanceId"], post["jobId"]) == ("t-1", "42", "j-1")
    assert post["launchId"] == launch.launch_id
    assert receiver.headers[0]["Authorization"] == "Bearer s3cret"
    assert receiver.posts[0]["eventId"] != receiver.posts[1]["eventId"]
    wait_until(lambda: not outbox.pending(launch.outbox_path))


def test_a_failure_is_reported_with_cause_and_masked_tail(world, wait_until, receiver):
    steps = [
        ["text", "api_key='hunter2hunter2'\nValueError: No available memory for the cache blocks.\n"],
        ["exit", 1],
    ]
    started = world.start(steps, callbackUrl=receiver.url)
    assert started.status == 10
    assert started.result["cause"] == "no memory is left for the KV cache"
    wait_until(lambda: receiver.events() == ["failed"])
    post = receiver.posts[0]
    assert post["exit"]["cause"] == "no memory is left for the KV cache"
    assert post["exit"]["evidence"] == ["ValueError: No available memory for the cache blocks."]
    assert "hunter2" not in json.dumps(post)
    assert "hunter2" not in started.stdout
    assert post["tail"][-1].startswith("ValueError")
    event = next(e for e in world.events(world.launch(started.result)) if e.name == "failed")
    assert event.fields["cause"] == post["exit"]["cause"]


def test_a_callback_to_a_busy_receiver_is_retried(world, wait_until, receiver):
    receiver.refusals = 2
    launch = world.launch(world.start([["exit", 1]], callbackUrl=receiver.url).result)
    wait_until(lambda: receiver.events() == ["failed"])
    wait_until(lambda: not outbox.pending(launch.outbox_path))


def test_a_refused_start_is_reported(world, wait_until, receiver):
    given = {"modelName": "m", "modelPath": "/does/not/exist", "callbackUrl": receiver.url, "traceId": "t-1"}
    refused = world.run("start", "--params", json.dumps(given))
    assert refused.status == 15
    wait_until(lambda: receiver.events() == ["failed"])
    assert receiver.posts[0]["exit"]["cause"] == "modelPath /does/not/exist does not exist"
    wait_until(lambda: not outbox.pending(world.launch(refused.result).outbox_path))


def test_a_receiver_that_hangs_delays_nothing_and_leaves_the_callback_in_the_outbox(world, wait_until):
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}/"
        begun = time.monotonic()
        started = world.start(READY, callbackUrl=url)
        assert started.status == 0
        assert world.run("stop", "--model-name", "m").status == 0
        assert time.monotonic() - begun < 60
        launch = world.launch(started.result)
        wait_until(lambda: len(outbox.pending(launch.outbox_path)) == 2)
    for path in outbox.pending(launch.outbox_path):
        assert json.loads(path.read_bytes())["url"] == url


def test_a_crash_restarts_the_service_in_the_same_trace(world, wait_until, tmp_path):
    go = tmp_path / "go"
    steps = [["text", "ready now\n"], ["wait", str(go)], ["exit", 3]]
    first = world.launch(world.start(steps, restart="on-crash", traceId="t-1").result)
    go.touch()
    assert world.ended(first)["state"] == "crashed"
    event = next(e for e in world.events(first) if e.name == "restarted")
    second = wait_until(lambda: next((one for one in world.launches() if one.path != first.path), None))
    assert event.fields == {"launchId": second.launch_id, "attempt": "1"}
    assert second.read()["traceId"] == "t-1"
    assert [e.name for e in world.events(first)][-1] == "exited"
    third = wait_until(lambda: next(iter(world.launches()[2:]), None))  # the file is still there: it crashes again
    assert world.run("stop", "--launch", third.launch_id).status == 0
    wait_until(lambda: third.read()["state"] in ("stopped", "crashed"))
    go.unlink()
    for launch in world.launches():
        world.run("stop", "--launch", launch.launch_id)


def test_a_waiting_restart_can_be_stopped(world, wait_until):
    launch = world.launch(
        world.start([["text", "ready now\n"], ["sleep", 0.1], ["exit", 3]], restart="on-crash").result
    )
    world.ended(launch)
    second = wait_until(lambda: next((one for one in world.launches() if one.path != launch.path), None))
    stopped = world.run("stop", "--launch", second.launch_id)
    assert stopped.status == 0
    # On a busy machine it has started, and ended by itself, before the command did.
    assert second.read()["state"] in ("stopped", "crashed", "failed")
    assert not world.members(second)


def test_backoff_grows_and_ends():
    settings = {"restart": "on-crash", "attempt": 0}
    ready = {"readyAt": render_stamp(1_000_000_000_000, 0).decode()}
    assert restart_policy.next_attempt(settings, ready, 1001.0) == 1
    assert restart_policy.next_attempt({**settings, "attempt": 4}, ready, 1001.0) == 5
    assert restart_policy.next_attempt({**settings, "attempt": 5}, ready, 1001.0) is None
    assert restart_policy.next_attempt({**settings, "attempt": 5}, ready, 1000.0 + 600.0) == 1
    assert restart_policy.next_attempt({**settings, "restart": "never"}, ready, 1001.0) is None
    assert [restart_policy.pause(n) for n in (1, 2, 3, 4, 5, 9)] == [1, 2, 4, 8, 16, 60]


def test_warmup_smoke_and_notify_are_commands_of_their_own(world, wait_until, receiver, free_port):
    port = free_port()
    assert world.run("warmup", "--model-name", "m").status == 2
    started = world.start(
        [["serve", port, ["m"]], ["stay"]],
        port=port,
        readyWhen="http",
        warmup=True,
        smoke={"prompt": "hi", "pattern": "said hi"},
    )
    assert started.status == 0, started.stdout
    assert world.run("warmup", "--model-name", "m").status == 0
    assert world.run("smoke", "--model-name", "m").status == 0
    assert world.run("smoke", "--model-name", "m", "--prompt", "x", "--pattern", "said x$").status == 0
    wrong = world.run("smoke", "--model-name", "m", "--prompt", "x", "--pattern", "y$")
    assert (wrong.status, "does not match" in wrong.result["cause"]) == (21, True)
    assert world.run("notify", "--model-name", "m").status == 2
    assert world.run("notify", "--model-name", "m", "--callback-url", receiver.url).status == 0
    assert receiver.events() == ["ready"]
    assert world.run("stop", "--model-name", "m").status == 0
    assert world.run("warmup", "--model-name", "m").status == 3


def test_a_failed_smoke_test_fails_the_start(world, free_port):
    port = free_port()
    smoke = {"prompt": "hi", "pattern": "never"}
    started = world.start([["serve", port, ["m"]], ["stay"]], port=port, readyWhen="http", smoke=smoke)
    assert started.status == 10
    assert started.result["cause"].startswith("smoke test: the answer 'you said hi' does not match")


def ship(launch, *, complete=True):
    """Write the shipped.json that the agent writes when all is shipped."""
    segments = {path: Path(path).stat().st_size for path in launch.read()["segments"] if Path(path).exists()}
    content = {"schema": 1, "segments": segments, "lines": 1, "rejected": 0, "redacted": 0, "complete": complete}
    launch.shipped_path.write_text(json.dumps(content))


def test_gc_removes_what_is_old_and_shipped_and_nothing_else(world):
    launches = [world.launch(world.start([["exit", 1]]).result) for _ in range(3)]
    running = world.launch(world.start(READY).result)
    for launch in launches:
        world.ended(launch)
    ship(launches[0])
    ship(launches[1])
    assert world.run("gc", "--keep-days", "0", "--dry-run").status == 0
    assert all(launch.path.exists() for launch in launches)
    kept = Path(launches[2].read()["logFile"])
    removed = Path(launches[0].read()["logFile"])
    answer = world.run("gc", "--keep-days", "0", "--json")
    assert {Path(one["path"]).name for one in json.loads(answer.stdout)} >= {launches[0].launch_id, removed.name}
    assert [launch.path.exists() for launch in launches] == [False, False, True]
    assert (removed.exists(), kept.exists(), running.path.exists()) == (False, True, True)
    assert world.run("stop", "--model-name", "m").status == 0


@pytest.mark.parametrize(
    ("option", "number"), [("--keep-days", "-1"), ("--keep-days", "nan"), ("--keep-launches", "-1")]
)
def test_gc_refuses_what_is_no_number_to_keep(world, option, number):
    being_made = world.state / "launches" / "20260101T000000-abcdef"
    being_made.mkdir(parents=True)
    refused = world.run("gc", option, number)
    assert refused.status == 2
    assert f"Invalid value for '{option}': " in refused.stderr
    assert number in refused.stderr
    assert being_made.exists()


def test_gc_removes_directories_of_starts_that_were_killed_before_their_record(world):
    world.ended(world.launch(world.start([["exit", 1]]).result))
    unmade = world.state / "launches" / "20260101T000000-abcdef"
    unmade.mkdir()
    (unmade / "plan.json").write_text("{}")
    assert world.run("gc").status == 0
    assert unmade.exists()  # it may be in the making
    assert world.run("gc", "--keep-days", "0").status == 0
    assert not unmade.exists()
    assert len(world.launches()) == 1


def test_keep_logs_deletes_shipped_segments_only(world, wait_until, tmp_path):
    much, more = tmp_path / "much", tmp_path / "more"
    much.write_bytes(b"x" * 100 + b"\n")
    much.write_bytes(much.read_bytes() * 40_000)
    steps = [["text", "ready now\n"], ["file", str(much)], ["wait", str(more)], ["file", str(much)], ["stay"]]
    launch = world.launch(world.start(steps, maxLogMB=1, keepLogs=2).result)
    wait_until(lambda: len(launch.read()["segments"]) >= 6)
    assert all(Path(path).exists() for path in launch.read()["segments"])
    ship(launch, complete=False)
    shipped = list(json.loads(launch.shipped_path.read_text())["segments"])[:-1]
    more.touch()
    wait_until(lambda: len(launch.read()["segments"]) >= 12)
    wait_until(lambda: not any(Path(path).exists() for path in shipped))
    unshipped = [path for path in launch.read()["segments"] if path not in shipped]
    assert all(Path(path).exists() for path in unshipped[1:])
    assert world.run("stop", "--model-name", "m").status == 0


def test_ps_lists_what_runs_and_json_is_for_programs(world):
    assert world.run("ps").stdout.startswith("nothing runs")
    started = world.start(READY, traceId="t-1")
    listed = json.loads(world.run("ps", "--json").stdout)
    assert [(one["launchId"], one["state"], one["traceId"]) for one in listed] == [
        (started.result["launchId"], "ready", "t-1")
    ]
    assert started.result["launchId"] in world.run("ps").stdout
    world.run("stop", "--model-name", "m")
    assert world.run("ps").stdout.startswith("nothing runs")
    assert started.result["launchId"] in world.run("ps", "--all").stdout


def test_status_is_a_table_for_people_and_json_for_programs(world):
    started = world.start(READY, traceId="t-1").result
    printed = world.run("status", "--model-name", "m")
    assert printed.stdout.startswith("test/m is ready\n")
    rows = dict(line.split(None, 1) for line in printed.stdout.splitlines()[1:-1])
    assert (rows["launchId"], rows["traceId"], rows["pid"]) == (started["launchId"], "t-1", str(started["pid"]))
    assert rows["logFile"] == started["logFile"]
    assert printed.result["state"] == "ready"
    as_json = world.run("status", "--model-name", "m", "--json")
    assert json.loads(as_json.stdout)["readyAt"] == rows["readyAt"]
    assert world.run("stop", "--model-name", "m").status == 0
    stopped = world.run("status", "--model-name", "m", "--json")
    assert (stopped.status, json.loads(stopped.stdout)["state"]) == (3, "stopped")
    assert world.run("status", "--model-name", "nobody").stdout.startswith("modelName nobody is stopped\n")


def test_a_record_of_a_newer_version_is_reported_and_left_alone(world):
    launch = world.launch(world.start([["exit", 1]]).result)
    world.ended(launch)
    record = launch.read() | {"schema": 99}
    launch.record_path.write_text(json.dumps(record))
    listed = world.run("ps", "--all")
    assert "update tracetail" in listed.stderr
    assert world.run("gc", "--keep-days", "0").status == 0
    assert launch.record_path.exists()
    assert world.start(READY).status == 0
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_keeper_is_not_ended_by_hangups_or_interrupts(world, wait_until):
    launch = world.launch(world.start(READY).result)
    record = launch.read()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        os.kill(record["keeper"]["pid"], number)
    assert world.run("status", "--model-name", "m").status == 0
    assert is_alive(record["keeper"])
    assert world.run("stop", "--model-name", "m").status == 0


def test_the_keeper_stays_small(world, wait_until, tmp_path):
    much = tmp_path / "much"
    much.write_bytes(b"x" * 150 + b"\n")
    much.write_bytes(much.read_bytes() * 100_000 + b"\n" * 1_000_000 + b"y" * 3_000_000)
    done = tmp_path / "done"
    steps = [["text", "ready now\n"], ["file", str(much)], ["touch", str(done)], ["stay"]]
    launch = world.launch(world.start(steps).result)
    wait_until(done.exists)
    status = Path(f"/proc/{launch.read()['keeper']['pid']}/status").read_text()
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    assert peak < 24 * 1024, f"{peak} KiB"
    assert world.run("stop", "--model-name", "m").status == 0
