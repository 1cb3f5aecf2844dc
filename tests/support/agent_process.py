"""A real agent process, and launches written as a keeper writes them, for tests."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp

from support import commands
from support.environment import environment
from tracetail.contract.logline import render_line
from tracetail.contract.record import LaunchDir, LaunchLock, Record
from tracetail.contract.state import launches_dir

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
INSTANCE = "1008611"


class AgentProcess:
    """`tracetail agent` on a free port."""

    def __init__(
        self, state_dir: Path, loki_url: str, config: str = "", environ: dict[str, str | None] | None = None
    ) -> None:
        """environ: further variables; None takes one away."""
        self.state_dir = state_dir
        self._config = state_dir / "tracetail.toml"
        self._config_text = config
        self._environ = environ or {}
        self._loki_url = loki_url
        self.url = ""
        self.process: commands.AsyncProcess
        self.errors: list[str] = []
        self._reader: asyncio.Task[None] | None = None

    def configure(self, config: str) -> None:
        self._config.write_text(config)

    async def start(self) -> "AgentProcess":
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self._config.write_text(self._config_text)
        environ = environment()
        variables: dict[str, str | None] = {
            "TRACETAIL_STATE_DIR": str(self.state_dir),
            "TRACETAIL_AGENT_STATE_DIRS": str(self.state_dir),
            "TRACETAIL_AGENT_LISTEN": "127.0.0.1:0",
            "TRACETAIL_AGENT_HEARTBEAT_SECONDS": "0",
            "TRACETAIL_LOKI_URL": self._loki_url,
            "TRACETAIL_CONFIG": str(self._config),
            **self._environ,
        }
        environ |= {name: value for name, value in variables.items() if value is not None}
        self.process = await commands.create(
            "agent",
            prefix=os.environ.get("AGENT_COMMAND_PREFIX", "").split(),
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self._reader = asyncio.create_task(self._read_errors())
        async with asyncio.timeout(60):
            line = (await self.process.stdout.readline()).decode()
        assert line.startswith("tracetail agent: listening on "), (line, self.errors)
        self.url = line.split()[-1]
        return self

    async def _read_errors(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.errors.append(line.decode(errors="replace").rstrip())

    async def status(self) -> dict[str, Any]:
        async with aiohttp.ClientSession() as session, session.get(self.url + "/status") as response:
            content = await response.json()
            assert isinstance(content, dict)
            return content

    async def metrics(self) -> str:
        async with aiohttp.ClientSession() as session, session.get(self.url + "/metrics") as response:
            return await response.text()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def kill(self) -> None:
        """kill -9."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        if self._reader is not None:
            await self._reader

    async def stop(self) -> int:
        """SIGTERM; return the exit status."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            code = await self.process.wait()
        if self._reader is not None:
            await self._reader
        return code


class Launch:
    """A launch's directory and log, written as its keeper would."""

    def __init__(self, state_dir: Path, number: int = 1, **fields: Any) -> None:
        self.launch_id = f"20261122T211210-{number:06x}"
        self.dir = LaunchDir(launches_dir(state_dir) / self.launch_id)
        self.dir.path.mkdir(parents=True)
        self.lock = LaunchLock(self.dir)
        assert self.lock.acquire()
        logs = state_dir / "logs"
        logs.mkdir(exist_ok=True)
        self.segments = [logs / f"model-{number:06x}.log"]
        self.segments[0].touch()
        self.time_ns = 1_795_353_130_000_000_000
        record: dict[str, Any] = {
            "schema": 1,
            "launchId": self.launch_id,
            "traceId": TRACE,
            "instanceId": INSTANCE,
            "env": "test",
            "modelName": "Qwen/Qwen2-7B",
            "servedName": "qwen",
            "engine": "vllm",
            "host": "node1",
            "port": 8000,
            "state": "ready",
            "logFile": str(self.segments[0]),
            **fields,
        }
        self.record: Record = record  # type: ignore[assignment]
        self.save()

    def save(self) -> None:
        self.record["segments"] = [str(path) for path in self.segments]
        self.lock.write(self.record)

    def print(self, *texts: bytes | str, mark: str | None = None) -> None:
        """Append lines to the segment at hand, a millisecond apart."""
        with self.segments[-1].open("ab") as file:
            file.write(b"".join(self.line(text, mark) for text in texts))

    def line(self, text: bytes | str, mark: str | None = None) -> bytes:
        self.time_ns += 1_000_123
        data = text.encode() if isinstance(text, str) else text
        return render_line(self.time_ns, self.record["traceId"], self.record["instanceId"], data, mark)

    def rotate(self) -> None:
        """Open the next segment, as a keeper does."""
        first = self.segments[0]
        following = first.with_suffix(f".{len(self.segments) + 1}.log")
        self.print(f"rotated next={following.name}", mark="event")
        self.segments.append(following)
        following.touch()
        self.save()

    def end(self, state: str = "stopped") -> None:
        """Record the end and let go of the lock."""
        self.record["state"] = state
        self.save()
        self.lock.release()

    def shipped(self) -> dict[str, Any]:
        content = json.loads(self.dir.shipped_path.read_bytes())
        assert isinstance(content, dict)
        return content
