"""The metric families of launches: state, start, end, GPUs; and how a family of the servers is named."""

import re
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tracetail.agent.metrics.gpu import ProcessUse, usage_of
from tracetail.agent.metrics.processes import Usage
from tracetail.contract.record import (
    CRASHED,
    ENDED_STATES,
    FAILED,
    READY,
    STARTING,
    STOPPED,
    STOPPING,
    UNHEALTHY,
    Record,
)

STATES = (STARTING, READY, UNHEALTHY, STOPPING, STOPPED, FAILED, CRASHED)
LAUNCH_LABEL_NAMES = ("launch_id", "trace_id", "service_name", "env", "engine", "host")
"""On every series of a launch: its labels in Loki, under names that follow Prometheus' conventions."""

CAUSE_MAX_CHARACTERS = 100
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class LaunchSample:
    """One launch at the time of collection."""

    record: Record
    state: str
    attempt: int
    """Number of launches of the same service and trace before this one."""
    usage: Usage | None

    @property
    def labels(self) -> tuple[str, ...]:
        """The values of LAUNCH_LABEL_NAMES."""
        record = self.record
        ids = (record["launchId"], record["traceId"], record["modelName"])
        return (*ids, record["env"], record["engine"], record["host"])


def state_families(launches: list[LaunchSample]) -> Iterator[Metric]:
    """Return up, state, info and restarts."""
    up = gauge("up", "1 while the server is ready.")
    states = gauge("state", "1 for the state that the launch is in, 0 for the others.", "state")
    info = gauge("info", "Further properties of the launch; always 1.", "instance_id", "job_id", "port", "log_file")
    restarts = gauge("restarts", "Launches of the same service and trace before this one.")
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


def start_families(launches: list[LaunchSample]) -> Iterator[Metric]:
    """Return start time, time until ready, and the phases of the start."""
    started = gauge("start_time_seconds", "When the launch started, in seconds since the epoch.")
    ready = gauge("ready_seconds", "Time from the start until the server was ready.")
    phases = gauge("phase_seconds", "Duration of each phase of the start.", "phase")
    for launch in launches:
        record = launch.record
        if "startedAt" in record:
            started.add_metric(launch.labels, seconds_of(record["startedAt"]))
            if "readyAt" in record:
                ready.add_metric(launch.labels, seconds_of(record["readyAt"]) - seconds_of(record["startedAt"]))
        for name, seconds in _sum_by_name(record):
            phases.add_metric((*launch.labels, name), seconds)
    yield from (started, ready, phases)


def end_families(launches: list[LaunchSample]) -> Iterator[Metric]:
    """Return exit code, and how and why the launch ended."""
    codes = gauge("exit_code", "Exit status of the server, 128 + its number for a signal.")
    ends = gauge(
        "exit_info",
        "How the launch ended and why, without numbers and details; always 1.",
        "state",
        "cause",
        "signal",
        "cause_code",
    )
    for launch in launches:
        if launch.state not in ENDED_STATES:
            continue
        end = launch.record.get("exit") or {}
        name, code_of = end.get("signal") or "", end.get("causeCode") or ""
        code = end.get("code")
        if code is None and name in signal.Signals.__members__:
            code = 128 + signal.Signals[name]
        if code is not None:
            codes.add_metric(launch.labels, code)
        ends.add_metric((*launch.labels, launch.state, kind_of_cause(end.get("cause") or ""), name, code_of), 1)
    yield from (codes, ends)


def kind_of_cause(cause: str) -> str:
    """Return a cause without its numbers and the details after a colon.

    As a label it is then the same for the same failure, and has few values. The launch's log has the whole text.
    """
    return _NUMBER.sub("…", cause.partition(": ")[0])[:CAUSE_MAX_CHARACTERS]


def gpu_families(launches: list[LaunchSample], devices: list[dict[int, ProcessUse]]) -> Iterator[Metric]:
    """Return memory, utilisation and temperature by GPU or NPU. devices: from gpu.sample()."""
    memory = gauge("gpu_memory_bytes", "Memory that the launch's processes hold on a GPU.", "gpu")
    share = gauge("gpu_utilisation_ratio", "Share of the time in which the launch's kernels ran on a GPU.", "gpu")
    heat = gauge("gpu_temperature_celsius", "Temperature of a GPU on which the launch holds memory.", "gpu")
    for launch in launches:
        if launch.usage is None:
            continue
        for used in usage_of(launch.usage.pids, devices):
            memory.add_metric((*launch.labels, str(used.device)), used.memory_bytes)
            if used.utilisation_ratio is not None:
                share.add_metric((*launch.labels, str(used.device)), used.utilisation_ratio)
            if used.temperature is not None:
                heat.add_metric((*launch.labels, str(used.device)), used.temperature)
    yield from (memory, share, heat)


def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    """Return a gauge of the servers with the labels of a launch and further ones."""
    return GaugeMetricFamily(f"tracetail_server_{name}", text, labels=(*LAUNCH_LABEL_NAMES, *labels))


def counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    """Return a counter of the servers with the labels of a launch and further ones."""
    return CounterMetricFamily(f"tracetail_server_{name}", text, labels=(*LAUNCH_LABEL_NAMES, *labels))


def _sum_by_name(record: Record) -> Iterable[tuple[str, float]]:
    """Return name and seconds of the phases; those of the same name (of several workers) are summed."""
    total: dict[str, float] = {}
    for phase in record.get("phases") or []:
        total[phase["name"]] = total.get(phase["name"], 0.0) + phase["seconds"]
    return total.items()


def seconds_of(moment: str) -> float:
    """Return an ISO 8601 time in seconds since the epoch."""
    return datetime.fromisoformat(moment).timestamp()
