"""Reads the lines that `tracetail logs` prints: stored ones, then new ones, each stream by its own position."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import click

from tracetail.loki import logql
from tracetail.loki.client import LokiClient, LokiUnavailableError
from tracetail.loki.limits import CREATION_GRACE_SECONDS
from tracetail.panel.trace.entry import Entry, Key, source_of
from tracetail.panel.trace.reader import Reader

POLL_SECONDS = 0.25
UNAVAILABLE_PAUSE_SECONDS = 2.0
SERIES_SECONDS = 2.0
"""Interval of the queries for further launches of a followed trace."""
PAGE = 1000
"""Entries of one page."""


@dataclass(frozen=True)
class Selection:
    """Which lines to read."""

    streams: Mapping[str, str]
    """Labels that their streams have."""
    start_ns: int
    levels: tuple[str, ...]
    grep: str | None
    regex: str | None
    ignore_case: bool

    def query(self, streams: Mapping[str, str] | None = None) -> str:
        """Return the log query for the selection, or for the part of it in these streams."""
        return logql.log_query(
            logql.selector(streams or self.streams),
            levels=self.levels,
            contains=self.grep,
            matches=self.regex,
            ignore_case=self.ignore_case,
        )


class LogReader:
    """Reads a selection from Loki and remembers the position in each stream.

    One position for all streams would lose lines of a launch whose agent is behind the others.
    """

    def __init__(self, loki: LokiClient, selection: Selection) -> None:
        self._loki = loki
        self._selection = selection
        self._reader = Reader(loki)
        self._start = Key(selection.start_ns)
        self._positions: dict[str, Key] = {}

    async def has_several_logs(self) -> bool:
        """Return whether the selected streams are of more than one launch or file. Raises LokiError."""
        selector = logql.selector(self._selection.streams)
        streams = await self._loki.series(selector, self._selection.start_ns, _newest_possible_ns())
        return len({source_of(stream) for stream in streams}) > 1

    async def stored(self) -> AsyncIterator[Entry]:
        """Yield the entries that Loki has, oldest first. Raises LokiError."""
        position = self._start
        while True:
            page = await self._reader.forward(self._selection.query(), position, limit=PAGE)
            for entry in page.entries:
                self._advance(entry)
                yield entry
            if not page.more:
                return
            position = page.entries[-1].key.next

    async def last(self, count: int) -> list[Entry]:
        """Return the newest entries that Loki has, oldest first. Raises LokiError."""
        found: list[Entry] = []
        end = Key(_newest_possible_ns())
        while len(found) < count:
            limit = min(PAGE, count - len(found))
            page = await self._reader.backward(self._selection.query(), end, self._start, limit=limit)
            found[:0] = page.entries
            if not page.more:
                break
            end = page.entries[0].key
        for entry in found:
            self._advance(entry)
        return found

    async def new(self) -> AsyncIterator[Entry]:
        """Yield new entries until cancelled; while Loki is unavailable, print why and try again."""
        streams: list[dict[str, str]] = []
        series_read_at = -SERIES_SECONDS
        while True:
            found: list[Entry] = []
            try:
                if time.monotonic() - series_read_at >= SERIES_SECONDS:
                    selector = logql.selector(self._selection.streams)
                    streams = await self._loki.series(selector, self._selection.start_ns, _newest_possible_ns())
                    series_read_at = time.monotonic()
                for stream in streams:
                    # A stream without a position began after the first reading: it is read from its start.
                    position = self._positions.get(source_of(stream), self._start)
                    page = await self._reader.forward(self._selection.query(stream), position, limit=PAGE)
                    found += page.entries
            except LokiUnavailableError as error:
                click.echo(f"waiting: {error}", err=True)
                await asyncio.sleep(UNAVAILABLE_PAUSE_SECONDS)
                continue
            for entry in sorted(found, key=lambda entry: entry.key):
                self._advance(entry)
                yield entry
            await asyncio.sleep(POLL_SECONDS)

    def _advance(self, entry: Entry) -> None:
        self._positions[entry.stream.source] = entry.key.next


def _newest_possible_ns() -> int:
    return time.time_ns() + CREATION_GRACE_SECONDS * 1_000_000_000
