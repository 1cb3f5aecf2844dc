"""`tracetail agent` and `tracetail verify`."""

import asyncio
import functools
import json
import logging
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

import click

from tracetail.cli import configuration

if TYPE_CHECKING:
    from tracetail.agent.verify import Report

log = logging.getLogger(__name__)

_OPEN_FILES = 65_536


@click.group(invoke_without_command=True)
@click.pass_context
def agent(ctx: click.Context) -> None:
    """Follow logs and ship them to Loki."""
    if ctx.invoked_subcommand is not None:
        return
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    _allow_many_open_files()
    asyncio.run(_follow(_settings(ctx), ctx.obj))


async def _follow(settings: configuration.Configuration, config_path: str | None) -> None:
    """Run an agent until SIGTERM or SIGINT; another one, with the configuration read again, at each SIGHUP."""
    from tracetail.agent.journal.database import JournalError
    from tracetail.agent.reading.discovery import BadSettingsError
    from tracetail.agent.service import Agent
    from tracetail.contract.access import UnsafeBindError
    from tracetail.contract.redaction import InvalidPatternError
    from tracetail.contract.secret_file import SecretFileError
    from tracetail.loki.settings import LokiSettingsError

    refused = (BadSettingsError, InvalidPatternError, LokiSettingsError, SecretFileError, UnsafeBindError)
    ended = asyncio.Event()
    stop = announced = False
    before: configuration.Configuration | None = None
    """The configuration to go back to when the new one turns out not to work."""

    def end(*, for_good: bool) -> None:
        nonlocal stop
        stop = stop or for_good
        ended.set()

    # In the loop that stays, so that no signal meets an agent that is between two configurations.
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, functools.partial(end, for_good=True))
    loop.add_signal_handler(signal.SIGHUP, functools.partial(end, for_good=False))

    def announce(address: str) -> None:
        nonlocal before, announced
        before = None
        if announced:
            log.info("the configuration was read again; listening on %s", address)
        else:
            click.echo(f"tracetail agent: listening on {address}")
            sys.stdout.flush()
        announced = True

    while not stop:
        process = Agent(settings.agent, settings.loki, _state_dirs(settings), socket.gethostname())
        ended.clear()
        try:
            await process.run(announce, ended)
        except (*refused, JournalError, OSError) as error:
            if before is None:
                _fail(str(error), 2 if isinstance(error, refused) and not isinstance(error, UnsafeBindError) else 1)
            log.error("the configuration stays as it was: %s", error)  # noqa: TRY400
            settings, before = before, None
            continue
        if not stop:
            try:
                settings, before = configuration.load(config_path), settings
            except configuration.ConfigurationError as error:
                log.error("the configuration stays as it was: %s", error)  # noqa: TRY400


def _allow_many_open_files() -> None:
    """Raise the soft limit: each log that is followed is open, and the usual 1,024 descriptors are not many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@agent.command("try")
@click.argument("file", type=click.File("rb"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def try_file(ctx: click.Context, file: BinaryIO, as_json: bool) -> None:
    """Print how each line of FILE would be parsed, labelled and redacted, without sending anything."""
    from tracetail.agent.dry_run import Trial, tried
    from tracetail.loki.logql import selector

    settings = _settings(ctx)
    path = Path(file.name).absolute()
    trial = Trial.of(path, settings.agent, _state_dirs(settings), socket.gethostname())
    if not trial.followed:
        click.echo(f"no glob of agent.sources matches {path}: the agent would not follow it; if it did:", err=True)
    shown = None
    try:
        for line in tried(file.read(), trial, settings.agent, structured_metadata=settings.loki.structured_metadata):
            if as_json:
                click.echo(json.dumps(line, ensure_ascii=False))
                continue
            if line["labels"] != shown:
                shown = line["labels"]
                click.echo(selector(shown))
            about = "".join(f" {key}={value}" for key, value in line["metadata"].items())
            click.echo(f"{line['time']}{about} | {line['line']}")
    except ValueError as error:  # a setting that cannot be used
        _fail(str(error), 2)


@agent.group(invoke_without_command=True)
@click.option("--trace-id", help="Only lines of this trace.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def rejected(ctx: click.Context, trace_id: str | None, as_json: bool) -> None:
    """List the lines that Loki refused, with its reasons."""
    if ctx.invoked_subcommand is not None:
        return
    from tracetail.agent.journal.database import JournalError
    from tracetail.agent.journal.rejected import rejected_lines
    from tracetail.agent.service import journal_path

    settings = _settings(ctx)
    try:
        lines = rejected_lines(journal_path(_state_dirs(settings)[0]), trace_id)
    except JournalError as error:
        _fail(str(error), 1)
    for line in lines:
        if as_json:
            click.echo(json.dumps(line.as_json(), ensure_ascii=False))
        else:
            place = f"{line.path or '?'}:{'?' if line.offset is None else line.offset}"
            click.echo(f"{place}\t{line.reason}\t{line.entry.text.decode(errors='replace')}")
    if not as_json:
        count = {0: "no line is", 1: "1 line is"}.get(len(lines), f"{len(lines)} lines are")
        click.echo(f"{count} rejected", err=True)
        if lines:
            click.echo("`tracetail agent rejected replay` sends them again, when the cause is mended", err=True)


@rejected.command()
@click.option("--trace-id", help="Only lines of this trace.")
@click.pass_context
def replay(ctx: click.Context, trace_id: str | None) -> None:
    """Send the rejected lines again."""
    from tracetail.agent.journal import rejected as module
    from tracetail.agent.journal.database import JournalError
    from tracetail.agent.service import journal_path
    from tracetail.loki.client import LokiClient, UnreachableError

    settings = _settings(ctx)

    async def run() -> tuple[int, list[str]]:
        async with LokiClient(settings.loki) as loki:
            return await module.replay(journal_path(_state_dirs(settings)[0]), loki, trace_id)

    try:
        taken, reasons = asyncio.run(run())
    except UnreachableError as error:
        _fail(f"Loki at {settings.loki.url} cannot be reached: {error}", 1)
    except JournalError as error:
        _fail(str(error), 1)
    except ValueError as error:  # a setting that cannot be used
        _fail(str(error), 2)
    click.echo(
        f"{taken} {'line was' if taken == 1 else 'lines were'} taken" if taken or reasons else "nothing to replay"
    )
    for reason in reasons:
        click.echo(f"not taken: {reason}", err=True)
    sys.exit(1 if reasons else 0)


@click.command()
@click.option("--trace-id", required=True, help="The trace to verify.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with a report for each launch.")
@click.pass_context
def verify(ctx: click.Context, trace_id: str, as_json: bool) -> None:
    """Prove that every line of a trace's launches on this machine is in Loki; exit 0 if so, else 1."""
    from tracetail.agent.service import journal_path, redactor_of
    from tracetail.agent.verify import Report, launches_of
    from tracetail.agent.verify import verify as verify_launch
    from tracetail.loki.client import LokiClient, QueryRefusedError, UnreachableError

    settings = _settings(ctx)
    state_dirs = _state_dirs(settings)

    found, unreadable = launches_of(state_dirs, trace_id)
    for reason in unreadable:
        click.echo(f"warning: {reason}", err=True)

    async def run() -> list[Report]:
        redactor = redactor_of(settings.agent)
        async with LokiClient(settings.loki) as loki:
            return [
                await verify_launch(launch, record, journal_path(state_dirs[0]), redactor, loki)
                for launch, record in found
            ]

    try:
        reports = asyncio.run(run())
    except (UnreachableError, QueryRefusedError) as error:
        _fail(f"Loki at {settings.loki.url} cannot be asked: {error}", 1)
    except ValueError as error:  # a setting that cannot be used
        _fail(str(error), 2)
    complete = bool(reports) and all(report.complete for report in reports)
    if as_json:
        launches = [report.as_json() for report in reports]
        click.echo(json.dumps({"traceId": trace_id, "complete": complete, "launches": launches}))
    elif not reports:
        click.echo(f"no launch of trace {trace_id} is known on this machine", err=True)
    for report in [] if as_json else reports:
        _show(report)
    sys.exit(0 if complete else 1)


def _show(report: "Report") -> None:
    said = "complete" if report.complete else "NOT complete"
    click.echo(
        f"{report.launch_id} ({report.state}): {said}: {report.lines} lines on disk, {report.found} of them in Loki, "
        f"{report.rejected} rejected, {report.redacted} secrets masked"
    )
    for gap in report.missing:
        click.echo(f"  missing: {gap.file} bytes {gap.start} to {gap.end} ({gap.lines} lines)")
    for lost in report.lost:
        known = f"bytes {lost.start} to {lost.end}" if lost.end > lost.start else f"what came after byte {lost.start}"
        click.echo(f"  lost: {lost.file} {known}: {lost.reason}")
    for name in report.gone:
        click.echo(f"  not on disk any more: {name}")
    if report.gone and not report.receipt:
        click.echo("  and its stream has no receipt by which what is gone could be counted")
    if report.missing and report.runs:
        click.echo("  it still runs: its last lines may be under way; try again in a moment")


def _settings(ctx: click.Context) -> configuration.Configuration:
    try:
        return configuration.load(ctx.obj)
    except configuration.ConfigurationError as error:
        _fail(str(error), 2)


def _state_dirs(settings: configuration.Configuration) -> list[Path]:
    """Return the directories whose launches are followed: the configured ones, or every one that exists."""
    from tracetail.contract.state import existing_state_dirs, state_dir

    named = [Path(path) for path in settings.agent.state_dirs]
    if named:
        return named
    return existing_state_dirs(os.environ) or [state_dir(os.environ)]


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(code)
