"""`tracetail apply`: starts, stops, restarts or reports, as the parameter `action` says."""

import json
from typing import Any

import click

from tracetail.cli.launch import parameters
from tracetail.cli.launch.options import parameter_options, scope_option
from tracetail.cli.launch.outcome import ResultCommand, refuse_parameters
from tracetail.cli.launch.start import run_restart, run_start
from tracetail.cli.launch.status import run_status
from tracetail.cli.launch.stop import run_stop
from tracetail.launcher.params import ParametersError


@click.command(cls=ResultCommand)
@parameter_options
@scope_option
def apply(given: str | None, scope: bool, **flags: Any) -> None:
    """Start, stop, restart or show a service, as the parameter `action` says."""
    try:
        values = parameters.merge(parameters.read(given), flags)
    except ParametersError as error:
        refuse_parameters("apply", error)
    action = values.get("action", "start")
    if action == "start":
        run_start("start", json.dumps(values), {}, scope=scope)
    if action == "restart":
        run_restart(values, "", scope=scope)
    if action == "stop":
        run_stop(values, "")
    if action == "status":
        run_status(values, "", as_json=False)
    refuse_parameters("apply", ParametersError(f"action is {action!r}: expected start, stop, restart or status"))
