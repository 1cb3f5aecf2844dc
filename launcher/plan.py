"""The plan of a launch, written by `tracetail start` for the keeper.

`<launchDir>/plan.json`, readable by its owner only, as its environment may hold secrets.
"""

import json
import signal
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from tracetail.contract.owned_files import read_owned, replace_file
from tracetail.contract.record import LaunchDir, Record
from tracetail.contract.secret_pattern import UsersOwn

ADOPT = "adopt"
"""The keeper's argument for adopting a launch, in place of the lock's descriptor."""
FOREGROUND = "foreground"
"""The keeper's argument, behind the lock's descriptor, for being the main process of a container."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""They stop a launch in the foreground: the server gets SIGTERM, after stopTimeoutSec SIGKILL."""

CONTAINER_ID_FILE = "container.id"
"""In the launch's directory: the id of its container, written by the command that makes it."""
CONTAINER_ENVIRON_FILE = "container.env"
"""In the launch's directory while the container is made: the variables that no command line shows."""

SEGMENT_MODE = 0o640

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


class ForegroundPlan(TypedDict):
    """What a keeper in the foreground does (`tracetail run`)."""

    terminationLog: str
    """File for the cause of a failure; "" for Kubernetes' own, if it exists."""
    plainStdout: bool
    """Stdout gets the server's own lines."""
    stdoutOnly: bool
    """Segments are deleted although no agent has shipped them."""


class ContainerPlan(TypedDict):
    """The container in which the server runs. `argv` of the plan is then what is run behind its entrypoint."""

    runtime: str
    """`docker` or `podman`."""
    client: dict[str, str]
    """The environment of the runtime's client: it decides which engine it uses."""
    image: str
    labels: dict[str, str]
    """Those by which the container is found, and that no other container has."""
    pull: list[str]
    """The command that pulls the image; empty if it is there."""
    create: list[str]
    """The command that makes the container: it reads CONTAINER_ENVIRON_FILE and writes CONTAINER_ID_FILE."""
    secrets: dict[str, str]
    """The content of CONTAINER_ENVIRON_FILE."""


class Plan(TypedDict):
    """The content of plan.json."""

    params: dict[str, Any]
    """The completed parameters, for comparison and for a restart."""
    argv: list[str]
    environ: dict[str, str]
    """Variables added to the caller's environment for the server."""
    workDir: str
    preStart: list[str]
    container: ContainerPlan | None
    ready: ReadyPlan
    liveness: LivenessPlan
    log: LogPlan
    stopTimeoutSec: float
    callbackUrl: str
    callbackTokenFile: str
    apiKeyFile: str
    redaction: UsersOwn
    """What is masked beside the common secrets, and what is not."""
    restart: str
    attempt: int
    """The number of the restart after a crash that this launch is; 0 for none."""
    foreground: NotRequired[ForegroundPlan]
    """Of a launch that `tracetail run` has started."""


def own_key_file(settings: Plan) -> str:
    """Return the file of the API key if the process that gets it has to be of this user; "" if there is none.

    In a container, and behind a command of the user's own, the server may run as any user.
    """
    params = settings["params"]
    elsewhere = settings["container"] is not None or params.get("command") or params.get("engine") == "custom"
    return "" if elsewhere else settings["apiKeyFile"]


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
        found.setdefault("container", None)
        found.setdefault("redaction", {"extra": [], "keep": []})
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
