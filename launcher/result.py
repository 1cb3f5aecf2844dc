"""The result of start, stop, restart and status: the exit status, and the line that a scheduler shows."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from tracetail.contract.json_text import json_text
from tracetail.contract.masking import mask_text
from tracetail.contract.record import Exit, Record

OK = 0
BAD_PARAMETERS = 2
STOPPED = 3
EXITED_BEFORE_READY = 10
NOT_READY_IN_TIME = 11
PORT_HELD = 12
LOCKED = 13
STOP_INCOMPLETE = 14
PREFLIGHT_FAILED = 15
CHANGING = 20
UNHEALTHY = 21
REFUSED = frozenset({BAD_PARAMETERS, PORT_HELD, LOCKED, PREFLIGHT_FAILED})
"""Nothing was started or stopped: the cause is printed as an error, in one line on stderr."""

MARK = "TRACETAIL_RESULT"
EVIDENCE_MAX = 500
"""Characters of a line of evidence: a scheduler keeps a few thousand characters of the whole result."""

_CODES = {
    BAD_PARAMETERS: "bad_parameters",
    PORT_HELD: "port_in_use",
    LOCKED: "locked",
    PREFLIGHT_FAILED: "preflight_failed",
}
"""The codes of refusals that name none."""
_CAUSE_FIELDS: tuple[Literal["causeCode", "causeKind", "causeZh", "hintZh"], ...] = (
    "causeCode",
    "causeKind",
    "causeZh",
    "hintZh",
)
_SUMMARY = ("launchId", "service", "host", "nodeRank", "role", "state", "exitStatus", "url", "cause", "causeCode")


class Refusal(Exception):  # noqa: N818  (events and documentation call it so)
    """A start is refused before there is a server. status: the exit status."""

    def __init__(
        self, status: int, cause: str, hint: str = "", code: str = "", zh: tuple[str, str] = ("", "")
    ) -> None:
        """code: of the cause, as in docs/causes.md. zh: cause and hint in Chinese."""
        super().__init__(cause)
        self.status = status
        self.cause = cause
        self.hint = hint
        self.code = code or _CODES.get(status, "not_started")
        self.zh = zh


class Result(NamedTuple):
    """The result of an operation."""

    action: str
    status: int
    """The exit status."""
    record: Record | None = None
    state: str = ""
    """The current state; "" for the record's."""
    seconds: float = 0.0
    cause: str = ""
    hint: str = ""
    zh: Sequence[str] = ("", "")
    """Cause and hint in Chinese; "" for what is there in English only."""
    reused: bool = False
    tail: Sequence[str] = ()
    """The server's last lines, secrets masked, if it failed and no line names the cause."""
    excerpt: Sequence[str] = ()
    """The lines around the one that names the cause, secrets masked."""
    excerpt_at: int = 0
    """Which of them it is."""
    panel_url: str = ""
    """The panel's page of the launch, without a token; "" if no panel is known."""
    launches: Sequence["Result"] = ()
    """The result of each service, the worst first, where a traceId selects several services."""

    def to_object(self) -> dict[str, Any]:
        """Return the JSON object behind TRACETAIL_RESULT; secrets in what may quote the server's lines are masked."""
        record = self.record or {}
        ended = record.get("exit", {})
        server = record.get("server")
        values: dict[str, Any] = {
            "action": self.action,
            "exitStatus": self.status,
            "state": self.state or record.get("state"),
            "reused": self.reused or None,
            "traceId": record.get("traceId"),
            "instanceId": record.get("instanceId"),
            "launchId": record.get("launchId"),
            "jobId": record.get("jobId"),
            "service": record.get("service"),
            "env": record.get("env"),
            "modelName": record.get("modelName"),
            "engine": record.get("engine"),
            "host": record.get("host"),
            "port": record.get("port"),
            "nodes": record.get("nodes"),
            "nodeRank": record.get("nodeRank"),
            "role": record.get("role"),
            "container": _container_of(record),
            "pid": server["pid"] if server else None,
            "url": record.get("url"),
            "panelUrl": self.panel_url,
            "logFile": record.get("logFile"),
            "seconds": round(self.seconds, 3),
            "cause": mask_text(self.cause or ended.get("cause") or ""),
            "hint": mask_text(self.hint or ended.get("hint") or ""),
            "evidence": [] if self.cause else [mask_text(line)[:EVIDENCE_MAX] for line in ended.get("evidence", [])],
            **self._described(ended),
            "launches": [one.summary() for one in self.launches],
        }
        return {name: value for name, value in values.items() if value not in (None, "", [])}

    def _described(self, ended: Exit) -> dict[str, Any]:
        """Return cause and hint in Chinese, and the code of the cause if it is the record's."""
        if self.cause and self.cause != ended.get("cause"):
            return {"causeZh": mask_text(self.zh[0]), "hintZh": mask_text(self.zh[1])}
        return {name: mask_text(ended[name]) for name in _CAUSE_FIELDS if name in ended}

    def summary(self) -> dict[str, Any]:
        """Return what `launches` of a result has of each launch."""
        values = self.to_object()
        return {name: values[name] for name in _SUMMARY if name in values}

    def line(self) -> str:
        """Return the last line of the output."""
        return f"{MARK} {json_text(self.to_object())}"


def _container_of(record: Record) -> dict[str, Any] | None:
    """Return the container of a launch: what it is, and how it ended."""
    container = record.get("container")
    if container is None:
        return None
    shown = {name: value for name, value in container.items() if name not in ("init", "problem")}
    return {**shown, **record.get("exit", {}).get("container", {})}
