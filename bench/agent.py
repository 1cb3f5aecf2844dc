"""Measures the agent: lines per CPU-second, memory, cost when nothing happens, time from write to store.

    python bench/agent.py [--lines 2000000] [--rounds 3] [--only throughput,linear,memory,…] [--json FILE]

The log is made of the real vLLM logs in tests/data, over and over, with times that go on. The sink counts the lines
that arrive and answers 204. CPU seconds are the kernel's (user and system) of the agent process alone. Fluent Bit,
Vector and Alloy do the same file to the same sink if they are on PATH or named by FLUENT_BIT, VECTOR and ALLOY.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cramjam
import orjson
import psutil
from aiohttp import web

from tracetail.contract.record import LaunchDir, LaunchLock
from tracetail.loki.wire import read_fields

ROOT = Path(__file__).parent.parent
LOGS = sorted((ROOT / "tests" / "data" / "vllm-logs").glob("*.log"))
DATA = ROOT / "bench" / "data"
PEERS = ROOT / "bench" / "peers"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
LAUNCH = "20261122T211210-00000a"
ENTRY_FIELD = 2
"""Of a stream, in a push request."""
ROTATED_LINES = 250_000
LIVE_SECONDS = 20
LINES_PER_SECOND = 1000
"""Of the log's own time: so often the second in stamps and headers changes."""
CLOCKS = {
    "%m-%d %H:%M:%S": rb"(?:INFO|WARNING|ERROR) (11-22 13:\d\d:\d\d) \[",
    "%Y-%m-%d %H:%M:%S": rb'^\{"asctime": "(2026-11-22 13:\d\d:\d\d),',
    "%m%d %H:%M:%S": rb"^\[W(1122 13:\d\d:\d\d)\.",
}
"""vLLM's, that of its JSON, and PyTorch's: the form of a clock, and an expression whose group is one in the logs."""
START_NS = time.time_ns() - 3600 * 10**9
SECOND = 10**9


def texts() -> list[bytes]:
    """Return the lines of all real logs, as a keeper takes them."""
    return [line.removesuffix(b"\r") for path in LOGS for line in path.read_bytes().split(b"\n")[:-1]]


def lines(
    count: int, *, stamped: bool, start_ns: int = START_NS, step_ns: int = SECOND // LINES_PER_SECOND
) -> Iterator[bytes]:
    """Yield blocks of lines of the mix, step_ns apart; the times in their headers go on with the stamps."""
    mix = [_with_clock(text) for text in texts()]
    prefix = f" [traceId={TRACE} instanceId=1008611] ".encode()
    block: list[bytes] = []
    second = -1
    for number in range(count):
        time_ns = start_ns + number * step_ns + number * 7919 % (step_ns * 9 // 10)
        if time_ns // SECOND != second:
            second = time_ns // SECOND
            clock = time.localtime(second)
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S.", clock).encode()
            offset = time.strftime("%z", clock).encode()
            ending = offset[:3] + b":" + offset[3:]
            clocks = [time.strftime(form, clock).encode() for form in ("", *CLOCKS)]
        before, kind, after = mix[number % len(mix)]
        text = before + clocks[kind] + after
        if stamped:
            block.append(stamp + b"%09d" % (time_ns % SECOND) + ending + prefix + text + b"\n")
        else:
            block.append(text + b"\n")
        if len(block) == 20_000:
            yield b"".join(block)
            block.clear()
    yield b"".join(block)


def _with_clock(text: bytes) -> tuple[bytes, int, bytes]:
    """Split a line around the clock in its header; the number is that of its form in CLOCKS, from 1 on, or 0."""
    for number, headers in enumerate(CLOCKS.values(), 1):
        if m := re.search(headers, text):
            return text[: m.start(1)], number, text[m.end(1) :]
    return text, 0, b""


def make_log(count: int, *, stamped: bool) -> Path:
    """Write the log once, and return it; it is in memory then: no run is to wait for the disk."""
    DATA.mkdir(parents=True, exist_ok=True)
    path = DATA / f"{'stamped' if stamped else 'plain'}-{count}.log"
    if not path.exists():
        with path.open("wb") as file:
            for block in lines(count, stamped=stamped):
                file.write(block)
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass
    return path


class Sink:
    """Takes pushes and counts them; answers 204. In a thread of its own process: it is not what is measured."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, __file__, "--sink"], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def count(self) -> int:
        """Return the number of lines that have arrived since the last call."""
        with urllib.request.urlopen(f"{self.url}/count") as response:
            return int(response.read())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


async def run_sink() -> None:
    """Be the sink."""

    arrived = 0

    async def push(request: web.Request) -> web.Response:
        nonlocal arrived
        body = await request.read()  # not within the addition: another push may be counted meanwhile
        arrived += _count_entries(body, request.content_type)
        return web.Response(status=204)

    async def count(_: web.Request) -> web.Response:
        nonlocal arrived
        since, arrived = arrived, 0
        return web.Response(text=str(since))

    async def query(_: web.Request) -> web.Response:
        return web.json_response({"status": "success", "data": {"resultType": "streams", "result": []}})

    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/loki/api/v1/push", push)
    app.router.add_get("/loki/api/v1/query_range", query)
    app.router.add_get("/count", count)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def _count_entries(body: bytes, content_type: str) -> int:
    """Return the number of entries of a push request: JSON, which aiohttp has decompressed, or protobuf in snappy."""
    if content_type == "application/json":
        return sum(len(stream["values"]) for stream in orjson.loads(body)["streams"])
    raw = bytes(cramjam.snappy.decompress_raw(body))
    streams = [field for field in read_fields(raw, 0, len(raw)) if field[0] == 1]
    return sum(number == ENTRY_FIELD for _, start, end in streams for number, *_ in read_fields(raw, start, end))


class Agent:
    """A `tracetail agent` with a state directory of its own."""

    def __init__(self, state: Path, url: str, config: str = "") -> None:
        self.state = state
        (state / "tracetail.toml").write_text(config)
        environ = {k: v for k, v in os.environ.items() if not k.startswith("TRACETAIL_")} | {
            "TRACETAIL_STATE_DIR": str(state),
            "TRACETAIL_AGENT_OPEN": "true",
            "TRACETAIL_STORE_OPEN": "true",
            "TRACETAIL_AGENT_STATE_DIRS": str(state),
            "TRACETAIL_AGENT_LOG_ROOTS": str(DATA),
            "TRACETAIL_AGENT_LISTEN": "127.0.0.1:0",
            "TRACETAIL_LOKI_URL": url,
            "TRACETAIL_CONFIG": str(state / "tracetail.toml"),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tracetail", "agent"], env=environ, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]
        self.seen = psutil.Process(self.process.pid)
        self.start_cpu = self.cpu()
        """CPU seconds until it prints its address."""

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
    sink.count()
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory)
        if stamped:
            launch = make_launch(state, [log])
            agent = Agent(state, sink.url)
            wait_until(lambda: complete(launch))
        else:
            agent = Agent(state, sink.url, f'[[agent.sources]]\nglob = "{log}"\nlabels = {{job = "bench"}}\n')
            size = log.stat().st_size
            wait_until(lambda: shipped_bytes(agent) == size)
        cpu = agent.cpu()
        result = {
            "lines": count,
            "arrived": sink.count(),
            "bytes": log.stat().st_size,
            "cpuSeconds": round(cpu, 2),
            "startCpuSeconds": round(agent.start_cpu, 2),
            "linesPerCpuSecond": round(count / cpu),
            "linesPerCpuSecondAfterStart": round(count / (cpu - agent.start_cpu)),
            "megabytesPerCpuSecond": round(log.stat().st_size / cpu / 1e6, 1),
            "peakMiB": round(agent.peak() / 2**20, 1),
        }
        agent.stop()
    return result


def shipped_bytes(agent: Agent) -> int:
    """Ask the agent, but not so often that it costs anything."""
    time.sleep(0.5)
    with urllib.request.urlopen(agent.url + "/status") as response:
        return sum(source["bytes"] for source in json.load(response)["sources"])


def peer(name: str, sink: Sink, count: int) -> dict[str, Any] | None:
    """Let another agent do the same file; None if it is not there."""
    program = os.environ.get(name.upper().replace("-", "_")) or shutil.which(name)
    if program is None:
        return None
    log = make_log(count, stamped=True)
    sink.count()
    with tempfile.TemporaryDirectory() as directory:
        environ = dict(os.environ) | {"BENCH_LOG": str(log), "BENCH_PORT": str(sink.port), "BENCH_STATE": directory}
        command = {
            "fluent-bit": [program, "-c", str(PEERS / "fluent-bit.yaml")],
            "vector": [program, "--quiet", "--config", str(PEERS / "vector.yaml")],
            "alloy": [program, "run", "--disable-reporting", "--storage.path", directory, str(PEERS / "alloy.alloy")],
        }[name]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL)
        seen = psutil.Process(process.pid)
        arrived, peak, last, came_at = 0, 0, 0.0, time.monotonic()
        # Until every line has come, or none has for half a minute: some of them lose lines.
        while arrived < count and time.monotonic() - came_at < 30:
            time.sleep(1)
            if process.poll() is not None:
                raise SystemExit(f"{name} ended with status {process.returncode} instead of following {log}")
            if came := sink.count():
                arrived, came_at = arrived + came, time.monotonic()
                last = sum(seen.cpu_times()[:2])
            peak = max(peak, seen.memory_info().rss)
        process.terminate()
        process.wait()
    return {
        "lines": count,
        "arrived": arrived,
        "cpuSeconds": round(last, 2),
        "linesPerCpuSecond": round(arrived / last),
        "peakMiB": peak >> 20,
    }


def backlog_memory(sink: Sink, gigabytes: float) -> dict[str, Any]:
    """Return the peak of memory with a backlog of this size, after half a minute of work on it."""
    log = make_log(500_000, stamped=True)
    with tempfile.TemporaryDirectory(dir=DATA) as directory:
        state = Path(directory)
        segments = []
        for number in range(max(1, round(gigabytes * 1e9 / log.stat().st_size))):
            segments.append(state / f"segment.{number}.log")
            os.link(log, segments[-1])
        launch = make_launch(state, segments)
        agent = Agent(state, sink.url)
        deadline = time.monotonic() + 30
        while not complete(launch) and time.monotonic() < deadline:
            time.sleep(0.2)
        result = {"backlogGB": gigabytes, "peakMiB": round(agent.peak() / 2**20, 1)}
        agent.stop()
    return result


def whole_backlog(sink: Sink, gigabytes: float) -> dict[str, Any]:
    """Ship a backlog of rotated files, and of one that is written to meanwhile, to its end; return what it took."""
    DATA.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DATA) as directory:
        state = Path(directory)
        live = state / "app.log"
        live.touch()
        written = count = 0
        while written < gigabytes * 1e9:
            # Each with a beginning of its own: a file is known by it.
            rotated = state / f"app.log.{written}"
            rotated.write_bytes(b"".join(lines(ROTATED_LINES, stamped=False, start_ns=START_NS + written)))
            written += rotated.stat().st_size
            count += ROTATED_LINES
        sink.count()
        agent = Agent(state, sink.url, f'[[agent.sources]]\nglob = "{live}*"\nlabels = {{job = "bench"}}\n')
        writer = threading.Thread(target=_write_steadily, args=(live, LIVE_SECONDS, LINES_PER_SECOND))
        writer.start()
        wait_until(lambda: not writer.is_alive() and shipped_bytes(agent) == written + live.stat().st_size, 3600)
        result = {
            "backlogGB": round(written / 1e9, 2),
            "lines": count + LIVE_SECONDS * LINES_PER_SECOND,
            "arrived": sink.count(),
            "cpuSeconds": round(agent.cpu(), 1),
            "peakMiB": round(agent.peak() / 2**20, 1),
        }
        agent.stop()
    return result


def many_sources(sink: Sink, count: int) -> dict[str, Any]:
    """Return the peak of memory with this many files, each with some lines."""
    content = next(lines(200, stamped=False))
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory)
        (state / "logs").mkdir()
        for number in range(count):
            (state / "logs" / f"{number}.log").write_bytes(content)
        agent = Agent(state, sink.url, f'[[agent.sources]]\nglob = "{state}/logs/*.log"\n')
        wait_until(lambda: shipped_bytes(agent) == count * len(content), 600)
        result = {"sources": count, "peakMiB": round(agent.peak() / 2**20, 1)}
        agent.stop()
    return result


def idle(sink: Sink, files: int, seconds: float = 30) -> dict[str, Any]:
    """Return the share of a core that following files costs in which nothing happens."""
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory)
        (state / "logs").mkdir()
        for number in range(files):
            (state / "logs" / f"{number}.log").write_text("line\n")
        agent = Agent(state, sink.url, f'[[agent.sources]]\nglob = "{state}/logs/*.log"\n')
        wait_until(lambda: shipped_bytes(agent) == files * 5)
        time.sleep(15)  # files that were written to recently are polled more often
        before, began = agent.cpu(), time.monotonic()
        time.sleep(seconds)
        share = (agent.cpu() - before) / (time.monotonic() - began)
        agent.stop()
    return {"files": files, "percentOfACore": round(100 * share, 2)}


def steady(seconds: float = 30, rate: int = 1000) -> dict[str, Any]:
    """Return cost and time from write to found, with a real store, while lines are written at this rate."""
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory)
        environ = {k: v for k, v in os.environ.items() if not k.startswith("TRACETAIL_")} | {
            "TRACETAIL_STATE_DIR": directory,
            "TRACETAIL_AGENT_OPEN": "true",
            "TRACETAIL_STORE_OPEN": "true",
            "TRACETAIL_STORE_LISTEN": "127.0.0.1:0",
        }
        store = subprocess.Popen(
            [sys.executable, "-m", "tracetail", "store"], env=environ, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert store.stdout is not None
        url = store.stdout.readline().split()[-1]
        log = state / "live.log"
        log.touch()
        make_launch(state, [log], alive=True)
        agent = Agent(state, url)
        time.sleep(2)
        before, began = agent.cpu(), time.monotonic()
        since_ns = time.time_ns()  # before the writer starts: it may well write before this thread continues
        writer = threading.Thread(target=_write_steadily, args=(log, seconds, rate))
        writer.start()
        waits = _measure_waits(url, since_ns, int(seconds * rate))
        writer.join()
        share = (agent.cpu() - before) / (time.monotonic() - began)
        agent.stop()
        store.terminate()
        store.wait()
    waits.sort()
    return {
        "linesPerSecond": rate,
        "percentOfACore": round(100 * share, 2),
        "medianMs": round(waits[len(waits) // 2] * 1000),
        "p99Ms": round(waits[len(waits) * 99 // 100] * 1000),
    }


def beside(sink: Sink, seconds: float = 20, rate: int = 1000) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what the agent and Fluent Bit use in the same time, each with a file that grows by the same lines.

    Both flush once a second, and five times; and then nothing is written to any file.
    """
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        logs: list[Path] = []
        seen: dict[str, psutil.Process] = {}
        for flush in (1.0, 0.2):
            state = Path(directory, f"agent-{flush}")
            state.mkdir()
            logs.append(state / "live.log")
            logs[-1].touch()
            make_launch(state, [logs[-1]], alive=True)
            agent = Agent(state, sink.url, f"[agent]\nlinger_seconds = {flush}\n")
            stack.callback(agent.stop)
            seen[f"agent, flush {flush} s"] = agent.seen
            if program := os.environ.get("FLUENT_BIT") or shutil.which("fluent-bit"):
                logs.append(Path(directory, f"fluent-bit-{flush}.log"))
                logs[-1].touch()
                settings = logs[-1].with_suffix(".yaml")
                settings.write_text((PEERS / "fluent-bit.yaml").read_text().replace("flush: 1", f"flush: {flush}"))
                environ = dict(os.environ) | {"BENCH_LOG": str(logs[-1]), "BENCH_PORT": str(sink.port)}
                process = subprocess.Popen([program, "-c", str(settings)], env=environ, stdout=subprocess.DEVNULL)
                stack.callback(process.wait)
                stack.callback(process.terminate)
                seen[f"fluent-bit, flush {flush} s"] = psutil.Process(process.pid)
        time.sleep(3)
        writers = [threading.Thread(target=_write_steadily, args=(log, seconds + 4, rate)) for log in logs]
        for writer in writers:
            writer.start()
        for what, wait in ((f"{rate:,} lines a second", 2.0), ("nothing happens", 15.0)):
            time.sleep(wait)
            before = {name: cpu_seconds(process) for name, process in seen.items()}
            began = time.monotonic()
            time.sleep(seconds)
            passed = time.monotonic() - began
            for name, process in seen.items():
                share = (cpu_seconds(process) - before[name]) / passed
                mebibytes = round(process.memory_info().rss / 2**20, 1)
                yield f"{what}: {name}", {"percentOfACore": round(100 * share, 3), "residentMiB": mebibytes}
            for writer in writers:
                writer.join()


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU seconds of all threads of a process, in nanoseconds of the scheduler, not in its ticks."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _write_steadily(log: Path, seconds: float, rate: int) -> None:
    began = time.monotonic()
    written = 0
    with log.open("ab", buffering=0) as file:
        while written < seconds * rate:
            due = min(int(seconds * rate), int((time.monotonic() - began) * rate) + 1)
            if due > written:
                # Nearer to each other than the next write can be: a keeper's stamps strictly increase.
                file.write(next(lines(due - written, stamped=True, start_ns=time.time_ns(), step_ns=1000)))
                written = due
            time.sleep(0.002)


def _measure_waits(url: str, since_ns: int, count: int) -> list[float]:
    """Ask the store again and again for what is new; return how long after its stamp each line was found."""
    waits: list[float] = []
    last = since_ns - 1
    deadline = time.monotonic() + 120
    while len(waits) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {len(waits)} of {count} lines were found")
        query = urllib.parse.urlencode(
            {
                "query": f'{{traceId="{TRACE}"}}',
                "start": last + 1,
                "end": 2**62,
                "limit": 5000,
                "direction": "forward",
            }
        )
        with urllib.request.urlopen(f"{url}/loki/api/v1/query_range?{query}") as response:
            result = json.load(response)["data"]["result"]
        now = time.time_ns()
        found = [int(value[0]) for stream in result for value in stream["values"]]
        waits += [(now - time_ns) / 1e9 for time_ns in found]
        last = max([last, *found])
        time.sleep(0.01)
    return waits


def main() -> None:
    """Run what is asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=1, help="how often the throughput of all is measured in turns")
    parser.add_argument(
        "--only", default="throughput,memory,idle,steady,beside,linear", help="which parts, with commas"
    )
    parser.add_argument("--backlog-gb", type=float, default=1.0, help="size of what `--only backlog` ships")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sink:
        asyncio.run(run_sink())
        return
    wanted = set(arguments.only.split(","))
    kind = "compiled" if list((ROOT / "agent" / "parsing").glob("_scan*.so")) else "plain Python"
    machine = f"{os.cpu_count()} x {_processor()}, Python {sys.version.split()[0]}, the agent's loops {kind}"
    figures: dict[str, Any] = {"machine": machine}
    print(figures["machine"], flush=True)
    sink = Sink()

    def show(name: str, result: dict[str, Any]) -> None:
        figures[name] = result
        print(f"| {name} | " + " | ".join(f"{key} {value:,}" for key, value in result.items()) + " |", flush=True)

    try:
        for number in range(1, arguments.rounds + 1) if "throughput" in wanted else ():
            again = f", round {number}" if number > 1 else ""
            ours = throughput(sink, arguments.lines, stamped=True)
            show(f"agent, stamped by a keeper{again}", ours)
            show(f"agent, unstamped{again}", throughput(sink, arguments.lines, stamped=False))
            for name in ("fluent-bit", "vector", "alloy"):
                if theirs := peer(name, sink, arguments.lines):
                    ratio = round(ours["linesPerCpuSecond"] / theirs["linesPerCpuSecond"], 1)
                    show(name + again, theirs | {"agentIsFasterBy": ratio})
        if "linear" in wanted:
            show("agent, 200,000 lines", throughput(sink, 200_000, stamped=True))
            show("agent, 20,000,000 lines", throughput(sink, 20_000_000, stamped=True))
        if "memory" in wanted:
            show("backlog of 10 MB", backlog_memory(sink, 0.01))
            show("backlog of 10 GB", backlog_memory(sink, 10))
            show("1,000 sources", many_sources(sink, 1000))
        if "backlog" in wanted:
            show("a whole backlog", whole_backlog(sink, arguments.backlog_gb))
        if "idle" in wanted:
            show("idle", idle(sink, 100))
        if "steady" in wanted:
            show("steady", steady())
        if "beside" in wanted:
            for name, result in beside(sink):
                show(name, result)
    finally:
        sink.stop()
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else "?"


if __name__ == "__main__":
    main()
