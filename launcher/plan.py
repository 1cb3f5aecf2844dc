"""The plan of a launch: what `tracetail start` has decided and the keeper carries out.

`<launchDir>/plan.json`, readable by its owner only: the environment in it may hold secrets.
"""

import json
from pathlib import Path
from typing import Any, TypedDict, cast

from tracetail.contract.record import LaunchDir, Record, replace_file

ADOPT = "adopt"
"""A keeper's argument instead of the lock's descriptor: it takes over."""

HTTP = "http"
PORT = "port"
ALIVE = "alive"
LOG = "log"
ALIVE_SECONDS = 2.0


class Smoke(TypedDict):
    """A prompt and what its answer must match."""

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
    """Where the served model must be listed; empty if that is not asked for."""
    completionsPath: str
    servedName: str
    pattern: str
    """The regular expression for `log`."""
    timeoutSec: float
    warmup: bool
    smoke: Smoke | None


class LogPlan(TypedDict):
    """Where the log goes."""

    directory: str
    stem: str
    """The segments' name without its ending."""
    maxBytes: int
    keep: int
    minFreeBytes: int
    """With less room than this on its disk the log gives up its oldest segments."""


class Plan(TypedDict):
    """Everything that the keeper needs to know."""

    params: dict[str, Any]
    """The parameters as they were given and completed, for comparison and for a restart."""
    argv: list[str]
    environ: dict[str, str]
    """What is set in the server's environment on top of the caller's."""
    workDir: str
    preStart: list[str]
    ready: ReadyPlan
    log: LogPlan
    stopTimeoutSec: float
    callbackUrl: str
    callbackTokenFile: str
    apiKeyFile: str
    restart: str
    attempt: int
    """How many restarts after a crash went before this launch."""


def plan_path(launch: LaunchDir) -> Path:
    """Return the file of a launch's plan."""
    return launch.path / "plan.json"


def read(launch: LaunchDir) -> Plan:
    """Read the plan. Raises OSError or ValueError."""
    return cast("Plan", json.loads(plan_path(launch).read_bytes()))


def write(launch: LaunchDir, plan: Plan) -> None:
    """Write the plan, for its owner's eyes only."""
    replace_file(plan_path(launch), json.dumps(plan, ensure_ascii=False, indent=1).encode(), mode=0o600)


def log_of(found: Record, *, max_mb: int = 200, keep: int = 20, min_free_bytes: int = 0) -> LogPlan:
    """Return where the log of a launch is, and its limits (of no matter to who adds a line at its end)."""
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
