"""Starts a launch: looks whether it may, writes down what is to happen, starts the keeper, waits for the outcome."""

import errno
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from tracetail.contract import events, identity, record
from tracetail.contract.masking import mask_command_line, mask_text
from tracetail.contract.process_tag import LAUNCH_TAG
from tracetail.contract.processes import read_process
from tracetail.contract.record import LaunchDir, LaunchLock, Phase, Record
from tracetail.contract.state import DIRECTORY_MODE, launches_dir
from tracetail.launcher import disk_reserve, engines, plan, registry
from tracetail.launcher import params as parameters
from tracetail.launcher.log.log_end import append_event
from tracetail.launcher.log.stamper import timestamp_now
from tracetail.launcher.machine import processes
from tracetail.launcher.operations import keeper_process, preflight, rescue, stop
from tracetail.launcher.params import Params
from tracetail.launcher.plan import Plan
from tracetail.launcher.result import (
    EXITED_BEFORE_READY,
    LOCKED,
    NOT_READY_IN_TIME,
    OK,
    PREFLIGHT_FAILED,
    Refusal,
    Result,
)

POLL_SECONDS = 0.05
GRACE_SECONDS = 60.0
"""How long after its own time-outs a keeper may take to say how it ended."""
_POWERJOB_SCRIPT = re.compile(r"(?:shell|python)_(\d+)\.(?:sh|py)\b")

Listener = Callable[[str, Record, list[Phase]], None]
"""Told what happens: `launched`, `joined`, `restarting`, `phases` (new ones), `waiting` (again and again)."""


def start(params: Params, state_dir: Path, listener: Listener, *, min_free_bytes: int, scope: bool = False) -> Result:
    """Start the service that the parameters describe, and wait until it is ready or has failed.

    Args:
        params: what to start.
        state_dir: where launches are kept.
        listener: told what happens meanwhile.
        min_free_bytes: what is kept free on the disks of state and log.
        scope: put the launch into a systemd scope of its own, so that it outlives the service that starts it.

    """
    begun = time.monotonic()
    service = registry.service_name(params.env, params.model_name, params.port)
    try:
        with registry.operation_lock(state_dir, service, {"action": "start", "traceId": params.trace_id}):
            begun_launch = _launch(params, state_dir, listener, min_free_bytes, scope=scope)
        # Waiting needs no lock: meanwhile others may join this start, or stop it.
        if isinstance(begun_launch, Result):
            return begun_launch._replace(action="start", seconds=time.monotonic() - begun)
        launch, reused = begun_launch
        return _await(launch, listener, begun, reused=reused)
    except registry.BusyError as busy:
        hint = "wait until it has ended, then try again"
        found = None
        if params.trace_id and busy.holder.get("traceId") != params.trace_id:
            found = refuse(params, state_dir, Refusal(LOCKED, str(busy), hint))
        return Result("start", LOCKED, found, seconds=time.monotonic() - begun, cause=str(busy), hint=hint)
    except Refusal as refusal:
        found = refuse(params, state_dir, refusal)
        cause, hint = mask_text(refusal.cause), mask_text(refusal.hint)
        return Result("start", refusal.status, found, record.FAILED, time.monotonic() - begun, cause, hint)
    except OSError as error:
        return Result("start", PREFLIGHT_FAILED, None, "failed", time.monotonic() - begun, *_of_os_error(error))


def _of_os_error(error: OSError) -> tuple[str, str]:
    where = f" {error.filename}" if error.filename else ""
    other = "TRACETAIL_STATE_DIR names another state directory"
    hint = f"make room (tracetail gc); {other}" if error.errno == errno.ENOSPC else f"check its owner; {other}"
    return f"cannot write{where}: {error.strerror or error}", hint


def _launch(
    params: Params, state_dir: Path, listener: Listener, min_free_bytes: int, *, scope: bool
) -> tuple[LaunchDir, bool] | Result:
    """Find or make the launch that is wanted; return it and whether it was there, or how a stop before it failed."""
    running = find_running(state_dir, params)
    if running is not None:
        same = parameters.same_start(_params_of(running), parameters.to_object(params))
        choice = params.if_running or ("reuse" if same else "restart")
        if choice == "fail":
            raise Refusal(
                PREFLIGHT_FAILED,
                f"{running.record['service']} is {running.state} already (launch {running.record['launchId']})",
                "stop it first, or use ifRunning reuse or restart",
            )
        if choice == "reuse" and running.state != record.STOPPING:
            listener("joined", running.record, [])
            return running.dir, True
        _check(params, state_dir, min_free_bytes)  # before the running one is ended for nothing
        listener("restarting", running.record, [])
        stopped = stop.stop_launch(running)
        if stopped.status != OK:
            return stopped
    if scope and shutil.which("systemd-run") is None:
        raise Refusal(PREFLIGHT_FAILED, "--scope needs systemd-run, which is not there", "leave --scope out")
    launch, lock = prepare(params, state_dir, 0, min_free_bytes)
    with lock:
        keeper_process.spawn_keeper(launch, lock, scope=scope)
    listener("launched", launch.read(), [])
    return launch, False


def find_running(state_dir: Path, params: Params) -> registry.Launch | None:
    """Return the launch of this service that runs, with a keeper if it had lost its own."""
    service = registry.service_name(params.env, params.model_name, params.port)
    for launch in registry.launches(state_dir):
        if launch.record["service"] == service and (launch.live or keeper_process.needs_keeper(launch)):
            if keeper_process.needs_keeper(launch):
                rescue.rescue(launch.dir)
            found = keeper_process.settled(launch.dir)
            if found.live:
                return found
    return None


def _params_of(launch: registry.Launch) -> dict[str, Any]:
    try:
        return plan.read(launch.dir)["params"]
    except (OSError, ValueError, KeyError):
        return {}  # another user's launch: nobody can say that it is the same


def prepare(
    params: Params,
    state_dir: Path,
    attempt: int,
    min_free_bytes: int,
    made: tuple[LaunchDir, LaunchLock, Record] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> tuple[LaunchDir, LaunchLock]:
    """Check, claim and write down a launch. The lock that is returned is held. Raises Refusal.

    Args:
        params: what to start.
        state_dir: the state directory.
        attempt: how many restarts after a crash went before.
        min_free_bytes: what is kept free on the disks of state and log.
        made: a launch that exists already, with its lock and the beginning of its record.
        overrides: entries of the plan that are not as the parameters say.

    """
    _check(params, state_dir, min_free_bytes)
    try:
        command = engines.load(params.engine).command(params)
    except (engines.EngineError, OSError) as error:
        raise Refusal(PREFLIGHT_FAILED, str(error)) from error
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
            draft["argv"] = mask_command_line(command.argv)
            for name, content in command.files.items():
                record.replace_file(launch.path / name, content.encode(), mode=0o640)
            plan.write(launch, settings)
            disk_reserve.reserve(launch)
            lock.write(draft)
        except BaseException:
            lock.release()
            raise
    return launch, lock


def _check(params: Params, state_dir: Path, min_free_bytes: int) -> None:
    """Raise Refusal for what no claim is needed to see."""
    log_dir = Path(params.log_dir) if params.log_dir else state_dir / "logs"
    preflight.check_paths(params)
    preflight.check_disk("logDir", log_dir, min_free_bytes)
    preflight.check_disk("state directory", state_dir, min_free_bytes)
    preflight.check_devices(params)


def make_launch(params: Params, state_dir: Path, launch_id: str = "") -> tuple[LaunchDir, LaunchLock, Record]:
    """Make the directory of a new launch; return it, its lock (held) and the beginning of its record."""
    root = launches_dir(state_dir)
    root.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    while True:
        launch = LaunchDir(root / (launch_id or identity.new_launch_id(time.time())))
        try:
            launch.path.mkdir(mode=DIRECTORY_MODE)
            break
        except FileExistsError:
            if launch_id:
                raise
    lock = LaunchLock(launch)
    lock.acquire()
    path = str(log_path(params, state_dir, launch.launch_id))
    draft: Record = {
        "schema": record.SCHEMA,
        "launchId": launch.launch_id,
        "traceId": params.trace_id or identity.new_trace_id(),
        "instanceId": params.instance_id or scheduler_instance() or launch.launch_id,
        "jobId": params.job_id,
        "service": registry.service_name(params.env, params.model_name, params.port),
        "env": params.env,
        "modelName": params.model_name,
        "servedName": params.served_name or params.model_name,
        "engine": params.engine or parameters.default_engine(params.command),
        "host": socket.gethostname(),
        "port": params.port,
        "devices": params.devices,
        "argv": [],
        "logFile": path,
        "segments": [path],
        "state": record.STARTING,
        "phases": [],
        "startedAt": timestamp_now(),
    }
    return launch, lock, draft


def log_path(params: Params, state_dir: Path, launch_id: str) -> Path:
    """Return the first segment of a launch's log."""
    root = Path(params.log_dir).absolute() if params.log_dir else state_dir / "logs"
    date = time.strptime(launch_id[:15], "%Y%m%dT%H%M%S")
    name = f"{identity.slug(params.model_name)}-{time.strftime('%Y-%m-%d_%H%M%S', date)}-{launch_id[-6:]}.log"
    engine = params.engine or parameters.default_engine(params.command)
    return root / params.env / engine / name


def _plan(
    params: Params, command: engines.Command, launch: LaunchDir, draft: Record, attempt: int, min_free_bytes: int
) -> Plan:
    engine = engines.load(params.engine)
    kind, _, pattern = params.ready_when.partition(":")
    served = engines.flag_value(params.args, "--served-model-name") or params.served_name
    asks_for_model = params.engine != "custom" or params.served_name != params.model_name
    here = {"launchDir": str(launch.path)}
    environ = {name: engines.fill(value, here) for name, value in command.environ.items()}
    environ |= params.environ | _launch_environ(draft)
    if params.devices:
        environ[engine.devices_variable] = ",".join(params.devices)
    return {
        "params": parameters.to_object(params),
        "argv": [engines.fill(word, here) for word in command.argv],
        "environ": environ,
        "workDir": params.work_dir or os.getcwd(),  # noqa: PTH109
        "preStart": params.pre_start,
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
            "warmup": params.warmup,
            "smoke": None
            if params.smoke is None
            else {
                "prompt": params.smoke.prompt,
                "pattern": params.smoke.pattern,
                "maxTokens": params.smoke.max_tokens,
            },
        },
        "log": plan.log_of(draft, max_mb=params.max_log_mb, keep=params.keep_logs, min_free_bytes=min_free_bytes),
        "stopTimeoutSec": params.stop_timeout_sec,
        "callbackUrl": params.callback_url,
        "callbackTokenFile": params.callback_token_file,
        "apiKeyFile": params.api_key_file,
        "restart": params.restart,
        "attempt": attempt,
    }


def _launch_environ(draft: Record) -> dict[str, str]:
    parent = identity.traceparent(draft["traceId"])
    return {
        "TRACE_ID": draft["traceId"],
        "INSTANCE_ID": draft["instanceId"],
        LAUNCH_TAG: draft["launchId"],
        "SPT_NOENV": "1",
        "PYTHONUNBUFFERED": "1",
        **({"TRACEPARENT": parent} if parent else {}),
    }


def scheduler_instance() -> str:
    """Return the PowerJob instance id that an ancestor's command line shows, or ""."""
    process = read_process(os.getpid())
    while process is not None and process.parent > 0:
        process = read_process(process.parent)
        match = _POWERJOB_SCRIPT.search(processes.command_line(process.pid)) if process else None
        if match is not None:
            return match[1]
    return ""


def refuse(params: Params, state_dir: Path, refusal: Refusal) -> Record | None:
    """Leave a launch that tells why there was none, so that its trace is not empty; None if not even that works."""
    refusal = Refusal(refusal.status, mask_text(refusal.cause), mask_text(refusal.hint))
    try:
        launch, lock, draft = make_launch(params, state_dir)
        with lock:
            draft["state"] = record.FAILED
            draft["endedAt"] = draft["startedAt"]
            write_refusal(draft, refusal)
            lock.write(draft)
        keeper_process.report(launch, record.FAILED, params.callback_url, params.callback_token_file)
    except OSError:
        return None
    return draft


def write_refusal(draft: Record, refusal: Refusal) -> None:
    """Say in a launch's log, and in its record, why there is no server."""
    draft["exit"] = {
        "code": None,
        "signal": None,
        "exitStatus": refusal.status,
        "cause": refusal.cause,
        "hint": refusal.hint,
    }
    append_event(
        draft,
        events.REFUSED,
        exitStatus=refusal.status,
        cause=refusal.cause,
        hint=refusal.hint or None,
        launchId=draft["launchId"],
        service=draft["service"],
        env=draft["env"],
        engine=draft["engine"],
        model=draft["modelName"],
        servedName=draft["servedName"],
        host=draft["host"],
        port=draft["port"],
        jobId=draft["jobId"] or None,
    )


def _await(launch: LaunchDir, listener: Listener, begun: float, *, reused: bool) -> Result:
    """Wait until a launch is ready or has ended, and tell its phases meanwhile."""
    settings = plan.read(launch)
    deadline = time.monotonic() + settings["ready"]["timeoutSec"] + settings["stopTimeoutSec"] + GRACE_SECONDS
    told = 0
    while True:
        found = registry.look(launch)
        phases = found.record.get("phases", [])
        if len(phases) > told:
            listener("phases", found.record, phases[told:])
            told = len(phases)
        listener("waiting", found.record, [])
        seconds = time.monotonic() - begun
        if found.state == record.READY:
            return Result("start", OK, found.record, found.state, seconds, reused=reused)
        if keeper_process.needs_keeper(found):
            if not rescue.rescue(launch):
                cause, hint = "no keeper stays with the launch", f"see {launch.path / 'keeper.log'}"
                return Result("start", NOT_READY_IN_TIME, found.record, found.state, seconds, cause, hint)
        elif found.record["state"] in record.ENDED_STATES:
            from tracetail.launcher.callbacks import tail_of  # noqa: PLC0415  (only for a start that failed)

            status = found.record.get("exit", {}).get("exitStatus", EXITED_BEFORE_READY)
            tail = tail_of(found.record.get("segments", []))
            cause = "it was stopped before it was ready" if found.state == record.STOPPED else ""
            return Result("start", status, found.record, found.state, seconds, cause, tail=tail)
        elif time.monotonic() > deadline:
            cause = "the keeper does not say how the start ended"
            return Result("start", NOT_READY_IN_TIME, found.record, found.state, seconds, cause=cause)
        time.sleep(POLL_SECONDS)
