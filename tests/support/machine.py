"""Real store, agent, panel and launches with their state in a temporary directory."""

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import commands
from support.environment import environment
from support.waiting import WAIT_SECONDS, wait_for
from tracetail.contract.record import ENDED_STATES, LaunchDir
from tracetail.loki import logql

PAGE = 5000


@dataclass(frozen=True)
class Entry:
    """One line as Loki returns it."""

    time_ns: int
    line: str
    labels: dict[str, str] = field(hash=False)

    @property
    def kind(self) -> str | None:
        return self.labels.get("kind")


class Machine:
    """Starts parts and launches with an environment of their own and ends everything it started."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.state.mkdir()
        self.environ = environment(
            TRACETAIL_STATE_DIR=str(self.state),
            TRACETAIL_AGENT_STATE_DIRS=str(self.state),
            TRACETAIL_CONFIG=str(directory / "tracetail.toml"),
            TRACETAIL_STORE_LISTEN="127.0.0.1:0",
            TRACETAIL_AGENT_LISTEN="127.0.0.1:0",
            TRACETAIL_PANEL_LISTEN="127.0.0.1:0",
            PYTHONUNBUFFERED="1",
        )
        (directory / "tracetail.toml").touch()
        self.parts: dict[str, subprocess.Popen[str]] = {}
        self.addresses: dict[str, str] = {}

    def start(self, part: str) -> subprocess.Popen[str]:
        """Start store, agent or panel and wait until it listens. The store keeps its address when started again."""
        log = (self.directory / f"{part}.log").open("ab")
        process = commands.popen(
            part,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        log.close()
        self.parts[part] = process
        line = process.stdout.readline()
        assert " listening on " in line, f"{part} did not start: {line!r} {self.log_of(part)[-3000:]}"
        self.addresses[part] = line.strip().rpartition(" ")[2]
        if part == "store":
            self.environ["TRACETAIL_STORE_LISTEN"] = self.addresses[part].removeprefix("http://")
            self.environ.setdefault("TRACETAIL_LOKI_URL", self.addresses[part])
        return process

    def log_of(self, part: str) -> str:
        """Return what a part has logged."""
        return (self.directory / f"{part}.log").read_text(errors="replace")

    def kill(self, part: str) -> None:
        """End a part with SIGKILL."""
        process = self.parts.pop(part)
        process.kill()
        process.wait()
        process.stdout.close()

    def stop(self, part: str) -> int:
        """End a part with SIGTERM and return its exit status."""
        process = self.parts.pop(part)
        process.terminate()
        try:
            return process.wait(WAIT_SECONDS)
        finally:
            process.stdout.close()

    def tracetail(self, *arguments: str, seconds: float = 180, **parameters: Any) -> subprocess.CompletedProcess[str]:
        """Run a command for at most so many seconds; parameters become --params."""
        params = ["--params", json.dumps(parameters)] if parameters else []
        return commands.run(
            *arguments, *params, env=self.environ, stdin=subprocess.DEVNULL, text=True, timeout=seconds
        )

    def launch(self, command: list[str], **parameters: Any) -> dict[str, Any]:
        """Start a custom command and return its TRACETAIL_RESULT; the start must succeed."""
        run = self.tracetail("start", engine="custom", command=command, **parameters)
        assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
        return result_of(run)

    def launches(self) -> list[LaunchDir]:
        """Return the directories of this machine's launches."""
        return [LaunchDir(path) for path in sorted((self.state / "launches").glob("*")) if path.is_dir()]

    def entries(self, trace_id: str, query: str | None = None, end_ns: int | None = None) -> list[Entry]:
        """Return everything that Loki has of a trace, oldest first, page by page."""
        found: dict[tuple[int, str, str], Entry] = {}
        start, end = time.time_ns() - 7200 * 10**9, end_ns or time.time_ns() + 7200 * 10**9
        while True:
            answer = self.loki(
                "/loki/api/v1/query_range",
                query=query or logql.trace_query(trace_id),
                start=start,
                end=end,
                limit=PAGE,
                direction="forward",
            )
            page = [
                Entry(int(time_ns), line, stream["stream"])
                for stream in answer["data"]["result"]
                for time_ns, line, *_ in stream["values"]
            ]
            for entry in page:
                key = (entry.time_ns, entry.line, json.dumps(entry.labels, sort_keys=True))
                found[key] = entry
            if len(page) < PAGE:
                return sorted(found.values(), key=lambda entry: entry.time_ns)
            start = max(entry.time_ns for entry in page)

    def count(self, trace_id: str) -> int:
        """Return how many lines (not events) of a trace Loki counts; a line stored twice counts twice."""
        query = f'sum(count_over_time({logql.selector({"traceId": trace_id})} | kind!="event" [4h]))'
        answer = self.loki("/loki/api/v1/query", query=query, time=time.time_ns())
        result = answer["data"]["result"]
        return int(float(result[0]["value"][1])) if result else 0

    def loki(self, path: str, **params: Any) -> Any:
        """Ask the store itself (never a front before it)."""
        url = f"{self.addresses['store']}{path}?{urllib.parse.urlencode(params)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.loads(answer.read())

    def events(self, trace_id: str) -> list[str]:
        """Return the texts of the trace's events."""
        return [entry.line for entry in self.entries(trace_id) if entry.kind == "event"]

    def wait_for_event(self, trace_id: str, name: str) -> str:
        """Wait until an event of this name is in Loki."""
        return wait_for(
            lambda: next((text for text in self.events(trace_id) if text.split()[0] == name), None), f"event {name}"
        )

    def close(self) -> None:
        """Stop every launch and every part."""
        for launch in self.launches():
            end_launch(launch)
        for part in list(self.parts):
            process = self.parts.pop(part)
            process.kill()
            process.wait()
            process.stdout.close()


def end_launch(launch: LaunchDir) -> None:
    """End what is left of a launch, through its keeper or, without one, directly; only by recorded pid and tag."""
    if not launch.record_path.exists():
        return
    record = launch.read()
    if launch.effective_state(record) not in ENDED_STATES and launch.lock_held() and "keeper" in record:
        signal_quietly(record["keeper"]["pid"], signal.SIGTERM)
        deadline = time.monotonic() + 10
        while launch.lock_held() and time.monotonic() < deadline:
            time.sleep(0.05)
    for pid in processes_of(launch.launch_id):
        signal_quietly(pid, signal.SIGKILL)


def processes_of(launch_id: str) -> list[int]:
    """Return the processes that carry a launch's tag in their environment."""
    tag = f"TRACETAIL_LAUNCH_ID={launch_id}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if tag in (path / "environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
        except OSError:
            continue
    return found


def signal_quietly(pid: int, number: int) -> None:
    """Send a signal to a process that may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def result_of(run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the TRACETAIL_RESULT of a finished command."""
    last = run.stdout.rstrip().rpartition("\n")[2]
    assert last.startswith("TRACETAIL_RESULT "), f"{run.stdout}\n{run.stderr}"
    return json.loads(last.partition(" ")[2])


def put_together(entries: list[Entry]) -> str:
    """Return the server's output from its lines, joined by their marks (tracetail.contract.logline)."""
    return "".join(
        entry.line + {"cut": "", "redraw": "\r"}.get(entry.kind, "\n") for entry in entries if entry.kind != "event"
    )
