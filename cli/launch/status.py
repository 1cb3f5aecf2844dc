"""`tracetail status`: prints the state of a service."""

import json
import sys
from typing import Any, NoReturn

import click

from tracetail.cli.launch import parameters
from tracetail.cli.launch.options import selection_options
from tracetail.cli.launch.outcome import ResultCommand, at_url, finish, refuse_parameters
from tracetail.launcher.params import ParametersError

_ROWS = ("launchId", "traceId", "instanceId", "engine", "pid", "startedAt", "readyAt", "endedAt", "logFile")


@click.command(cls=ResultCommand)
@selection_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def status(given: str | None, launch_id: str, as_json: bool, **flags: Any) -> None:
    """Print the state of a service.

    Where a traceId selects several services, that of the worst state is printed in full, and decides.

    The exit status is 0 if it is ready, 3 if it has stopped, failed or crashed, 20 if it starts or stops,
    21 if it is unhealthy.
    """
    try:
        values = parameters.merge(parameters.read(given), flags)
    except ParametersError as error:
        refuse_parameters("status", error)
    run_status(values, launch_id, as_json=as_json)


def run_status(values: dict[str, Any], launch_id: str, *, as_json: bool) -> NoReturn:
    """Print the state of the selected service, and exit."""
    from tracetail.launcher.operations import status

    try:
        selection = parameters.selection(values, launch_id)
        result = status.status(selection, parameters.state_dir())
    except ParametersError as error:
        refuse_parameters("status", error)
    shown = result.to_object()
    known = {**(result.record or {}), **shown}
    if as_json:
        click.echo(json.dumps({**shown, **{name: known[name] for name in _ROWS if name in known}}, indent=2))
        sys.exit(result.status)
    for one in shown.get("launches", ())[1:]:
        click.echo(f"{one['service']} is {one['state']}{at_url(one)} ({one['launchId']})")
    click.echo(f"{shown.get('service', selection.describe())} is {shown.get('state')}" + at_url(shown))
    for name in _ROWS:
        if known.get(name):
            click.echo(f"  {name:<10}  {known[name]}")
    finish(result)
