"""The metrics of the inference servers: what each launch of this machine does, costs and yields.

Put together when they are asked for, from the launches' records, their processes (processes.py), the GPUs
(gpu.py) and what passed through the pipeline (`ServerMetrics.observe`). A launch's series are there from its
start until some minutes after its end, so that the end is seen; then they go: a launchId is in no series for longer.
"""

import contextlib
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tracetail.agent.metrics.gpu import ProcessUse, sample, usage_of
from tracetail.agent.metrics.processes import Usage, usage
from tracetail.contract.engine_stats import FIELDS, newest_stats
from tracetail.contract.labels import launch_labels
from tracetail.contract.launch_processes import LaunchProcesses, LaunchRoots
from tracetail.contract.nvml import Devices
from tracetail.contract.processes import Process, is_alive
from tracetail.contract.record import (
    CRASHED,
    ENDED_STATES,
    FAILED,
    READY,
    STARTING,
    STOPPED,
    STOPPING,
    LaunchDir,
    Record,
    RecordError,
)
from tracetail.contract.state import launches_dir

STATES = (STARTING, READY, STOPPING, STOPPED, FAILED, CRASHED)
LAUNCH_LABEL_NAMES = ("launch_id", "trace_id", "service_name", "env", "engine", "host")
"""On every series of a launch: the values of its labels in Loki, under names that follow Prometheus' conventions."""

CAUSE_MAX_CHARACTERS = 100
OBSERVED_MAX = 2_000
"""Launches whose lines are remembered; a look forgets those that are gone, but nobody may ever look."""
_NUMBER = re.compile(r"\d+(?:\.\d+)?")

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
    """What the pipeline saw of one launch."""

    stats: dict[int, dict[str, float]] = field(default_factory=dict)
    lines: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Launch:
    """One launch at the moment of the look."""

    record: Record
    state: str
    attempt: int
    usage: Usage | None

    @property
    def labels(self) -> tuple[str, ...]:
        record = self.record
        ids = (record["launchId"], record["traceId"], record["modelName"])
        return (*ids, record["env"], record["engine"], record["host"])


class ServerMetrics(Collector):
    """Collects the metrics of all launches below some state directories. Safe to call from several threads."""

    def __init__(
        self,
        state_dirs: Callable[[], Sequence[Path]],
        *,
        keep_ended_seconds: float,
        now: Callable[[], float],
        devices: Devices | None = None,
    ) -> None:
        """Look below state_dirs() each time; now() is in seconds since the epoch."""
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
        """Take note of lines of a launch: those that may be engine statistics, and how many have which level.

        Does not wait for a look that is under way: it is called where lines are shipped.
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
            launches = self._look()
            devices = sample(self._devices) if self._devices is not None and launches else []
            families = [
                *_state_families(launches),
                *_start_families(launches),
                *_end_families(launches),
                *self._usage_families(launches),
                *_gpu_families(launches, devices),
                *self._observed_families(launches),
            ]
        return [family for family in families if family.samples]

    def _look(self) -> list[_Launch]:
        launches = []
        records = self._read_records()
        for record, state in records:
            end = self._end_of(record, state)
            if end is None or self._now() - end < self._keep_ended_seconds:
                launches.append((record, state))
        self._forget_all_but({record["launchId"] for record, _ in launches})
        ids = {record["launchId"] for record, _ in records}
        self._ended = {key: value for key, value in self._ended.items() if key in ids}
        running = [_roots(record) for record, state in launches if state not in ENDED_STATES]
        processes = self._processes.find(running) if running else {}
        earlier = _attempts([record for record, _ in records])
        return [
            _Launch(
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
                    # A launch may vanish between two looks at it (gc), or have no record yet; a record that is
                    # unreadable is reported by those who act on it.
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
        """Return when the launch ended; for one whose record does not tell, when that was first seen."""
        if state not in ENDED_STATES:
            return None
        if "endedAt" in record:
            return _seconds(record["endedAt"])
        return self._ended.setdefault(record["launchId"], self._now())

    def _forget_all_but(self, launch_ids: set[str]) -> None:
        with self._observing:
            self._observed = {key: value for key, value in self._observed.items() if key in launch_ids}
        self._cpu = {key: value for key, value in self._cpu.items() if key in launch_ids}

    def _usage_families(self, launches: list[_Launch]) -> Iterator[Metric]:
        cpu = _counter("cpu_seconds", "CPU time of all processes of the launch, user and system.")
        memory = _gauge(
            "resident_memory_bytes", "Resident memory of all processes of the launch, shared pages in each."
        )
        threads = _gauge("threads", "Threads of all processes of the launch.")
        open_files = _gauge("open_fds", "Open file descriptors of all processes of the launch.")
        processes = _gauge("processes", "Processes of the launch.")
        for launch in launches:
            if launch.usage is None:
                continue
            # A process whose parent is not told of its end takes its CPU time with it; a counter must not fall.
            launch_id = launch.record["launchId"]
            self._cpu[launch_id] = max(self._cpu.get(launch_id, 0.0), launch.usage.cpu_seconds)
            cpu.add_metric(launch.labels, self._cpu[launch_id])
            memory.add_metric(launch.labels, launch.usage.resident_bytes)
            threads.add_metric(launch.labels, launch.usage.threads)
            processes.add_metric(launch.labels, len(launch.usage.pids))
            if launch.usage.open_files is not None:
                open_files.add_metric(launch.labels, launch.usage.open_files)
        yield from (cpu, memory, threads, open_files, processes)

    def _observed_families(self, launches: list[_Launch]) -> Iterator[Metric]:
        lines = _counter("log_lines", "Lines of the launch's log that the agent parsed, by level.", "level")
        stats = {name: _gauge(name, _STATS_HELP[name], "engine_index") for name in FIELDS}
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


def _state_families(launches: list[_Launch]) -> Iterator[Metric]:
    up = _gauge("up", "1 while the server is ready.")
    states = _gauge("state", "1 for the state that the launch is in, 0 for the others.", "state")
    info = _gauge("info", "What else is known of the launch; always 1.", "instance_id", "job_id", "port", "log_file")
    restarts = _gauge("restarts", "Launches of the same service and trace before this one.")
    for launch in launches:
        record = launch.record
        up.add_metric(launch.labels, float(launch.state == READY))
        for state in STATES:
            states.add_metric((*launch.labels, state), float(launch.state == state))
        port = record.get("port")
        more = (record["instanceId"], record.get("jobId") or "", str(port or ""), record.get("logFile") or "")
        info.add_metric((*launch.labels, *more), 1)
        restarts.add_metric(launch.labels, launch.attempt)
    yield from (up, states, info, restarts)


def _start_families(launches: list[_Launch]) -> Iterator[Metric]:
    started = _gauge("start_time_seconds", "When the launch started, in seconds since the epoch.")
    ready = _gauge("ready_seconds", "How long the start took until the server was ready.")
    phases = _gauge("phase_seconds", "How long each phase of the start took.", "phase")
    for launch in launches:
        record = launch.record
        if "startedAt" in record:
            started.add_metric(launch.labels, _seconds(record["startedAt"]))
            if "readyAt" in record:
                ready.add_metric(launch.labels, _seconds(record["readyAt"]) - _seconds(record["startedAt"]))
        for name, seconds in _sum_by_name(record):
            phases.add_metric((*launch.labels, name), seconds)
    yield from (started, ready, phases)


def _end_families(launches: list[_Launch]) -> Iterator[Metric]:
    codes = _gauge("exit_code", "Exit status of the server, 128 + its number for a signal.")
    ends = _gauge(
        "exit_info",
        "How the launch ended and why, without numbers and details; always 1.",
        "state",
        "cause",
        "signal",
    )
    for launch in launches:
        if launch.state not in ENDED_STATES:
            continue
        end = launch.record.get("exit") or {}
        name = end.get("signal") or ""
        code = end.get("code")
        if code is None and name in signal.Signals.__members__:
            code = 128 + signal.Signals[name]
        if code is not None:
            codes.add_metric(launch.labels, code)
        ends.add_metric((*launch.labels, launch.state, kind_of_cause(end.get("cause") or ""), name), 1)
    yield from (codes, ends)


def kind_of_cause(cause: str) -> str:
    """Return a cause without what differs from launch to launch: its numbers, and its details after a colon.

    As a label it then says the same of the same failure, and takes few values. The launch's log has the whole text.
    """
    return _NUMBER.sub("…", cause.partition(": ")[0])[:CAUSE_MAX_CHARACTERS]


def _gpu_families(launches: list[_Launch], devices: list[dict[int, ProcessUse]]) -> Iterator[Metric]:
    memory = _gauge("gpu_memory_bytes", "Memory that the launch's processes hold on a GPU.", "gpu")
    share = _gauge("gpu_utilisation_ratio", "Share of the time in which the launch's kernels ran on a GPU.", "gpu")
    for launch in launches:
        if launch.usage is None:
            continue
        for used in usage_of(launch.usage.pids, devices):
            memory.add_metric((*launch.labels, str(used.device)), used.memory_bytes)
            if used.utilisation_ratio is not None:
                share.add_metric((*launch.labels, str(used.device)), used.utilisation_ratio)
    yield from (memory, share)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tracetail_server_{name}", text, labels=(*LAUNCH_LABEL_NAMES, *labels))


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"tracetail_server_{name}", text, labels=(*LAUNCH_LABEL_NAMES, *labels))


def _checked(record: Record) -> Record:
    """Return the record. Raises KeyError or ValueError if a series could not be made of it."""
    launch_labels(record)
    for key in ("startedAt", "readyAt", "endedAt"):
        if key in record:
            _seconds(str(record[key]))
    return record


def _roots(record: Record) -> LaunchRoots:
    """Return what the record says about the launch's processes; a keeper that has ended is left out."""
    keeper = record["keeper"]["pid"] if "keeper" in record and is_alive(record["keeper"]) else 0
    return LaunchRoots(record["launchId"], record.get("server"), keeper)


def _usage_of(processes: Sequence[Process] | None) -> Usage | None:
    return None if processes is None else usage([process.pid for process in processes])


def _attempts(records: list[Record]) -> dict[str, int]:
    """Return for each launchId how many launches of its service in its trace came before; records oldest first."""
    seen: Counter[tuple[object, ...]] = Counter()
    attempts = {}
    for record in records:
        service = (record["traceId"], record["env"], record["modelName"], record.get("port"))
        attempts[record["launchId"]] = seen[service]
        seen[service] += 1
    return attempts


def _sum_by_name(record: Record) -> Iterable[tuple[str, float]]:
    """Return the phases; one that occurs twice (several workers) once, with its time added up."""
    total: dict[str, float] = {}
    for phase in record.get("phases") or []:
        total[phase["name"]] = total.get(phase["name"], 0.0) + phase["seconds"]
    return total.items()


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
