"""What is known of a launch at one moment, from its record or from the panel."""

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from tracetail.contract.record import ENDED_STATES, READY, Record


@dataclass(frozen=True, slots=True)
class Phase:
    """A step of a start, as `weights`, and how many seconds it took (None if that is not known)."""

    name: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class LaunchInfo:
    """What is known of a launch. A text that is not known is empty."""

    launch_id: str
    trace_id: str
    instance_id: str
    model_name: str
    engine: str
    env: str
    host: str
    """The machine."""
    state: str
    """starting, ready, unhealthy, stopping, failed, stopped or crashed."""
    service: str = ""
    served_name: str = ""
    command: str = ""
    """The server's command line, secrets masked."""
    image: str = ""
    """Of its container."""
    port: int | None = None
    url: str = ""
    """The base URL of the server, once it is ready."""
    pid: int | None = None
    cause: str = ""
    """Why it failed, crashed or is unhealthy."""
    hint: str = ""
    cause_code: str = ""
    cause_zh: str = ""
    hint_zh: str = ""
    evidence: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    started_at: datetime | None = None
    ready_at: datetime | None = None
    ended_at: datetime | None = None
    log_file: str = ""
    """On its machine; empty if it is another one."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.state in ENDED_STATES

    @property
    def is_ready(self) -> bool:
        """Whether the server answers."""
        return self.state == READY

    @property
    def ready_seconds(self) -> float | None:
        """How long its start took; None if it never was ready."""
        if self.started_at is None or self.ready_at is None:
            return None
        return (self.ready_at - self.started_at).total_seconds()

    @classmethod
    def of_record(cls, record: Record, state: str) -> Self:
        """Return what a record says. state: the effective one."""
        server = record.get("server")
        ended: Mapping[str, Any] = record.get("exit", {})
        return cls(
            **_ids(record),
            state=state,
            command=shlex.join(record.get("argv", [])),
            image=record.get("container", {}).get("image", ""),
            port=record.get("port"),
            url=record.get("url", ""),
            pid=server["pid"] if server else None,
            **_cause({**record.get("health", {}), **ended}),
            phases=_phases(record.get("phases", [])),
            started_at=_moment(record.get("startedAt")),
            ready_at=_moment(record.get("readyAt")),
            ended_at=_moment(record.get("endedAt")),
            log_file=record.get("logFile", ""),
        )

    @classmethod
    def of_panel(cls, found: Mapping[str, Any]) -> Self:
        """Return what an object of the panel's API says."""
        return cls(
            **_ids(found),
            state=found["state"],
            command=found.get("command", ""),
            image=found.get("image", ""),
            port=found.get("port"),
            url=found.get("url", ""),
            pid=found.get("pid"),
            **_cause({**found.get("health", {}), **found.get("exit", {})}),
            phases=_phases(found.get("phases", [])),
            started_at=_of_nanoseconds(found.get("startedAt")),
            ready_at=_of_nanoseconds(found.get("readyAt")),
            ended_at=_of_nanoseconds(found.get("endedAt")),
        )


class LaunchFacts:
    """What a launch says of itself, by its last look."""

    @property
    def info(self) -> LaunchInfo:
        """What the last look found."""
        raise NotImplementedError

    @property
    def launch_id(self) -> str:
        """The id of this start; unique."""
        return self.info.launch_id

    @property
    def trace_id(self) -> str:
        """The id of the trace that it belongs to."""
        return self.info.trace_id

    @property
    def model_name(self) -> str:
        """The name of the service."""
        return self.info.model_name

    @property
    def url(self) -> str:
        """The base URL of the server, as http://127.0.0.1:8000; empty before it is ready, or without a port."""
        return self.info.url

    @property
    def state(self) -> str:
        """Starting, ready, unhealthy, stopping, failed, stopped or crashed."""
        return self.info.state

    @property
    def cause(self) -> str:
        """Why it failed, crashed or is unhealthy; empty if it did not."""
        return self.info.cause

    @property
    def hint(self) -> str:
        """What to do about it; may be empty."""
        return self.info.hint

    @property
    def evidence(self) -> tuple[str, ...]:
        """The lines of the log that name the cause."""
        return self.info.evidence

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The steps of the start that have ended, with their seconds."""
        return self.info.phases


def _ids(found: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "launch_id": "launchId",
        "trace_id": "traceId",
        "instance_id": "instanceId",
        "model_name": "modelName",
        "engine": "engine",
        "env": "env",
        "host": "host",
        "service": "service",
        "served_name": "servedName",
    }
    return {name: found.get(key) or "" for name, key in names.items()}


def _cause(found: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "cause": "cause",
        "hint": "hint",
        "cause_code": "causeCode",
        "cause_zh": "causeZh",
        "hint_zh": "hintZh",
    }
    texts = {name: str(found.get(key) or "") for name, key in names.items()}
    return {**texts, "evidence": tuple(found.get("evidence", ()))}


def _phases(found: Sequence[Mapping[str, Any]]) -> tuple[Phase, ...]:
    return tuple(Phase(phase["name"], phase.get("seconds")) for phase in found)


def _moment(text: str | None) -> datetime | None:
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(text) if text else None
    return None


def _of_nanoseconds(text: str | None) -> datetime | None:
    return datetime.fromtimestamp(int(text) / 1e9, UTC).astimezone() if text else None
