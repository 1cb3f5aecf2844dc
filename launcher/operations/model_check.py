"""`warmup` and `smoke` as steps of their own: a scheduler's workflow runs them between the start and the tests."""

import time
from pathlib import Path
from typing import Any

import msgspec

from tracetail.contract import record
from tracetail.launcher import engines, plan, probe, registry
from tracetail.launcher.params import ParametersError, Smoke
from tracetail.launcher.result import CHANGING, OK, STOPPED, UNHEALTHY, Result


def warm_up(launch: registry.Launch) -> Result:
    """Have one token made by a ready server."""
    return _ask("warmup", launch, None)


def smoke(launch: registry.Launch, asked: dict[str, Any] | None) -> Result:
    """Send a prompt to a ready server and check its answer.

    Args:
        launch: whose server.
        asked: `prompt`, `pattern` and `maxTokens`; None: as the launch's own parameters say.

    Raises ParametersError if nothing says what to ask.

    """
    if asked is None:
        asked = plan.read(launch.dir)["params"].get("smoke")
    if asked is None:
        raise ParametersError("smoke: give prompt and pattern, or `smoke` in the parameters of the start")
    try:
        checked = msgspec.convert(asked, Smoke)
    except msgspec.ValidationError as error:
        raise ParametersError(f"smoke: {error}") from error
    return _ask("smoke", launch, checked)


def _ask(action: str, launch: registry.Launch, smoke_test: Smoke | None) -> Result:
    begun = time.monotonic()
    if launch.state != record.READY:
        status = CHANGING if launch.state in (record.STARTING, record.STOPPING) else STOPPED
        return Result(action, status, launch.record, launch.state, cause=f"the server is {launch.state}")
    settings = plan.read(launch.dir)
    ready = settings["ready"]
    path = engines.load(launch.record["engine"]).completions_path
    if ready["port"] is None or not path:
        raise ParametersError(f"{action} needs a server with a port")
    key = Path(settings["apiKeyFile"]).read_text(encoding="utf-8").strip() if settings["apiKeyFile"] else ""
    target = probe.Target(probe.connect_host(ready["host"]), ready["port"], key)
    try:
        if smoke_test is None:
            probe.warm_up(target, path, ready["servedName"])
        else:
            asked: plan.Smoke = {
                "prompt": smoke_test.prompt,
                "pattern": smoke_test.pattern,
                "maxTokens": smoke_test.max_tokens,
            }
            probe.smoke_test(target, path, ready["servedName"], asked)
    except probe.ProbeError as error:
        seconds = time.monotonic() - begun
        return Result(action, UNHEALTHY, launch.record, launch.state, seconds, cause=str(error))
    return Result(action, OK, launch.record, launch.state, time.monotonic() - begun)
