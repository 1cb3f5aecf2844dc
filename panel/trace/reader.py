"""Reads a log query page by page, in both directions, without losing or repeating a line.

Loki has no paging: a query has a time range and a limit. So a page is read from the last nanosecond seen, that
nanosecond included, and what was seen is dropped. Where an answer is as long as its limit, its last nanosecond may be
there only in part; those entries are left for the next query, which begins with them.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from tracetail.loki.settings import ENTRIES_PER_QUERY_MAX
from tracetail.panel.trace.entry import FIRST_KEY, LAST_KEY, Entry, Key
from tracetail.panel.trace.loki import LokiClient

FUTURE_SECONDS = 600
"""How far ahead of the clock an entry may be: Loki refuses what is further (creation_grace_period)."""
_OVERLAP = 32
"""Asked for beyond the page: the entries of its first nanosecond that were seen, and those of its last."""


@dataclass(slots=True)
class Page:
    """Entries in the order of their keys, and whether there are more in the direction of reading."""

    entries: list[Entry]
    more: bool
    crowded: list[int]
    """Nanoseconds with more entries than Loki returns for one query: some of theirs cannot be read."""


class Reader:
    """Reads pages of log queries. Bounds are keys: the start is inclusive, the end is not."""

    def __init__(self, loki: LokiClient) -> None:
        self._loki = loki

    async def forward(self, query: str, start: Key, end: Key = LAST_KEY, *, limit: int) -> Page:
        """Return the first entries between start and end."""
        found: list[Entry] = []
        crowded: list[int] = []
        position, from_ns, until_ns = start, start.time_ns, _exclusive_end(end)
        while from_ns < until_ns and len(found) <= limit:
            asked = _asked(limit, found)
            batch = await self._loki.entries(query, from_ns, until_ns, limit=asked)
            from_ns = until_ns
            if len(batch) >= asked:
                from_ns = max(entry.key.time_ns for entry in batch)
                batch = [entry for entry in batch if entry.key.time_ns < from_ns]
                if not any(entry.key >= position for entry in batch):
                    batch = await self._nanosecond(query, from_ns, crowded)
                    from_ns += 1
            found += _ordered(entry for entry in batch if position <= entry.key < end)
            if found:
                position = found[-1].key.next
        return Page(found[:limit], len(found) > limit, crowded)

    async def backward(self, query: str, end: Key, start: Key = FIRST_KEY, *, limit: int) -> Page:
        """Return the last entries between start and end."""
        found: list[Entry] = []
        crowded: list[int] = []
        position, from_ns, until_ns = end, start.time_ns, _exclusive_end(end)
        while from_ns < until_ns and len(found) <= limit:
            asked = _asked(limit, found)
            batch = await self._loki.entries(query, from_ns, until_ns, limit=asked, backward=True)
            until_ns = from_ns
            if len(batch) >= asked:
                first_ns = min(entry.key.time_ns for entry in batch)
                batch = [entry for entry in batch if entry.key.time_ns > first_ns]
                until_ns = first_ns + 1
                if not any(entry.key < position for entry in batch):
                    batch = await self._nanosecond(query, first_ns, crowded)
                    until_ns = first_ns
            found[:0] = _ordered(entry for entry in batch if start <= entry.key < position)
            if found:
                position = found[0].key
        return Page(found[max(0, len(found) - limit) :], len(found) > limit, crowded)

    async def _nanosecond(self, query: str, time_ns: int, crowded: list[int]) -> list[Entry]:
        """Return all entries of one nanosecond; note it as crowded if Loki does not return all."""
        found = await self._loki.entries(query, time_ns, time_ns + 1)
        if len(found) >= ENTRIES_PER_QUERY_MAX:
            crowded.append(time_ns)
        return found


def _asked(limit: int, found: list[Entry]) -> int:
    return min(ENTRIES_PER_QUERY_MAX, limit - len(found) + _OVERLAP)


def _ordered(entries: Iterable[Entry]) -> list[Entry]:
    """Sort, and drop what Loki shows twice (a batch that was resent after its block was cut)."""
    by_key = {entry.key: entry for entry in entries}
    return [by_key[key] for key in sorted(by_key)]


def _exclusive_end(end: Key) -> int:
    """Return the exclusive end, in nanoseconds, of the range of a query for entries before this key."""
    exclusive = end.time_ns + (1 if end.digest else 0)
    return min(exclusive, time.time_ns() + FUTURE_SECONDS * 1_000_000_000)
