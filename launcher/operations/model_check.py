"""`warmup` and `smoke`: steps of a scheduler's workflow between the start of a server and the tests."""

import time
from typing import Any

import msgspec

from tracetail.contract import record
from tracetail.contract.secret_file import SecretFileError, read_secret
from tracetail.launcher import engines, plan, probe, registry
from tracetail.launcher.params import ParametersError, Smoke
from tracetail.launcher.result import CHANGING, OK, STOPPED, UNHEALTHY, Result


def warm_up(launch: registry.Launch) -> Result:
    """Have a ready server generate one token."""
    return _check("warmup", launch, None)


def smoke(launch: registry.Launch, given: dict[str, Any] | None) -> Result:
    """Send a prompt to a ready server and check the generated text.

    Args:
        launch: whose server.
        given: `prompt`, `pattern` and `maxTokens`; None for those of the launch's own parameters.

    Raises ParametersError if neither has them.

    """
    if (not_ready := _not_ready("smoke", launch)) is not None:
        return not_ready
    if given is None:
        given = plan.read(launch.dir)["params"].get("smoke")
    if given is None:
        raise ParametersError("smoke: give prompt and pattern, or `smoke` in the parameters of the start")
    try:
        checked = msgspec.convert(given, Smoke)
    except msgspec.ValidationError as error:
        raise ParametersError(f"smoke: {error}") from error
    return _check("smoke", launch, checked)


def _not_ready(action: str, launch: registry.Launch) -> Result | None:
    """Return the result for a server that cannot be asked; None for one that can."""
    if launch.state in (record.READY, record.UNHEALTHY):
        return None
    status = CHANGING if launch.state in (record.STARTING, record.STOPPING) else STOPPED
    cause, zh = f"the server is {launch.state}", (f"服务状态为 {launch.state}", "")
    return Result(action, status, launch.record, launch.state, cause=cause, zh=zh)


def _check(action: str, launch: registry.Launch, smoke_test: Smoke | None) -> Result:
    begun = time.monotonic()
    if (not_ready := _not_ready(action, launch)) is not None:
        return not_ready
    settings = plan.read(launch.dir)
    ready = settings["ready"]
    path = engines.load(launch.record["engine"]).completions_path
    if ready["port"] is None or not path:
        raise ParametersError(f"{action} needs a server with a port")
    try:
        key = read_secret("apiKeyFile", settings["apiKeyFile"]) if settings["apiKeyFile"] else ""
    except SecretFileError as error:
        raise ParametersError(str(error)) from error
    tls = launch.record.get("url", "").startswith("https:")
    target = probe.Target(probe.connect_host(ready["host"]), ready["port"], key, tls, plan.own_key_file(settings))
    try:
        if smoke_test is None:
            probe.warm_up(target, path, ready["servedName"])
        else:
            test: plan.Smoke = {
                "prompt": smoke_test.prompt,
                "pattern": smoke_test.pattern,
                "maxTokens": smoke_test.max_tokens,
            }
            probe.smoke_test(target, path, ready["servedName"], test)
    except probe.ProbeError as error:
        seconds = time.monotonic() - begun
        return Result(
            action,
            UNHEALTHY,
            launch.record,
            launch.state,
            seconds,
            cause=str(error),
            zh=(f"服务的回答不符合要求：{error.chinese}", ""),
        )
    return Result(action, OK, launch.record, launch.state, time.monotonic() - begun)
