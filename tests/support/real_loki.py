"""A real Loki (LOKI_BIN) with a configuration of deploy/loki, for the tests marked `loki`."""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from support.environment import free_port
from support.waiting import eventually

BINARY_VARIABLE = "LOKI_BIN"
DEPLOY = Path(__file__).parents[2] / "deploy" / "loki"
_STATE = "/var/lib/loki"
_NOT_READY_SECONDS = (
    "-ingester.min-ready-duration=0s",
    "-pattern-ingester.min-ready-duration=0s",
)


class RealLoki:
    """One process; its files are in a directory of the test's own."""

    def __init__(
        self,
        directory: Path,
        config: str = "loki-single.yaml",
        *,
        auth_enabled: bool | None = None,
        messages_of_default_size: bool = False,
        **limits: Any,
    ) -> None:
        """Prepare it.

        Args:
            directory: of its files.
            config: the file's name in deploy/loki.
            auth_enabled: in place of what the file says.
            messages_of_default_size: without the file's limit of messages between Loki's components.
            limits: of limits_config, in place of those in the file.

        """
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        content = yaml.safe_load((DEPLOY / config).read_text(encoding="utf-8").replace(_STATE, str(directory)))
        content["limits_config"] |= limits
        if messages_of_default_size:
            for direction in ("recv", "send"):
                del content["server"][f"grpc_server_max_{direction}_msg_size"]
        if auth_enabled is not None:
            content["auth_enabled"] = auth_enabled
        self.config: dict[str, Any] = content
        self.environ: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        """Of requests: the tenant, say."""
        self.url = ""
        self._log = directory / "loki.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, port: int = 0) -> "RealLoki":
        """Start it, or start it again with the same files; wait until it answers queries and pushes."""
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}"
        path = self.directory / "loki.yaml"
        path.write_text(yaml.safe_dump(self.config), encoding="utf-8")
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                os.environ[BINARY_VARIABLE],
                f"-config.file={path}",
                "-config.expand-env",
                f"-server.http-listen-port={port}",
                f"-server.grpc-listen-port={free_port()}",
                f"-memberlist.bind-port={free_port()}",
                *_NOT_READY_SECONDS,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={**os.environ, **self.environ},
            )
        await eventually(self._is_ready, f"Loki, whose log is {self._log}")
        return self

    async def stop(self) -> None:
        """SIGTERM."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """kill -9."""
        await self._end(signal.SIGKILL)

    async def flush(self) -> None:
        """Write what the ingester has in memory to the object store."""
        async with aiohttp.ClientSession() as session, session.post(f"{self.url}/flush") as answer:
            assert answer.status == 204

    async def get(self, path: str, **params: Any) -> Any:
        """Return the JSON that a GET below /loki/api/v1 is answered with."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/loki/api/v1/{path}", params=params, headers=self.headers) as answer,
        ):
            text = await answer.text()
            assert answer.status == 200, text
            return (await answer.json())["data"]

    async def count(self, selector: str, *, days: int = 7) -> int:
        """Return how many entries Loki counts."""
        query = f"sum(count_over_time({selector}[{days * 24}h]))"
        result = (await self.get("query", query=query, time=str(time.time_ns())))["result"]
        return int(float(result[0]["value"][1])) if result else 0

    async def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self._log.read_text(errors="replace")[-3000:]
        with contextlib.suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession() as session, session.get(f"{self.url}/ready") as answer:
                return answer.status == 200
        return False

    async def _end(self, number: int) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            await self._process.wait()
