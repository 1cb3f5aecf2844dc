"""`tracetail stop`: stops a server and every process of its launch."""

from typing import Any, NoReturn

import click

from tracetail.cli.language import both
from tracetail.cli.launch import parameters
from tracetail.cli.launch.options import selection_options
from tracetail.cli.launch.outcome import ResultCommand, finish, refuse_parameters
from tracetail.launcher.params import ParametersError
from tracetail.launcher.result import OK


@click.command(cls=ResultCommand)
@selection_options
def stop(given: str | None, launch_id: str, **flags: Any) -> None:
    """Stop a server and every process that belongs to its launch; with --trace-id, all servers of the trace.

    Exit status: 0 nothing is left, 2 bad parameters, 13 another operation is running, 14 something is left.
    """
    try:
        values = parameters.merge(parameters.read(given), flags)
    except ParametersError as error:
        refuse_parameters("stop", error)
    run_stop(values, launch_id)


def run_stop(values: dict[str, Any], launch_id: str) -> NoReturn:
    """Stop the selected launches, print the result, and exit."""
    from tracetail.launcher.operations import rescue, stop

    try:
        selection = parameters.selection(values, launch_id)
        rescue.record_ends(selection.find(parameters.state_dir()))
        launches = selection.live(parameters.state_dir())
    except ParametersError as error:
        refuse_parameters("stop", error)
    if not launches:
        wanted = selection.describe()
        click.echo(both(f"nothing runs of {wanted}", f"没有正在运行的 {wanted}"))
    result = stop.stop(launches, parameters.state_dir())
    for one in result.launches or [result]:
        if launches and one.status == OK:
            service, seconds = one.to_object()["service"], f"{one.seconds:.1f}"
            click.echo(both(f"stopped {service} in {seconds} s", f"已停止 {service}，用时 {seconds} 秒"))
    finish(result._replace(action="stop"))
