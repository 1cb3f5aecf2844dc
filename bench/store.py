"""Measures the embedded store, and beside it a Loki and a VictoriaLogs if they are named: `make bench-store`.

    ingestion    pushes all launches as the agent does; CPU seconds and memory are those of the server's process
    disk         bytes of the database per byte of log, after the store has merged its small blocks
    queries      first page, text search and histogram: of launches at random, and of the largest launch
    while writing   the same, with another process pushing at full speed

With --small it measures what queries in small launches cost, which most are: all servers in turns, so that what else
the machine does meets each of them, and only CPU. `search again` asks for one launch again and again.

LOKI_URL and VICTORIALOGS_URL name the others; all get the same pushes and have to find the same. LOKI_PID and
VICTORIALOGS_PID, if given, are the processes whose CPU and memory are measured; LOKI_DATA and VICTORIALOGS_DATA are
their directories, whose size is. LOKI_URL may as well be another version of this store.
"""

import argparse
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psutil
from store_clients import Client, LokiClient, VictoriaLogsClient
from store_data import START_NS_AGO, Launch, batches, launches, lines_of

PAGE = 1000
ROUNDS = 5
"""Alone and while writing by turns, so that other work on the machine meets both."""
REPEATS = 12
"""In each round."""
SETTLE_SECONDS = 10
"""What a server gets to write what it was sent to its disk, and to merge it."""
NEEDLE = "out of memory in step 77"
QUESTIONS = ("first page", "search", "search (?i)", "histogram")
SMALL_ROUNDS = 40
SMALL_LINES = 1_700


@contextmanager
def running_store(directory: Path) -> Iterator[tuple[str, psutil.Process]]:
    environ = os.environ | {"TRACETAIL_STATE_DIR": str(directory), "TRACETAIL_STORE_LISTEN": "127.0.0.1:0"}
    environ["TRACETAIL_STORE_OPEN"] = "true"
    process = subprocess.Popen(
        [sys.executable, "-m", "tracetail", "store"], env=environ, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process.stdout.readline().split()[-1], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


class Memory(threading.Thread):
    """Notes the largest resident memory of a process."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.process, self.largest, self.over = process, 0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.05):
            self.largest = max(self.largest, self.process.memory_info().rss)

    def end(self) -> int:
        self.over.set()
        self.join()
        return self.largest


def cpu_seconds(process: psutil.Process) -> float:
    """Return what all threads of the process used so far, to the nanosecond where the kernel reports it."""
    try:
        tasks = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
    except (OSError, ValueError):
        times = process.cpu_times()
        return times.user + times.system


class Writing:
    """A process that pushes launches that no query reads, at full speed, while it is switched on."""

    def __init__(self, kind: type[Client], url: str, start_ns: int) -> None:
        self._go, self._pushed, self._stop = (multiprocessing.Event() for _ in range(3))
        self._process = multiprocessing.Process(target=self._run, args=(kind, url, start_ns), daemon=True)
        self._process.start()

    def _run(self, kind: type[Client], url: str, start_ns: int) -> None:
        client, number = kind(url), 10_000_000
        while True:
            number += 1
            for body, _, _ in batches(Launch(number, 20_000), start_ns):
                self._go.wait()
                if self._stop.is_set():
                    return
                client.push(body)
                self._pushed.set()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        self._pushed.clear()
        self._go.set()
        self._pushed.wait()
        yield
        self._go.clear()

    def end(self) -> None:
        self._stop.set()
        self._go.set()
        self._process.join()


def quantile(values: list[float], q: float) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[int(q * 100) - 1]


Measured = dict[str, tuple[list[float], list[float]]]
"""By name: the seconds of each query, and the server's CPU seconds for one, of each round."""


def measure_queries(
    measured: Measured,
    client: Client,
    process: psutil.Process | None,
    all_launches: list[Launch],
    start_ns: int,
    round_number: int,
) -> None:
    """Add the seconds of one round of queries to measured."""
    largest, *some = all_launches
    rng = random.Random(round_number)

    def ask(what: str, launch: Launch) -> float:
        return asked(client, what, launch, start_ns)

    def repeat(name: str, one: Callable[[], float]) -> None:
        seconds, cpu_each = measured.setdefault(name, ([], []))
        cpu = cpu_seconds(process) if process else 0.0
        seconds += [one() for _ in range(REPEATS)]
        cpu_each.append((cpu_seconds(process) - cpu) / REPEATS if process else 0.0)

    ask("first page", largest)
    for what in QUESTIONS:
        repeat(f"{what}, any launch", lambda what=what: ask(what, rng.choice(some)))
        repeat(f"{what}, {largest.lines:,} lines", lambda what=what: ask(what, largest))


def asked(client: Client, what: str, launch: Launch, start_ns: int) -> float:
    """Ask a server one of QUESTIONS about a launch, and check its answer; return the seconds that it took."""
    about = (launch.trace_id, start_ns, time.time_ns())
    if what == "first page":
        took, found = client.page(*about, PAGE)
        expected = min(PAGE, launch.lines)
    elif what == "histogram":
        took, by_level = client.histogram(*about)
        found, expected = sum(by_level.values()), launch.lines
    else:
        ignore_case = what == "search (?i)"
        text = NEEDLE.upper() if ignore_case else NEEDLE
        took, found = client.search(*about, PAGE, text, ignore_case=ignore_case)
        expected = min(PAGE, lines_with(launch, start_ns, NEEDLE))
    if found != expected:
        raise SystemExit(f"{what} of {launch.trace_id}: found {found}, expected {expected}")
    return took


@cache
def lines_with(launch: Launch, start_ns: int, text: str) -> int:
    """Return how many lines of a launch have a text."""
    return sum(text.encode() in line for _, line, _ in lines_of(launch, start_ns))


def spread(seconds: list[float]) -> str:
    return f"p50 {quantile(seconds, 0.5) * 1e3:.1f}, p95 {quantile(seconds, 0.95) * 1e3:.1f} ms"


def show(name: str, value: str, wanted: str = "") -> None:
    print(f"| {name:44} | {value:>38} | {wanted:>16} |", flush=True)


def run(
    kind: type[Client], url: str, process: psutil.Process | None, data: Path | None, options: argparse.Namespace
) -> None:
    start_ns = options.start_ns
    all_launches = launches(options.launches, options.lines, options.largest)
    client = kind(url)
    memory = Memory(process) if process else None
    cpu = cpu_seconds(process) if process else 0.0
    if memory:
        memory.start()
    lines = text = 0
    started = time.perf_counter()
    for launch in all_launches:
        for body, line_count, text_bytes in batches(launch, start_ns, options.batch_bytes):
            client.push(body)
            lines += line_count
            text += text_bytes
    took = time.perf_counter() - started
    show("lines, launches, MB of text", f"{lines:,} / {len(all_launches):,} / {text / 1e6:.0f}")
    show("wall time of pushing (client's part included)", f"{took:.1f} s")
    if process and memory:
        used = cpu_seconds(process) - cpu
        show("ingestion, lines per CPU-second", f"{lines / used:,.0f}", "100,000")
        show("resident while pushing, largest", f"{memory.largest / 1e6:.0f} MB", "< 150 MB")
    wait_until_found(client, all_launches[-1], start_ns)
    time.sleep(SETTLE_SECONDS)
    if data:
        size = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
        show("disk per byte of log (with write-ahead log)", f"{size / text:.3f}", "<= 0.25")
    writing = Writing(kind, url, start_ns)
    alone: Measured = {}
    busy: Measured = {}
    for round_number in range(ROUNDS):
        measure_queries(alone, client, process, all_launches, start_ns, round_number)
        with writing.going_on():
            measure_queries(busy, client, None, all_launches, start_ns, round_number)
    writing.end()
    for name, (seconds, cpu_each) in alone.items():
        wanted = "p95 < 50 ms" if "page" in name else "< 300 ms" if "lines" in name else ""
        show(name, f"{spread(seconds)}, CPU {statistics.mean(cpu_each) * 1e3:.1f} ms", wanted)
    for name, (seconds, _) in busy.items():
        times = statistics.median(seconds) / statistics.median(alone[name][0])
        show(f"while writing: {name}", f"{spread(seconds)}, {times:.1f} x", "<= 2 x")
    if memory:
        show("resident with queries, largest", f"{memory.end() / 1e6:.0f} MB", "< 150 MB")


@dataclass
class Small:
    """A server in run_small, with the CPU milliseconds of a query in each round, by question."""

    name: str
    client: Client
    process: psutil.Process | None
    cpu_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def measure(self, name: str, one: Callable[[], float]) -> None:
        if self.process is None:
            raise SystemExit(f"{self.name}_PID has to name its process, whose CPU is measured")
        used = cpu_seconds(self.process)
        for _ in range(REPEATS):
            one()
        self.cpu_ms[name].append((cpu_seconds(self.process) - used) / REPEATS * 1e3)


def run_small(servers: list[Small], start_ns: int) -> None:
    """Measure the CPU of queries in launches of SMALL_LINES lines, and print least and median of the rounds."""
    some = [Launch(number, SMALL_LINES) for number in range(1, 200)]
    for server in servers:
        for launch in some:
            for body, _, _ in batches(launch, start_ns):
                server.client.push(body)
        wait_until_found(server.client, some[-1], start_ns)
    for launch in some:
        lines_with(launch, start_ns, NEEDLE)
    time.sleep(SETTLE_SECONDS)
    for round_number in range(SMALL_ROUNDS):
        turn = round_number % len(servers)
        for what in (*QUESTIONS, "search again"):
            for server in (*servers[turn:], *servers[:turn]):
                # Other launches for each question: what the one before it left in memory would help.
                rng = random.Random(f"{round_number} {what}")
                one = rng.choice(some)
                question = what.removesuffix(" again")
                server.measure(
                    what,
                    lambda server=server, one=one, rng=rng, question=question, again=question != what: asked(
                        server.client, question, one if again else rng.choice(some), start_ns
                    ),
                )
    first = servers[0]
    for what, own in first.cpu_ms.items():
        for server in servers:
            each = server.cpu_ms[what]
            ratio = "" if server is first else f"ratio to it {statistics.median(own) / statistics.median(each):.2f}"
            value = f"CPU least {min(each):.2f}, median {statistics.median(each):.2f} ms"
            show(f"{what}, {SMALL_LINES:,} lines: {server.name}", value, ratio)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--launches", type=int, default=1000)
    parser.add_argument("--largest", type=int, default=100_000)
    parser.add_argument("--batch-bytes", type=int, default=1024 * 1024)
    parser.add_argument("--small", action="store_true", help="queries in small launches only")
    options = parser.parse_args()
    options.start_ns = time.time_ns() - START_NS_AGO
    others = [
        (name, kind, url.rstrip("/"))
        for name, kind in (("LOKI", LokiClient), ("VICTORIALOGS", VictoriaLogsClient))
        if (url := os.environ.get(f"{name}_URL"))
    ]
    with tempfile.TemporaryDirectory(prefix="tracetail-bench-") as directory:
        load = os.getloadavg()[0]
        print(f"\ntracetail store, Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {load:.1f}")
        show("", "measured", "wanted")
        with running_store(Path(directory)) as (url, process):
            if options.small:
                servers = [Small("this store", LokiClient(url), process)]
                servers += [Small(name, kind(at), process_of(name)) for name, kind, at in others]
                run_small(servers, options.start_ns)
                return
            run(LokiClient, url, process, Path(directory) / "store", options)
    for name, kind, url in others:
        print(f"\n{name} at {url}")
        data = os.environ.get(f"{name}_DATA")
        run(kind, url, process_of(name), Path(data) if data else None, options)


def process_of(name: str) -> psutil.Process | None:
    """Return the process of another server, if it is named."""
    pid = os.environ.get(f"{name}_PID")
    return psutil.Process(int(pid)) if pid else None


def wait_until_found(client: Client, launch: Launch, start_ns: int) -> None:
    """Wait until a server finds what it was sent: it may keep new lines where no query sees them at first."""
    deadline = time.monotonic() + 60
    while sum(client.histogram(launch.trace_id, start_ns, time.time_ns())[1].values()) != launch.lines:
        if time.monotonic() > deadline:
            raise SystemExit("not all lines were found within a minute after they were sent")
        time.sleep(0.5)


if __name__ == "__main__":
    main()
