"""`start`: reuses, restarts or makes a launch, starts its keeper, and waits until it is ready or has failed."""

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracetail.contract import record
from tracetail.contract.masking import mask_text
from tracetail.contract.owned_files import user_name
from tracetail.contract.record import LaunchDir, Phase, Record
from tracetail.contract.state import launches_dir
from tracetail.contract.system_reasons import in_chinese
from tracetail.launcher import params as parameters
from tracetail.launcher import plan, registry
from tracetail.launcher.machine.programs import which
from tracetail.launcher.operations import (
    as_owner,
    equal_start,
    keeper_process,
    new_launch,
)
from tracetail.launcher.params import Params
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
BUSY_HINT = "wait until it has ended, then try again"
GRACE_SECONDS = 60.0
"""How long after its own time-outs a keeper may take to record the end."""

Listener = Callable[[str, Record, list[Phase]], None]
"""Called with event, record and new phases.

Events: `joined`, `restarting`, `launching` (with an empty record), `launched`, `phases`, `waiting` (repeatedly).
"""


def start(params: Params, state_dir: Path, listener: Listener, *, min_free_bytes: int, scope: bool = False) -> Result:
    """Start the service of the parameters, and wait until it is ready or has failed.

    Args:
        params: what to start; completed.
        state_dir: where launches are kept.
        listener: called with the progress.
        min_free_bytes: bytes to keep free on the disks of state and log.
        scope: put the launch into a systemd scope of its own, so that it outlives the service that starts it.

    """
    begun = time.monotonic()
    service = registry.service_name(params.env, params.model_name, params.port, params.node_rank)
    if (owner := _owner_above_root(state_dir)) is not None:
        cause, hint, *zh = _of_foreign_state(state_dir, owner)
        return Result("start", PREFLIGHT_FAILED, None, record.FAILED, 0.0, cause, hint, zh)
    try:
        with equal_start.turn(params, state_dir, service) as (operation, started):
            if started is not None and params.if_running in ("", "reuse"):
                listener("joined", started.read(), [])
                launched: tuple[LaunchDir, bool] | Result = started, True
            else:
                launched = _launch(params, state_dir, listener, min_free_bytes, scope=scope)
            if not isinstance(launched, Result):
                operation.note(launchId=launched[0].launch_id)
        # Waiting needs no lock: others may join this start, or stop it.
        if isinstance(launched, Result):
            return launched._replace(action="start", seconds=time.monotonic() - begun)
        launch, reused = launched
        return _await(launch, listener, begun, reused=reused)
    except registry.BusyError as busy:
        found = None
        if params.trace_id and busy.holder.get("traceId") != params.trace_id:
            found = _refused(params, state_dir, Refusal(LOCKED, str(busy), BUSY_HINT, zh=busy.zh))
        seconds = time.monotonic() - begun
        return Result("start", LOCKED, found, seconds=seconds, cause=str(busy), hint=BUSY_HINT, zh=busy.zh)
    except Refusal as refusal:
        found = _refused(params, state_dir, refusal)
        cause, hint = mask_text(refusal.cause), mask_text(refusal.hint)
        seconds = time.monotonic() - begun
        return Result("start", refusal.status, found, record.FAILED, seconds, cause, hint, refusal.zh)
    except OSError as error:
        cause, hint, *zh = _of_os_error(error)
        return Result("start", PREFLIGHT_FAILED, None, "failed", time.monotonic() - begun, cause, hint, zh)


# What most starts do not need is imported where it is used: a scheduler waits for every import.


def _refused(params: Params, state_dir: Path, refusal: Refusal) -> Record | None:
    from tracetail.launcher.operations import refusals  # noqa: PLC0415

    return refusals.refuse(params, state_dir, refusal)


def _rescued(launch: LaunchDir) -> bool:
    from tracetail.launcher.operations import rescue  # noqa: PLC0415

    return rescue.rescue(launch)


def _owner_above_root(state_dir: Path) -> int | None:
    """Return the user in whose directories root would write a launch: he could put links in place of its files."""
    owners = (as_owner.foreign_owner(path) for path in (state_dir, launches_dir(state_dir)))
    return next((owner for owner in owners if owner is not None), None)


def _of_foreign_state(state_dir: Path, owner: int) -> tuple[str, str, str, str]:
    """Return cause and hint, in English and in Chinese."""
    name = user_name(owner)
    return (
        f"the state directory {state_dir} belongs to user {name}: root starts no server in it",
        f"start it as {name} (sudo -u {name} tracetail start …), or let TRACETAIL_STATE_DIR name one of root's",
        f"状态目录 {state_dir} 属于用户 {name}：root 不在其中启动服务",
        f"以 {name} 的身份启动（sudo -u {name} tracetail start …），或用 TRACETAIL_STATE_DIR 指定 root 的目录",
    )


def _of_os_error(error: OSError) -> tuple[str, str, str, str]:
    """Return cause and hint, in English and in Chinese."""
    where = f" {error.filename}" if error.filename else ""
    full = error.errno == errno.ENOSPC
    return (
        f"cannot write{where}: {error.strerror or error}",
        ("free space (tracetail gc)" if full else "check its owner")
        + "; TRACETAIL_STATE_DIR names another state directory",
        f"无法写入{where}：{in_chinese(error.strerror or error)}",
        ("清理空间（tracetail gc）" if full else "检查它的所有者") + "；TRACETAIL_STATE_DIR 可指定其他状态目录",
    )


def _launch(
    params: Params, state_dir: Path, listener: Listener, min_free_bytes: int, *, scope: bool
) -> tuple[LaunchDir, bool] | Result:
    """Return the launch to wait for and whether it ran before; or the result of a failed stop of the one before."""
    running = find_running(state_dir, params)
    if running is not None:
        same = parameters.same_start(_params_of(running), parameters.to_object(params))
        # An unhealthy server is of no use to whoever wants it ready.
        choice = params.if_running or ("reuse" if same and running.state != record.UNHEALTHY else "restart")
        if choice == "fail":
            service = running.record["service"]
            raise Refusal(
                PREFLIGHT_FAILED,
                f"{service} is {running.state} already (launch {running.record['launchId']})",
                "stop it first, or use ifRunning reuse or restart",
                zh=(
                    f"{service} 已在运行，状态 {running.state}（启动 {running.record['launchId']}）",
                    "先停止它，或把 ifRunning 设为 reuse 或 restart",
                ),
            )
        if choice == "reuse" and running.state != record.STOPPING:
            listener("joined", running.record, [])
            return running.dir, True
        new_launch.check(params, state_dir, min_free_bytes)  # so that the running one is not stopped in vain
        from tracetail.launcher.operations import stop  # noqa: PLC0415  (only where one has to be stopped)

        listener("restarting", running.record, [])
        stopped = stop.stop_launch(running)
        if stopped.status != OK:
            return stopped
    if scope and which("systemd-run") is None:
        zh = ("--scope 需要 systemd-run，本机没有", "去掉 --scope")
        raise Refusal(PREFLIGHT_FAILED, "--scope needs systemd-run, which is not there", "leave --scope out", zh=zh)
    listener("launching", {}, [])
    launch, lock = new_launch.prepare(params, state_dir, 0, min_free_bytes)
    with lock:
        keeper_process.spawn_keeper(launch, lock, scope=scope)
    listener("launched", launch.read(), [])
    return launch, False


def find_running(state_dir: Path, params: Params) -> registry.Launch | None:
    """Return the running launch of this service, if there is one; a keeper that died is replaced."""
    service = registry.service_name(params.env, params.model_name, params.port, params.node_rank)
    for launch in registry.launches(state_dir):
        if launch.record["service"] == service and (launch.live or keeper_process.needs_keeper(launch)):
            if keeper_process.needs_keeper(launch):
                _rescued(launch.dir)
            found = keeper_process.settled(launch.dir)
            if found.live:
                return found
    return None


def _params_of(launch: registry.Launch) -> dict[str, Any]:
    try:
        return plan.read(launch.dir)["params"]
    except (OSError, ValueError, KeyError):
        return {}  # another user's launch: its parameters are unknown


def _await(launch: LaunchDir, listener: Listener, begun: float, *, reused: bool) -> Result:
    """Wait until a launch is ready or has ended, and report its phases meanwhile."""
    settings = plan.read(launch)
    deadline = time.monotonic() + settings["ready"]["timeoutSec"] + settings["stopTimeoutSec"] + GRACE_SECONDS
    reported = 0
    while True:
        found = registry.read_launch(launch)
        phases = found.record.get("phases", [])
        if len(phases) > reported:
            listener("phases", found.record, phases[reported:])
            reported = len(phases)
        listener("waiting", found.record, [])
        seconds = time.monotonic() - begun
        if found.state == record.READY:
            return Result("start", OK, found.record, found.state, seconds, reused=reused)
        if keeper_process.needs_keeper(found):
            if not _rescued(launch):
                cause, hint = "no keeper stays with the launch", f"see {launch.path / 'keeper.log'}"
                zh = ("该启动没有守护进程", f"查看 {launch.path / 'keeper.log'}")
                return Result("start", NOT_READY_IN_TIME, found.record, found.state, seconds, cause, hint, zh)
        elif (
            found.state == record.UNHEALTHY and reused and time.monotonic() - begun > settings["ready"]["timeoutSec"]
        ):
            health = found.record.get("health", {})
            cause = f"it runs, but is unhealthy: {health.get('cause', '')}"
            hint = "ifRunning restart replaces it"
            zh = (f"它在运行，但不健康：{health.get('causeZh', '')}", "把 ifRunning 设为 restart 可替换它")
            return Result(
                "start", NOT_READY_IN_TIME, found.record, found.state, seconds, cause, hint, zh, reused=True
            )
        elif found.record["state"] in record.ENDED_STATES:
            from tracetail.launcher.callbacks import tail_of  # noqa: PLC0415  (only for a start that failed)
            from tracetail.launcher.log.excerpt import excerpt_of  # noqa: PLC0415

            ended = found.record.get("exit", {})
            segments = found.record.get("segments", [])
            excerpt = excerpt_of(segments, next(iter(ended.get("evidence", [])), ""))
            result = Result("start", ended.get("exitStatus", EXITED_BEFORE_READY), found.record, found.state, seconds)
            if found.state == record.STOPPED:
                result = result._replace(cause="it was stopped before it was ready", zh=("就绪之前已被停止", ""))
            if excerpt:
                return result._replace(excerpt=excerpt.lines, excerpt_at=excerpt.at)
            return result._replace(tail=tail_of(segments))
        elif time.monotonic() > deadline:
            cause = "the keeper did not record how the start ended"
            zh = ("守护进程没有记录启动如何结束", "")
            return Result("start", NOT_READY_IN_TIME, found.record, found.state, seconds, cause=cause, zh=zh)
        time.sleep(POLL_SECONDS)
