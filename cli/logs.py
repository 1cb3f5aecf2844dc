"""`tracetail logs`: prints the lines of a trace or launch from Loki, on the terminal or in a pipe."""

import asyncio
import os
import re
import sys
import time

import click

from tracetail.cli.errors import BAD_USAGE, fail, load_configuration
from tracetail.cli.log_printer import LogPrinter
from tracetail.cli.log_reader import LogReader, Selection
from tracetail.cli.terminal import is_terminal
from tracetail.contract import labels as names
from tracetail.contract.identity import InvalidIdError, check_id, is_launch_id
from tracetail.loki import logql
from tracetail.loki.client import LokiClient, LokiError
from tracetail.loki.settings import LokiSettingsError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@click.command()
@click.option("--trace-id", metavar="ID", help="Lines of this trace.")
@click.option("--launch", "launch_id", metavar="ID", help="Lines of this launch, as `tracetail ps` lists it.")
@click.option("--instance-id", metavar="ID", help="Lines of this run of the scheduler.")
@click.option("-f", "--follow", is_flag=True, help="Continue with new lines, until Ctrl-C.")
@click.option("--level", type=click.Choice(logql.LEVELS), help="Only lines of this level and more severe ones.")
@click.option("--grep", metavar="TEXT", help="Only lines that contain this text.")
@click.option("--regex", metavar="RE2", help="Only lines that match this regular expression (RE2).")
@click.option("-i", "--ignore-case", is_flag=True, help="For --grep and --regex.")
@click.option("--since", default="7d", show_default=True, metavar="AGE", help="The oldest lines: 90s, 15m, 6h, 7d.")
@click.option("-n", "--tail", type=click.IntRange(min=0), metavar="N", help="Only the newest N lines.")
@click.option("--raw", is_flag=True, help="The server's text alone, without time and level.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_obj
def logs(
    config: str | None,
    trace_id: str | None,
    launch_id: str | None,
    instance_id: str | None,
    follow: bool,
    level: str | None,
    grep: str | None,
    regex: str | None,
    ignore_case: bool,
    since: str,
    tail: int | None,
    raw: bool,
    as_json: bool,
) -> None:
    """Print the lines of a trace, a launch or a run, oldest first.

    Exit status: 0 if there are lines, 1 if there are none or Loki does not answer, 2 for an option or setting that
    cannot be used.
    """
    streams = _streams(trace_id, launch_id, instance_id)
    settings = load_configuration(config).loki
    selection = Selection(
        streams=streams,
        start_ns=time.time_ns() - _age_seconds(since) * 1_000_000_000,
        levels=logql.levels_from(level) if level else (),
        grep=grep,
        regex=regex,
        ignore_case=ignore_case,
    )
    printer = LogPrinter(as_json=as_json, raw=raw, colour=not (as_json or raw) and _wants_colour())
    try:
        asyncio.run(_print(LokiClient(settings), selection, printer, tail=tail, follow=follow))
    except LokiSettingsError as error:
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
        fail(f"no lines match {selection.query()} in the last {since} at {settings.url}")


async def _print(
    loki: LokiClient, selection: Selection, printer: LogPrinter, *, tail: int | None, follow: bool
) -> None:
    async with loki:
        reader = LogReader(loki, selection)
        if tail is None:
            async for entry in reader.stored():
                printer.print(entry)
        else:
            for entry in await reader.last(tail):
                printer.print(entry)
        if follow:
            async for entry in reader.new():
                printer.print(entry)


def _streams(trace_id: str | None, launch_id: str | None, instance_id: str | None) -> dict[str, str]:
    """Return the labels by which the streams are selected."""
    given = {names.TRACE_ID: trace_id, names.LAUNCH_ID: launch_id, names.INSTANCE_ID: instance_id}
    streams = {name: value for name, value in given.items() if value is not None}
    if not streams:
        fail("which lines? Give --trace-id, --launch or --instance-id (`tracetail ps` lists them)", BAD_USAGE)
    if launch_id is not None and not is_launch_id(launch_id):
        fail(f"--launch {launch_id!r} is not a launch id such as 20261122T211210-4bf92f", BAD_USAGE)
    try:
        for name, value in streams.items():
            check_id(name, value)
    except InvalidIdError as error:
        fail(str(error), BAD_USAGE)
    return streams


def _age_seconds(age: str) -> int:
    match = re.fullmatch(r"(\d{1,6})([smhd])", age)
    if match is None:
        fail(f"--since {age!r} is not an age; give a number and s, m, h or d, for instance 6h", BAD_USAGE)
    return int(match[1]) * _UNITS[match[2]]


def _wants_colour() -> bool:
    return is_terminal() and not os.environ.get("NO_COLOR")
