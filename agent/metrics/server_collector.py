"""Collects the metrics of the inference servers: state, resources and throughput of each launch on this machine.

They are computed at each collection, from the launches' records, their processes (processes.py), the GPUs (gpu.py)
and the lines that the pipeline shipped (`ServerMetrics.observe`). A launch's series exist from its start until some
minutes after its end, so that a scrape sees the end.
"""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from tracetail.agent.metrics.gpu import sample
from tracetail.agent.metrics.processes import Usage, usage
from tracetail.agent.metrics.server_families import (
    LaunchSample,
    counter,
    end_families,
    gauge,
    gpu_families,
    seconds_of,
    start_families,
    state_families,
)
from tracetail.contract.accelerators import Accelerators
from tracetail.contract.engine_stats import FIELDS, newest_stats
from tracetail.contract.labels import launch_labels
from tracetail.contract.launch_processes import LaunchProcesses, LaunchRoots
from tracetail.contract.processes import Process, is_alive
from tracetail.contract.record import ENDED_STATES, LaunchDir, Record, RecordError, container_init
from tracetail.contract.state import launches_dir

OBSERVED_MAX = 2_000
"""Number of launches whose lines are kept; a collection drops ended ones, but there may never be one."""

_STATS_HELP = {
    "prompt_tokens_per_second": "Prompt tokens per second, by the engine's last stats line.",
    "generation_tokens_per_second": "Generated tokens per second, by the engine's last stats line.",
    "requests_running": "Requests that the engine works on, by its last stats line.",
    "requests_waiting": "Requests that wait, by the engine's last stats line.",
    "kv_cache_usage_ratio": "Share of the KV cache that is in use, by the engine's last stats line.",
    "prefix_cache_hit_ratio": "Share of prefix cache queries that hit, by the engine's last stats line.",
}


@dataclass
class _Observed:
    """What observe() received of one launch."""

    stats: dict[int, dict[str, float]] = field(default_factory=dict)
    lines: Counter[str] = field(default_factory=Counter)


class ServerMetrics(Collector):
    """Collects the metrics of all launches below some state directories. Safe to call from several threads."""

    def __init__(
        self,
        state_dirs: Callable[[], Sequence[Path]],
        *,
        keep_ended_seconds: float,
        now: Callable[[], float],
        devices: Accelerators | None = None,
    ) -> None:
        """state_dirs: called at each collection. now: returns seconds since the epoch."""
        self._state_dirs = state_dirs
        self._keep_ended_seconds = keep_ended_seconds
        self._now = now
        self._devices = devices
        self._collecting = threading.Lock()
        self._observing = threading.Lock()
        self._processes = LaunchProcesses()
        self._observed: dict[str, _Observed] = {}
        self._cpu: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._records: dict[Path, tuple[int, Record]] = {}

    def observe(self, launch_id: str, stats_lines: Sequence[bytes], levels: Mapping[str, int]) -> None:
        """Add shipped lines of a launch: those that may be engine statistics, and the number of lines by level.

        Does not wait for a collection in another thread: it is called by the pipeline.
        """
        with self._observing:
            observed = self._observed.setdefault(launch_id, _Observed())
            if len(self._observed) > OBSERVED_MAX:
                del self._observed[next(iter(self._observed))]
            observed.lines.update(levels)
            for stats in newest_stats(stats_lines):
                observed.stats.setdefault(stats.engine_index, {}).update(stats.values)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the names are known from collect(), which need not run at registration."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return all series as of now."""
        with self._collecting:
            launches = self._sample()
            devices = sample(self._devices) if self._devices is not None and launches else []
            families = [
                *state_families(launches),
                *start_families(launches),
                *end_families(launches),
                *self._usage_families(launches),
                *gpu_families(launches, devices),
                *self._observed_families(launches),
            ]
        return [family for family in families if family.samples]

    def _sample(self) -> list[LaunchSample]:
        launches = []
        records = self._read_records()
        for record, state in records:
            end = self._end_of(record, state)
            if end is None or self._now() - end < self._keep_ended_seconds:
                launches.append((record, state))
        self._drop_all_but({record["launchId"] for record, _ in launches})
        ids = {record["launchId"] for record, _ in records}
        self._ended = {key: value for key, value in self._ended.items() if key in ids}
        running = [_roots(record) for record, state in launches if state not in ENDED_STATES]
        processes = self._processes.find(running) if running else {}
        earlier = _attempts([record for record, _ in records])
        return [
            LaunchSample(
                record,
                state,
                earlier[record["launchId"]],
                _usage_of(processes.get(record["launchId"])),
            )
            for record, state in launches
        ]

    def _read_records(self) -> list[tuple[Record, str]]:
        """Return every readable record with its effective state, oldest first."""
        found: dict[Path, tuple[int, Record]] = {}
        states: dict[Path, str] = {}
        for state_dir in self._state_dirs():
            with contextlib.suppress(FileNotFoundError):
                for path in launches_dir(state_dir).iterdir():
                    launch = LaunchDir(path)
                    # A launch may be deleted meanwhile (gc), or have no record yet; discovery reports records that
                    # cannot be read.
                    with contextlib.suppress(OSError, RecordError, KeyError, ValueError):
                        changed = launch.record_path.stat().st_mtime_ns
                        known = self._records.get(path)
                        record = known[1] if known is not None and known[0] == changed else _checked(launch.read())
                        ended = record["state"] in ENDED_STATES
                        states[path] = record["state"] if ended else launch.effective_state(record)
                        found[path] = (changed, record)
        self._records = found
        return [(found[path][1], states[path]) for path in sorted(found, key=lambda path: path.name)]

    def _end_of(self, record: Record, state: str) -> float | None:
        """Return when the launch ended, or when that was first seen if the record has no end; None if it has not."""
        if state not in ENDED_STATES:
            return None
        if "endedAt" in record:
            return seconds_of(record["endedAt"])
        return self._ended.setdefault(record["launchId"], self._now())

    def _drop_all_but(self, launch_ids: set[str]) -> None:
        with self._observing:
            self._observed = {key: value for key, value in self._observed.items() if key in launch_ids}
        self._cpu = {key: value for key, value in self._cpu.items() if key in launch_ids}

    def _usage_families(self, launches: list[LaunchSample]) -> Iterator[Metric]:
        cpu = counter("cpu_seconds", "CPU time of all processes of the launch, user and system.")
        memory = gauge(
            "resident_memory_bytes", "Resident memory of all processes of the launch, shared pages in each."
        )
        threads = gauge("threads", "Threads of all processes of the launch.")
        open_files = gauge("open_fds", "Open file descriptors of all processes of the launch.")
        processes = gauge("processes", "Processes of the launch.")
        for launch in launches:
            if launch.usage is None:
                continue
            # The CPU time of a process that its parent does not reap is lost; a counter must not fall.
            launch_id = launch.record["launchId"]
            self._cpu[launch_id] = max(self._cpu.get(launch_id, 0.0), launch.usage.cpu_seconds)
            cpu.add_metric(launch.labels, self._cpu[launch_id])
            memory.add_metric(launch.labels, launch.usage.resident_bytes)
            threads.add_metric(launch.labels, launch.usage.threads)
            processes.add_metric(launch.labels, len(launch.usage.pids))
            if launch.usage.open_files is not None:
                open_files.add_metric(launch.labels, launch.usage.open_files)
        yield from (cpu, memory, threads, open_files, processes)

    def _observed_families(self, launches: list[LaunchSample]) -> Iterator[Metric]:
        lines = counter("log_lines", "Lines of the launch's log that the agent parsed, by level.", "level")
        stats = {name: gauge(name, _STATS_HELP[name], "engine_index") for name in FIELDS}
        with self._observing:
            for launch in launches:
                observed = self._observed.get(launch.record["launchId"])
                if observed is None:
                    continue
                for level, count in observed.lines.items():
                    lines.add_metric((*launch.labels, level), count)
                if launch.state in ENDED_STATES:
                    continue
                for index, values in observed.stats.items():
                    for name, value in values.items():
                        stats[name].add_metric((*launch.labels, str(index)), value)
        yield lines
        yield from stats.values()


def _checked(record: Record) -> Record:
    """Return the record. Raises KeyError or ValueError if a series could not be made of it."""
    launch_labels(record)
    for key in ("startedAt", "readyAt", "endedAt"):
        if key in record:
            seconds_of(str(record[key]))
    return record


def _roots(record: Record) -> LaunchRoots:
    """Return what the record says about the launch's processes; a keeper that has ended is left out."""
    keeper = record["keeper"]["pid"] if "keeper" in record and is_alive(record["keeper"]) else 0
    return LaunchRoots(record["launchId"], record.get("server"), keeper, container_init(record))


def _usage_of(processes: Sequence[Process] | None) -> Usage | None:
    return None if processes is None else usage([process.pid for process in processes])


def _attempts(records: list[Record]) -> dict[str, int]:
    """Return for each launchId how many launches of its service in its trace came before; records oldest first."""
    seen: Counter[tuple[object, ...]] = Counter()
    attempts = {}
    for record in records:
        service = (record["traceId"], record["env"], record["modelName"], record.get("port"), record.get("nodeRank"))
        attempts[record["launchId"]] = seen[service]
        seen[service] += 1
    return attempts
