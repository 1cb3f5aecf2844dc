"""`tracetail warmup` and `tracetail smoke`: requests to a running server."""

from typing import TYPE_CHECKING, Any, NoReturn

import click

from tracetail.cli.launch import parameters
from tracetail.cli.launch.options import selection_options
from tracetail.cli.launch.outcome import ResultCommand, finish, refuse_parameters
from tracetail.launcher.params import ParametersError
from tracetail.launcher.result import OK, Result

if TYPE_CHECKING:
    from tracetail.launcher.registry import Launch


@click.command(cls=ResultCommand)
@selection_options
def warmup(given: str | None, launch_id: str, **flags: Any) -> None:
    """Send a first request and wait for a token."""
    from tracetail.launcher.operations import model_check

    try:
        result = model_check.warm_up(_launch(given, launch_id, flags)[0])
    except ParametersError as error:
        refuse_parameters("warmup", error)
    _finish(result)


@click.command(cls=ResultCommand)
@selection_options
@click.option("--prompt", default=None, help="The prompt (else `smoke` of the parameters).")
@click.option("--pattern", default=None, help="A regular expression that must be found in the answer.")
@click.option("--max-tokens", type=int, default=32, show_default=True, help="The longest answer, in tokens.")
def smoke(
    given: str | None, launch_id: str, prompt: str | None, pattern: str | None, max_tokens: int, **flags: Any
) -> None:
    """Send a prompt and check the answer."""
    from tracetail.launcher.operations import model_check

    try:
        launch, values = _launch(given, launch_id, flags)
        test = values.get("smoke")
        if prompt is not None:
            test = {"prompt": prompt, "pattern": pattern or ".", "maxTokens": max_tokens}
        result = model_check.smoke(launch, test)
    except ParametersError as error:
        refuse_parameters("smoke", error)
    _finish(result)


def _launch(given: str | None, launch_id: str, flags: dict[str, Any]) -> "tuple[Launch, dict[str, Any]]":
    """Return the selected launch and the parameters that selected it. Raises ParametersError."""
    values = parameters.merge(parameters.read(given), flags)
    return parameters.one_launch(values, launch_id), values


def _finish(result: Result) -> NoReturn:
    if result.status == OK:
        click.echo(f"{result.to_object()['service']} answered after {result.seconds:.1f} s")
    finish(result)
