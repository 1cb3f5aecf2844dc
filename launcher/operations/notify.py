"""`notify`: reports the state of a launch to a callback URL, as a step of a scheduler's workflow."""

import time

from tracetail.contract import masking, record
from tracetail.contract.system_reasons import in_chinese
from tracetail.launcher import callbacks, plan, registry
from tracetail.launcher.params import ParametersError
from tracetail.launcher.result import OK, UNHEALTHY, Result

_EVENTS = {
    record.READY: "ready",
    record.UNHEALTHY: "unhealthy",
    record.FAILED: "failed",
    record.STOPPED: "stopped",
    record.CRASHED: "crashed",
    record.STARTING: "starting",
    record.STOPPING: "stopping",
}


def notify(launch: registry.Launch, url: str) -> Result:
    """Report the current state of a launch; a callback that cannot be delivered stays in the outbox.

    Args:
        launch: whose state.
        url: where to; empty for the callbackUrl of its start.

    Raises ParametersError if there is no URL.

    """
    begun = time.monotonic()
    try:
        settings = plan.read(launch.dir)
        wanted, token = settings["callbackUrl"], settings["callbackTokenFile"]
        masking.use(settings["redaction"])
    except (OSError, ValueError, KeyError):
        wanted, token = "", ""
    if not (url or wanted):
        raise ParametersError("there is no callbackUrl: give one")
    try:
        path = callbacks.prepare(launch.dir, _EVENTS[launch.state], url or wanted, token, state=launch.state)
    except OSError as error:
        cause = f"cannot write into {launch.dir.outbox_path}: {error.strerror or error}"
        zh = (f"无法写入 {launch.dir.outbox_path}：{in_chinese(error.strerror or error)}", "")
        return Result("notify", UNHEALTHY, launch.record, launch.state, time.monotonic() - begun, cause, zh=zh)
    delivered = callbacks.deliver(path, time.monotonic() + callbacks.TRY_SECONDS)
    seconds = time.monotonic() - begun
    if delivered:
        return Result("notify", OK, launch.record, launch.state, seconds)
    cause = f"{url or wanted} did not accept the callback within {callbacks.TRY_SECONDS:g} s"
    hint = "it stays in the outbox, and the agent retries it"
    zh = (
        f"{url or wanted} 在 {callbacks.TRY_SECONDS:g} 秒内没有接受回调",
        "它留在发件箱中，由 agent 继续重试",
    )
    return Result("notify", UNHEALTHY, launch.record, launch.state, seconds, cause, hint, zh)
