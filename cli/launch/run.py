"""`tracetail run`: runs a server as the main command of a container."""

import sys
from typing import Any

import click

from tracetail.cli.language import both
from tracetail.cli.launch import parameters
from tracetail.cli.launch.options import parameter_options
from tracetail.cli.refusals import in_chinese
from tracetail.launcher.params import ParametersError
from tracetail.launcher.result import BAD_PARAMETERS, PREFLIGHT_FAILED, Refusal

ENVIRONMENT_PREFIX = "TRACETAIL_RUN"


@click.command(
    context_settings={
        "auto_envvar_prefix": ENVIRONMENT_PREFIX,
        "ignore_unknown_options": False,
        "allow_interspersed_args": False,
    }
)
@parameter_options
@click.option("--stdout-only", is_flag=True, help="Keep no log on disk but the last MiB, for the cause of a failure.")
@click.option(
    "--plain-stdout",
    is_flag=True,
    help="Print the server's own lines only, for an agent that follows the container.",
)
@click.option(
    "--termination-log",
    metavar="FILE",
    default="",
    help="Where to write the cause of a failure (/dev/termination-log, if it exists).",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    given: str | None,
    stdout_only: bool,
    plain_stdout: bool,
    termination_log: str,
    command: tuple[str, ...],
    **flags: Any,
) -> None:
    """Run a server in the foreground, as the main command of a container: `tracetail run -- vllm serve …`.

    Engine, model, port and host are taken from the command; flags take precedence. Each flag can be given as a
    variable, too: TRACETAIL_RUN_MODEL_NAME for --model-name. The lines, stamped and with their ids, go to stdout and
    to the launch's log. SIGTERM and SIGINT stop the server with all its processes, other signals are forwarded.

    The exit status is the server's, 128+n for signal n; 11 if it was not ready in time, 1 if it failed and exited
    with 0; before there is a server: 2 bad parameters, 12 port in use, 13 the service runs already, 15 preflight
    failed, 126 the command cannot be executed, 127 it was not found.
    """
    from tracetail.launcher.operations import foreground_run

    foreground_run.hold_stop_signals()
    try:
        settings = parameters.settings()
        values = parameters.with_environment_ids(parameters.merge(parameters.read(given), flags))
        wanted, engine = foreground_run.parameters_of(list(command), values)
        parameters.check_callback_host(wanted.callback_url, settings)
        foreground_run.run(
            wanted,
            engine,
            parameters.state_dir(),
            termination_log=termination_log,
            stdout_only=stdout_only,
            plain_stdout=plain_stdout,
            min_free_bytes=settings.min_free_bytes,
        )
    except ParametersError as error:
        _end(termination_log, BAD_PARAMETERS, str(error))
    except Refusal as refusal:  # recorded, and written into the termination log, already
        cause, hint = both(refusal.cause, refusal.zh[0] or refusal.cause), both(refusal.hint, refusal.zh[1])
        more = both(f"; {hint}", f"；{hint}") if hint else ""
        click.echo(both(f"error: {cause}", f"错误：{cause}") + more, err=True)
        sys.exit(refusal.status)
    except OSError as error:
        where = error.filename or "the state directory"
        hint = "TRACETAIL_STATE_DIR names a directory that can be written, such as that of an emptyDir"
        _end(termination_log, PREFLIGHT_FAILED, f"{where}: {error.strerror or error}; {hint}")


def _end(termination_log: str, status: int, cause: str) -> None:
    from tracetail.launcher.termination_log import write_termination_log

    write_termination_log(termination_log, f"refused: {cause}\n")
    click.echo(both(f"error: {cause}", f"错误：{in_chinese(cause)}"), err=True)
    sys.exit(status)
