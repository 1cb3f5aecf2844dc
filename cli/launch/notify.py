"""`tracetail notify`: sends a launch's state to its callback URL."""

from typing import Any

import click

from tracetail.cli.launch import parameters
from tracetail.cli.launch.options import selection_options
from tracetail.cli.launch.outcome import ResultCommand, finish, refuse_parameters
from tracetail.launcher.params import ParametersError
from tracetail.launcher.result import OK


@click.command(cls=ResultCommand)
@selection_options
@click.option("--callback-url", default=None, help="The receiver (else the callbackUrl of the start).")
def notify(given: str | None, launch_id: str, callback_url: str | None, **flags: Any) -> None:
    """Send a launch's state to its callback URL."""
    from tracetail.launcher.operations import notify

    try:
        values = parameters.merge(parameters.read(given), flags)
        launch = parameters.one_launch(values, launch_id)
        result = notify.notify(launch, callback_url or values.get("callbackUrl") or "")
    except ParametersError as error:
        refuse_parameters("notify", error)
    if result.status == OK:
        click.echo(f"callback delivered: launch {launch.record['launchId']} is {launch.state}")
    finish(result)
