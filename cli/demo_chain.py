"""The demonstration: the whole chain once, with a sample server, shown and checked step by step."""

import asyncio
import contextlib
import json
import os
import sys
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import click

from tracetail.cli import configuration
from tracetail.cli.demo_probes import (
    DemoFailedError,
    get,
    post,
    processes_with,
    read_lines,
    reserve_port,
    result_of,
)
from tracetail.cli.panel_address import with_token
from tracetail.cli.stack import PartFailedError, Stack
from tracetail.contract import shared_secret
from tracetail.contract.http_headers import bearer
from tracetail.contract.identity import new_trace_id
from tracetail.contract.secret_file import read_secret
from tracetail.contract.state import STATE_DIR_VARIABLE
from tracetail.loki import logql

FOUND_TIMEOUT_SECONDS = 30.0
LEFT_OVER_TIMEOUT_SECONDS = 10.0
POLL_SECONDS = 0.2
_LISTEN_VARIABLES = {
    "TRACETAIL_STORE_LISTEN": 3100,
    "TRACETAIL_AGENT_LISTEN": 9464,
    "TRACETAIL_PANEL_LISTEN": 8900,
}
_SERVER_PORT = 8000
_PROMPTS = ("The quick brown fox jumps over the lazy dog", "Write a story about a lost line", "One two three")


@dataclass
class Demo:
    """One run of the chain in its own state directory: it touches nothing else of the user."""

    state: Path
    trace_id: str = field(default_factory=new_trace_id)
    instance_id: str = "demo-1"
    panel_url: str = ""
    shown: bool = False
    """Every step is done but the stop, which waits for Ctrl-C."""
    result: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environ = {
            name: value
            for name, value in os.environ.items()
            if name not in _LISTEN_VARIABLES and name != configuration.CONFIG_VARIABLE
        }
        self.environ[STATE_DIR_VARIABLE] = str(self.state)
        self.environ["TRACETAIL_AGENT_STATE_DIRS"] = str(self.state)
        with contextlib.ExitStack() as held:
            for variable, preferred in _LISTEN_VARIABLES.items():
                self.environ[variable] = f"127.0.0.1:{_reserve(preferred, held)}"
            self.server_port = _reserve(_SERVER_PORT, held)
        # Its own, empty file, so that the user's configuration does not change the demonstration.
        config = self.state / "tracetail.toml"
        config.touch()
        self.environ[configuration.CONFIG_VARIABLE] = str(config)
        self.secret = shared_secret.ensure(self.environ)
        self.settings = configuration.load(None, self.environ)

    async def run(self, errors: IO[bytes], *, once: bool, stop: asyncio.Event) -> None:
        """Run every step. Raises DemoFailedError."""
        stack = Stack(self.settings, self.environ, None, _print, errors)
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
                _print("\nPress Ctrl-C to stop the server and everything else.")
                await stop.wait()
            _title("6. stop")
            await self.stop_server()
        finally:
            if self.result.get("state") != "stopped":
                with contextlib.suppress(DemoFailedError):
                    await self.stop_server()
            await stack.stop()
        await self.check_nothing_is_left()
        _done("store, agent, panel and server have ended, no process is left")

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
        self.result = result_of(output)
        if self.result.get("state") != "ready":
            raise DemoFailedError(f"the server did not become ready: {self.result}")
        _done(f"ready; launch {self.result['launchId']}, log {self.result['logFile']}")

    def send_requests(self) -> None:
        """Request completions from the server, one of them streamed."""
        base = f"http://127.0.0.1:{self.server_port}/v1"
        for number, prompt in enumerate(_PROMPTS):
            streamed = number == len(_PROMPTS) - 1
            body = {"model": "sample-model", "messages": [{"role": "user", "content": prompt}], "stream": streamed}
            answer = post(f"{base}/chat/completions", body)
            if streamed and "[DONE]" not in answer:
                raise DemoFailedError(f"the stream did not end: {answer[-200:]!r}")
            _print(f"  {prompt!r} → {len(answer)} bytes{' (streamed)' if streamed else ''}")
        _done(f"{len(_PROMPTS)} requests answered")

    async def show_lines(self) -> None:
        """Wait until the server's access lines are found by their traceId, and print every line."""
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
        """Check the panel's answer for the launch, and its page."""
        query = urllib.parse.urlencode({"traceId": self.trace_id})
        headers = bearer(read_secret("the shared secret", str(self.secret)))
        launches = json.loads(get(f"{self.panel_url}/api/launches?{query}", headers))["launches"]
        states = [launch["state"] for launch in launches if launch["launchId"] == self.result["launchId"]]
        if states != ["ready"]:
            raise DemoFailedError(f"the panel does not show the launch as ready: {launches}")
        if "tracetail" not in get(f"{self.panel_url}/panel?{query}"):
            raise DemoFailedError("the panel does not serve its page")
        _done("the panel shows the launch as ready")

    def show_ways_in(self) -> None:
        """Print how a person finds the lines."""
        _print("")
        address = f"{self.panel_url}/panel?traceId={self.trace_id}"
        _print(f"  panel   {with_token(address, self.settings, self.trace_id, self.environ)}")
        _print(f"  LogQL   {logql.trace_query(self.trace_id)}")
        _print(f"  errors  {logql.trace_query(self.trace_id, levels=['error'])}")
        _print(f"  Loki    {self.settings.loki.url}, with the secret in {self.secret}")

    async def stop_server(self) -> None:
        """Stop the server through the launcher."""
        output = await self.tracetail(
            "stop", "--params", json.dumps({"modelName": "sample-model", "port": self.server_port})
        )
        self.result = {**self.result, **result_of(output)}
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
                    _print(f"  {line}")
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
        """Check that no process is left with the demonstration's state directory in its environment."""
        deadline = time.monotonic() + LEFT_OVER_TIMEOUT_SECONDS
        while left := processes_with(f"{STATE_DIR_VARIABLE}={self.state}"):
            if time.monotonic() > deadline:
                raise DemoFailedError(f"processes are left behind: {left}")
            await asyncio.sleep(POLL_SECONDS)


def _reserve(preferred: int, held: contextlib.ExitStack) -> int:
    port = reserve_port(preferred, held)
    if port != preferred:
        _print(f"port {preferred} is in use; using {port}")
    return port


def sample_server() -> Path:
    """Return the sample server's file, in a directory of its own: a script's directory is first on its sys.path."""
    return Path(__file__).resolve().parents[1] / "examples" / "sample_server.py"


def _print(text: str) -> None:
    click.echo(text)


def _title(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _done(text: str) -> None:
    click.secho(f"✓ {text}", fg="green")
