"""The plan of a launch, written by `tracetail start` for the keeper.

`<launchDir>/plan.json`, readable by its owner only, as its environment may hold secrets.
"""

import json
from pathlib import Path
from typing import Any, TypedDict, cast

from tracetail.contract.owned_files import read_owned, replace_file
from tracetail.contract.record import LaunchDir, Record

ADOPT = "adopt"
"""The keeper's argument for adopting a launch, in place of the lock's descriptor."""

HTTP = "http"
PORT = "port"
ALIVE = "alive"
LOG = "log"
ALIVE_SECONDS = 2.0

HEALTH = "health"
TOKEN = "token"  # noqa: S105  (of a model)
NONE = "none"


class Smoke(TypedDict):
    """A prompt, and the pattern that the generated text must match."""

    prompt: str
    pattern: str
    maxTokens: int


class ReadyPlan(TypedDict):
    """When the server counts as ready."""

    kind: str
    """`http`, `port`, `alive` or `log`."""
    host: str
    port: int | None
    path: str
    modelsPath: str
    """Path of the list that must contain the served model; empty for no such check."""
    completionsPath: str
    servedName: str
    pattern: str
    """The regular expression for `log`."""
    timeoutSec: float
    tls: bool
    """It is probed by https."""
    warmup: bool
    smoke: Smoke | None


class LivenessPlan(TypedDict):
    """How a ready server is probed."""

    kind: str
    """`health`, `token` or `none`."""
    intervalSec: float
    timeoutSec: float
    """Failures over this time make it unhealthy."""


class LogPlan(TypedDict):
    """Where the log goes."""

    directory: str
    stem: str
    """The file name of the segments without number and ending."""
    maxBytes: int
    keep: int
    minFreeBytes: int
    """The oldest segments are deleted while less than this is free on their disk."""


class Plan(TypedDict):
    """The content of plan.json."""

    params: dict[str, Any]
    """The completed parameters, for comparison and for a restart."""
    argv: list[str]
    environ: dict[str, str]
    """Variables added to the caller's environment for the server."""
    workDir: str
    preStart: list[str]
    ready: ReadyPlan
    liveness: LivenessPlan
    log: LogPlan
    stopTimeoutSec: float
    callbackUrl: str
    callbackTokenFile: str
    apiKeyFile: str
    restart: str
    attempt: int
    """The number of the restart after a crash that this launch is; 0 for none."""


def plan_path(launch: LaunchDir) -> Path:
    """Return the path of a launch's plan."""
    return launch.path / "plan.json"


def read(launch: LaunchDir) -> Plan:
    """Read the plan, which an earlier version may have written.

    Raises OSError, ValueError; ForeignFileError for that of another user: its commands are his.
    """
    found = json.loads(read_owned(launch.path, plan_path(launch).name, ours=True))
    if isinstance(found, dict) and isinstance(found.get("ready"), dict):
        found["ready"].setdefault("tls", False)
        found.setdefault("liveness", {"kind": HEALTH, "intervalSec": 5.0, "timeoutSec": 15.0})
    return cast("Plan", found)


def write(launch: LaunchDir, plan: Plan) -> None:
    """Write the plan, readable by its owner only."""
    replace_file(plan_path(launch), json.dumps(plan, ensure_ascii=False, indent=1).encode(), mode=0o600)


def log_of(found: Record, *, max_mb: int = 200, keep: int = 20, min_free_bytes: int = 0) -> LogPlan:
    """Return the log part of a plan for a launch. The limits do not matter for reading, or for appending an event."""
    path = Path(found["logFile"])
    return {
        "directory": str(path.parent),
        "stem": path.name.removesuffix(".log"),
        "maxBytes": max_mb * 1024 * 1024,
        "keep": keep,
        "minFreeBytes": min_free_bytes,
    }


def segment_path(log: LogPlan, number: int) -> Path:
    """Return the path of segment number (from 1)."""
    ending = ".log" if number == 1 else f".{number}.log"
    return Path(log["directory"]) / (log["stem"] + ending)
