"""`notify`: reports a launch's state to a callback, as a step of its own."""

import time

from tracetail.contract import record
from tracetail.launcher import callbacks, plan, registry
from tracetail.launcher.params import ParametersError
from tracetail.launcher.result import OK, UNHEALTHY, Result

_EVENTS = {
    record.READY: "ready",
    record.FAILED: "failed",
    record.STOPPED: "stopped",
    record.CRASHED: "crashed",
    record.STARTING: "starting",
    record.STOPPING: "stopping",
}


def notify(launch: registry.Launch, url: str) -> Result:
    """Report what is true of a launch now; what the receiver does not take stays in the outbox.

    Args:
        launch: whose state.
        url: where to; empty: the callbackUrl of its start.

    Raises ParametersError if there is no URL.

    """
    begun = time.monotonic()
    try:
        settings = plan.read(launch.dir)
        wanted, token = settings["callbackUrl"], settings["callbackTokenFile"]
    except (OSError, ValueError, KeyError):
        wanted, token = "", ""
    if not (url or wanted):
        raise ParametersError("there is no callbackUrl: name one")
    try:
        path = callbacks.prepare(launch.dir, _EVENTS[launch.state], url or wanted, token, state=launch.state)
    except OSError as error:
        cause = f"cannot write into {launch.dir.outbox_path}: {error.strerror or error}"
        return Result("notify", UNHEALTHY, launch.record, launch.state, time.monotonic() - begun, cause)
    taken = callbacks.deliver(path, time.monotonic() + callbacks.TRY_SECONDS)
    seconds = time.monotonic() - begun
    if taken:
        return Result("notify", OK, launch.record, launch.state, seconds)
    cause = f"{url or wanted} did not take it within {callbacks.TRY_SECONDS:g} s"
    hint = "it stays in the outbox, the agent goes on trying"
    return Result("notify", UNHEALTHY, launch.record, launch.state, seconds, cause, hint)
