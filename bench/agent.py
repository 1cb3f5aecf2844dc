"""Measures the agent: lines per CPU-second, memory, cost when nothing happens, time from write to store.

    python bench/agent.py [--lines 2000000] [--only throughput,memory,idle,steady,latency,linear] [--json FILE]

The log is made of the real vLLM logs in tests/data, over and over, with times that go on. The sink decodes nothing
and answers 204. CPU seconds are the kernel's (user and system) of the agent process alone. Fluent Bit, Vector and
Alloy do the same file to the same sink if they are on PATH or named by FLUENT_BIT, VECTOR and ALLOY.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web

from contract.record import LaunchDir, LaunchLock

ROOT = Path(__file__).parent.parent
LOGS = sorted((ROOT / "tests" / "data" / "vllm-logs").glob("*.log"))
DATA = ROOT / "bench" / "data"
PEERS = ROOT / "bench" / "peers"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
LAUNCH = "20261122T211210-00000a"
LINES_PER_SECOND = 1000
"""Of the log's own time: so often the second in stamps and headers changes."""
START_NS = time.time_ns() - 3600 * 10**9
SECOND = 10**9


def texts() -> list[bytes]:
    """Return the lines of all real logs, as a keeper takes them."""
    return [line.removesuffix(b"\r") for path in LOGS for line in path.read_bytes().split(b"\n")[:-1]]


def lines(count: int, *, stamped: bool, start_ns: int = START_NS) -> Iterator[bytes]:
    """Yield blocks of lines of the mix; the times in vLLM's headers go on with the stamps."""
    mix = [_with_clock(text) for text in texts()]
    prefix = f" [traceId={TRACE} instanceId=1008611] ".encode()
    block: list[bytes] = []
    second = -1
    for number in range(count):
        time_ns = start_ns + number * (SECOND // LINES_PER_SECOND) + number * 7919 % 900_000
        if time_ns // SECOND != second:
            second = time_ns // SECOND
            clock = time.localtime(second)
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S.", clock).encode()
            offset = time.strftime("%z", clock).encode()
            ending = offset[:3] + b":" + offset[3:]
            short = time.strftime("%m-%d %H:%M:%S", clock).encode()
            long = time.strftime("%Y-%m-%d %H:%M:%S", clock).encode()
        before, kind, after = mix[number % len(mix)]
        text = before + (short if kind == 1 else long if kind == 2 else b"") + after
        if stamped:
            block.append(stamp + b"%09d" % (time_ns % SECOND) + ending + prefix + text + b"\n")
        else:
            block.append(text + b"\n")
        if len(block) == 20_000:
            yield b"".join(block)
            block.clear()
    yield b"".join(block)


def _with_clock(text: bytes) -> tuple[bytes, int, bytes]:
    """Split a line around its engine's time: kind 1 is vLLM's, 2 that of its JSON formatter."""
    if m := re.search(rb"(?:INFO|WARNING|ERROR) (11-22 13:\d\d:\d\d) \[", text):
        return text[: m.start(1)], 1, text[m.end(1) :]
    if m := re.match(rb'\{"asctime": "(2026-11-22 13:\d\d:\d\d),', text):
        return text[: m.start(1)], 2, text[m.end(1) :]
    return text, 0, b""


def make_log(count: int, *, stamped: bool) -> Path:
    """Write the log once, and return it."""
    DATA.mkdir(parents=True, exist_ok=True)
    path = DATA / f"{'stamped' if stamped else 'plain'}-{count}.log"
    if not path.exists():
        with path.open("wb") as file:
            for block in lines(count, stamped=stamped):
                file.write(block)
    return path


class Sink:
    """Takes pushes and counts them; answers 204. In a thread of its own process: it is not what is measured."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, __file__, "--sink"], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


async def run_sink() -> None:
    """Be the sink."""

    async def push(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=204)

    async def query(_: web.Request) -> web.Response:
        return web.json_response({"status": "success", "data": {"resultType": "streams", "result": []}})

    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/loki/api/v1/push", push)
    app.router.add_get("/loki/api/v1/query_range", query)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


class Agent:
    """A `tracetail agent` with a state directory of its own."""

    def __init__(self, state: Path, url: str, config: str = "") -> None:
        self.state = state
        (state / "tracetail.toml").write_text(config)
        environ = {k: v for k, v in os.environ.items() if not k.startswith("TRACETAIL_")} | {
            "TRACETAIL_STATE_DIR": str(state),
            "TRACETAIL_AGENT_STATE_DIRS": str(state),
            "TRACETAIL_AGENT_LISTEN": "127.0.0.1:0",
            "TRACETAIL_LOKI_URL": url,
            "TRACETAIL_CONFIG": str(state / "tracetail.toml"),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "agent"], env=environ, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]
        self.seen = psutil.Process(self.process.pid)

    def cpu(self) -> float:
        times = self.seen.cpu_times()
        return times.user + times.system

    def rss(self) -> int:
        return self.seen.memory_info().rss

    def peak(self) -> int:
        """Return VmHWM in bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
        raise AssertionError

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def make_launch(state: Path, segments: list[Path], *, number: int = 10, alive: bool = False) -> Path:
    """Write the record of a launch with these segments; ended, unless alive. Return its directory."""
    launch = LaunchDir(state / "launches" / f"20261122T211210-{number:06x}")
    launch.path.mkdir(parents=True)
    lock = LaunchLock(launch)
    lock.acquire()
    lock.write(
        {
            "schema": 1,
            "launchId": launch.launch_id,
            "traceId": TRACE,
            "instanceId": "1008611",
            "env": "test",
            "modelName": "qwen",
            "engine": "vllm",
            "host": "bench",
            "port": 8000,
            "state": "ready" if alive else "stopped",
            "logFile": str(segments[0]),
            "segments": [str(path) for path in segments],
        }
    )
    if alive:
        _held.append(lock)
    else:
        lock.release()
    return launch.path


_held: list[Any] = []


def wait_until(condition: Callable[[], bool], seconds: float = 3600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


def complete(launch: Path) -> bool:
    try:
        return bool(json.loads((launch / "shipped.json").read_bytes())["complete"])
    except (FileNotFoundError, ValueError):
        return False


def throughput(sink: Sink, count: int, *, stamped: bool) -> dict[str, Any]:
    """Ship a backlog of `count` lines; return what it cost."""
    log = make_log(count, stamped=stamped)
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory)
        if stamped:
            launch = make_launch(state, [log])
            agent = Agent(state, sink.url)
            wait_until(lambda: complete(launch))
        else:
            config = f'[[agent.sources]]\nglob = "{log}"\nlabels = {{job = "bench"}}\n'
            agent = Agent(state, sink.url, config)
            size = log.stat().st_size
            wait_until(lambda: _status(agent)["sources"] != [] and _status(agent)["sources"][0]["bytes"] == size)
        cpu = agent.cpu()
        result = {
            "lines": count,
            "bytes": log.stat().st_size,
            "cpuSeconds": round(cpu, 2),
            "linesPerCpuSecond": round(count / cpu),
            "megabytesPerCpuSecond": round(log.stat().st_size / cpu / 1e6, 1),
            "peakRssMiB": round(agent.peak() / 2**20, 1),
        }
        agent.stop()
    return result


def _status(agent: Agent) -> dict[str, Any]:
    with urllib.request.urlopen(agent.url + "/status") as response:
        return json.load(response)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--sink", action="store_true")
    arguments = parser.parse_args()
    if arguments.sink:
        asyncio.run(run_sink())
        return
    sink = Sink()
    try:
        for stamped in (True, False):
            print("stamped" if stamped else "plain", throughput(sink, arguments.lines, stamped=stamped), flush=True)
    finally:
        sink.stop()


if __name__ == "__main__":
    main()
