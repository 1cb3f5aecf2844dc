"""How the launcher's commands end: text for people, then the TRACETAIL_RESULT line for schedulers."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from tracetail.cli.denied import denied
from tracetail.cli.launch import parameters
from tracetail.cli.terminal import printable
from tracetail.contract.record import Record
from tracetail.launcher import params_input
from tracetail.launcher.params import ParametersError
from tracetail.launcher.result import BAD_PARAMETERS, PREFLIGHT_FAILED, REFUSED, Refusal, Result

TAIL_LINES = 20
TAIL_MAX = 4000
"""Characters of the last lines. PowerJob keeps 8 KB of what a job prints, of which the result is the last line."""
TAIL_LINE_MAX = 400
_STARTING = ("start", "restart", "apply")


class ResultCommand(click.Command):
    """A command that always ends with a TRACETAIL_RESULT line: a scheduler shows that line and nothing else."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the arguments; exit with a result line if they cannot be used."""
        given = list(args)
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if error.ctx is not None:
                click.echo(error.ctx.get_usage(), err=True)
            wrong = ParametersError(error.format_message().rstrip("."))
            refuse_parameters(self.name or "", wrong, parameters.from_bad_command_line(given))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit with a result line if the state directory cannot be used."""
        try:
            return super().invoke(ctx)
        except PermissionError as error:
            finish(Result(self.name or "", PREFLIGHT_FAILED, cause=denied(error)))
        except OSError as error:
            cause = f"{error.filename or 'the state directory'}: {error.strerror or error}"
            hint = "set TRACETAIL_STATE_DIR to a directory that can be written"
            finish(Result(self.name or "", PREFLIGHT_FAILED, cause=cause, hint=hint))


def finish(result: Result) -> NoReturn:
    """Print the result and exit with its status."""
    shown = result.to_object()
    if result.excerpt:
        click.echo("the log around the cause:")
        lines = _shortened(result.excerpt)
        for number, line in enumerate(lines, len(result.excerpt) - len(lines)):
            mark = "> " if number == result.excerpt_at else "  "
            click.secho(mark + printable(line), fg="red" if mark == "> " else None)
    elif result.tail:
        click.echo("last lines of the log:")
        for line in _shortened(result.tail):
            click.echo("  " + printable(line))
    cause, hint = shown.get("cause"), shown.get("hint")
    if cause and result.status in REFUSED:
        click.echo(f"error: {cause}{f'; {hint}' if hint else ''}", err=True)
    else:
        if cause:
            click.secho(f"{'cause' if result.status else 'note'}: {cause}", bold=bool(result.status))
        for line in shown.get("evidence", ()):
            click.echo(f"evidence: {line}")
        if hint:
            click.echo(f"hint: {hint}")
        if result.excerpt or result.tail:
            click.echo(f"all lines: tracetail logs {shown['launchId']}")
    click.echo(result.line())
    sys.exit(result.status)


def _shortened(tail: Sequence[str]) -> list[str]:
    """Return the last lines, at most TAIL_MAX characters together, each cut at TAIL_LINE_MAX."""
    shown: list[str] = []
    left = TAIL_MAX
    for line in reversed(tail[-TAIL_LINES:]):
        text = line if len(line) <= TAIL_LINE_MAX else line[:TAIL_LINE_MAX] + "…"
        left -= len(text)
        if left < 0:
            break
        shown.insert(0, text)
    return shown


def refuse_parameters(action: str, error: ParametersError, values: Mapping[str, Any] | None = None) -> NoReturn:
    """Print why the parameters cannot be used, and exit with status 2.

    values: the parameters as far as they are known. If the action would start a launch, and they name a valid
    traceId, a refused launch is written, so that the trace shows the refusal.
    """
    record = _write_refusal(values, error) if values is not None and action in _STARTING else None
    click.echo(f"error: {error}", err=True)
    click.echo(Result(action, BAD_PARAMETERS, record, cause=str(error)).line())
    sys.exit(BAD_PARAMETERS)


def _write_refusal(values: Mapping[str, Any], error: ParametersError) -> Record | None:
    """Write a refused launch with those of the parameters that are valid. Without a valid traceId, do nothing."""
    from tracetail.contract.identity import InvalidIdError, check_id
    from tracetail.launcher.operations import refusals

    values = params_input.known(values)
    trace_id = values.get("traceId")
    try:
        check_id("traceId", trace_id if isinstance(trace_id, str) else "")
    except InvalidIdError:
        return None
    kept: dict[str, Any] = {"traceId": trace_id}
    for name in ("modelName", "port", "env", "engine", "instanceId", "jobId", "logDir"):
        try:
            params_input.convert({name: values[name]})
        except (KeyError, ParametersError):
            continue
        kept[name] = values[name]
    if not str(kept.get("modelName") or "\n").isprintable():
        kept["modelName"] = "unknown"
    try:
        check_id("instanceId", kept.get("instanceId", ""))
    except InvalidIdError:
        kept.pop("instanceId", None)
    return refusals.refuse(params_input.convert(kept), parameters.state_dir(), Refusal(BAD_PARAMETERS, str(error)))


def at_url(shown: Mapping[str, Any]) -> str:
    """Return ` at URL` if the result has the URL at which the service answers."""
    return f" at {shown['url']}" if "url" in shown else ""
