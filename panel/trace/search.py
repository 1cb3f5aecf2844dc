"""Text search. Loki searches within entries; lines that are stored in pieces are joined and searched here."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import re2

from tracetail.contract import labels as names
from tracetail.loki import logql
from tracetail.panel.trace.cut_lines import CutLine, CutLines
from tracetail.panel.trace.entry import Entry, Key
from tracetail.panel.trace.overview import Overview
from tracetail.panel.trace.reader import Page, Reader
from tracetail.panel.trace.request_filter import RequestFilter

_PAGE = 64
_PROGRAM_MAX = 2000
"""Instructions of a compiled expression. RE2 needs time proportional to them for each byte, at worst."""
_SECONDS_MAX = 2.0
"""Time in which the cut lines of a trace are searched, for one request."""
_LINE_MAX_CHARACTERS = 1024 * 1024
"""Of a longer line only so much is searched as a whole, so that no single match takes long."""
_THREADS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="search")
"""RE2 releases Python's lock while it matches: the panel goes on serving others meanwhile."""


class InvalidPatternError(ValueError):
    """The search text is not a valid RE2 expression."""


class SearchTooExpensiveError(Exception):
    """The search would take too long."""

    def __init__(self) -> None:
        super().__init__(f"the search takes longer than {_SECONDS_MAX:g} s: use a simpler expression")


@dataclass(frozen=True, slots=True)
class TextQuery:
    """A text or RE2 expression to search in lines, and filters on the metadata of their entries."""

    streams: str
    """The selector of the streams."""
    text: str
    regex: bool = False
    case: bool = False
    """Whether letters must match in case."""
    levels: tuple[str, ...] = ()
    process: str = ""
    request: RequestFilter | None = None

    @property
    def log_query(self) -> str:
        """The LogQL that finds the text within entries."""
        return logql.log_query(
            self.streams,
            levels=self.levels,
            contains=None if self.regex else self.text,
            matches=self.text if self.regex else None,
            ignore_case=not self.case,
            metadata={names.METADATA_PROCESS: self.process} if self.process else None,
            metadata_patterns={names.METADATA_REQUEST_ID: self.request.pattern} if self.request else None,
        )

    def matcher(self) -> Callable[[str], bool]:
        """Return a function that matches a line as Loki would. Raises InvalidPatternError."""
        expression = self.text if self.regex else logql.escape_regex(self.text)
        options = re2.Options()
        options.log_errors = False
        options.case_sensitive = self.case
        try:
            compiled = re2.compile(expression, options)
        except re2.error as error:
            reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else error
            raise InvalidPatternError(f"q is not a regular expression (RE2): {reason}") from error
        if compiled.programsize > _PROGRAM_MAX:
            raise InvalidPatternError(
                f"q is too large an expression: {compiled.programsize} instructions, {_PROGRAM_MAX} are allowed"
            )
        return lambda line: compiled.search(line) is not None

    def passes_filters(self, entry: Entry) -> bool:
        """Return whether the entry passes the metadata filters."""
        fields = entry.stream.fields
        return (
            (not self.levels or fields.get(names.METADATA_LEVEL, "") in self.levels)
            and (not self.process or fields.get(names.METADATA_PROCESS, "") == self.process)
            and (self.request is None or self.request.matches(entry))
        )


@dataclass(frozen=True, slots=True)
class Match:
    """One match, its number (from 1), and the number of all matches."""

    count: int
    number: int
    line: Entry | None
    """None, with number 0, if there is no match in the range."""


class _JoinedLines:
    """The matches of a text query among the cut lines of a trace, with which Loki's answers are corrected.

    Loki matches single pieces; it does not find text that crosses from one piece to the next.
    """

    def __init__(self, lines: list[CutLine], query: TextQuery) -> None:
        contains = query.matcher()
        deadline = time.monotonic() + _SECONDS_MAX
        self.line_of: dict[Key, CutLine | None] = {}
        """The line of each piece; None if the line does not match."""
        self.matches: list[CutLine] = []
        self.pieces_matched_by_loki: list[Entry] = []
        """The pieces that Loki finds, and counts, individually."""
        for line in lines:
            if time.monotonic() > deadline:
                raise SearchTooExpensiveError
            passing = [piece for piece in line.pieces if query.passes_filters(piece)]
            is_match = bool(passing) and contains(line.text[:_LINE_MAX_CHARACTERS])
            self.line_of.update(dict.fromkeys((piece.key for piece in line.pieces), line if is_match else None))
            if is_match:
                self.matches.append(line)
            self.pieces_matched_by_loki += [piece for piece in passing if contains(piece.text)]

    def count_correction(self, until_ns: int | None = None) -> int:
        """Return what must be added to Loki's count of matches up to a time (included)."""
        lines = sum(until_ns is None or line.first.key.time_ns <= until_ns for line in self.matches)
        pieces = sum(until_ns is None or piece.key.time_ns <= until_ns for piece in self.pieces_matched_by_loki)
        return lines - pieces

    def complete(self, page: Page, start: Key, end: Key, *, limit: int, backward: bool) -> Page:
        """Return a page of Loki's, read from start to end, with all pieces of matching cut lines and no others."""
        if page.more and page.entries:
            start, end = (page.entries[0].key, end) if backward else (start, page.entries[-1].key.next)
        merged = {entry.key: entry for entry in page.entries if self.line_of.get(entry.key, True) is not None}
        merged |= {piece.key: piece for line in self.matches for piece in line.pieces if start <= piece.key < end}
        entries = [merged[key] for key in sorted(merged)]
        kept = entries[-limit:] if backward else entries[:limit]
        return Page(kept, page.more or len(kept) < len(entries), page.crowded)


class Search:
    """Searches the text of a trace. All methods raise InvalidPatternError, SearchTooExpensiveError and LokiError.

    first: a key before the first line of the log, from which matches are counted.
    """

    def __init__(self, reader: Reader, overview: Overview) -> None:
        self._reader = reader
        self._overview = overview
        self._cut_lines = CutLines(reader)

    async def page(self, query: TextQuery, first: Key, start: Key, end: Key, *, limit: int, backward: bool) -> Page:
        """Return the matching lines between start and end; of cut lines all pieces."""
        joined = await self._joined(query, first)
        return await self._page(query, joined, start, end, limit=limit, backward=backward)

    async def _joined(self, query: TextQuery, first: Key) -> _JoinedLines:
        query.matcher()  # refuses what is not an expression before anything is read
        lines = await self._cut_lines.find(query.streams, first)
        if not lines:
            return _JoinedLines(lines, query)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_SECONDS_MAX * 1.5):
                return await loop.run_in_executor(_THREADS, _JoinedLines, lines, query)
        except TimeoutError as error:
            raise SearchTooExpensiveError from error

    async def next_match(self, query: TextQuery, first: Key, start: Key, end: Key) -> Match:
        """Return the first match between start and end."""
        return await self._match(query, first, start, end, backward=False)

    async def previous_match(self, query: TextQuery, first: Key, end: Key) -> Match:
        """Return the last match before end."""
        return await self._match(query, first, first, end, backward=True)

    async def _page(
        self, query: TextQuery, joined: _JoinedLines, start: Key, end: Key, *, limit: int, backward: bool
    ) -> Page:
        while True:
            if backward:
                page = await self._reader.backward(query.log_query, end, start, limit=limit)
            else:
                page = await self._reader.forward(query.log_query, start, end, limit=limit)
            completed = joined.complete(page, start, end, limit=limit, backward=backward)
            if completed.entries or not page.more:
                return completed
            # The page held only pieces of lines that do not match as a whole.
            start, end = (start, page.entries[0].key) if backward else (page.entries[-1].key.next, end)

    async def _match(self, query: TextQuery, first: Key, start: Key, end: Key, *, backward: bool) -> Match:
        joined = await self._joined(query, first)
        count = await self._loki_count(query, first)
        count += joined.count_correction()
        line = await self._first_row(query, joined, start, end, backward=backward)
        if line is None:
            return Match(count, 0, None)
        until_ns = line.key.time_ns
        number = await self._loki_count(query, first, until_ns) + joined.count_correction(until_ns)
        return Match(count, number, line)

    async def _loki_count(self, query: TextQuery, first: Key, until_ns: int | None = None) -> int:
        return sum((await self._overview.count(query.log_query, first, until_ns)).values())

    async def _first_row(
        self, query: TextQuery, joined: _JoinedLines, start: Key, end: Key, *, backward: bool
    ) -> Entry | None:
        """Return the first (backward: last) row between start and end; the row of a cut line is its first piece."""
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
