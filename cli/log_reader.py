"""Reads the lines that `tracetail logs` prints: stored ones, then new ones, each stream by its own position."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import click

from tracetail.cli.language import both
from tracetail.cli.refusals import said
from tracetail.contract.labels import METADATA_REQUEST_ID
from tracetail.contract.request_ids import request_id_pattern
from tracetail.loki import logql
from tracetail.loki.client import LokiClient
from tracetail.loki.errors import LokiUnavailableError
from tracetail.loki.limits import CREATION_GRACE_SECONDS
from tracetail.panel.trace.entry import Entry, Key, source_of
from tracetail.panel.trace.overlap import Overlap
from tracetail.panel.trace.reader import Reader

POLL_SECONDS = 0.25
UNAVAILABLE_PAUSE_SECONDS = 2.0
SERIES_SECONDS = 2.0
"""Interval of the queries for further launches of a followed trace."""
PAGE = 1000
"""Entries of one page."""
FOUND_AT_ONCE = 10 * PAGE
"""New entries of a stream that are printed before another stream is read."""


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
    request_id: str | None = None
    """As the client sent it, or as the engine prints it."""

    def query(self, streams: Mapping[str, str] | None = None) -> str:
        """Return the log query for the selection, or for the part of it in these streams."""
        return logql.log_query(
            logql.selector(streams or self.streams),
            levels=self.levels,
            contains=self.grep,
            matches=self.regex,
            ignore_case=self.ignore_case,
            metadata_patterns={METADATA_REQUEST_ID: request_id_pattern(self.request_id)} if self.request_id else None,
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
        self._read: dict[str, Overlap] = {}
        """What was read of each stream, by source."""

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
            self._remember(page.entries)
            for entry in page.entries:
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
        self._remember(found)
        return found

    async def new(self) -> AsyncIterator[Entry]:
        """Yield new entries until cancelled; while Loki does not answer, print why and try again."""
        streams: list[dict[str, str]] = []
        series_read_at = -SERIES_SECONDS
        while True:
            found: list[Entry] = []
            more = False
            try:
                if time.monotonic() - series_read_at >= SERIES_SECONDS:
                    selector = logql.selector(self._selection.streams)
                    streams = await self._loki.series(selector, self._selection.start_ns, _newest_possible_ns())
                    series_read_at = time.monotonic()
                for stream in streams:
                    fresh, unread = await self._next(stream)
                    found += fresh
                    more = more or unread
            except LokiUnavailableError as error:
                click.echo(both(f"waiting: {error}", f"正在等待：{said(error)}"), err=True)
                await asyncio.sleep(UNAVAILABLE_PAUSE_SECONDS)
            for entry in sorted(found, key=lambda entry: entry.key):
                yield entry
            if not more:
                await asyncio.sleep(POLL_SECONDS)

    async def _next(self, stream: Mapping[str, str]) -> tuple[list[Entry], bool]:
        """Return new entries of a stream, and whether there are more to read at once. Raises LokiError."""
        # A stream that was not read before began after the first reading: it is read from its start.
        read = self._read.setdefault(source_of(stream), Overlap(self._start))
        position = read.base.next if read.base > self._start else self._start
        found: list[Entry] = []
        while True:
            page = await self._reader.forward(self._selection.query(stream), position, limit=PAGE)
            found += read.add(page.entries)
            if not page.more or len(found) >= FOUND_AT_ONCE:
                return found, page.more
            position = page.entries[-1].key.next

    def _remember(self, entries: list[Entry]) -> None:
        by_source: dict[str, list[Entry]] = {}
        for entry in entries:
            by_source.setdefault(entry.stream.source, []).append(entry)
        for source, of_source in by_source.items():
            self._read.setdefault(source, Overlap(self._start)).add(of_source)


def _newest_possible_ns() -> int:
    return time.time_ns() + CREATION_GRACE_SECONDS * 1_000_000_000
