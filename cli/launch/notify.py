"""`tracetail notify`: sends a launch's state to its callback URL."""

from typing import Any, NoReturn

import click

from tracetail.cli.language import both
from tracetail.cli.launch import parameters
from tracetail.cli.launch.options import selection_options
from tracetail.cli.launch.outcome import ResultCommand, finish, refuse_parameters
from tracetail.cli.words import state_word
from tracetail.launcher.params import ParametersError
from tracetail.launcher.result import OK


@click.command(cls=ResultCommand)
@selection_options
@click.option("--callback-url", default=None, help="The receiver (else the callbackUrl of the start).")
def notify(given: str | None, launch_id: str, **flags: Any) -> None:
    """Send a launch's state to its callback URL."""
    try:
        values = parameters.merge(parameters.read(given), flags)
    except ParametersError as error:
        refuse_parameters("notify", error)
    run_notify(values, launch_id)


def run_notify(values: dict[str, Any], launch_id: str) -> NoReturn:
    """Send the state of the selected launch, print the result, and exit."""
    from tracetail.launcher.operations import notify

    try:
        launch = parameters.one_launch(values, launch_id)
        parameters.check_callback_host(values.get("callbackUrl") or "", parameters.settings())
        result = notify.notify(launch, values.get("callbackUrl") or "")
    except ParametersError as error:
        refuse_parameters("notify", error)
    if result.status == OK:
        launch_id = launch.record["launchId"]
        english = f"callback delivered: launch {launch_id} is {launch.state}"
        click.echo(both(english, f"回调已送达：启动 {launch_id} 的状态为 {state_word(launch.state)}"))
    finish(result)
