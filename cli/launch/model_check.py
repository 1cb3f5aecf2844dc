"""`tracetail warmup` and `tracetail smoke`: requests to a running server."""

from typing import Any, NoReturn

import click

from tracetail.cli.language import both
from tracetail.cli.launch import parameters
from tracetail.cli.launch.options import selection_options
from tracetail.cli.launch.outcome import ResultCommand, finish, refuse_parameters
from tracetail.launcher.params import ParametersError
from tracetail.launcher.result import OK, Result


@click.command(cls=ResultCommand)
@selection_options
def warmup(given: str | None, launch_id: str, **flags: Any) -> None:
    """Send a first request and wait for a token."""
    try:
        values = parameters.merge(parameters.read(given), flags)
    except ParametersError as error:
        refuse_parameters("warmup", error)
    run_warmup(values, launch_id)


def run_warmup(values: dict[str, Any], launch_id: str) -> NoReturn:
    """Send a first request to the selected launch, print the result, and exit."""
    from tracetail.launcher.operations import model_check

    try:
        result = model_check.warm_up(parameters.one_launch(values, launch_id))
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
    try:
        values = parameters.merge(parameters.read(given), flags)
    except ParametersError as error:
        refuse_parameters("smoke", error)
    test = values.get("smoke")
    if prompt is not None:
        test = {"prompt": prompt, "pattern": pattern or ".", "maxTokens": max_tokens}
    run_smoke(values, launch_id, test)


def run_smoke(values: dict[str, Any], launch_id: str, test: Any) -> NoReturn:
    """Send a prompt to the selected launch, check the answer, print the result, and exit.

    test: `prompt`, `pattern` and `maxTokens`; None for those of the launch's start.
    """
    from tracetail.launcher.operations import model_check

    try:
        result = model_check.smoke(parameters.one_launch(values, launch_id), test)
    except ParametersError as error:
        refuse_parameters("smoke", error)
    _finish(result)


def _finish(result: Result) -> NoReturn:
    if result.status == OK:
        service, seconds = result.to_object()["service"], f"{result.seconds:.1f}"
        click.echo(both(f"{service} answered after {seconds} s", f"{service} 在 {seconds} 秒后作出回答"))
    finish(result)
