"""`tracetail logs`: prints the lines of a trace or launch from Loki, on the terminal or in a pipe."""

import asyncio
import contextlib
import os
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import click

from tracetail.agent.settings import AgentSettings
from tracetail.cli.completing import completer
from tracetail.cli.errors import BAD_USAGE, fail, load_configuration
from tracetail.cli.language import both
from tracetail.cli.local_logs import LocalLogs
from tracetail.cli.log_choice import Choice, by_options, by_word, did_you_mean, newest
from tracetail.cli.log_filter import InContext, LineFilter, with_context
from tracetail.cli.log_printer import LogPrinter
from tracetail.cli.log_reader import LogReader, Selection
from tracetail.cli.refusals import said
from tracetail.cli.terminal import is_terminal
from tracetail.contract.http_settings import HttpSettingsError
from tracetail.contract.since import FORMS, since_ns
from tracetail.contract.state import state_dir
from tracetail.launcher.registry import Launch
from tracetail.loki import logql
from tracetail.loki.client import LokiClient
from tracetail.loki.errors import LokiError, LokiUnavailableError

_LINES_MAX = 1_000_000_000
"""What a larger number means, too: Python's collections have a limit."""


@click.command()
@click.argument("what", required=False, shell_complete=completer("launchId", "modelName", "traceId"))
@click.option("--trace-id", metavar="ID", help="Lines of this trace.", shell_complete=completer("traceId"))
@click.option(
    "--launch",
    "launch_id",
    metavar="ID",
    help="Lines of this launch, as `tracetail ps` lists it.",
    shell_complete=completer("launchId"),
)
@click.option("--instance-id", metavar="ID", help="Lines of this run of the scheduler.")
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="Continue with new lines, until Ctrl-C (or, with --local, until the launches have ended).",
)
@click.option("--level", type=click.Choice(logql.LEVELS), help="Only lines of this level and more severe ones.")
@click.option("--grep", metavar="TEXT", help="Only lines that contain this text.")
@click.option("--regex", metavar="RE2", help="Only lines that match this regular expression (RE2).")
@click.option("--request-id", metavar="ID", help="Only lines about this request: X-Request-Id, or the engine's id.")
@click.option("-i", "--ignore-case", is_flag=True, help="For --grep and --regex.")
@click.option(
    "-C",
    "--context",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="N lines around each, too; > marks it.",
)
@click.option("--since", default="7d", show_default=True, metavar="WHEN", help=f"The oldest lines: {FORMS}.")
@click.option("-n", "--tail", type=click.IntRange(min=0), metavar="N", help="Only the newest N lines.")
@click.option("--local", is_flag=True, help="From this machine's log files, without Loki.")
@click.option("--raw", is_flag=True, help="The server's text alone, without time and level.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_obj
def logs(
    config: str | None,
    what: str | None,
    trace_id: str | None,
    launch_id: str | None,
    instance_id: str | None,
    follow: bool,
    level: str | None,
    grep: str | None,
    regex: str | None,
    request_id: str | None,
    ignore_case: bool,
    context: int,
    since: str,
    tail: int | None,
    local: bool,
    raw: bool,
    as_json: bool,
) -> None:
    """Print the lines of a trace, a launch or a run, oldest first.

    WHAT is a launchId or the end of one, the name of a model (its newest launch on this machine), or a traceId.
    Without it and without options: the newest launch on this machine. If Loki does not answer, this machine's log
    files are read.

    Exit status: 0 if there are lines, 1 if there are none or Loki does not answer, 2 for an option or setting that
    cannot be used.
    """
    try:
        start_ns = since_ns(since, datetime.now().astimezone())
    except ValueError:
        english = f"--since {since!r} is not a time; give one such as {FORMS}"
        chinese = f"--since {since!r} 不是时间；例如 {FORMS.replace(', ', '、').replace(' or ', ' 或 ')}"
        fail(both(english, chinese), BAD_USAGE)
    context = min(context, _LINES_MAX)
    tail = None if tail is None else min(tail, _LINES_MAX)
    choice = _choice(what, trace_id, launch_id, instance_id)
    settings = load_configuration(config)
    levels = logql.levels_from(level) if level else ()
    chosen = LineFilter.of(levels, grep, regex, ignore_case=ignore_case, request_id=request_id)
    if context:  # the lines around are in no query for those that match
        selection = Selection(choice.streams, start_ns, levels=(), grep=None, regex=None, ignore_case=False)
    else:
        selection = Selection(choice.streams, start_ns, levels, grep, regex, ignore_case, request_id)
    printer = LogPrinter(as_json=as_json, raw=raw, colour=not (as_json or raw) and _wants_colour())
    here = _Local(choice.launches, settings.agent, start_ns, chosen, context, tail)
    try:
        if local:
            asyncio.run(here.print(printer, follow=follow))
        else:
            asyncio.run(
                _print(LokiClient(settings.loki), selection, printer, chosen, context, tail=tail, follow=follow)
            )
            # Just written, and the agent is about to ship it; or older than what Loki keeps.
            if not printer.count and choice.launches and asyncio.run(here.print(printer, follow=False)):
                english = (
                    f"Loki at {settings.loki.url} has none of these lines (yet): they are from this machine's files"
                )
                click.echo(
                    both(english, f"{settings.loki.url} 的 Loki（还）没有这些行：以上来自本机的日志文件"), err=True
                )
    except LokiUnavailableError as error:
        if printer.count or not choice.launches:
            fail(str(error))
        english = f"{error}; reading the log files of this machine"
        click.echo(both(english, f"{said(error)}；改读本机的日志文件"), err=True)
        local = True
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(here.print(printer, follow=follow))
    except HttpSettingsError as error:
        fail(str(error), BAD_USAGE)
    except LokiError as error:
        fail(str(error))
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        # The reader of the pipe has ended (`| head`), which is no error; Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if not printer.count:
        query, url = selection.query(), settings.loki.url
        meant = did_you_mean(what, state_dir(os.environ)) if what and not choice.launches else ""
        if local:
            english = f"no lines match {query} since {since} in the log files of this machine"
            fail(both(english, f"本机的日志文件中没有匹配 {query} 的行（{since} 以来）") + meant)
        english = f"no lines match {query} since {since} at {url}"
        fail(both(english, f"{url} 中没有匹配 {query} 的行（{since} 以来）") + meant)


def _choice(what: str | None, trace_id: str | None, launch_id: str | None, instance_id: str | None) -> Choice:
    state = state_dir(os.environ)
    if trace_id is not None or launch_id is not None or instance_id is not None:
        if what is not None:
            fail(both(f"give {what!r} or an option, not both", f"{what!r} 与选项只能给一个"), BAD_USAGE)
        return by_options(trace_id, launch_id, instance_id, state)
    return newest(state) if what is None else by_word(what, state)


class _Local(NamedTuple):
    """The lines of this machine's log files that were asked for."""

    launches: Sequence[Launch]
    settings: AgentSettings
    start_ns: int
    chosen: LineFilter
    context: int
    tail: int | None

    async def print(self, printer: LogPrinter, *, follow: bool) -> bool:
        """Print them, and return whether there are any.

        follow: print those that are written from now on, too, until the launches have ended.
        """
        printer.several = len(self.launches) > 1
        logs = LocalLogs(self.launches, self.settings)
        entries = (one for one in logs.stored() if one.time_ns >= self.start_ns)
        found = [one async for one in with_context(entries, self.chosen, self.context)]
        _print_found(printer, deque(found, maxlen=self.tail), marked=self.context > 0)
        if follow:
            for entry in logs.new():
                if self.chosen.matches(entry):
                    printer.print(entry)
        return bool(printer.count)


async def _print(
    loki: LokiClient,
    selection: Selection,
    printer: LogPrinter,
    chosen: LineFilter,
    context: int,
    *,
    tail: int | None,
    follow: bool,
) -> None:
    async with loki:
        reader = LogReader(loki, selection)
        printer.several = await reader.has_several_logs()
        if context:
            found = [shown async for shown in with_context(reader.stored(), chosen, context)]
            _print_found(printer, deque(found, maxlen=tail), marked=True)
        elif tail is None:
            async for entry in reader.stored():
                printer.print(entry)
        else:
            for entry in await reader.last(tail):
                printer.print(entry)
        if follow:
            async for entry in reader.new():
                if chosen.matches(entry):
                    printer.print(entry)


def _print_found(printer: LogPrinter, found: Iterable[InContext | None], *, marked: bool) -> None:
    """Print lines with those around them. marked: show which are which."""
    for shown in found:
        if shown is None:
            printer.print_left_out()
        else:
            printer.print(shown.entry, ("> " if shown.is_wanted else "  ") if marked else "")


def _wants_colour() -> bool:
    return is_terminal() and not os.environ.get("NO_COLOR")
