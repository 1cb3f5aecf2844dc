"""Whoever runs servers must not become root, or another user, because that user types a command over his launches."""

import contextlib
import json
import os
import pwd
import signal
from pathlib import Path

import pytest
from support.other_user import NOBODY, needs_root, run_tracetail_as, shared_directory
from support.waiting import wait_for

from tracetail.contract import outbox
from tracetail.contract.owned_files import ForeignFileError, open_beneath, replace_file
from tracetail.contract.processes import read_environ
from tracetail.contract.record import LaunchDir, LaunchLock
from tracetail.launcher import plan
from tracetail.launcher.machine import processes
from tracetail.launcher.operations import as_owner, garbage_collect

ROOT = pwd.getpwuid(0)

pytestmark = needs_root


class Theirs:
    """A state directory of the user nobody, and the launches in it."""

    def __init__(self, root):
        self.root = root
        self.state = root / "state"
        self.state.mkdir()
        os.chown(self.state, NOBODY.pw_uid, NOBODY.pw_gid)
        self.ran = root / "ran"
        self.ran.touch()
        self.ran.chmod(0o666)

    def run(self, user, *words, groups=""):
        environ = {"TRACETAIL_STATE_DIR": str(self.state), "XDG_CONFIG_HOME": "/nonexistent"}
        return run_tracetail_as(user, *words, environ=environ, groups=groups)

    def start(self, user=NOBODY, **more):
        command = ["sh", "-c", f"id -u >> {self.ran}; exec sleep 1000"]
        params = {"modelName": "m", "command": command, "readyWhen": "alive", **more}
        return self.run(user, "start", "--params", json.dumps(params))

    def launch(self):
        return LaunchDir(max((self.state / "launches").iterdir()))

    def lose(self, launch):
        """Kill the keeper, then the server, as a machine that runs out of memory does."""
        record = launch.read()
        for process in (record["keeper"], record["server"]):
            os.kill(process["pid"], signal.SIGKILL)
        wait_for(lambda: not launch.lock_held(), "the keeper's end")

    def clean(self):
        for path in (self.state / "launches").glob("*/record.json"):
            record = json.loads(path.read_bytes())
            with contextlib.suppress(ProcessLookupError, KeyError):
                os.kill(record["keeper"]["pid"], signal.SIGKILL)  # first: it would start a lost server again
            for process in processes.members(record["launchId"], record.get("server")):
                processes.send(process, signal.SIGKILL)


@pytest.fixture
def theirs():
    with shared_directory() as path:
        world = Theirs(path)
        yield world
        world.clean()


def users(path):
    return set(path.read_text().split())


@pytest.mark.parametrize("command", ["status", "gc", "stop"])
def test_root_runs_nothing_of_a_plan_as_root(theirs, command):
    started = theirs.start(restart="on-crash")
    assert started.returncode == 0, started.stdout + started.stderr
    launch = theirs.launch()
    theirs.lose(launch)
    done = theirs.run(ROOT, command, *([] if command == "gc" else ["--launch", launch.launch_id]))
    assert "Traceback" not in done.stderr
    if command == "status":
        assert "is crashed" in done.stdout, done.stdout + done.stderr
    # The keeper that root's command started has recorded the end and starts the server again.
    wait_for(lambda: len(theirs.ran.read_text().split()) > 1, "the restart")
    assert users(theirs.ran) == {str(NOBODY.pw_uid)}
    owners = {path.lstat().st_uid for path in theirs.state.rglob("*")}
    assert owners == {NOBODY.pw_uid}


def test_root_stops_and_removes_a_launch_as_its_owner(theirs):
    theirs.start()
    launch = theirs.launch()
    pid = launch.read()["server"]["pid"]
    stopped = theirs.run(ROOT, "stop", "--launch", launch.launch_id)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert '"state": "stopped"' in stopped.stdout
    assert not Path(f"/proc/{pid}").exists()
    segment = Path(launch.read()["logFile"])
    launch.shipped_path.write_text(json.dumps({"schema": 1, "segments": {}, "complete": True}))
    os.chown(launch.shipped_path, NOBODY.pw_uid, NOBODY.pw_gid)
    removed = theirs.run(ROOT, "gc", "--keep-days", "0")
    assert removed.returncode == 0, removed.stderr
    assert not launch.path.exists()
    assert not segment.exists()


def test_root_restarts_a_launch_as_its_owner(theirs):
    theirs.start()
    restarted = theirs.run(ROOT, "restart", "--launch", theirs.launch().launch_id)
    assert restarted.returncode == 0, restarted.stdout + restarted.stderr
    assert theirs.ran.read_text().split() == [str(NOBODY.pw_uid)] * 2


@pytest.mark.parametrize("command", ["restart", "status"])
def test_a_server_that_roots_command_starts_again_has_nothing_of_roots_environment(theirs, monkeypatch, command):
    theirs.start(restart="on-crash")
    launch = theirs.launch()
    if command == "status":
        theirs.lose(launch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "only-for-root")
    monkeypatch.setenv("HTTPS_PROXY", "http://root:only-for-root@proxy.example:3128")
    monkeypatch.setenv("TRACETAIL_TOKEN", "only-for-root")
    monkeypatch.setenv("TRACETAIL_LOKI_URL", "http://root:only-for-root@loki.example:3100")
    theirs.run(ROOT, command, "--launch", launch.launch_id)
    wait_for(lambda: len(theirs.ran.read_text().split()) > 1, "the restart")
    wait_for(lambda: "server" in theirs.launch().read(), "its server in the record")
    again = theirs.launch().read()
    for process in (again["keeper"], again["server"]):
        environ = read_environ(process["pid"])
        assert b"PATH" in environ
        assert [name for name, value in environ.items() if b"only-for-root" in value] == []


def test_root_sends_a_callback_as_the_launchs_owner(theirs):
    theirs.start()
    launch = theirs.launch()
    refused = theirs.run(ROOT, "notify", "--launch", launch.launch_id, "--callback-url", "http://127.0.0.1:9/")
    assert refused.returncode != 0
    left = list(launch.outbox_path.glob("*.json"))
    assert len(left) == 1
    assert {path.lstat().st_uid for path in (launch.outbox_path, *launch.outbox_path.iterdir())} == {NOBODY.pw_uid}


def test_root_starts_nothing_in_the_state_directory_of_another_user(theirs):
    refused = theirs.start(user=ROOT)
    assert refused.returncode == 15
    assert "belongs to user nobody: root starts no server in it" in refused.stderr
    assert users(theirs.ran) == set()


@pytest.mark.parametrize("name", ["keeper.log", "lock", "plan.json", "record.json"])
def test_root_follows_no_link_in_a_launch_of_another_user(theirs, name):
    theirs.start()
    launch = theirs.launch()
    theirs.lose(launch)
    target = theirs.root / "of-root"
    target.write_text(json.dumps({"schema": 1, "state": "ready", "launchId": "x", "service": "x"}))
    target.chmod(0o600)
    before = target.read_bytes()
    (launch.path / name).unlink(missing_ok=True)
    (launch.path / name).symlink_to(target)
    for command in (["status", "--launch", launch.launch_id], ["stop", "--launch", launch.launch_id], ["gc"]):
        done = theirs.run(ROOT, *command)
        assert "Traceback" not in done.stderr
    assert target.read_bytes() == before


@pytest.mark.parametrize("kind", ["path", "link", "directory"])
def test_root_deletes_no_file_that_a_record_names_as_its_segment(theirs, kind):
    theirs.start()
    launch = theirs.launch()
    theirs.run(NOBODY, "stop", "--launch", launch.launch_id)
    target = theirs.root / "of-root"
    target.mkdir(mode=0o755)
    (target / "file.log").write_text("keep this\n")
    logs = theirs.state / "logs"
    named = {"path": target / "file.log", "link": logs / "link.log", "directory": logs / "there" / "file.log"}[kind]
    (logs / "link.log").symlink_to(target / "file.log")
    (logs / "there").symlink_to(target)
    record = launch.read()
    record["segments"] = [str(named)]
    launch.record_path.write_text(json.dumps(record))
    launch.shipped_path.write_text(json.dumps({"schema": 1, "segments": {}, "complete": True}))
    os.chown(launch.shipped_path, NOBODY.pw_uid, NOBODY.pw_gid)
    theirs.run(ROOT, "gc", "--keep-days", "0")
    assert not launch.path.exists()
    assert (target / "file.log").read_text() == "keep this\n"


def test_root_writes_nothing_through_a_link_among_the_locks(theirs):
    theirs.start()
    target = theirs.root / "of-root"
    target.write_text("keep this\n")
    locks = theirs.state / "locks"
    for lock in locks.iterdir():
        lock.unlink()
        lock.symlink_to(target)
    theirs.run(ROOT, "stop", "--launch", theirs.launch().launch_id)
    assert target.read_text() == "keep this\n"


@pytest.mark.parametrize("command", ["stop", "status", "restart", "notify", "keep", "gc"])
def test_another_user_reads_a_launch_and_does_nothing_to_it(theirs, command):
    os.chown(theirs.state, 0, NOBODY.pw_gid)
    theirs.state.chmod(0o750)
    with contextlib.chdir(theirs.root):
        started = theirs.start(user=ROOT, restart="on-crash")
    assert started.returncode == 0, started.stdout + started.stderr
    for path in theirs.state.rglob("*"):
        os.chown(path, 0, NOBODY.pw_gid)
    launch = theirs.launch()
    before = {path: path.lstat().st_mtime_ns for path in launch.path.iterdir() if path.name != "position"}
    words = {
        "keep": ["--adopt", launch.launch_id],
        "gc": ["--keep-days", "0"],
        "notify": ["--launch", launch.launch_id, "--callback-url", "http://127.0.0.1:9/"],
    }
    done = theirs.run(NOBODY, command, *words.get(command, ["--launch", launch.launch_id]))
    assert "Traceback" not in done.stderr
    if command == "status":
        assert "is ready" in done.stdout
    elif command != "gc":
        assert done.returncode != 0
        assert "belongs to" in done.stdout + done.stderr or "Permission denied" in done.stdout + done.stderr
    assert {path: path.lstat().st_mtime_ns for path in launch.path.iterdir() if path.name != "position"} == before
    assert launch.read()["state"] == "ready"
    assert launch.lock_held()


@pytest.fixture
def shared():
    """A launch directory of ours into which another user can put files."""
    with shared_directory() as path:
        launch = LaunchDir(path / "launches" / "20261122T211210-4bf92f")
        launch.path.mkdir(parents=True)
        yield launch


PLACED = {
    "record.json": lambda launch: launch.read(),
    "lock": lambda launch: LaunchLock(launch).acquire(),
    "plan.json": plan.read,
    "outbox/1.json": lambda launch: outbox.claim(launch.outbox_path / "1.json").__enter__(),
}


@pytest.mark.parametrize("name", PLACED)
def test_what_another_user_puts_into_a_launch_counts_for_nothing(shared, name):
    path = shared.path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"schema": 1}')
    path.chmod(0o666)
    os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    with pytest.raises(ForeignFileError, match="belongs to user nobody, not to root"):
        PLACED[name](shared)


def test_a_link_in_the_place_of_a_launch_is_no_launch(shared):
    other = shared.path.with_name("20261122T211210-000000")
    other.symlink_to(shared.path)
    shared.record_path.write_text('{"schema": 1}')
    with pytest.raises(ForeignFileError, match="it is a symbolic link"):
        LaunchDir(other).read()
    with pytest.raises(ForeignFileError):
        replace_file(other / "record.json", b"")


def test_a_file_is_opened_beneath_its_root_only(shared):
    root, outside = shared.path, shared.path.parent
    (outside / "secret").write_text("secret")
    (root / "inside").mkdir()
    (root / "inside" / "log").write_text("line")
    (root / "link").symlink_to(outside / "secret")
    (root / "up").symlink_to(outside)
    os.close(open_beneath([root], root / "inside" / "log", 0))
    alias = outside / "alias"
    alias.symlink_to(root)
    os.close(open_beneath([alias], root / "inside" / "log", 0))
    os.close(open_beneath([root], alias / "inside" / "log", 0))
    for path in (root / "link", root / "up" / "secret", root / ".." / "secret", outside / "secret", Path("secret")):
        with pytest.raises(OSError, match=r"link|beneath"):
            open_beneath([root], path, 0)
    with pytest.raises(ForeignFileError, match="belongs to user root, not to nobody"):
        open_beneath([root], root / "inside" / "log", NOBODY.pw_uid)


def test_one_users_launches_that_cannot_be_collected_keep_no_others(theirs, monkeypatch):
    def call(owner, function):
        if owner == 1:
            raise as_owner.OwnerProcessError(0, "as user daemon: MemoryError: ", "")
        return [("/a", 5, True)]

    monkeypatch.setattr(garbage_collect, "_foreign_owners", lambda _: {1, 2})
    monkeypatch.setattr(as_owner, "call", call)
    problems = []
    removed = list(
        garbage_collect.collect(theirs.state, keep_days=0, keep_launches=0, dry_run=True, problem=problems.append)
    )
    assert [one.path for one in removed] == [Path("/a")]
    assert problems == ["as user daemon: MemoryError: "]
