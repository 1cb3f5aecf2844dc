"""`tracetail logs`: the lines of a trace or launch, from Loki, on the terminal or in a pipe."""

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn

import click

from tracetail.cli import configuration
from tracetail.contract import labels as names
from tracetail.contract.identity import InvalidIdError, check_id, is_launch_id
from tracetail.loki import logql
from tracetail.loki.client import LokiClient, LokiError, LokiUnavailableError
from tracetail.loki.limits import CREATION_GRACE_SECONDS
from tracetail.loki.settings import LokiSettingsError
from tracetail.panel.trace.entry import Entry, Key, source_of
from tracetail.panel.trace.reader import Reader

POLL_SECONDS = 0.25
UNAVAILABLE_PAUSE_SECONDS = 2.0
SERIES_SECONDS = 2.0
"""How often a followed trace is asked for further launches."""
PAGE = 1000
_NANOSECONDS = 1_000_000_000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_COLOURS = {"debug": "bright_black", "warning": "yellow", "error": "red", "critical": "red"}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]|\x1b(?!\[[0-9;]*m)")
"""What a terminal must not get from a log: control characters but for tabs and colours, and bidi overrides."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass
class Selection:
    """Which lines are wanted."""

    streams: Mapping[str, str]
    start_ns: int
    levels: tuple[str, ...]
    grep: str | None
    regex: str | None
    ignore_case: bool

    def query(self, streams: Mapping[str, str] | None = None) -> str:
        """Return the log query for the selection, or for the part of it in these streams."""
        return logql.filtered(
            logql.selector(streams or self.streams),
            levels=self.levels,
            contains=self.grep,
            matches=self.regex,
            ignore_case=self.ignore_case,
        )


@dataclass
class Follower:
    """Reads a selection: all that is there, then what comes, each stream from its own position.

    One position for all would lose lines of a launch whose agent is behind the others'.
    """

    loki: LokiClient
    selection: Selection
    _positions: dict[str, Key] = field(default_factory=dict)

    async def existing(self) -> AsyncIterator[Entry]:
        """Yield what is there, oldest first."""
        reader, position = Reader(self.loki), Key(self.selection.start_ns)
        while True:
            page = await reader.forward(self.selection.query(), position, limit=PAGE)
            for entry in page.entries:
                self._passed(entry)
                yield entry
            if not page.more:
                return
            position = page.entries[-1].key.next

    async def last(self, count: int) -> list[Entry]:
        """Return the last lines of what is there."""
        reader, found, end = (
            Reader(self.loki),
            list[Entry](),
            Key(time.time_ns() + CREATION_GRACE_SECONDS * _NANOSECONDS),
        )
        while len(found) < count:
            limit = min(PAGE, count - len(found))
            page = await reader.backward(self.selection.query(), end, Key(self.selection.start_ns), limit=limit)
            found[:0] = page.entries
            if not page.more:
                break
            end = page.entries[0].key
        for entry in found:
            self._passed(entry)
        return found

    async def coming(self) -> AsyncIterator[Entry]:
        """Yield what comes, until cancelled; waits where Loki is away for a while."""
        reader = Reader(self.loki)
        streams: list[dict[str, str]] = []
        looked = -SERIES_SECONDS
        while True:
            found: list[Entry] = []
            try:
                if time.monotonic() - looked >= SERIES_SECONDS:
                    end_ns = time.time_ns() + CREATION_GRACE_SECONDS * _NANOSECONDS
                    matching = logql.selector(self.selection.streams)
                    streams = await self.loki.series(matching, self.selection.start_ns, end_ns)
                    looked = time.monotonic()
                for stream in streams:
                    # What has shown nothing yet is read from its start: it began after the first reading.
                    position = self._positions.get(source_of(stream), Key(self.selection.start_ns))
                    page = await reader.forward(self.selection.query(stream), position, limit=PAGE)
                    found += page.entries
            except LokiUnavailableError as error:
                click.echo(f"waiting: {error}", err=True)
                await asyncio.sleep(UNAVAILABLE_PAUSE_SECONDS)
                continue
            for entry in sorted(found, key=lambda entry: entry.key):
                self._passed(entry)
                yield entry
            await asyncio.sleep(POLL_SECONDS)

    def _passed(self, entry: Entry) -> None:
        self._positions[entry.stream.source] = entry.key.next


class Printer:
    """Writes entries: coloured for a person, plain in a pipe, JSON for a program."""

    def __init__(self, *, as_json: bool, raw: bool, colour: bool) -> None:
        self._as_json = as_json
        self._raw = raw
        self._colour = colour
        self.count = 0

    def write(self, entry: Entry) -> None:
        """Write one entry as one line."""
        self.count += 1
        if self._as_json:
            text = json.dumps({**entry.as_json(), "labels": launch_labels_of(entry)}, ensure_ascii=False)
        elif self._raw:
            text = entry.text
        else:
            text = self._shown(entry)
        click.echo(text, color=True)  # as it is: what a terminal must not get is taken out above

    def _shown(self, entry: Entry) -> str:
        fields = entry.stream.fields
        moment = datetime.fromtimestamp(entry.key.time_ns / _NANOSECONDS).astimezone()
        clock = moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
        level = fields.get(names.METADATA_LEVEL, "")
        if not self._colour:
            return f"{clock} {level.upper():8} {_CONTROL.sub(REPLACEMENT, click.unstyle(entry.text))}"
        text = _CONTROL.sub(REPLACEMENT, entry.text)
        if fields.get(names.METADATA_KIND) == "event":
            return f"{click.style(clock, dim=True)} {click.style('● ' + text, fg='cyan')}"
        return f"{click.style(clock, dim=True)} {click.style(text, fg=_COLOURS.get(level), bold=level == 'critical')}"


def launch_labels_of(entry: Entry) -> dict[str, str]:
    """Return the labels of the entry's stream, without its structured metadata."""
    metadata = set(names.METADATA_NAMES)
    return {name: value for name, value in entry.stream.fields.items() if name not in metadata}


@click.command()
@click.option("--trace-id", metavar="ID", help="The trace whose lines are wanted.")
@click.option("--launch", "launch_id", metavar="ID", help="One launch, as `tracetail ps` lists it.")
@click.option("--instance-id", metavar="ID", help="The scheduler's id of a run.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--level", type=click.Choice(logql.LEVELS), help="Only lines of this level and graver ones.")
@click.option("--grep", metavar="TEXT", help="Only lines with this text in them.")
@click.option("--regex", metavar="RE2", help="Only lines in which this regular expression (RE2) finds something.")
@click.option("-i", "--ignore-case", is_flag=True, help="For --grep and --regex.")
@click.option(
    "--since", default="7d", show_default=True, metavar="AGE", help="How far to look back: 90s, 15m, 6h, 7d."
)
@click.option("-n", "--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines of what is there.")
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

    Exits with 0 if lines were found, with 1 if there are none.
    """
    streams = _streams(trace_id, launch_id, instance_id)
    try:
        settings = configuration.load(config).loki
    except configuration.ConfigurationError as error:
        _fail(str(error))
    selection = Selection(
        streams=streams,
        start_ns=time.time_ns() - _age_seconds(since) * _NANOSECONDS,
        levels=logql.levels_from(level) if level else (),
        grep=grep,
        regex=regex,
        ignore_case=ignore_case,
    )
    printer = Printer(as_json=as_json, raw=raw, colour=not (as_json or raw) and _wants_colour())
    try:
        asyncio.run(_print(LokiClient(settings), selection, printer, tail=tail, follow=follow))
    except LokiSettingsError as error:
        _fail(str(error))
    except LokiError as error:
        _fail(str(error), status=1)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        # The reader of the pipe has gone (`| head`): nothing is wrong. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if not printer.count:
        _fail(f"no lines match {selection.query()} in the last {since} at {settings.url}", status=1)


async def _print(loki: LokiClient, selection: Selection, printer: Printer, *, tail: int | None, follow: bool) -> None:
    async with loki:
        follower = Follower(loki, selection)
        if tail is None:
            async for entry in follower.existing():
                printer.write(entry)
        else:
            for entry in await follower.last(tail):
                printer.write(entry)
        if follow:
            async for entry in follower.coming():
                printer.write(entry)


def _streams(trace_id: str | None, launch_id: str | None, instance_id: str | None) -> dict[str, str]:
    """Return the labels that the wanted streams have."""
    given = {names.TRACE_ID: trace_id, names.LAUNCH_ID: launch_id, names.INSTANCE_ID: instance_id}
    streams = {name: value for name, value in given.items() if value is not None}
    if not streams:
        _fail("which lines? Give --trace-id, --launch or --instance-id (`tracetail ps` lists them)")
    if launch_id is not None and not is_launch_id(launch_id):
        _fail(f"--launch {launch_id!r} is not a launch id such as 20261122T211210-4bf92f")
    try:
        for name, value in streams.items():
            check_id(name, value)
    except InvalidIdError as error:
        _fail(str(error))
    return streams


def _age_seconds(age: str) -> int:
    match = re.fullmatch(r"(\d{1,6})([smhd])", age)
    if match is None:
        _fail(f"--since {age!r} is not an age; give a number and s, m, h or d, for instance 6h")
    return int(match[1]) * _UNITS[match[2]]


def _wants_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _fail(message: str, status: int = 2) -> NoReturn:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(status)
