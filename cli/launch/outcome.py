"""How the launcher's commands end: text for people, then the TRACETAIL_RESULT line for schedulers."""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from tracetail.cli.language import LANGUAGES, both, chosen, fixed, in_language
from tracetail.cli.launch import parameters
from tracetail.cli.launch.panel_link import print_link
from tracetail.cli.printable import printable, printable_lines
from tracetail.cli.refusals import in_chinese
from tracetail.cli.streams import lossy
from tracetail.cli.terminal import is_terminal
from tracetail.contract import system_reasons
from tracetail.contract.json_text import json_text
from tracetail.contract.record import ENDED_STATES, Record
from tracetail.launcher import params_input
from tracetail.launcher.params import ParametersError
from tracetail.launcher.result import BAD_PARAMETERS, PREFLIGHT_FAILED, REFUSED, Refusal, Result

TAIL_LINES = 20
TAIL_MAX = 4000
"""Characters of the last lines. PowerJob keeps 8 KB of what a job prints, of which the result is the last line."""
TAIL_LINE_MAX = 400
_STARTING = ("start", "restart", "apply")
_JSON_OUTPUT = "tracetail.json-output"
"""Name in a context's `meta` of where --json prints the result's object; everything else then goes to stderr."""
_AS_JSON = "--json"


class ResultCommand(click.Command):
    """A command that ends with a TRACETAIL_RESULT line: a scheduler shows that line and nothing else.

    A person at a terminal does not see it; with --json, stdout has its JSON object alone.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not any(_AS_JSON in param.opts for param in self.params):
            text = "Print one JSON object on stdout, and all else on stderr."
            self.params.append(click.Option([_AS_JSON], is_flag=True, expose_value=False, help=text))

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the arguments; exit with a result line if they cannot be used."""
        given = list(args)
        sys.stdout, sys.stderr = lossy(sys.stdout), lossy(sys.stderr)
        if parent is not None and _AS_JSON in given:
            parent.meta[_JSON_OUTPUT] = sys.stdout
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if error.ctx is not None:
                click.echo(error.ctx.get_usage(), err=True)
            english, chinese = (self._refusal(name, info_name, given, parent) for name in LANGUAGES)
            wrong = ParametersError(english or error.format_message())
            refuse_parameters(self.name or "", wrong, parameters.from_bad_command_line(given), chinese)

    def _refusal(self, language: str, info_name: str | None, args: list[str], parent: click.Context | None) -> str:
        """Return in a language why click does not take the arguments: it words that as it parses them."""
        with fixed(language):
            try:
                super().make_context(info_name, list(args), parent)
            except click.UsageError as error:
                return error.format_message().rstrip(".。")
        return ""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit with a result line if the state directory cannot be used."""
        output = sys.stderr if _JSON_OUTPUT in ctx.meta else sys.stdout
        try:
            with contextlib.redirect_stdout(output):
                return super().invoke(ctx)
        except PermissionError as error:
            from tracetail.cli.denied import denied

            with chosen("en"):
                cause = denied(error)
            with chosen("zh"):
                zh = (denied(error), "")
            finish(Result(self.name or "", PREFLIGHT_FAILED, cause=cause, zh=zh))
        except OSError as error:
            reason = str(error.strerror or error)
            cause, cause_zh = (
                f"{error.filename or 'the state directory'}: {reason}",
                f"{error.filename or '状态目录'}：{system_reasons.in_chinese(reason)}",
            )
            hint = "set TRACETAIL_STATE_DIR to a directory that can be written"
            zh = (cause_zh, "请把 TRACETAIL_STATE_DIR 设为可写的目录")
            finish(Result(self.name or "", PREFLIGHT_FAILED, cause=cause, hint=hint, zh=zh))


def print_object(shown: Mapping[str, Any]) -> None:
    """Print the JSON object of --json, which has stdout to itself."""
    output = click.get_current_context().meta.get(_JSON_OUTPUT, sys.stdout)
    print(json_text(shown, indent=2), file=output)


def print_result(result: Result) -> None:
    """Print the result for programs: its line in a pipe, its object alone with --json, and nothing on a terminal."""
    context = click.get_current_context(silent=True)
    output = context.meta.get(_JSON_OUTPUT) if context else None
    if output is not None:
        print(json_text(result.to_object(), indent=2), file=output)
    elif not is_terminal():
        click.echo(result.line())


def finish(result: Result) -> NoReturn:
    """Print the result and exit with its status."""
    shown = result.to_object()
    if result.excerpt:
        click.echo(both("the log around the cause:", "原因附近的日志："))
        lines = _shortened(result.excerpt)
        for number, line in enumerate(lines, len(result.excerpt) - len(lines)):
            mark = "> " if number == result.excerpt_at else "  "
            click.secho(mark + printable(line), fg="red" if mark == "> " else None)
    elif result.tail:
        click.echo(both("last lines of the log:", "日志的最后几行："))
        for line in _shortened(result.tail):
            click.echo("  " + printable(line))
    cause, hint = (printable_lines(in_language(shown, name)) for name in ("cause", "hint"))
    if cause and result.status in REFUSED:
        more = both(f"; {hint}", f"；{hint}") if hint else ""
        click.echo(both(f"error: {cause}", f"错误：{cause}") + more, err=True)
    else:
        if cause:
            english, chinese = ("cause", "原因") if result.status else ("note", "说明")
            failed = bool(result.status)
            text = both(f"{english}: {cause}", f"{chinese}：{cause}")
            click.secho(text, bold=failed, fg="red" if failed else None)
        for line in shown.get("evidence", ()):
            click.echo(both("evidence: ", "证据：") + printable(line))
        if hint:
            click.secho(both(f"hint: {hint}", f"提示：{hint}"), fg="cyan")
        if result.excerpt or result.tail:
            all_lines = f"tracetail logs {shown['launchId']}"
            click.echo(both(f"all lines: {all_lines}", f"全部日志：{all_lines}"))
    print_link(result)
    print_result(result)
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


def refuse_parameters(
    action: str, error: ParametersError, values: Mapping[str, Any] | None = None, chinese: str = ""
) -> NoReturn:
    """Print why the parameters cannot be used, and exit with status 2.

    values: the parameters as far as they are known. If the action would start a launch, and they name a valid
    traceId, a refused launch is written, so that the trace shows the refusal.
    chinese: the error in Chinese, where it is not one that is looked up.
    """
    cause = str(error)
    cause, zh = _writable(cause), _writable(chinese or in_chinese(cause))
    record = _write_refusal(values, cause, zh) if values is not None and action in _STARTING else None
    click.echo(both(f"error: {cause}", f"错误：{zh}"), err=True)
    print_result(Result(action, BAD_PARAMETERS, record, cause=cause, zh=("" if zh == cause else zh, "")))
    sys.exit(BAD_PARAMETERS)


def _write_refusal(values: Mapping[str, Any], cause: str, zh: str) -> Record | None:
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
            params_input.check_text(name, values[name])
        except (KeyError, ParametersError):
            continue
        kept[name] = values[name]
    if not str(kept.get("modelName") or "\n").isprintable():
        kept["modelName"] = "unknown"
    try:
        check_id("instanceId", kept.get("instanceId", ""))
    except InvalidIdError:
        kept.pop("instanceId", None)
    refusal = Refusal(BAD_PARAMETERS, cause, zh=("" if zh == cause else zh, ""))
    return refusals.refuse(params_input.convert(kept), parameters.state_dir(), refusal)


def _writable(text: str) -> str:
    r"""Return a text with `\udcff` in place of a byte of the command line that is not of the locale's encoding."""
    return text.encode("utf-8", "backslashreplace").decode()


def at_url(shown: Mapping[str, Any]) -> str:
    """Return ` at URL` if the result has the URL at which the service answers; nothing once it has ended."""
    if "url" not in shown or shown.get("state") in ENDED_STATES:
        return ""
    return both(f" at {shown['url']}", f"，地址 {shown['url']}")
