"""Joins lines that are stored in Loki in several pieces, so that a search finds text that crosses piece boundaries.

The keeper cuts a line of over 256 KiB, and one that stays unfinished for 200 ms, as with a slow print. In Loki each
piece is an entry; all but the last have the kind `cut`. The panel shows them as one row, so a search treats them as
one line.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tracetail.contract import labels as names
from tracetail.loki import logql
from tracetail.panel.trace.entry import Entry, Key
from tracetail.panel.trace.reader import Reader
from tracetail.panel.trace.shared_answers import SharedAnswers

TEXT_MAX_CHARACTERS = 16 * 1024 * 1024
"""Limit of the text joined for one trace; cut lines beyond it are searched piece by piece."""
_CACHE_SECONDS = 2.0
_CACHED_TRACES = 8
_PAGE_CHARACTERS = 1024 * 1024
_PAGE_MIN = 16
_PAGE_MAX = 4900


@dataclass(frozen=True, slots=True)
class CutLine:
    """A line in pieces, in order; its last piece may not have been printed yet."""

    pieces: Sequence[Entry]

    @property
    def first(self) -> Entry:
        """The first piece, whose key is that of the row."""
        return self.pieces[0]

    @property
    def text(self) -> str:
        """The joined line."""
        return "".join(piece.text for piece in self.pieces)


class CutLines:
    """Finds the cut lines of the streams that a selector matches."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._cache = SharedAnswers(_CACHE_SECONDS, size=_CACHED_TRACES)

    async def find(self, selector: str, start: Key) -> list[CutLine]:
        """Return the cut lines of these streams from start on, those of each log in order. Raises LokiError."""
        return await self._cache.get(selector, lambda: self._find(selector, start))

    async def _find(self, selector: str, start: Key) -> list[CutLine]:
        pieces = await self._pieces(selector, start)
        lines_by_log = await asyncio.gather(*(self._join(selector, of_log) for of_log in pieces.values()))
        return [line for lines in lines_by_log for line in lines]

    async def _pieces(self, selector: str, start: Key) -> dict[str, list[Entry]]:
        """Return every piece that is not the last of its line, by source."""
        query = logql.log_query(selector, metadata={names.METADATA_KIND: "cut"})
        found: dict[str, list[Entry]] = defaultdict(list)
        characters, limit, position, more = 0, _PAGE_MIN, start, True
        while more and characters < TEXT_MAX_CHARACTERS:
            page = await self._reader.forward(query, position, limit=limit)
            for entry in page.entries:
                found[entry.stream.source].append(entry)
                characters += len(entry.text)
            limit = _next_limit(page.entries, limit)
            more = page.more
            if page.entries:
                position = page.entries[-1].key.next
        return found

    async def _join(self, selector: str, pieces: Sequence[Entry]) -> list[CutLine]:
        """Return the lines that these pieces of one log belong to, reading the log from each to the line's end."""
        source = pieces[0].stream.source
        query = logql.log_query(selector, without={names.METADATA_KIND: "event"})
        lines: list[list[Entry]] = []
        unfinished: list[Entry] | None = None
        position, next_piece, limit, more = pieces[0].key, 0, _PAGE_MIN, True
        while more:
            page = await self._reader.forward(query, position, limit=limit)
            for entry in page.entries:
                if entry.stream.source != source:
                    continue
                is_cut = entry.stream.fields.get(names.METADATA_KIND) == "cut"
                if unfinished is not None:
                    unfinished.append(entry)
                elif is_cut:
                    unfinished = [entry]
                    lines.append(unfinished)
                if not is_cut:
                    unfinished = None
            limit = _next_limit(page.entries, limit)
            more = page.more
            if page.entries:
                position = page.entries[-1].key.next
            if unfinished is None:
                while next_piece < len(pieces) and pieces[next_piece].key < position:
                    next_piece += 1
                if next_piece == len(pieces):
                    break
                position = pieces[next_piece].key
        return [CutLine(line) for line in lines]


def _next_limit(entries: Sequence[Entry], limit: int) -> int:
    """Return the number of lines to request next: few if lines are long, many if they are short."""
    characters = sum(len(entry.text) for entry in entries)
    return min(_PAGE_MAX, limit * 4) if characters < _PAGE_CHARACTERS // 4 else _PAGE_MIN
