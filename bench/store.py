"""Measures the embedded store, and beside it a real Loki if LOKI_URL names one: `make bench-store`.

    ingestion    pushes all launches as the agent does; CPU seconds and memory are those of the server's process
    disk         bytes of the database per byte of log, after the store has merged its small blocks
    queries      first page, text search and histogram: of launches at random, and of the largest launch
    while writing   the same, with another process pushing at full speed

LOKI_PID, if given, is the process whose CPU and memory are taken for Loki's.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from store_data import START_NS_AGO, Launch, batches, launches

PAGE = 1000
ROUNDS = 5
"""Alone and while writing by turns, so that other work on the machine meets both."""
REPEATS = 12
"""In each round."""
NEEDLE = "out of memory in step 77"


class Client:
    """Keeps one connection to the server."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=300)

    def push(self, body: bytes) -> None:
        self._connection.request(
            "POST",
            "/loki/api/v1/push",
            body,
            {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"},
        )
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 204:
            raise SystemExit(f"a push was answered {answer.status}: {text.decode()[:300]}")

    def query(self, **params: object) -> tuple[float, dict]:
        started = time.perf_counter()
        self._connection.request("GET", "/loki/api/v1/query_range?" + urllib.parse.urlencode(params))
        answer = self._connection.getresponse()
        body = answer.read()
        took = time.perf_counter() - started
        if answer.status != 200:
            raise SystemExit(f"a query was answered {answer.status}: {body.decode()[:300]}")
        return took, json.loads(body)


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

    def __init__(self, url: str, start_ns: int) -> None:
        self._go, self._pushed, self._stop = (multiprocessing.Event() for _ in range(3))
        self._process = multiprocessing.Process(target=self._run, args=(url, start_ns))
        self._process.start()

    def _run(self, url: str, start_ns: int) -> None:
        client, number = Client(url), 10_000_000
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
    end_ns = time.time_ns()
    rng = random.Random(round_number)

    def selector(launch: Launch) -> str:
        return f'{{traceId="{launch.trace_id}"}}'

    def page(launch: Launch) -> Callable[[], float]:
        return lambda: ask(query=selector(launch), limit=PAGE, direction="backward")

    def search(launch: Launch) -> Callable[[], float]:
        return lambda: ask(query=f'{selector(launch)} |= "{NEEDLE}"', limit=PAGE)

    def search_ignoring_case(launch: Launch) -> Callable[[], float]:
        return lambda: ask(query=f'{selector(launch)} |~ "(?i){NEEDLE.upper()}"', limit=PAGE)

    def histogram(launch: Launch) -> Callable[[], float]:
        query = f'sum by (level) (count_over_time({selector(launch)} |= "" [60s]))'
        return lambda: ask(query=query, step="60s")

    def ask(**params: object) -> float:
        return client.query(start=start_ns, end=end_ns, **params)[0]

    def repeat(name: str, one: Callable[[], Callable[[], float]]) -> None:
        seconds, cpu_each = measured.setdefault(name, ([], []))
        cpu = cpu_seconds(process) if process else 0.0
        seconds += [one()() for _ in range(REPEATS)]
        cpu_each.append((cpu_seconds(process) - cpu) / REPEATS if process else 0.0)

    ask(query=selector(largest), limit=1)
    for name, make in (
        ("first page", page),
        ("search", search),
        ("search (?i)", search_ignoring_case),
        ("histogram", histogram),
    ):
        repeat(f"{name}, any launch", lambda make=make: make(rng.choice(some)))
        repeat(f"{name}, {largest.lines:,} lines", lambda make=make: make(largest))


def spread(seconds: list[float]) -> str:
    return f"p50 {quantile(seconds, 0.5) * 1e3:.1f}, p95 {quantile(seconds, 0.95) * 1e3:.1f} ms"


def show(name: str, value: str, wanted: str = "") -> None:
    print(f"| {name:44} | {value:>38} | {wanted:>16} |", flush=True)


def run(url: str, process: psutil.Process | None, database: Path | None, options: argparse.Namespace) -> None:
    start_ns = time.time_ns() - START_NS_AGO
    all_launches = launches(options.launches, options.lines, options.largest)
    client = Client(url)
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
    if database:
        size = sum(p.stat().st_size for p in database.parent.glob(database.name + "*"))
        show("disk per byte of log (with write-ahead log)", f"{size / text:.3f}", "<= 0.25")
    writing = Writing(url, start_ns)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--launches", type=int, default=1000)
    parser.add_argument("--largest", type=int, default=100_000)
    parser.add_argument("--batch-bytes", type=int, default=1024 * 1024)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tracetail-bench-") as directory:
        load = os.getloadavg()[0]
        print(f"\ntracetail store, Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {load:.1f}")
        show("", "measured", "wanted")
        with running_store(Path(directory)) as (url, process):
            run(url, process, Path(directory) / "store" / "store.db", options)
    if loki := os.environ.get("LOKI_URL"):
        print(f"\nLoki at {loki}")
        pid = os.environ.get("LOKI_PID")
        run(loki.rstrip("/"), psutil.Process(int(pid)) if pid else None, None, options)


if __name__ == "__main__":
    main()
