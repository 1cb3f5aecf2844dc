"""`tracetail demo`: the whole chain once, on this machine, with a sample server, shown step by step."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import click

from tracetail.cli import configuration
from tracetail.cli.http import open_direct
from tracetail.cli.up import PartFailedError, Stack, stop_on_signals
from tracetail.contract.identity import new_trace_id
from tracetail.contract.labels import METADATA_LEVEL
from tracetail.contract.state import STATE_DIR_VARIABLE
from tracetail.loki import logql
from tracetail.loki.settings import ENTRIES_PER_QUERY_MAX, LokiSettings
from tracetail.panel.trace.entry import Key
from tracetail.panel.trace.loki import LokiClient, LokiError
from tracetail.panel.trace.reader import Reader

FOUND_TIMEOUT_SECONDS = 30.0
LEFT_OVER_TIMEOUT_SECONDS = 10.0
REQUEST_TIMEOUT_SECONDS = 30.0
LOOK_BACK_SECONDS = 3600
POLL_SECONDS = 0.2
_LISTEN_VARIABLES = {
    "TRACETAIL_STORE_LISTEN": 3100,
    "TRACETAIL_AGENT_LISTEN": 9464,
    "TRACETAIL_PANEL_LISTEN": 8900,
}
_SERVER_PORT = 8000
_PROMPTS = ("The quick brown fox jumps over the lazy dog", "Tell me a story about a lost line", "One two three")


class DemoFailedError(Exception):
    """A step did not do what it should; the message says which and what was seen."""


@dataclass
class Demo:
    """One run of the chain in a state directory of its own, so that nothing of the user's is touched."""

    state: Path
    trace_id: str = field(default_factory=new_trace_id)
    instance_id: str = "demo-1"
    panel_url: str = ""
    shown: bool = False
    """Every step is done; what is left is to wait for Ctrl-C."""
    result: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environ = {
            name: value
            for name, value in os.environ.items()
            if name not in _LISTEN_VARIABLES and name != configuration.CONFIG_VARIABLE
        }
        self.environ[STATE_DIR_VARIABLE] = str(self.state)
        self.environ["TRACETAIL_AGENT_STATE_DIRS"] = str(self.state)
        with _held_ports() as held:
            for variable, preferred in _LISTEN_VARIABLES.items():
                self.environ[variable] = f"127.0.0.1:{held.take(preferred)}"
            self.server_port = held.take(_SERVER_PORT)
        # An own, empty file, so that a configuration of the user's does not change the demonstration.
        config = self.state / "tracetail.toml"
        config.touch()
        self.environ[configuration.CONFIG_VARIABLE] = str(config)
        self.settings = configuration.load(None, self.environ)

    async def run(self, errors: IO[bytes], *, once: bool, stop: asyncio.Event) -> None:
        """Run every step. Raises DemoFailedError."""
        stack = Stack(self.settings, self.environ, None, _say, errors)
        try:
            _title("1. store, agent and panel")
            try:
                await stack.start()
            except PartFailedError as error:
                raise DemoFailedError(str(error)) from error
            self.panel_url = next(part.address for part in stack.parts if part.name == "panel")
            _title("2. a server, started with a traceId")
            await self.start_server()
            _title("3. some requests")
            await asyncio.to_thread(self.send_requests)
            _title("4. every line of it, found by the traceId")
            await self.show_lines()
            _title("5. the panel")
            await asyncio.to_thread(self.check_panel)
            self.show_ways_in()
            self.shown = True
            if not once:
                _say("\nPress Ctrl-C to stop the server and everything else.")
                await stop.wait()
            _title("6. stop")
            await self.stop_server()
        finally:
            if self.result.get("state") != "stopped":
                with contextlib.suppress(DemoFailedError):
                    await self.stop_server()
            await stack.stop()
        await self.check_nothing_is_left()
        _done("store, agent, panel and server are gone, no process is left")

    async def start_server(self) -> None:
        """Start the sample server through the launcher and read its TRACETAIL_RESULT."""
        parameters = {
            "modelName": "sample-model",
            "traceId": self.trace_id,
            "instanceId": self.instance_id,
            "port": self.server_port,
            "host": "127.0.0.1",
            "engine": "custom",
            "command": [sys.executable, str(sample_server()), "--port", "{port}", "--model", "{modelName}"],
            "readyTimeoutSec": 60,
        }
        output = await self.tracetail("start", "--params", json.dumps(parameters), show=True)
        self.result = _result(output)
        if self.result.get("state") != "ready":
            raise DemoFailedError(f"the server did not become ready: {self.result}")
        _done(f"ready; launch {self.result['launchId']}, log {self.result['logFile']}")

    def send_requests(self) -> None:
        """Ask the server for completions, one of them streamed."""
        base = f"http://127.0.0.1:{self.server_port}/v1"
        for number, prompt in enumerate(_PROMPTS):
            streamed = number == len(_PROMPTS) - 1
            body = {"model": "sample-model", "messages": [{"role": "user", "content": prompt}], "stream": streamed}
            answer = _post(f"{base}/chat/completions", body)
            if streamed and "[DONE]" not in answer:
                raise DemoFailedError(f"the stream did not end: {answer[-200:]!r}")
            _say(f"  {prompt!r} → {len(answer)} bytes{' (streamed)' if streamed else ''}")
        _done(f"{len(_PROMPTS)} requests answered")

    async def show_lines(self) -> None:
        """Wait until the last access line is found by its traceId, and print what there is."""
        expected = '"POST /v1/chat/completions HTTP/1.1" 200 OK'
        deadline = time.monotonic() + FOUND_TIMEOUT_SECONDS
        while True:
            lines = await read_lines(self.settings.loki, self.trace_id)
            if sum(expected in line for _, line in lines) == len(_PROMPTS):
                break
            if time.monotonic() > deadline:
                raise DemoFailedError(
                    f"after {FOUND_TIMEOUT_SECONDS:.0f} s {len(lines)} lines were found by traceId, "
                    f"and not the {len(_PROMPTS)} access lines that the server printed"
                )
            await asyncio.sleep(POLL_SECONDS)
        for level, line in lines:
            click.secho(f"  {line}"[:160], fg={"warning": "yellow", "error": "red"}.get(level))
        levels = {level for level, _ in lines}
        if "warning" not in levels or "info" not in levels:
            raise DemoFailedError(f"the levels were not recognised: found only {sorted(levels)}")
        _done(f"{len(lines)} lines, each once")

    def check_panel(self) -> None:
        """Ask the panel for the launch and the page."""
        query = urllib.parse.urlencode({"traceId": self.trace_id})
        launches = json.loads(_get(f"{self.panel_url}/api/launches?{query}"))["launches"]
        states = [launch["state"] for launch in launches if launch["launchId"] == self.result["launchId"]]
        if states != ["ready"]:
            raise DemoFailedError(f"the panel does not show the launch as ready: {launches}")
        if "tracetail" not in _get(f"{self.panel_url}/panel?{query}"):
            raise DemoFailedError("the panel's page is not there")
        _done("the panel shows the launch as ready")

    def show_ways_in(self) -> None:
        """Say how a person gets at the lines."""
        _say("")
        _say(f"  panel   {self.panel_url}/panel?traceId={self.trace_id}")
        _say(f"  LogQL   {logql.trace_query(self.trace_id)}")
        _say(f"  errors  {logql.trace_query(self.trace_id, levels=['error'])}")
        _say(f"  Loki    {self.settings.loki.url}")

    async def stop_server(self) -> None:
        """Stop the server through the launcher."""
        output = await self.tracetail(
            "stop", "--params", json.dumps({"modelName": "sample-model", "port": self.server_port})
        )
        self.result = {**self.result, **_result(output)}
        _done(f"server {self.result.get('state')}")

    async def tracetail(self, *arguments: str, show: bool = False) -> str:
        """Run a tracetail command and return its stdout. Raises DemoFailedError if it fails."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tracetail",
            *arguments,
            env=self.environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        lines = []
        try:
            async for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip("\n")
                lines.append(line)
                if show:
                    _say(f"  {line}")
        except asyncio.CancelledError:
            process.terminate()
            raise
        finally:
            status = await process.wait()
        output = "\n".join(lines)
        if status != 0:
            raise DemoFailedError(f"`tracetail {arguments[0]}` ended with exit status {status}:\n{output}")
        return output

    async def check_nothing_is_left(self) -> None:
        """Look for processes that still carry the demo's state directory in their environment."""
        deadline = time.monotonic() + LEFT_OVER_TIMEOUT_SECONDS
        while left := _processes_with(f"{STATE_DIR_VARIABLE}={self.state}"):
            if time.monotonic() > deadline:
                raise DemoFailedError(f"processes are left behind: {left}")
            await asyncio.sleep(POLL_SECONDS)


class _HeldPorts:
    """Keeps chosen ports bound until all are chosen, so that none is given out twice."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def take(self, preferred: int) -> int:
        """Return preferred if it is free, else a free port."""
        for port in (preferred, 0):
            holder = socket.socket()
            try:
                holder.bind(("127.0.0.1", port))
            except OSError:
                holder.close()
                continue
            self._sockets.append(holder)
            chosen: int = holder.getsockname()[1]
            if port == 0:
                _say(f"port {preferred} is in use, {chosen} is taken instead")
            return chosen
        raise DemoFailedError("there is no free port on 127.0.0.1")

    def close(self) -> None:
        """Let go of the ports."""
        for holder in self._sockets:
            holder.close()


@contextlib.contextmanager
def _held_ports() -> Iterator[_HeldPorts]:
    held = _HeldPorts()
    try:
        yield held
    finally:
        held.close()


def sample_server() -> Path:
    """Return the sample server's file: beside this module in an installed package, in examples/ in a checkout."""
    installed = Path(__file__).with_name("sample_server.py")
    return installed if installed.is_file() else Path(__file__).resolve().parents[1] / "examples" / "sample_server.py"


async def read_lines(settings: LokiSettings, trace_id: str) -> list[tuple[str, str]]:
    """Return (level, line) of what Loki has of a trace in the last hour, oldest first."""
    loki = LokiClient(settings)
    try:
        start = Key(time.time_ns() - LOOK_BACK_SECONDS * 10**9)
        page = await Reader(loki).forward(logql.trace_query(trace_id), start, limit=ENTRIES_PER_QUERY_MAX)
    except LokiError as error:
        raise DemoFailedError(str(error)) from error
    finally:
        await loki.close()
    return [(entry.stream.fields.get(METADATA_LEVEL, ""), entry.text) for entry in page.entries]


def _get(url: str) -> str:
    return _ask(urllib.request.Request(url))  # noqa: S310  (addresses of this demo)


def _post(url: str, body: Any) -> str:
    headers = {"Content-Type": "application/json"}
    return _ask(urllib.request.Request(url, json.dumps(body).encode(), headers))  # noqa: S310  (as above)


def _ask(request: urllib.request.Request) -> str:
    try:
        with open_direct(request, REQUEST_TIMEOUT_SECONDS) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")[:500]
        raise DemoFailedError(f"{request.full_url} answered {error.code}: {text}") from error
    except OSError as error:
        raise DemoFailedError(f"{request.full_url} did not answer: {error}") from error


def _result(output: str) -> dict[str, Any]:
    last = output.rstrip().rpartition("\n")[2]
    marker, _, text = last.partition(" ")
    if marker != "TRACETAIL_RESULT":
        raise DemoFailedError(f"the last line is not TRACETAIL_RESULT: {last!r}")
    result = json.loads(text)
    assert isinstance(result, dict)
    return result


def _processes_with(variable: str) -> list[str]:
    """Return pid and command of every process, other than this one, with this variable in its environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if int(path.name) != os.getpid() and variable.encode() in (path / "environ").read_bytes().split(b"\0"):
                command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(f"{path.name} {command.strip()}")
        except OSError:
            continue
    return found


def _say(text: str) -> None:
    click.echo(text)


def _title(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _done(text: str) -> None:
    click.secho(f"✓ {text}", fg="green")


@click.command()
@click.option("--once", is_flag=True, help="Check every step, stop everything, exit 0 or say what failed and exit 1.")
def demo(once: bool) -> None:
    """Run the whole chain on this machine: store, agent, panel, and a sample server started with a traceId.

    Everything is kept in a temporary directory and removed again. With TRACETAIL_LOKI_URL set, that Loki is used
    instead of the embedded store.
    """
    state = Path(tempfile.mkdtemp(prefix="tracetail-demo-"))
    log = state / "parts.log"
    status = 0
    try:
        with log.open("wb") as errors:
            asyncio.run(_run(state, errors, once=once))
    except (DemoFailedError, configuration.ConfigurationError) as error:
        click.secho(f"✗ {error}", fg="red", err=True)
        if log.stat().st_size:
            click.echo(f"\nWhat store, agent and panel logged:\n{log.read_text(errors='replace')[-4000:]}", err=True)
        status = 1
    shutil.rmtree(state, ignore_errors=True)
    sys.exit(status)


async def _run(state: Path, errors: IO[bytes], *, once: bool) -> None:
    stop = stop_on_signals()
    demo = Demo(state)
    running = asyncio.create_task(demo.run(errors, once=once, stop=stop))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not running.done() and not demo.shown:
        running.cancel()  # it stops what it has started before it ends
        with contextlib.suppress(asyncio.CancelledError):
            await running
        raise DemoFailedError("interrupted; what had been started is stopped again")
    stopped.cancel()
    await running
