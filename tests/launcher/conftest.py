"""Fixtures for launches: a state directory per test, the command, and a server that executes steps."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import commands
from support.callback_receiver import Receiver
from support.environment import environment
from support.environment import free_port as free_port_of_loopback
from support.waiting import wait_for

from tracetail.contract.logline import MARK_CUT, MARK_EVENT, MARK_REDRAW, parse_event, parse_line
from tracetail.contract.processes import is_alive
from tracetail.contract.record import LaunchDir
from tracetail.launcher.machine import processes

FAKE_SERVER = Path(__file__).with_name("fake_server.py")


class Finished:
    """How a command ended."""

    def __init__(self, completed):
        self.status = completed.returncode
        self.stdout = completed.stdout
        self.stderr = completed.stderr

    @property
    def result(self):
        last = self.stdout.rstrip("\n").rpartition("\n")[2]
        assert last.startswith("TRACETAIL_RESULT "), (self.stdout, self.stderr)
        return json.loads(last.removeprefix("TRACETAIL_RESULT "))


class World:
    """One state directory and what is started in it."""

    def __init__(self, root):
        self.root = root
        self.state = root / "state"
        self.environ = environment(TRACETAIL_STATE_DIR=str(self.state), HOME=str(root), NO_COLOR="1")

    def command(self, *words):
        return commands.command(*words)

    def run(self, *words, stdin=None, timeout=60.0, environ=None):
        completed = commands.run(*words, input=stdin, text=True, timeout=timeout, env=self.environ | (environ or {}))
        return Finished(completed)

    def popen(self, *words):
        return commands.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environ)

    def params(self, steps, **more):
        command = [sys.executable, str(FAKE_SERVER), json.dumps(steps)]
        return json.dumps({"modelName": "m", "command": command, "readyWhen": "log:ready now", **more})

    def start(self, steps, **more):
        return self.run("start", "--params", self.params(steps, **more))

    def launch(self, result):
        return LaunchDir(self.state / "launches" / result["launchId"])

    def launches(self):
        root = self.state / "launches"
        found = [LaunchDir(path) for path in sorted(root.iterdir())] if root.is_dir() else []
        return [launch for launch in found if launch.record_path.exists()]

    def ended(self, launch):
        """Wait for the end of a launch and of its keeper; return its record."""
        wait_for(lambda: not launch.lock_held(), "the keeper's end")
        return launch.read()

    def lines(self, launch):
        """Return the parsed lines of all segments, in order."""
        found = []
        for path in launch.read()["segments"]:
            data = Path(path).read_bytes()
            assert data.endswith(b"\n") or not data
            for line in data.split(b"\n")[:-1]:
                parsed = parse_line(line)
                assert parsed is not None, line[:200]
                found.append(parsed)
        stamps = [line.time_ns for line in found]
        assert stamps == sorted(set(stamps)), "stamps do not strictly increase"
        return found

    def output(self, launch):
        """Return what the server printed, put together again from the log."""
        endings = {MARK_CUT: b"", MARK_REDRAW: b"\r", None: b"\n"}
        return b"".join(line.text + endings[line.mark] for line in self.lines(launch) if line.mark != MARK_EVENT)

    def events(self, launch):
        return [parse_event(line.text.decode()) for line in self.lines(launch) if line.mark == MARK_EVENT]

    def members(self, launch):
        """Return the processes that belong to a launch."""
        record = launch.read()
        return processes.members(record["launchId"], record.get("server"))

    def clean(self):
        """End what a failed test left behind."""
        for launch in self.launches():
            with contextlib.suppress(Exception):
                record = launch.read()
                if "keeper" in record and is_alive(record["keeper"]):
                    os.kill(record["keeper"]["pid"], signal.SIGKILL)
                for process in processes.members(record["launchId"], record.get("server")):
                    processes.send(process, signal.SIGKILL)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.clean()


@pytest.fixture
def wait_until():
    return wait_for


@pytest.fixture
def free_port():
    return free_port_of_loopback


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()
