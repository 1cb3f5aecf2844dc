"""Finds lines by their text. Loki finds it within entries; what was cut is searched here, as the line that it is."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import re2

from tracetail.contract import labels as names
from tracetail.loki import logql
from tracetail.panel.routes.errors import RequestError
from tracetail.panel.trace.cut_lines import CutLine, CutLines
from tracetail.panel.trace.entry import Entry, Key
from tracetail.panel.trace.overview import Overview
from tracetail.panel.trace.reader import Page, Reader

_PAGE = 64


@dataclass(frozen=True, slots=True)
class TextQuery:
    """Which lines are wanted: filters for each of Loki's entries, and what is to be found in a line."""

    streams: str
    """The selector of the streams."""
    text: str
    regex: bool = False
    case: bool = False
    levels: tuple[str, ...] = ()
    process: str = ""

    @property
    def log_query(self) -> str:
        """The LogQL that finds the text within entries."""
        return logql.filtered(
            self.streams,
            levels=self.levels,
            contains=None if self.regex else self.text,
            matches=self.text if self.regex else None,
            ignore_case=not self.case,
            metadata={names.METADATA_PROCESS: self.process} if self.process else None,
        )

    def pattern(self) -> Callable[[str], bool]:
        """Return what tells whether the text is in a line, as Loki would. Raises RequestError (400)."""
        expression = self.text if self.regex else logql.escape_regex(self.text)
        options = re2.Options()
        options.log_errors = False
        try:
            compiled = re2.compile(expression if self.case else f"(?i){expression}", options)
        except re2.error as error:
            raise RequestError(400, "bad_parameter", f"q is no regular expression (RE2): {error}") from error
        return lambda line: compiled.search(line) is not None

    def lets_through(self, entry: Entry) -> bool:
        """Say whether the filters besides the text let this entry through."""
        fields = entry.stream.fields
        return (not self.levels or fields.get(names.METADATA_LEVEL, "") in self.levels) and (
            not self.process or fields.get(names.METADATA_PROCESS, "") == self.process
        )


@dataclass(frozen=True, slots=True)
class Found:
    """The match that was asked for, its number, and how many there are."""

    count: int
    number: int
    line: Entry | None


class _Joined:
    """What a text query finds in the cut lines of a trace."""

    def __init__(self, lines: list[CutLine], query: TextQuery) -> None:
        is_in = query.pattern()
        self.line_of: dict[Key, CutLine | None] = {}
        """The line of each piece; None if the text is not in it."""
        self.found: list[CutLine] = []
        self.found_by_loki: list[Entry] = []
        """The pieces that Loki finds by themselves, and counts."""
        for line in lines:
            passing = [piece for piece in line.pieces if query.lets_through(piece)]
            is_found = bool(passing) and is_in(line.text)
            self.line_of.update(dict.fromkeys((piece.key for piece in line.pieces), line if is_found else None))
            if is_found:
                self.found.append(line)
            self.found_by_loki += [piece for piece in passing if is_in(piece.text)]

    def correction(self, until_ns: int | None = None) -> int:
        """Return how many more lines there are than Loki counts, up to and including a time."""
        lines = sum(until_ns is None or line.first.key.time_ns <= until_ns for line in self.found)
        return lines - sum(until_ns is None or piece.key.time_ns <= until_ns for piece in self.found_by_loki)

    def complete(self, page: Page, start: Key, end: Key, *, limit: int, backward: bool) -> Page:
        """Put into a page of Loki's entries, read from start to end, what it lacks of the lines found."""
        if page.more and page.entries:
            start, end = (page.entries[0].key, end) if backward else (start, page.entries[-1].key.next)
        merged = {entry.key: entry for entry in page.entries if self.line_of.get(entry.key, True) is not None}
        merged |= {piece.key: piece for line in self.found for piece in line.pieces if start <= piece.key < end}
        entries = [merged[key] for key in sorted(merged)]
        kept = entries[-limit:] if backward else entries[:limit]
        return Page(kept, page.more or len(kept) < len(entries), page.crowded)


class Search:
    """Searches the text of a trace."""

    def __init__(self, reader: Reader, overview: Overview) -> None:
        self._reader = reader
        self._overview = overview
        self._cut_lines = CutLines(reader)

    async def page(self, query: TextQuery, first: Key, start: Key, end: Key, *, limit: int, backward: bool) -> Page:
        """Return the lines with the text between start and end; of cut lines all pieces. first: the log's start."""
        joined = _Joined(await self._cut_lines.of(query.streams, first), query)
        return await self._page(query, joined, start, end, limit=limit, backward=backward)

    async def next_match(self, query: TextQuery, first: Key, start: Key, end: Key) -> Found:
        """Return the first match between start and end."""
        return await self._match(query, first, start, end, backward=False)

    async def previous_match(self, query: TextQuery, first: Key, end: Key) -> Found:
        """Return the last match before end."""
        return await self._match(query, first, first, end, backward=True)

    async def _page(
        self, query: TextQuery, joined: _Joined, start: Key, end: Key, *, limit: int, backward: bool
    ) -> Page:
        while True:
            if backward:
                page = await self._reader.backward(query.log_query, end, start, limit=limit)
            else:
                page = await self._reader.forward(query.log_query, start, end, limit=limit)
            completed = joined.complete(page, start, end, limit=limit, backward=backward)
            if completed.entries or not page.more:
                return completed
            # Nothing but pieces of lines in which, as a whole, the text is not.
            start, end = (start, page.entries[0].key) if backward else (page.entries[-1].key.next, end)

    async def _match(self, query: TextQuery, first: Key, start: Key, end: Key, *, backward: bool) -> Found:
        cut_lines, count = await asyncio.gather(
            self._cut_lines.of(query.streams, first), self._loki_count(query, first)
        )
        joined = _Joined(cut_lines, query)
        count += joined.correction()
        line = await self._first_row(query, joined, start, end, backward=backward)
        if line is None:
            return Found(count, 0, None)
        until_ns = line.key.time_ns
        number = await self._loki_count(query, first, until_ns) + joined.correction(until_ns)
        return Found(count, number, line)

    async def _loki_count(self, query: TextQuery, first: Key, until_ns: int | None = None) -> int:
        return sum((await self._overview.count(query.log_query, first, until_ns)).values())

    async def _first_row(
        self, query: TextQuery, joined: _Joined, start: Key, end: Key, *, backward: bool
    ) -> Entry | None:
        """Return the first (backward: last) row between start and end; a cut line's is where its first piece is."""
        position, until, more = start, end, True
        while more:
            page = await self._page(query, joined, position, until, limit=_PAGE, backward=backward)
            for entry in reversed(page.entries) if backward else page.entries:
                line = joined.line_of.get(entry.key)
                if line is None or entry.key == line.first.key:
                    return entry
            more = page.more
            if page.entries and backward:
                until = page.entries[0].key
            elif page.entries:
                position = page.entries[-1].key.next
        return None
