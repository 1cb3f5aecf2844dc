"""`tracetail restart`: stops a server if it runs, then starts it, with the parameters of its last start or others.

Apart from `start`, which would otherwise declare its many options twice, and a scheduler waits for that.
"""

import json
from typing import TYPE_CHECKING, Any, NoReturn

import click

from tracetail.cli.launch import parameters
from tracetail.cli.launch.options import launch_option, parameter_options, scope_option
from tracetail.cli.launch.outcome import ResultCommand, refuse_parameters
from tracetail.cli.launch.start import run_start
from tracetail.launcher.params import ParametersError

if TYPE_CHECKING:
    from tracetail.launcher.selection import Selection


@click.command(cls=ResultCommand)
@parameter_options
@launch_option
@scope_option
def restart(given: str | None, launch_id: str, scope: bool, **flags: Any) -> None:
    """Stop a server if it runs, then start it with these parameters, or with those of its last start."""
    try:
        values = parameters.merge(parameters.read(given), flags)
    except ParametersError as error:
        refuse_parameters("restart", error)
    run_restart(values, launch_id, scope=scope)


def run_restart(values: dict[str, Any], launch_id: str, *, scope: bool) -> NoReturn:
    """Restart a service, print progress and result, and exit."""
    try:
        if not {"modelPath", "command", "scriptPath", "service"} & set(values):
            values = {**_params_of_last_start(parameters.selection(values, launch_id)), **values}
    except ParametersError as error:
        refuse_parameters("restart", error)
    run_start("restart", json.dumps({**values, "ifRunning": "restart"}), {}, scope=scope)


def _params_of_last_start(selection: "Selection") -> dict[str, Any]:
    """Return the parameters with which a service was started last: a start that was refused was none.

    Raises ParametersError.
    """
    from tracetail.launcher import plan
    from tracetail.launcher.operations.as_owner import go_on_as_owner

    found = selection.find(parameters.state_dir())
    if not found:
        raise ParametersError(f"there is no launch of {selection.describe()} to restart")
    started = [launch for launch in found if plan.plan_path(launch.dir).exists()]
    if not started:
        raise ParametersError(f"no start of {selection.describe()} got as far as to be repeated: give its parameters")
    last = next((launch for launch in started if launch.live), started[0])
    go_on_as_owner(last.dir)
    try:
        kept = plan.read(last.dir)["params"]
    except (OSError, ValueError, KeyError) as error:
        raise ParametersError(f"launch {last.record['launchId']} cannot be repeated: {error}") from error
    return {name: value for name, value in kept.items() if name not in ("instanceId", "ifRunning")}
