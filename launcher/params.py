"""The parameters of a launch: their names, types and descriptions. `params_input` reads them from JSON.

The description of a field is its documentation: on the command line, in the configuration and in the JSON Schema.
"""

import functools
import json
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

ENVS = ("dev", "test", "prod")
CONTAINER_RUNTIMES = ("docker", "podman")
ACTIONS = ("start", "stop", "restart", "status", "warmup", "smoke", "notify")


class ParametersError(ValueError):
    """Parameters cannot be used; the message is one line that says what to change, and holds no secret."""


class Smoke(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A prompt, and the pattern that the generated text must match."""

    prompt: str
    pattern: Annotated[str, Meta(description="regular expression that must be found in the answer")]
    max_tokens: Annotated[int, Meta(ge=1)] = 32


class Container(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The container in which the server runs."""

    image: Annotated[str, Meta(description="image in which the server runs, with tag or digest")] = ""
    runtime: Annotated[
        Literal["", "docker", "podman"],
        Meta(description="docker or podman (docker; podman where only that is there)"),
    ] = ""
    args: Annotated[list[str], Meta(description="further options of docker run or podman run, as --memory=64g")] = []
    mounts: Annotated[
        list[str],
        Meta(description="mounts, host path:path[:ro]; a modelPath that is a directory is mounted by itself"),
    ] = []
    gpus: Annotated[str, Meta(description="devices: all, none or indices (those of `devices`, else all)")] = ""
    network: Annotated[
        str, Meta(description="network (host); the port is published in any other than host, none and container:")
    ] = "host"
    shm_size: Annotated[str, Meta(description="size of /dev/shm, as 16g (16g for vllm, sglang and mindie)")] = ""
    user: Annotated[str, Meta(description="user in the container, as 1000:1000 (the image's)")] = ""
    pull: Annotated[Literal["missing", "always", "never"], Meta(description="when to pull the image (missing)")] = (
        "missing"
    )


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The parameters of `tracetail start`, `stop`, `restart`, `status` and `apply`."""

    action: Annotated[
        Literal["start", "stop", "restart", "status", "warmup", "smoke", "notify"],
        Meta(description="what `tracetail apply` does"),
    ] = "start"
    service: Annotated[
        str, Meta(description="table of defaults in the configuration: [launcher.services.<name>]")
    ] = ""
    model_name: Annotated[str, Meta(description="name of the service, in labels and commands (required)")] = ""
    served_name: Annotated[str, Meta(description="name under which the API serves it (modelName)")] = ""
    model_path: Annotated[str, Meta(description="directory of the model, or its name at a hub")] = ""
    container: Annotated[
        Container | None,
        Meta(description="run the server in a container: {image, runtime, args, mounts, gpus, network, …}"),
    ] = None
    port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None, Meta(description="port to serve at (8000; none for custom)")
    ] = None
    host: Annotated[str, Meta(description="address to serve at (all interfaces)")] = ""
    engine: Annotated[
        Literal["", "vllm", "sglang", "mindie", "custom"],
        Meta(description="inference engine (vllm; custom when `command` is given)"),
    ] = ""
    command: Annotated[
        list[str], Meta(description="custom: argument list; {port} {modelPath} {modelName} are filled in")
    ] = []
    python_bin: Annotated[str, Meta(description="Python of the engine's environment (python3)")] = ""
    args: Annotated[list[str], Meta(description="further arguments of the engine")] = []
    environ: Annotated[dict[str, str], Meta(description="further environment variables")] = {}
    devices: Annotated[list[str], Meta(description="indices of the devices to use, for instance [0, 1]")] = []
    nodes: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        Meta(description="how many machines serve the model together (1)"),
    ] = None
    node_rank: Annotated[
        Annotated[int, Meta(ge=0, le=10_000)] | None,
        Meta(description="number of this machine among them; over 0: a follower, which has no API"),
    ] = None
    work_dir: Annotated[str, Meta(description="directory to start in")] = ""
    pre_start: Annotated[
        list[str], Meta(description="command to run before the server; its failure fails the start")
    ] = []
    env: Annotated[Literal["dev", "test", "prod"], Meta(description="label; an object is taken as `environ`")] = (
        "test"
    )
    trace_id: Annotated[str, Meta(description="trace of the test platform (a new one)")] = ""
    instance_id: Annotated[
        str, Meta(description="the scheduler's id of this run (PowerJob's, else the launchId)")
    ] = ""
    job_id: Annotated[str, Meta(description="the scheduler's id of the job")] = ""
    ready_when: Annotated[
        str, Meta(description="http, port, alive or log:<regex> (http; alive for a custom without a port)")
    ] = ""
    ready_path: Annotated[str, Meta(description="path that answers 200 when the server is ready (/health)")] = ""
    ready_timeout_sec: Annotated[float, Meta(gt=0, description="seconds until a start has failed")] = 900.0
    stop_timeout_sec: Annotated[float, Meta(ge=0, description="seconds from SIGTERM to SIGKILL")] = 30.0
    liveness_probe: Annotated[
        Literal["health", "token", "none"],
        Meta(description="probe of a ready server: health (its readyPath), token (one token as well) or none"),
    ] = "health"
    liveness_interval_sec: Annotated[float, Meta(ge=1, description="seconds between two such probes")] = 5.0
    liveness_timeout_sec: Annotated[
        float, Meta(ge=1, description="seconds of failed probes after which a server is unhealthy")
    ] = 15.0
    warmup: Annotated[bool, Meta(description="generate a token before the server counts as ready")] = False
    smoke: Annotated[Smoke | None, Meta(description="prompt, and pattern that its answer must match")] = None
    if_running: Annotated[
        Literal["", "reuse", "restart", "fail"],
        Meta(description="what to do if the service runs (reuse if the parameters are equal, else restart)"),
    ] = ""
    restart: Annotated[Literal["never", "on-crash"], Meta(description="start again after a crash")] = "never"
    callback_url: Annotated[
        str, Meta(description="where to report ready, unhealthy, recovered, failed, stopped, crashed")
    ] = ""
    callback_token_file: Annotated[
        str, Meta(description="file with a bearer token for callbackUrl, or a robot's secret")
    ] = ""
    api_key_file: Annotated[str, Meta(description="file with the API key of the server")] = ""
    log_dir: Annotated[str, Meta(description="directory of the logs (<stateDir>/logs)")] = ""
    max_log_mb: Annotated[int, Meta(ge=1, description="size of a log segment in MiB")] = msgspec.field(
        default=200, name="maxLogMB"
    )
    keep_logs: Annotated[int, Meta(ge=1, description="how many segments of a launch are kept")] = 20
    script_path: Annotated[str, Meta(description="command of a custom; else ignored, with a warning")] = ""


EMPTY = Params()
FIELDS = {f.encode_name: f.name for f in msgspec.structs.fields(Params)}
"""camelCase name → attribute."""
CONTAINER_FIELDS = {f.encode_name: f.name for f in msgspec.structs.fields(Container)}
"""camelCase name → attribute, of the parameters in `container`."""

# Two starts that differ only in these are the same start.
NOT_COMPARED = frozenset(
    {
        "action",
        "ifRunning",
        "jobId",
        "instanceId",
        "callbackUrl",
        "callbackTokenFile",
        "readyTimeoutSec",
        "livenessIntervalSec",
        "livenessTimeoutSec",
        "stopTimeoutSec",
    }
)


def default_engine(command: Sequence[str]) -> str:
    """Return the engine for parameters that name none."""
    return "custom" if command else "vllm"


def to_object(params: Params) -> dict[str, Any]:
    """Return the parameters as a JSON object with camelCase keys, without those that have their defaults."""
    values = msgspec.to_builtins(params)
    defaults = msgspec.to_builtins(EMPTY)
    return {name: value for name, value in values.items() if value != defaults[name]}


def same_start(running: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether two starts, given by to_object(), ask for the same server; an absent traceId matches any."""
    ignored = NOT_COMPARED if wanted.get("traceId") else NOT_COMPARED | {"traceId"}
    return {k: v for k, v in running.items() if k not in ignored} == {
        k: v for k, v in wanted.items() if k not in ignored
    }


def start_digest(wanted: Mapping[str, Any]) -> str:
    """Return what is equal for two starts, given by to_object(), that ask for the same server, whatever the trace."""
    import hashlib  # noqa: PLC0415  (for a start alone: it loads OpenSSL)

    compared = {k: v for k, v in wanted.items() if k not in NOT_COMPARED | {"traceId"}}
    return hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()[:32]


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the parameters."""
    document = msgspec.json.schema(Params)
    document["$defs"]["Params"]["required"] = ["modelName"]
    return document


def description(attribute: str, of: type[msgspec.Struct] = Params) -> str:
    """Return a parameter's description, one line; "" if it has none. of: Params or Container."""
    hint = _hints(of)[attribute]
    notes = getattr(hint, "__metadata__", ())
    return next((note.description for note in notes if isinstance(note, Meta) and note.description), "")


@functools.cache
def _hints(of: type[msgspec.Struct]) -> dict[str, Any]:
    return typing.get_type_hints(of, include_extras=True)


def flag_types(of: type[msgspec.Struct] = Params) -> dict[str, type]:
    """Return attribute → type for the parameters that are also command line flags: those with plain types."""
    found: dict[str, type] = {}
    for name, hint in typing.get_type_hints(of).items():
        if hint in (str, int, float, bool):
            found[name] = hint
        elif hint == (int | None):
            found[name] = int
        elif typing.get_origin(hint) is Literal:
            found[name] = str
    return found
