"""Reads pages of a log query in the order of the entries' keys, in both directions.

How a time range is read from Loki, which has no paging, is in tracetail.loki.paging. This adds the panel's order
within a nanosecond.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from tracetail.loki.client import LokiClient
from tracetail.loki.limits import CREATION_GRACE_SECONDS
from tracetail.loki.paging import TimeRange
from tracetail.panel.trace.entry import FIRST_KEY, LAST_KEY, Entry, Key, entries_from

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

    def __init__(self, loki: LokiClient) -> None:
        self._loki = loki

    async def forward(self, query: str, start: Key, end: Key = LAST_KEY, *, limit: int) -> Page:
        """Return the first entries between start and end. Raises LokiError."""
        found: list[Entry] = []
        reading = self._range(query, start, end)
        while not reading.ended and len(found) <= limit:
            found += _ordered(await reading.next(limit - len(found) + _OVERLAP), start, end)
        return Page(found[:limit], len(found) > limit, reading.crowded)

    async def backward(self, query: str, end: Key, start: Key = FIRST_KEY, *, limit: int) -> Page:
        """Return the last entries between start and end. Raises LokiError."""
        found: list[Entry] = []
        reading = self._range(query, start, end, backward=True)
        while not reading.ended and len(found) <= limit:
            found[:0] = _ordered(await reading.next(limit - len(found) + _OVERLAP), start, end)
        return Page(found[max(0, len(found) - limit) :], len(found) > limit, reading.crowded)

    def _range(self, query: str, start: Key, end: Key, *, backward: bool = False) -> TimeRange[Entry]:
        async def entries(start_ns: int, end_ns: int, *, limit: int, backward: bool) -> list[Entry]:
            result = await self._loki.query_streams(query, start_ns, end_ns, limit=limit, backward=backward)
            return entries_from(result)

        return TimeRange(entries, start.time_ns, _exclusive_end(end), backward=backward)


async def one_entry(
    loki: LokiClient, query: str, start_ns: int, end_ns: int, *, backward: bool = False
) -> Entry | None:
    """Return an entry of the first (backward: the last) nanosecond in [start_ns, end_ns). Raises LokiError."""
    found = entries_from(await loki.query_streams(query, start_ns, end_ns, limit=1, backward=backward))
    return found[0] if found else None


def _ordered(entries: Iterable[Entry], start: Key, end: Key) -> list[Entry]:
    """Return the entries between the keys, sorted, without what Loki stores twice (a batch that was sent again)."""
    by_key = {entry.key: entry for entry in entries if start <= entry.key < end}
    return [by_key[key] for key in sorted(by_key)]


def _exclusive_end(end: Key) -> int:
    """Return the exclusive end, in nanoseconds, of the range of a query for entries before this key."""
    exclusive = end.time_ns + (1 if end.digest else 0)
    return min(exclusive, time.time_ns() + CREATION_GRACE_SECONDS * 1_000_000_000)
