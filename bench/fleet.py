"""What a fleet asks of a Loki in a day: streams, requests, bytes and index entries, for 10 to 10,000 machines.

    python bench/fleet.py [--launches 50] [--minutes 20] [--rate 2] [--hours 10] [--pushed 10] [--url URL]

Launches are made of the real vLLM logs of tests/data: the lines of a start within a minute, then lines at random
times. Their push requests are made by the agent's own code, cut where an agent would cut them with each setting of
`linger_seconds`, and those of some launches are pushed, as fast as it goes, to the Loki at URL, else to an embedded
store. What depends on the number of machines is computed from these launches, placed at random within the day's
hours. Prints tables; the name of each says whether it is measured or computed.
"""

import argparse
import contextlib
import http.client
import itertools
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cramjam

from tracetail.agent.model import Block
from tracetail.agent.parsing.header_cache import HeaderCache
from tracetail.agent.parsing.parser import LineParser
from tracetail.agent.parsing.prepare import Preparer
from tracetail.agent.parsing.times import EngineTimes
from tracetail.contract import heartbeat
from tracetail.contract.labels import launch_labels
from tracetail.contract.redaction import Redactor
from tracetail.launcher.log.stamper import Stamper
from tracetail.loki.entries import Entry, encode_metadata
from tracetail.loki.push import Body, BodyBuilder, single_body
from tracetail.loki.wire import read_fields

if TYPE_CHECKING:
    from tracetail.contract.record import Record

ROOT = Path(__file__).parents[1]
LOGS = ROOT / "tests" / "data" / "vllm-logs"
MACHINES = (10, 100, 1000, 10_000)
LINGERS = (0.2, 1.0, 5.0)
"""Settings of `[agent] linger_seconds`; the first is the default."""
LAUNCHES_MEASURED = 10
START_SECONDS = 60.0
BODY_MAX_BYTES = 1 << 20
CHUNK_BLOCK_BYTES = 256 << 10
"""Loki compresses a chunk in blocks of this size (`chunk_block_size`)."""
CHUNK_AGE_MINUTES = 120
IDLE_MINUTES = 30
"""Loki's `max_chunk_age` and `chunk_idle_period`, of its defaults: until then a stream is active, and in memory."""
SECOND = 10**9


class Load(NamedTuple):
    """What runs on one machine in a day."""

    launches: int
    minutes: int
    lines_per_second: float
    hours: int
    """Within which the launches begin."""


class Push(NamedTuple):
    """One request of an agent."""

    at: float
    """Seconds after the launch's start."""
    body: Body


class Sizes(NamedTuple):
    """What the pushes of one launch amount to."""

    lines: int
    line_bytes: int
    """Lines and structured metadata, as Loki's limits count them."""
    requests: int
    body_bytes: int
    chunk_bytes: int
    """Of the same entries in chunks, compressed with snappy as deploy/loki says."""
    requests_by_minute: list[int]
    bytes_by_minute: list[int]
    most_bytes_in_a_second: int


def texts(name: str) -> list[bytes]:
    return [line.removesuffix(b"\r") for line in (LOGS / name).read_bytes().split(b"\n")[:-1]]


def line_times(load: Load, chance: random.Random, start_lines: int) -> list[float]:
    """Return when a server prints its lines: seconds after its start."""
    times = sorted(chance.uniform(0, START_SECONDS) for _ in range(start_lines))
    at = START_SECONDS
    while load.lines_per_second and (at := at + chance.expovariate(load.lines_per_second)) < load.minutes * 60:
        times.append(at)
    return times


def pushes(load: Load, number: int, linger: float, begun_ns: int) -> Iterator[Push]:
    """Yield the requests of one launch: lines are read together, when the first of them has waited long enough."""
    chance = random.Random(number)
    start, serving = texts("healthy-start.log"), texts("request-logging.log")
    lines = list(
        zip(line_times(load, chance, len(start)), itertools.chain(start, itertools.cycle(serving)), strict=False)
    )
    labels = labels_of(number)
    stamper = Stamper(labels["traceId"], labels["instanceId"])
    parser = LineParser(EngineTimes(begun_ns), HeaderCache(), by_keeper=True)
    preparer = Preparer(Redactor(), structured_metadata=True, clock_ns=lambda: begun_ns)
    while lines:
        read_at = lines[0][0] + linger
        count = next((place for place, (at, _) in enumerate(lines) if at > read_at), len(lines))
        data = b"".join(stamper.stamp([text], None, begun_ns + int(at * SECOND)) for at, text in lines[:count])
        del lines[:count]
        builder = BodyBuilder(labels, BODY_MAX_BYTES)
        for prepared in preparer.prepare(
            parser, Block(data, 0, len(data), unfinished=False, behind=False), behind=False
        ):
            for stream in prepared.streams:
                builder.add(stream.entries, stream.rows)
        for body in builder.finish():
            yield Push(read_at, body)


def labels_of(number: int) -> dict[str, str]:
    """Return the labels of a launch's stream: those of every launch."""
    launch_id = f"20261122T211210-{number:06x}"
    record: Record = {
        "traceId": f"{number:032x}",
        "instanceId": launch_id,
        "launchId": launch_id,
        "modelName": "Qwen/Qwen2-7B-Instruct",
        "env": "test",
        "engine": "vllm",
        "host": f"gpu-{number % 1000:04d}.example.org",
    }
    return launch_labels(record)


def entries_of(body: Body) -> bytes:
    """Return the entries of a request, without the labels, as they become a part of a chunk."""
    raw = bytes(cramjam.snappy.decompress_raw(body.data))
    (_, start, end), *_ = read_fields(raw, 0, len(raw))
    return b"".join(raw[begin:stop] for number, begin, stop in read_fields(raw, start, end) if number == 2)


def sizes(load: Load, launch: Sequence[Push]) -> Sizes:
    """Add up the pushes of one launch."""
    minutes = load.minutes + 1
    requests, of_minute, seconds = [0] * minutes, [0] * minutes, dict[int, int]()
    contents = []
    for push in launch:
        content = entries_of(push.body)
        contents.append(content)
        minute = min(int(push.at / 60), minutes - 1)
        requests[minute] += 1
        of_minute[minute] += len(content)
        seconds[int(push.at)] = seconds.get(int(push.at), 0) + len(content)
    whole = b"".join(contents)
    pieces = (whole[at : at + CHUNK_BLOCK_BYTES] for at in range(0, len(whole), CHUNK_BLOCK_BYTES))
    return Sizes(
        lines=sum(push.body.entries for push in launch),
        line_bytes=len(whole),
        requests=len(launch),
        body_bytes=sum(len(push.body.data) for push in launch),
        chunk_bytes=sum(len(cramjam.snappy.compress_raw(piece)) for piece in pieces),
        requests_by_minute=requests,
        bytes_by_minute=of_minute,
        most_bytes_in_a_second=max(seconds.values()),
    )


def heartbeat_body(running: int) -> Body:
    """Return a heartbeat of one machine."""
    lines = heartbeat.heartbeat_lines([labels_of(n)["launchId"] for n in range(running)], heartbeat.INTERVAL_SECONDS)
    entries = [Entry(place, line.encode(), encode_metadata({})) for place, line in enumerate(lines)]
    return single_body({"service_name": heartbeat.SERVICE, "host": "gpu-0001.example.org"}, entries)


# --- pushed


@contextlib.contextmanager
def store(directory: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run an embedded store; yield its URL and its process."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRACETAIL_")} | {
        "TRACETAIL_STATE_DIR": directory,
        "TRACETAIL_STORE_OPEN": "true",
        "TRACETAIL_STORE_LISTEN": "127.0.0.1:0",
    }
    command = [sys.executable, "-m", "tracetail", "store"]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1], process
    finally:
        process.terminate()
        process.wait()


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    """Return the CPU seconds of a process, user and system."""
    ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")


def push_all(url: str, launches: Iterable[Sequence[Push]]) -> int:
    """Push the requests of launches that run side by side, in the order of their times; return their number."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80)
    every = sorted(itertools.chain.from_iterable(launches), key=lambda push: push.at)
    for push in every:
        connection.request("POST", "/loki/api/v1/push", push.body.data, {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.NO_CONTENT:
            sys.exit(f"{url} answered {answer.status}: {answer.read().decode(errors='replace')}")
        answer.read()
    connection.close()
    return len(every)


def streams_of(url: str, begun_ns: int, end_ns: int) -> int:
    """Return how many streams of launches the store has."""
    query = urllib.parse.urlencode({"match[]": '{launchId=~".+"}', "start": begun_ns, "end": end_ns})
    with urllib.request.urlopen(f"{url}/loki/api/v1/series?{query}") as response:
        return len(json.load(response)["data"])


def pushed(load: Load, launches: int, url: str, linger: float, begun_ns: int) -> dict[str, float | str]:
    """Push the requests of some launches, and return what that took and what the store has afterwards."""
    made = [list(pushes(load, number, linger, begun_ns)) for number in range(launches)]
    end_ns = begun_ns + (load.minutes + 5) * 60 * SECOND
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        process = None
        if not url:
            url, process = stack.enter_context(store(directory))
        before, before_cpu = time.monotonic(), cpu_seconds(process) if process else 0.0
        requests = push_all(url, made)
        found: dict[str, float | str] = {
            "linger": linger,
            "launches": launches,
            "requests": requests,
            "requests a second": round(requests / (time.monotonic() - before)),
            "streams found": streams_of(url, begun_ns, end_ns),
        }
        if process is not None:
            found["store's CPU ms a request"] = round((cpu_seconds(process) - before_cpu) * 1000 / requests, 2)
    return found


# --- computed


class Day(NamedTuple):
    """What a fleet asks of Loki in a day, replicas not counted."""

    streams: int
    active: int
    """At most, at the same time: those that were written to within IDLE_MINUTES."""
    requests: int
    requests_a_second: float
    """In the busiest minute."""
    body_gb: float
    line_gb: float
    line_mb_a_second: float
    chunk_gb: float
    chunks: int
    index_entries: int
    """A series for each stream, and a reference to each chunk."""


def day(load: Load, machines: int, launch: Mapping[str, float], minutes: Sequence[tuple[float, float]]) -> Day:
    """Compute a day from the means of the measured launches.

    Args:
        load: of each machine.
        machines: how many there are.
        launch: the mean of each of the Sizes of a launch.
        minutes: the mean requests and bytes in each minute of a launch.

    """
    chance = random.Random(machines)
    begun = [0] * (24 * 60 + load.minutes + IDLE_MINUTES + 1)
    for _ in range(machines * load.launches):
        begun[8 * 60 + chance.randrange(load.hours * 60)] += 1
    requests, volume = [0.0] * len(begun), [0.0] * len(begun)
    for at, count in enumerate(begun):
        if count:
            for after, (of_requests, of_bytes) in enumerate(minutes):
                requests[at + after] += count * of_requests
                volume[at + after] += count * of_bytes
    total = machines * load.launches
    streams = total + machines
    chunks = total * math.ceil(load.minutes / CHUNK_AGE_MINUTES)
    chunks += machines * math.ceil(load.hours * 60 / CHUNK_AGE_MINUTES)
    active = max(sum(begun[max(0, at - load.minutes - IDLE_MINUTES) : at + 1]) for at in range(len(begun)))
    beats_a_day = load.hours * 3600 / heartbeat.INTERVAL_SECONDS
    beat = heartbeat_body(max(1, round(load.launches * load.minutes / (load.hours * 60))))
    return Day(
        streams=streams,
        active=active + machines,
        requests=round(total * launch["requests"] + machines * beats_a_day),
        requests_a_second=max(requests) / 60 + machines / heartbeat.INTERVAL_SECONDS,
        body_gb=(total * launch["body_bytes"] + machines * beats_a_day * len(beat.data)) / 1e9,
        line_gb=total * launch["line_bytes"] / 1e9,
        line_mb_a_second=max(volume) / 60 / 1e6,
        chunk_gb=total * launch["chunk_bytes"] / 1e9,
        chunks=chunks,
        index_entries=streams + chunks,
    )


def table(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows as a table of Markdown."""
    print(f"\n{title}\n\n| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        cells = [f"{value:,}" if isinstance(value, int | float) else str(value) for value in row.values()]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Measure launches, push some of them, and compute the fleets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launches", type=int, default=50, help="a machine and day (%(default)s)")
    parser.add_argument("--minutes", type=int, default=20, help="that a launch runs (%(default)s)")
    parser.add_argument("--rate", type=float, default=2.0, help="lines a second of a running server (%(default)s)")
    parser.add_argument("--hours", type=int, default=10, help="of the day within which launches begin (%(default)s)")
    parser.add_argument("--pushed", type=int, default=10, help="launches whose requests are pushed; 0: none")
    parser.add_argument("--url", default="", help="of a Loki; else an embedded store is started")
    options = parser.parse_args()
    load = Load(options.launches, options.minutes, options.rate, options.hours)
    begun_ns = time.time_ns() - (load.minutes + 10) * 60 * SECOND
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}; {load}")
    measured, computed, pushed_rows = [], [], []
    for linger in LINGERS:
        found = [sizes(load, list(pushes(load, number, linger, begun_ns))) for number in range(LAUNCHES_MEASURED)]
        names = ("lines", "line_bytes", "requests", "body_bytes", "chunk_bytes")
        launch = {name: statistics.fmean(getattr(one, name) for one in found) for name in names}
        most = max(one.most_bytes_in_a_second for one in found)
        row = {name.replace("_", " "): round(value) for name, value in launch.items()}
        measured.append({"linger": linger, **row, "most bytes in a second": most})
        by_minute = [
            (
                statistics.fmean(one.requests_by_minute[minute] for one in found),
                statistics.fmean(one.bytes_by_minute[minute] for one in found),
            )
            for minute in range(load.minutes + 1)
        ]
        for machines in MACHINES:
            fleet = day(load, machines, launch, by_minute)._asdict()
            shown = {
                name.replace("_", " "): round(value, 1 if value < 100 else None) for name, value in fleet.items()
            }
            computed.append({"linger": linger, "machines": machines, **shown})
        if options.pushed:
            pushed_rows.append(pushed(load, options.pushed, options.url, linger, begun_ns))
    table(f"Measured: one launch, the mean of {LAUNCHES_MEASURED}", measured)
    if pushed_rows:
        table(f"Measured: pushed to {options.url or 'the embedded store'}", pushed_rows)
    table("Computed: a day of a fleet", computed)


if __name__ == "__main__":
    main()
