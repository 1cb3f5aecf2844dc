"""Reads pages of a log query in the order of the entries' keys, in both directions.

How a time range is read from Loki, which has no paging, is in tracetail.loki.paging. This adds the panel's order
within a nanosecond.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from tracetail.loki.client import LokiClient
from tracetail.loki.limits import CREATION_GRACE_SECONDS
from tracetail.loki.paging import Answer, TimeRange
from tracetail.panel.trace.entry import FIRST_KEY, LAST_KEY, Entry, Key, entries_from

PAGE_BYTES = 8 << 20
"""Of the texts of a page, approximately: a page of lines of 250 KB has fewer of them than was asked for."""
_OVERLAP = 32
"""Entries to ask for beyond the page: those of its first nanosecond that were seen, and those of its last."""


@dataclass(slots=True)
class Page:
    """Entries in the order of their keys, and whether there are more in the direction of reading."""

    entries: list[Entry]
    more: bool
    crowded: list[int]
    """Nanoseconds with more entries than Loki returns for one query: some of these cannot be read."""


class Reader:
    """Reads pages of log queries. Bounds are keys: the start is inclusive, the end is not."""

    def __init__(self, loki: LokiClient, page_bytes: int = PAGE_BYTES) -> None:
        self._loki = loki
        self._page_bytes = page_bytes

    async def forward(self, query: str, start: Key, end: Key = LAST_KEY, *, limit: int) -> Page:
        """Return the first entries between start and end, fewer if they are long. Raises LokiError."""
        found: list[Entry] = []
        size = 0
        reading = self._range(query, start, end)
        while not reading.ended and len(found) <= limit and size <= self._page_bytes:
            batch = _ordered(await reading.next(limit - len(found) + _OVERLAP), start, end)
            size += sum(len(entry.text) for entry in batch)
            found += batch
        more = len(found) > limit or (bool(found) and not reading.ended)
        return Page(found[:limit], more, reading.crowded)

    async def backward(self, query: str, end: Key, start: Key = FIRST_KEY, *, limit: int) -> Page:
        """Return the last entries between start and end, fewer if they are long. Raises LokiError."""
        found: list[Entry] = []
        size = 0
        reading = self._range(query, start, end, backward=True)
        while not reading.ended and len(found) <= limit and size <= self._page_bytes:
            batch = _ordered(await reading.next(limit - len(found) + _OVERLAP), start, end)
            size += sum(len(entry.text) for entry in batch)
            found[:0] = batch
        more = len(found) > limit or (bool(found) and not reading.ended)
        return Page(found[max(0, len(found) - limit) :], more, reading.crowded)

    def _range(self, query: str, start: Key, end: Key, *, backward: bool = False) -> TimeRange[Entry]:
        return _time_range(self._loki, query, start.time_ns, _exclusive_end(end), backward=backward)


async def one_entry(
    loki: LokiClient, query: str, start_ns: int, end_ns: int, *, backward: bool = False
) -> Entry | None:
    """Return an entry of the first (backward: the last) nanosecond in [start_ns, end_ns). Raises LokiError."""
    reading = _time_range(loki, query, start_ns, end_ns, backward=backward)
    while not reading.ended:
        if found := await reading.next(1):
            return found[0]
    return None


def _time_range(loki: LokiClient, query: str, start_ns: int, end_ns: int, *, backward: bool) -> TimeRange[Entry]:
    async def entries(start_ns: int, end_ns: int, *, limit: int, backward: bool) -> Answer[Entry]:
        return await loki.answer(query, start_ns, end_ns, entries_from, limit=limit, backward=backward)

    return TimeRange(entries, start_ns, end_ns, backward=backward)


def _ordered(entries: Iterable[Entry], start: Key, end: Key) -> list[Entry]:
    """Return the entries between the keys, sorted, without what Loki stores twice (a batch that was sent again)."""
    by_key = {entry.key: entry for entry in entries if start <= entry.key < end}
    return [by_key[key] for key in sorted(by_key)]


def _exclusive_end(end: Key) -> int:
    """Return the exclusive end, in nanoseconds, of the range of a query for entries before this key."""
    exclusive = end.time_ns + (1 if end.digest else 0)
    return min(exclusive, time.time_ns() + CREATION_GRACE_SECONDS * 1_000_000_000)
