"""The record, its lock and the state that follows from them, also after a crash of the writer."""

import json
import os
import subprocess
import sys

import pytest

from tracetail.contract import processes, record
from tracetail.contract.shipped import read_shipped
from tracetail.contract.state import launches_dir
from tracetail.launcher import registry


@pytest.fixture
def launch(tmp_path):
    path = tmp_path / "20261122T211210-4bf92f"
    path.mkdir()
    return record.LaunchDir(path)


def holder_of(launch):
    """Start a process that holds the launch's lock until its stdin is closed."""
    code = (
        "import sys, pathlib; from tracetail.contract.record import LaunchDir, LaunchLock\n"
        "lock = LaunchLock(LaunchDir(pathlib.Path(sys.argv[1]))); assert lock.acquire(); print('held', flush=True)\n"
        "sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(launch.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_lock_excludes_others_is_seen_without_being_taken_and_dies_with_its_holder(launch):
    assert not launch.lock_held()
    with holder_of(launch) as process:
        assert launch.lock_held()
        assert not record.LaunchLock(launch).acquire()
        process.kill()
    assert not launch.lock_held()
    assert record.LaunchLock(launch).acquire()


def test_reading_the_lock_does_not_take_it(launch):
    lock = record.LaunchLock(launch)
    assert lock.acquire()
    lock.release()
    assert not launch.lock_held()
    assert lock.acquire()


def test_only_the_holder_of_the_lock_writes(launch):
    lock = record.LaunchLock(launch)
    with pytest.raises(RuntimeError):
        lock.write({"schema": 1})
    with lock:
        lock.write({"schema": 1, "state": "ready", "modelName": "模型"})
    assert launch.read()["modelName"] == "模型"
    assert {path.name for path in launch.path.iterdir()} == {"lock", "record.json"}


def test_a_record_of_a_newer_version_is_refused_by_name(launch):
    launch.record_path.write_text(json.dumps({"schema": 2}))
    with pytest.raises(record.RecordTooNewError, match=r"record\.json has schema 2.*update tracetail"):
        launch.read()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "ready"}'])
def test_a_broken_record_is_an_error_that_names_the_file(launch, content):
    launch.record_path.write_text(content)
    with pytest.raises(record.RecordError, match=r"record\.json"):
        launch.read()


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"schema": 1, "state": []}',
        '{"schema": 1, "state": "ready", "server": "x"}',
        '{"schema": 1, "state": "ready", "server": {"pid": 1}}',
        '{"schema": 1, "state": "ready", "container": {"init": "x"}}',
    ],
    ids=["deep", "state", "server", "half a server", "init"],
)
def test_a_record_with_wrong_types_does_not_stop_the_list_of_launches(launch, content):
    root = launches_dir(launch.path.parent)
    root.mkdir()
    for name, text in (
        ("20261122T211210-4bf92f", content),
        ("20261122T211211-4bf92f", '{"schema": 1, "state": "failed"}'),
    ):
        (root / name).mkdir()
        (root / name / "record.json").write_text(text)
    problems: list[str] = []
    assert [found.state for found in registry.launches(launch.path.parent, problems.append)] == ["failed"]
    assert [problem.partition(" ")[0] for problem in problems] == [
        str(root / "20261122T211210-4bf92f" / "record.json")
    ]


def test_a_record_that_is_too_large_is_not_read_into_memory(launch):
    with launch.record_path.open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(record.RecordError, match="too large"):
        launch.read()


@pytest.mark.parametrize(
    ("state", "kept", "alive", "effective"),
    [
        ("ready", True, True, "ready"),
        ("ready", False, True, "ready"),
        ("ready", False, False, "crashed"),
        ("starting", False, False, "failed"),
        ("stopping", False, False, "stopped"),
        ("stopped", False, False, "stopped"),
        ("failed", True, True, "failed"),
    ],
)
def test_effective_state(state, kept, alive, effective):
    assert record.effective_state(state, kept=kept, server_alive=alive) == effective


def test_a_process_is_known_by_more_than_its_pid():
    process = subprocess.Popen(["sleep", "60"])
    try:
        ref = processes.process_ref(process.pid)
        assert processes.is_alive(ref)
        assert not processes.is_alive({**ref, "startTime": ref["startTime"] + 1})
        assert not processes.is_alive({**ref, "bootId": "another boot"})
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not processes.is_alive(ref), "a zombie is not alive"
    finally:
        process.kill()
        process.wait()
    assert processes.process_ref(process.pid) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("server", {"pid": "1", "startTime": 1, "bootId": "x"}),
        ("server", {"pid": 1}),
        ("container", {"name": "x", "init": 7}),
        ("exit", 3),
        ("exit", {"evidence": ["a", None]}),
        ("phases", [1, 2]),
        ("phases", [{"name": "load"}]),
        ("segments", ["a", 5]),
        ("port", "80"),
        ("modelName", "\ud800"),
        ("launchId", "x/../../../../etc"),  # `tracetail bundle` names a file and the members of the archive by it
        ("launchId", "20261122T120000-bbbbbb"),
        ("traceId", "t\x1b[2J"),
        ("instanceId", "../i"),
    ],
)
def test_a_record_that_another_user_has_made_up_stops_nobodys_list(launch, name, value):
    whole = {"schema": record.SCHEMA, "state": "failed", "launchId": launch.launch_id, "port": None}
    launch.record_path.write_text(json.dumps(whole))
    assert launch.read() == whole
    launch.record_path.write_text(json.dumps({**whole, name: value}))
    with pytest.raises(record.RecordError):
        launch.read()


def test_null_in_a_record_means_absent(launch):
    whole = {"schema": record.SCHEMA, "state": "failed", "port": None}
    launch.record_path.write_text(json.dumps({**whole, "exit": None, "container": None, "server": None}))
    assert launch.read() == whole


def test_a_lock_in_which_another_user_has_nested_thousands_of_lists_is_taken(tmp_path):
    with registry.operation_lock(tmp_path, "test/m", {"action": "stop"}):
        pass
    (lock,) = (tmp_path / "locks").iterdir()
    lock.write_text("[" * 4096)
    with registry.operation_lock(tmp_path, "test/m", {"action": "stop"}) as operation:
        assert operation.previous == {}


@pytest.mark.parametrize("content", ["[" * 100_000, '{"schema": 1, "segments": {"a": "b"}}', '{"schema": 1}', None])
def test_what_is_no_shipped_json_is_none(launch, content):
    if content is None:
        with launch.shipped_path.open("wb") as file:
            file.truncate(1 << 40)
    else:
        launch.shipped_path.write_text(content)
    assert read_shipped(launch.shipped_path) is None
