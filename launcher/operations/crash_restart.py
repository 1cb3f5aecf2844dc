"""Restarts a service after a crash: a new launch of the same trace, after a wait that grows.

    python -I -m tracetail.launcher.operations.crash_restart <crashed launch's directory> <new launchId>

Runs as a child of the keeper whose server has crashed. The new launch exists from the beginning, so that it can be
seen, and stopped, while it waits.
"""

import os
import signal
import sys
import time
from pathlib import Path

from tracetail.contract import events, masking, record
from tracetail.contract.processes import process_ref
from tracetail.contract.record import LaunchDir, LaunchLock, Record
from tracetail.launcher import params as parameters
from tracetail.launcher import params_input, plan, registry
from tracetail.launcher.log.log_end import append_event
from tracetail.launcher.log.stamper import timestamp_now
from tracetail.launcher.operations import keeper_process, new_launch, refusals
from tracetail.launcher.plan import Plan
from tracetail.launcher.restart_policy import next_attempt, pause
from tracetail.launcher.result import LOCKED, Refusal


def restart(crashed: LaunchDir, launch_id: str) -> None:
    """Wait, then start the service of a crashed launch again, as the launch with this id."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    before = plan.read(crashed)
    masking.use(before["redaction"])
    old = crashed.read()
    attempt = next_attempt(before, old, time.time()) or 1
    if before["container"] is not None:  # the keeper may be one that the agent has started, with other variables
        os.environ.update(before["container"]["client"])
    state_dir = crashed.path.parent.parent
    params = params_input.from_object(
        {**before["params"], "traceId": old["traceId"], "instanceId": old["instanceId"]}
    )
    launch, lock, draft = new_launch.make_launch(params, state_dir, launch_id)
    with lock:
        ref = process_ref(os.getpid())
        assert ref is not None
        draft["keeper"] = ref
        lock.write(draft)
        if signal.sigtimedwait({signal.SIGTERM}, pause(attempt)) is not None:
            _end(params, launch, lock, draft, record.STOPPED, None)
            return
        try:
            doing = {"action": "restart on crash", "traceId": params.trace_id}
            with registry.operation_lock(state_dir, draft["service"], doing):
                _start(params, before, attempt, launch, lock, draft)
        except registry.BusyError as busy:
            _end(params, launch, lock, draft, record.FAILED, Refusal(LOCKED, str(busy), zh=busy.zh))
        except Refusal as refusal:
            _end(params, launch, lock, draft, record.FAILED, refusal)


def _start(
    params: parameters.Params, before: Plan, attempt: int, launch: LaunchDir, lock: LaunchLock, draft: Record
) -> None:
    state_dir = launch.path.parent.parent
    others = [other for other in registry.launches(state_dir) if other.record["launchId"] != draft["launchId"]]
    running = next((one for one in others if one.live and one.record["service"] == draft["service"]), None)
    if running is not None:
        other = running.record["launchId"]
        raise Refusal(LOCKED, f"launch {other} runs already", zh=(f"启动 {other} 已在运行", ""))
    same = {"workDir": before["workDir"], "params": before["params"]}
    new_launch.prepare(params, state_dir, attempt, before["log"]["minFreeBytes"], (launch, lock, draft), same)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    keeper_process.spawn_keeper(launch, lock)


def _end(
    params: parameters.Params, launch: LaunchDir, lock: LaunchLock, draft: Record, state: str, refusal: Refusal | None
) -> None:
    draft["state"] = state
    draft["endedAt"] = timestamp_now()
    if refusal is None:
        draft["exit"] = {"code": None, "signal": None, "cause": "stopped before it was restarted"}
        append_event(draft, events.EXITED, state=state, cause=draft["exit"]["cause"])
    else:
        refusals.log_refusal(draft, refusal)
    lock.write(draft)
    if refusal is not None:
        keeper_process.report(launch, record.FAILED, params.callback_url, params.callback_token_file)


def main() -> int:
    """Restart the launch whose directory is named."""
    restart(LaunchDir(Path(sys.argv[1])), sys.argv[2])
    return 0


if __name__ == "__main__":
    sys.exit(main())
