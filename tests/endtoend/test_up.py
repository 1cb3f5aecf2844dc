"""`tracetail up` runs the parts of one machine and leaves none behind, however it ends."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from support.waiting import wait_for


@pytest.fixture
def up(bare_machine):
    """Return a function that starts `up` and waits until it is ready, and its lines so far."""
    running = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tracetail", "up"],  # -P: as the command in bin/ runs
            env=bare_machine.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(process)
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip())
            if line.startswith("Ready."):
                return process, lines
        raise AssertionError("\n".join(lines))

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def parts_of(machine):
    """Return the pids of store, agent and panel that carry this machine's state directory."""
    tag = f"TRACETAIL_STATE_DIR={machine.state}".encode()
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if tag in (path / "environ").read_bytes().split(b"\0"):
                words = (path / "cmdline").read_bytes().split(b"\0")
                found[int(path.name)] = words[-2].decode()
        except (OSError, IndexError):
            continue
    return {pid: name for pid, name in found.items() if name in ("store", "agent", "panel")}


def test_stops_its_parts_on_sigterm(up, bare_machine):
    process, lines = up()
    assert [line.split()[0] for line in lines[:3]] == ["store", "agent", "panel"]
    assert sorted(parts_of(bare_machine).values()) == ["agent", "panel", "store"]
    process.terminate()
    assert process.wait(60) == 0
    assert parts_of(bare_machine) == {}


def test_no_part_imports_what_lies_in_the_working_directory(up, tmp_path, monkeypatch):
    directory, notes = tmp_path / "of-anybody", tmp_path / "imported"
    directory.mkdir()
    for name in ("json", "logging", "tracetail"):
        (directory / f"{name}.py").write_text(f"open({str(notes)!r}, 'a').write({name!r})\nraise SystemExit(1)\n")
    monkeypatch.chdir(directory)
    assert [line.split()[0] for line in up()[1][:3]] == ["store", "agent", "panel"]
    assert not notes.exists(), notes.read_text()


def status_of(address):
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as refusal:
        return refusal.code


def test_every_address_that_it_prints_answers(up):
    lines = up()[1]
    statuses = {line.split()[0]: status_of(line.split()[1]) for line in lines if " http" in line}
    # Store and agent are for programs: they have nothing at / and say so.
    assert statuses == {"store": 404, "agent": 404, "panel": 200, "browser": 200}


def test_leaves_nothing_when_it_is_killed(up, bare_machine):
    process, _ = up()
    process.kill()
    process.wait()
    wait_for(lambda: not parts_of(bare_machine), "the parts to end")


def test_starts_a_part_again_that_ends_where_it_can_print_nothing_either(up, bare_machine):
    process, _ = up()
    process.stdout.close()  # as a full disk, or a terminal that is gone
    (agent,) = [pid for pid, name in parts_of(bare_machine).items() if name == "agent"]
    os.kill(agent, signal.SIGKILL)
    wait_for(
        lambda: {"agent"} & set(parts_of(bare_machine).values()) and agent not in parts_of(bare_machine),
        "a new agent",
    )
    process.terminate()
    assert process.wait(60) == 0
    assert parts_of(bare_machine) == {}


def test_uses_a_store_that_already_runs(up, bare_machine):
    store = bare_machine.start("store")
    del bare_machine.environ["TRACETAIL_LOKI_URL"]
    process, lines = up()
    assert "already running there" in lines[0]
    started = [name for pid, name in parts_of(bare_machine).items() if pid != store.pid]
    assert sorted(started) == ["agent", "panel"]
    process.terminate()
    assert process.wait(60) == 0
    assert store.poll() is None


def test_a_state_directory_that_cannot_be_used_is_named(bare_machine, tmp_path):
    (tmp_path / "file").touch()
    bare_machine.environ["TRACETAIL_STATE_DIR"] = str(tmp_path / "file" / "state")
    run = bare_machine.tracetail("up")
    assert run.returncode == 1
    assert f"the state directory {tmp_path}/file/state cannot be used" in run.stderr
    assert "Traceback" not in run.stderr
