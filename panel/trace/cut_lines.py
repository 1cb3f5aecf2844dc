"""The lines that reached Loki in pieces, put together, so that a search finds what crosses from one to the next.

The keeper cuts a line of over 256 KiB, and one that stood unfinished for 200 ms, as a slow print does. Loki knows
only the pieces: all but the last have the kind `cut`. The panel shows them as one row, so they are searched as one.
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
"""So much is put together of one trace; what is cut behind that is searched piece by piece."""
_HOLD_SECONDS = 2.0
_TRACES_HELD = 8
_PAGE_CHARACTERS = 1024 * 1024
_PAGE_MIN = 16
_PAGE_MAX = 4900


@dataclass(frozen=True, slots=True)
class CutLine:
    """A line in pieces, in order; the last of them may not have been printed yet."""

    pieces: Sequence[Entry]

    @property
    def first(self) -> Entry:
        """The piece at whose place the row stands."""
        return self.pieces[0]

    @property
    def text(self) -> str:
        """The whole line."""
        return "".join(piece.text for piece in self.pieces)


class CutLines:
    """Finds the cut lines of a selection of streams."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._held = SharedAnswers(_HOLD_SECONDS, kept=_TRACES_HELD)

    async def of(self, selector: str, start: Key) -> list[CutLine]:
        """Return the cut lines of these streams from start on, those of each log in order. Raises LokiError."""
        return await self._held.get(selector, lambda: self._find(selector, start))

    async def _find(self, selector: str, start: Key) -> list[CutLine]:
        pieces = await self._pieces(selector, start)
        found = await asyncio.gather(*(self._lines_of(selector, of_one) for of_one in pieces.values()))
        return [line for lines in found for line in lines]

    async def _pieces(self, selector: str, start: Key) -> dict[str, list[Entry]]:
        """Return every piece that is not the last of its line, by its log."""
        query = logql.filtered(selector, metadata={names.METADATA_KIND: "cut"})
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

    async def _lines_of(self, selector: str, pieces: Sequence[Entry]) -> list[CutLine]:
        """Return the lines of one log that these pieces begin: from each on, the log is read to the line's end."""
        source = pieces[0].stream.source
        query = logql.filtered(selector, without={names.METADATA_KIND: "event"})
        lines: list[list[Entry]] = []
        unfinished: list[Entry] | None = None
        position, at, limit, more = pieces[0].key, 0, _PAGE_MIN, True
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
                while at < len(pieces) and pieces[at].key < position:
                    at += 1
                if at == len(pieces):
                    break
                position = pieces[at].key
        return [CutLine(line) for line in lines]


def _next_limit(entries: Sequence[Entry], limit: int) -> int:
    """Return how many lines to ask for next: few of long ones, many of short ones."""
    characters = sum(len(entry.text) for entry in entries)
    return min(_PAGE_MAX, limit * 4) if characters < _PAGE_CHARACTERS // 4 else _PAGE_MIN
