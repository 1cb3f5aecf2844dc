"""Makes new launches: their directory, record and plan, after the checks that need no server."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tracetail.contract import identity, record
from tracetail.contract.masking import mask_command_line, users_own
from tracetail.contract.owned_files import replace_file
from tracetail.contract.process_tag import LAUNCH_TAG
from tracetail.contract.record import LaunchDir, LaunchLock, Record
from tracetail.contract.state import DIRECTORY_MODE, launches_dir, make_directory, set_directory_mode
from tracetail.launcher import disk_reserve, engines, plan, registry
from tracetail.launcher import params as parameters
from tracetail.launcher.engines import nodes
from tracetail.launcher.log.stamper import timestamp_now
from tracetail.launcher.machine.devices import devices_variable
from tracetail.launcher.operations import preflight
from tracetail.launcher.params import Params
from tracetail.launcher.plan import Plan
from tracetail.launcher.result import PREFLIGHT_FAILED, Refusal
from tracetail.launcher.schedulers import scheduler_ids
from tracetail.launcher.trace_context import trace_variables

if TYPE_CHECKING:
    from tracetail.launcher.operations.container_plan import Image


def prepare(
    params: Params,
    state_dir: Path,
    attempt: int,
    min_free_bytes: int,
    made: tuple[LaunchDir, LaunchLock, Record] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> tuple[LaunchDir, LaunchLock]:
    """Check parameters, claim port and devices, and write record and plan; return the launch and its held lock.

    Args:
        params: what to start; completed.
        state_dir: the state directory.
        attempt: the number of the restart after a crash; 0 for none.
        min_free_bytes: bytes to keep free on the disks of state and log.
        made: a launch that make_launch() returned; None: make one.
        overrides: entries of the plan that differ from what follows from the parameters.

    Raises Refusal.

    """
    image = check(params, state_dir, min_free_bytes)
    try:
        engine = engines.load(params.engine)
        command = (engine.command if params.container is None else engine.container_command)(params)
    except (engines.EngineError, OSError) as error:
        raise Refusal(PREFLIGHT_FAILED, str(error), zh=(f"无法组成启动命令：{error}", "")) from error
    with registry.claims_lock(state_dir):
        own = made[0].launch_id if made else ""
        others = [
            other for other in registry.machine_launches(state_dir) if other.live and other.dir.launch_id != own
        ]
        preflight.check_claims(params, others)
        preflight.check_port(params)
        launch, lock, draft = made or make_launch(params, state_dir)
        try:
            settings = _plan(params, command, launch, draft, attempt, min_free_bytes)
            settings = cast("Plan", {**settings, **(overrides or {})})
            if params.container is not None:
                from tracetail.launcher.operations import container_plan  # noqa: PLC0415  (only for a container)

                settings = container_plan.within_container(
                    settings, params, command, launch, draft, image, launch_environ(draft, params)
                )
            draft["argv"] = mask_command_line(_readable_argv(settings, command))
            for name, content in command.files.items():
                replace_file(launch.path / name, content.encode(), mode=0o640)
            plan.write(launch, settings)
            disk_reserve.reserve(launch)
            lock.write(draft)
        except BaseException:
            lock.release()
            raise
    return launch, lock


def check(params: Params, state_dir: Path, min_free_bytes: int) -> "Image | None":
    """Check what needs no claim: paths, disks, devices, the container runtime. Raises Refusal.

    Returns the image of a container, if it is on this machine.
    """
    log_dir = Path(params.log_dir) if params.log_dir else state_dir / "logs"
    preflight.check_paths(params)
    preflight.check_disk("logDir", log_dir, min_free_bytes)
    preflight.check_disk("state directory", state_dir, min_free_bytes)
    preflight.check_devices(params)
    if params.container is None:
        return None
    from tracetail.launcher.operations import container_plan  # noqa: PLC0415  (only for a container)

    return container_plan.check(params)


def make_launch(params: Params, state_dir: Path, launch_id: str = "") -> tuple[LaunchDir, LaunchLock, Record]:
    """Make the directory of a new launch; return it, its lock (held) and the draft of its record."""
    root = launches_dir(state_dir)
    make_directory(root)
    while True:
        launch = LaunchDir(root / (launch_id or identity.new_launch_id(time.time())))
        try:
            launch.path.mkdir(mode=DIRECTORY_MODE)
            set_directory_mode(launch.path)
            break
        except FileExistsError:
            if launch_id:
                raise
    lock = LaunchLock(launch)
    lock.acquire()
    path = str(log_path(params, state_dir, launch.launch_id))
    run = scheduler_ids()
    draft: Record = {
        "schema": record.SCHEMA,
        "launchId": launch.launch_id,
        "traceId": params.trace_id or run.trace_id or identity.new_trace_id(),
        "instanceId": params.instance_id or run.instance_id or launch.launch_id,
        "jobId": params.job_id or run.job_id,
        "service": registry.service_name(params.env, params.model_name, params.port, params.node_rank),
        "env": params.env,
        "modelName": params.model_name,
        "servedName": params.served_name or params.model_name,
        "engine": params.engine or parameters.default_engine(params.command),
        "host": os.uname().nodename,
        "port": params.port,
        "devices": params.devices,
        "argv": [],
        "logFile": path,
        "segments": [path],
        "state": record.STARTING,
        "phases": [],
        "startedAt": timestamp_now(),
    }
    place = nodes.place_of(params.engine, params.command or params.args, params.nodes, params.node_rank)
    if place.nodes is not None:
        draft["nodes"] = place.nodes
    if place.rank is not None:
        draft["nodeRank"] = place.rank
    if place.role:
        draft["role"] = place.role
    return launch, lock, draft


def log_path(params: Params, state_dir: Path, launch_id: str) -> Path:
    """Return the path of the first segment of a launch's log."""
    root = Path(params.log_dir).absolute() if params.log_dir else state_dir / "logs"
    date = f"{launch_id[:4]}-{launch_id[4:6]}-{launch_id[6:8]}_{launch_id[9:15]}"
    name = f"{identity.slug(params.model_name)}-{date}-{launch_id[-6:]}.log"
    engine = params.engine or parameters.default_engine(params.command)
    return root / params.env / engine / name


def _readable_argv(settings: Plan, command: engines.Command) -> list[str]:
    """Return the command line of a launch, as its record shows it."""
    if settings["container"] is None:
        return command.argv
    from tracetail.launcher.containers import create_command  # noqa: PLC0415  (only for a container)

    return create_command.readable(settings["container"]["create"])


def _plan(
    params: Params, command: engines.Command, launch: LaunchDir, draft: Record, attempt: int, min_free_bytes: int
) -> Plan:
    engine = engines.load(params.engine)
    kind, _, pattern = params.ready_when.partition(":")
    served = engines.flag_value(params.args, "--served-model-name") or params.served_name
    asks_for_model = params.engine != "custom" or params.served_name != params.model_name
    here = {"launchDir": str(launch.path)}
    environ = {name: engines.fill(value, here) for name, value in command.environ.items()}
    environ |= params.environ | launch_environ(draft, params)
    if params.devices and params.container is None:
        environ[devices_variable(params.engine, params.python_bin)] = ",".join(params.devices)
    return {
        "params": parameters.to_object(params),
        "argv": [engines.fill(word, here) for word in command.argv],
        "environ": environ,
        "workDir": params.work_dir or os.getcwd(),  # noqa: PTH109
        "preStart": params.pre_start,
        "container": None,
        "ready": {
            "kind": kind,
            "host": params.host,
            "port": params.port,
            "path": params.ready_path,
            "modelsPath": engine.models_path if asks_for_model else "",
            "completionsPath": engine.completions_path,
            "servedName": served,
            "pattern": pattern,
            "timeoutSec": params.ready_timeout_sec,
            "tls": engines.serves_tls(command.argv),
            "warmup": params.warmup,
            "smoke": None
            if params.smoke is None
            else {
                "prompt": params.smoke.prompt,
                "pattern": params.smoke.pattern,
                "maxTokens": params.smoke.max_tokens,
            },
        },
        "liveness": {
            "kind": params.liveness_probe,
            "intervalSec": params.liveness_interval_sec,
            "timeoutSec": params.liveness_timeout_sec,
        },
        "log": plan.log_of(draft, max_mb=params.max_log_mb, keep=params.keep_logs, min_free_bytes=min_free_bytes),
        "redaction": users_own(),
        "stopTimeoutSec": params.stop_timeout_sec,
        "callbackUrl": params.callback_url,
        "callbackTokenFile": params.callback_token_file,
        "apiKeyFile": params.api_key_file,
        "restart": params.restart,
        "attempt": attempt,
    }


def launch_environ(draft: Record, params: Params) -> dict[str, str]:
    """Return the variables by which a server knows its launch."""
    return {
        "TRACE_ID": draft["traceId"],
        "INSTANCE_ID": draft["instanceId"],
        LAUNCH_TAG: draft["launchId"],
        "SPT_NOENV": "1",
        "PYTHONUNBUFFERED": "1",
        **trace_variables(draft, params.environ),
    }
