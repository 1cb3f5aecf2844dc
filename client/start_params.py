"""The parameters of a start as keyword arguments: those of `tracetail start`, in snake_case (docs/launcher.md)."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from tracetail.client.ports import free_port


class ContainerParams(TypedDict, total=False):
    """The container in which the server runs."""

    image: str
    runtime: Literal["docker", "podman"]
    args: Sequence[str]
    mounts: Sequence[str]
    gpus: str
    network: str
    shm_size: str
    user: str
    pull: Literal["missing", "always", "never"]


class SmokeParams(TypedDict, total=False):
    """A prompt, and the regular expression that must be found in the answer."""

    prompt: str
    pattern: str
    max_tokens: int


class StartParams(TypedDict, total=False):
    """What to start. `port=0` chooses a free port; `command` may hold {port}, {modelPath} and {modelName}."""

    service: str
    model_name: str
    served_name: str
    model_path: str
    container: ContainerParams
    port: int
    host: str
    engine: Literal["vllm", "sglang", "mindie", "custom"]
    command: Sequence[str]
    python_bin: str
    args: Sequence[str]
    environ: Mapping[str, str]
    devices: Sequence[str | int]
    nodes: int
    node_rank: int
    work_dir: str
    pre_start: Sequence[str]
    env: Literal["dev", "test", "prod"]
    trace_id: str
    instance_id: str
    job_id: str
    ready_when: str
    ready_path: str
    ready_timeout_sec: float
    stop_timeout_sec: float
    liveness_probe: Literal["health", "token", "none"]
    liveness_interval_sec: float
    liveness_timeout_sec: float
    warmup: bool
    smoke: SmokeParams
    if_running: Literal["reuse", "restart", "fail"]
    restart: Literal["never", "on-crash"]
    callback_url: str
    callback_token_file: str
    api_key_file: str
    log_dir: str
    max_log_mb: int
    keep_logs: int
    script_path: str


def as_object(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as JSON for `tracetail start`, with a free port for the port 0."""
    found = dict(params)
    if found.get("port") == 0:
        found["port"] = free_port()
    return found
