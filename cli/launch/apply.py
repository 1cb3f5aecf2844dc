"""`tracetail apply`: does to a service what the parameter `action` says."""

import json
from typing import Any

import click

from tracetail.cli.launch import parameters
from tracetail.cli.launch.model_check import run_smoke, run_warmup
from tracetail.cli.launch.notify import run_notify
from tracetail.cli.launch.options import parameter_options, scope_option
from tracetail.cli.launch.outcome import ResultCommand, refuse_parameters
from tracetail.cli.launch.restart import run_restart
from tracetail.cli.launch.start import run_start
from tracetail.cli.launch.status import run_status
from tracetail.cli.launch.stop import run_stop
from tracetail.launcher.params import ACTIONS, ParametersError
from tracetail.launcher.workflow_context import with_context


@click.command(cls=ResultCommand)
@parameter_options
@scope_option
def apply(given: str | None, scope: bool, **flags: Any) -> None:
    """Start, stop, restart, show, warm up, test or report a service, as the parameter `action` says.

    The parameters may hold the `context` of a scheduler's workflow: its parameters come on top of the others.
    """
    read: dict[str, Any] = {}
    try:
        read = parameters.read(given)
        values = parameters.merge(with_context(read), flags)
    except ParametersError as error:
        refuse_parameters("apply", error, read if read.get("action", "start") in ("start", "restart") else None)
    action = values.get("action", "start")
    if action == "start":
        run_start("start", json.dumps(values), {}, scope=scope)
    if action == "restart":
        run_restart(values, "", scope=scope)
    if action == "stop":
        run_stop(values, "")
    if action == "status":
        run_status(values, "", as_json=False)
    if action == "warmup":
        run_warmup(values, "")
    if action == "smoke":
        run_smoke(values, "", values.get("smoke"))
    if action == "notify":
        run_notify(values, "")
    expected = f"{', '.join(ACTIONS[:-1])} or {ACTIONS[-1]}"
    refuse_parameters("apply", ParametersError(f"action is {action!r}: expected {expected}"))
