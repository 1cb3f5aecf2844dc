"""Store, agent and panel as child processes of one command (`tracetail up`, `tracetail demo`)."""

import asyncio
import ctypes
import signal
import sys
from collections.abc import Callable, Mapping
from typing import IO

from tracetail.cli import configuration
from tracetail.cli.language import both
from tracetail.loki.client import LokiClient
from tracetail.loki.settings import LokiSettings

READY_TIMEOUT_SECONDS = 2.0
START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 15.0
RESTART_DELAYS_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal a process gets when its parent dies, so that a killed `up` leaves nothing behind."""

_libc = ctypes.CDLL(None, use_errno=True)


class PartFailedError(Exception):
    """A part did not come up; the message names it and gives the reason."""


class Part:
    """Store, agent or panel as a child process. It prints the address that it listens on when it is ready."""

    def __init__(self, name: str, environ: Mapping[str, str], config: str | None, errors: IO[bytes] | None) -> None:
        self.name = name
        self.address = ""
        # Without -P a json.py in the working directory, whosever, would be imported.
        self._command = [sys.executable, "-P", "-m", "tracetail", *(["--config", config] if config else []), name]
        self._environ = dict(environ)
        self._errors = errors
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it listens. Raises PartFailedError."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C is for `up`, which then stops its parts in order
            preexec_fn=_die_with_parent,
        )
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                line = (await self._process.stdout.readline()).decode()
        except TimeoutError:
            await self.stop()
            seconds = f"{START_TIMEOUT_SECONDS:.0f}"
            english = f"{self.name} did not come up within {seconds} s"
            raise PartFailedError(both(english, f"{self.name} 在 {seconds} 秒内没有启动完成")) from None
        _, found, address = line.strip().partition(" listening on ")
        if not found:
            status = await self._process.wait()
            english = f"{self.name} ended with exit status {status} before it was ready"
            raise PartFailedError(both(english, f"{self.name} 就绪前退出，退出码 {status}"))
        self.address = address

    async def wait(self) -> int:
        """Wait until the process ends and return its exit status."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """Send SIGTERM, and SIGKILL if the process does not end in time."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


class Stack:
    """The parts that one machine needs, started in order and kept running."""

    def __init__(
        self,
        settings: configuration.Configuration,
        environ: Mapping[str, str],
        config: str | None,
        print_line: Callable[[str], None],
        errors: IO[bytes] | None = None,
    ) -> None:
        self.loki_url = settings.loki.url
        self._own_store = configuration.store_url(settings.store)
        self._print = print_line
        self.parts = [Part(name, environ, config, errors) for name in ("store", "agent", "panel")]

    async def start(self) -> None:
        """Start the parts. Raises PartFailedError after stopping those that had started."""
        if self.loki_url.rstrip("/") != self._own_store:
            english = f"loki    {self.loki_url} (as configured; the embedded store is not started)"
            self._print(both(english, f"loki    {self.loki_url}（按配置；不启动内置的存储）"))
            self.parts = [part for part in self.parts if part.name != "store"]
        elif await is_ready(self._own_store):
            english = f"loki    {self._own_store} (already running there; the embedded store is not started)"
            self._print(both(english, f"loki    {self._own_store}（那里已有 Loki 在运行；不启动内置的存储）"))
            self.parts = [part for part in self.parts if part.name != "store"]
        try:
            for part in self.parts:
                await part.start()
                self._print(f"{part.name:7} {part.address}")
        except PartFailedError:
            await self.stop()
            raise

    async def keep(self) -> None:
        """Restart each part that ends, with growing delays, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for part in self.parts:
                group.create_task(self._keep_one(part))

    async def _keep_one(self, part: Part) -> None:
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            status = await part.wait()
            lasted = asyncio.get_running_loop().time() - began
            failures = 0 if lasted > RESTART_DELAYS_SECONDS[-1] else failures + 1
            delay = RESTART_DELAYS_SECONDS[min(failures, len(RESTART_DELAYS_SECONDS) - 1)]
            name, seconds = f"{part.name:7}", f"{delay:.0f}"
            english = f"{name} ended with exit status {status}; starting it again in {seconds} s"
            self._print(both(english, f"{name} 已退出，退出码 {status}；{seconds} 秒后重新启动"))
            await asyncio.sleep(delay)
            try:
                await part.start()
            except PartFailedError as error:
                self._print(f"{part.name:7} {error}")
            else:
                self._print(f"{part.name:7} {part.address}")

    async def stop(self) -> None:
        """Stop every part, the last first, so that the agent can still deliver what it has read."""
        for part in reversed(self.parts):
            await part.stop()


async def is_ready(url: str) -> bool:
    """Return whether a Loki at url answers that it is ready."""
    async with LokiClient(LokiSettings(url=url, timeout_seconds=READY_TIMEOUT_SECONDS)) as loki:
        return await loki.is_ready()


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
