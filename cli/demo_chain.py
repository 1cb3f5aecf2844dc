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

from tracetail.cli import config_sources, configuration
from tracetail.cli.demo_probes import (
    DemoFailedError,
    get,
    post,
    processes_with,
    read_lines,
    reserve_port,
    result_of,
)
from tracetail.cli.language import both
from tracetail.cli.panel_address import with_token
from tracetail.cli.stack import PartFailedError, Stack
from tracetail.cli.words import state_word
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
            if name not in _LISTEN_VARIABLES and name != config_sources.CONFIG_VARIABLE
        }
        self.environ[STATE_DIR_VARIABLE] = str(self.state)
        self.environ["TRACETAIL_AGENT_STATE_DIRS"] = str(self.state)
        self._claimed_ports = contextlib.ExitStack()
        with contextlib.ExitStack() as bound:
            for variable, preferred in _LISTEN_VARIABLES.items():
                self.environ[variable] = f"127.0.0.1:{_reserve(preferred, bound, self._claimed_ports)}"
            self.server_port = _reserve(_SERVER_PORT, bound, self._claimed_ports)
        # Its own, empty file, so that the user's configuration does not change the demonstration.
        config = self.state / "tracetail.toml"
        config.touch()
        self.environ[config_sources.CONFIG_VARIABLE] = str(config)
        self.secret = shared_secret.ensure(self.environ)
        self.settings = configuration.load(None, self.environ)

    async def run(self, errors: IO[bytes], *, once: bool, stop: asyncio.Event) -> None:
        """Run every step. Raises DemoFailedError."""
        stack = Stack(self.settings, self.environ, None, _print, errors)
        try:
            _title(both("1. store, agent and panel", "1. 存储、agent 和面板"))
            try:
                await stack.start()
            except PartFailedError as error:
                raise DemoFailedError(str(error)) from error
            self.panel_url = next(part.address for part in stack.parts if part.name == "panel")
            _title(both("2. a server, started with a traceId", "2. 带 traceId 启动的服务"))
            await self.start_server()
            _title(both("3. some requests", "3. 几个请求"))
            await asyncio.to_thread(self.send_requests)
            _title(both("4. every line of it, found by the traceId", "4. 按 traceId 查到它的每一行日志"))
            await self.show_lines()
            _title(both("5. the panel", "5. 面板"))
            await asyncio.to_thread(self.check_panel)
            self.show_ways_in()
            self.shown = True
            if not once:
                english = "\nPress Ctrl-C to stop the server and everything else."
                _print(both(english, "\n按 Ctrl-C 停止服务和其他一切。"))
                await stop.wait()
            _title(both("6. stop", "6. 停止"))
            await self.stop_server()
        finally:
            if self.result.get("state") != "stopped":
                with contextlib.suppress(DemoFailedError):
                    await self.stop_server()
            await stack.stop()
            self._claimed_ports.close()
        await self.check_nothing_is_left()
        english = "store, agent, panel and server have ended, no process is left"
        _done(both(english, "存储、agent、面板和服务都已结束，没有残留进程"))

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
            raise DemoFailedError(
                both(f"the server did not become ready: {self.result}", f"服务没有就绪：{self.result}")
            )
        launch_id, log = self.result["launchId"], self.result["logFile"]
        _done(both(f"ready; launch {launch_id}, log {log}", f"就绪；启动 {launch_id}，日志 {log}"))

    def send_requests(self) -> None:
        """Request completions from the server, one of them streamed."""
        base = f"http://127.0.0.1:{self.server_port}/v1"
        for number, prompt in enumerate(_PROMPTS):
            streamed = number == len(_PROMPTS) - 1
            body = {"model": "sample-model", "messages": [{"role": "user", "content": prompt}], "stream": streamed}
            answer = post(f"{base}/chat/completions", body)
            if streamed and "[DONE]" not in answer:
                end = repr(answer[-200:])
                raise DemoFailedError(both(f"the stream did not end: {end}", f"流式应答没有正常结束：{end}"))
            size = both(f"{len(answer)} bytes", f"{len(answer)} 字节")
            _print(f"  {prompt!r} → {size}{both(' (streamed)', '（流式）') if streamed else ''}")
        _done(both(f"{len(_PROMPTS)} requests answered", f"{len(_PROMPTS)} 个请求都有应答"))

    async def show_lines(self) -> None:
        """Wait until the server's access lines are found by their traceId, and print every line."""
        expected = '"POST /v1/chat/completions HTTP/1.1" 200 OK'
        deadline = time.monotonic() + FOUND_TIMEOUT_SECONDS
        while True:
            lines = await read_lines(self.settings.loki, self.trace_id)
            if sum(expected in line for _, line in lines) == len(_PROMPTS):
                break
            if time.monotonic() > deadline:
                seconds = f"{FOUND_TIMEOUT_SECONDS:.0f}"
                raise DemoFailedError(
                    both(
                        f"after {seconds} s {len(lines)} lines were found by traceId, "
                        f"and not the {len(_PROMPTS)} access lines that the server printed",
                        f"{seconds} 秒后按 traceId 查到 {len(lines)} 行，缺少服务输出的 {len(_PROMPTS)} 行访问日志",
                    )
                )
            await asyncio.sleep(POLL_SECONDS)
        for level, line in lines:
            click.secho(f"  {line}"[:160], fg={"warning": "yellow", "error": "red"}.get(level))
        levels = {level for level, _ in lines}
        if "warning" not in levels or "info" not in levels:
            found = sorted(levels)
            english = f"the levels were not recognised: found only {found}"
            raise DemoFailedError(both(english, f"没有识别出日志级别：只有 {found}"))
        _done(both(f"{len(lines)} lines, each once", f"{len(lines)} 行，每行恰好一次"))

    def check_panel(self) -> None:
        """Check the panel's answer for the launch, and its page."""
        query = urllib.parse.urlencode({"traceId": self.trace_id})
        headers = bearer(read_secret("the shared secret", str(self.secret)))
        launches = json.loads(get(f"{self.panel_url}/api/launches?{query}", headers))["launches"]
        states = [launch["state"] for launch in launches if launch["launchId"] == self.result["launchId"]]
        if states != ["ready"]:
            english = f"the panel does not show the launch as ready: {launches}"
            raise DemoFailedError(both(english, f"面板没有把该启动显示为就绪：{launches}"))
        if "tracetail" not in get(f"{self.panel_url}/panel?{query}"):
            raise DemoFailedError(both("the panel does not serve its page", "面板没有返回它的页面"))
        _done(both("the panel shows the launch as ready", "面板显示该启动已就绪"))

    def show_ways_in(self) -> None:
        """Print how a person finds the lines."""
        _print("")
        address = f"{self.panel_url}/panel?traceId={self.trace_id}"
        opened = with_token(address, self.settings, self.trace_id, self.environ)
        _print(both(f"  panel   {opened}", f"  面板    {opened}"))
        _print(f"  LogQL   {logql.trace_query(self.trace_id)}")
        errors = logql.trace_query(self.trace_id, levels=["error"])
        _print(both(f"  errors  {errors}", f"  错误    {errors}"))
        url = self.settings.loki.url
        _print(both(f"  Loki    {url}, with the secret in {self.secret}", f"  Loki    {url}，机密在 {self.secret}"))

    async def stop_server(self) -> None:
        """Stop the server through the launcher."""
        output = await self.tracetail(
            "stop", "--params", json.dumps({"modelName": "sample-model", "port": self.server_port})
        )
        self.result = {**self.result, **result_of(output)}
        state = str(self.result.get("state"))
        _done(both(f"server {state}", f"服务{state_word(state)}"))

    async def tracetail(self, *arguments: str, show: bool = False) -> str:
        """Run a tracetail command and return its stdout. Raises DemoFailedError if it fails."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
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
            command = f"`tracetail {arguments[0]}`"
            english = f"{command} ended with exit status {status}:\n{output}"
            raise DemoFailedError(both(english, f"{command} 的退出码为 {status}：\n{output}"))
        return output

    async def check_nothing_is_left(self) -> None:
        """Check that no process is left with the demonstration's state directory in its environment."""
        deadline = time.monotonic() + LEFT_OVER_TIMEOUT_SECONDS
        while left := processes_with(f"{STATE_DIR_VARIABLE}={self.state}"):
            if time.monotonic() > deadline:
                raise DemoFailedError(both(f"processes are left behind: {left}", f"有残留的进程：{left}"))
            await asyncio.sleep(POLL_SECONDS)


def _reserve(preferred: int, bound: contextlib.ExitStack, claimed: contextlib.ExitStack) -> int:
    port = reserve_port(preferred, bound, claimed)
    if port != preferred:
        _print(both(f"port {preferred} is in use; using {port}", f"端口 {preferred} 被占用，改用 {port}"))
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
