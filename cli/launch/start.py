"""`tracetail start` and `tracetail restart`: start a server and wait until it is ready."""

import json
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import click

from tracetail.cli.launch import parameters
from tracetail.cli.launch.options import launch_option, parameter_options, scope_option
from tracetail.cli.launch.outcome import ResultCommand, at_url, finish, refuse_parameters
from tracetail.cli.launch.progress import Progress
from tracetail.cli.launch.termination import Listener, TerminatedError, Termination
from tracetail.launcher import params_input
from tracetail.launcher.params import ParametersError
from tracetail.launcher.result import Result

if TYPE_CHECKING:
    from tracetail.launcher.selection import Selection


@click.command(cls=ResultCommand)
@parameter_options
@scope_option
def start(given: str | None, scope: bool, **flags: Any) -> None:
    """Start an inference server and wait until it is ready.

    The last line on stdout is TRACETAIL_RESULT and a JSON object. Exit status: 0 ready, 2 bad parameters, 10 exited
    before ready, 11 not ready in time, 12 port in use, 13 another operation is running, 15 preflight failed,
    143 ended by SIGTERM, and with it the launch that it was starting.
    """
    run_start("start", given, flags, scope=scope)


def run_start(action: str, given: str | None, flags: Mapping[str, Any], *, scope: bool) -> NoReturn:
    """Start a launch, print its progress and result, and exit."""
    progress = Progress()
    termination = Termination(progress)
    termination.install()
    try:
        result = _start(action, given, flags, termination, scope=scope)
        termination.ignore()
        progress.clear()
        if not result.status:
            shown = result.to_object()
            verb = "runs already" if result.reused else "is ready"
            click.echo(f"{shown['service']} {verb} after {result.seconds:.1f} s" + at_url(shown))
        finish(result._replace(action=action))
    except TerminatedError:
        progress.clear()
        finish(termination.end(action, parameters.state_dir()))
    except KeyboardInterrupt:
        progress.clear()
        _exit_by_interrupt(action)


def _start(action: str, given: str | None, flags: Mapping[str, Any], listener: Listener, *, scope: bool) -> Result:
    from tracetail.launcher.operations import start

    values: dict[str, Any] = {}
    try:
        values = parameters.read(given)
        values = parameters.merge(values, flags)
        settings = parameters.settings()
        wanted = params_input.from_object(values, settings.services)
        parameters.check_callback_host(wanted.callback_url, settings)
    except ParametersError as error:
        refuse_parameters(action, error, values)
    if wanted.action not in ("start", action):
        refuse_parameters(
            action, ParametersError(f"action is {wanted.action}: use `tracetail apply`, or leave it out")
        )
    if wanted.script_path and wanted.engine != "custom":
        click.echo(f"warning: scriptPath {wanted.script_path} is ignored: engine {wanted.engine} has its own command")
    if wanted.callback_url.startswith("http://") and wanted.callback_token_file:
        click.echo("warning: the token of callbackTokenFile is sent to callbackUrl unencrypted: use https")
    return start.start(wanted, parameters.state_dir(), listener, min_free_bytes=settings.min_free_bytes, scope=scope)


def _exit_by_interrupt(action: str) -> NoReturn:
    """Print that the launch goes on, and exit with the status that shells give for Ctrl-C."""
    hint = "the launch goes on; `tracetail ps` shows it, `tracetail stop` ends it"
    click.echo(f"\nended by SIGINT: {hint}")
    click.echo(Result(action, 128 + signal.SIGINT, cause="ended by SIGINT", hint=hint).line())
    sys.exit(128 + signal.SIGINT)


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
    """Return the parameters with which a service was started last. Raises ParametersError."""
    from tracetail.launcher import plan
    from tracetail.launcher.operations.as_owner import go_on_as_owner

    found = selection.find(parameters.state_dir())
    if not found:
        raise ParametersError(f"there is no launch of {selection.describe()} to restart")
    last = next((launch for launch in found if launch.live), found[0])
    go_on_as_owner(last.dir)
    try:
        kept = plan.read(last.dir)["params"]
    except (OSError, ValueError, KeyError) as error:
        raise ParametersError(f"launch {last.record['launchId']} cannot be repeated: {error}") from error
    return {name: value for name, value in kept.items() if name not in ("instanceId", "ifRunning")}
