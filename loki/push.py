"""Builds the bodies of push requests from columns of entries: one stream each, none larger than a limit."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from tracetail.loki.entries import Columns, Entry, columns_of, compress, encode_request, join_request

Rows = Sequence[tuple[int, int]]
"""Maps entries to lines of their batch: (index of an entry, index of its line) for the first entry of each run in
which both grow together. Empty if the mapping is not known."""


@dataclass(frozen=True, slots=True)
class Body:
    """The body of one push request, and what the journal records of it."""

    labels: Mapping[str, str]
    data: bytes
    first_ns: int
    last_ns: int
    entries: int
    rows: Rows = ()


class BodyBuilder:
    """Collects entries of one stream into as few bodies as the limit allows."""

    def __init__(self, labels: Mapping[str, str], max_bytes: int) -> None:
        """max_bytes: size of a body before compression; only a body with a single entry may be larger."""
        self._labels = labels
        self._max_bytes = max_bytes
        self._finished: list[Body] = []
        self._parts: list[bytes] = []
        """Compressed."""
        self._size = 0
        self._entries = 0
        self._first_ns = 0
        self._last_ns = 0
        self._rows: list[tuple[int, int]] = []

    def add(self, entries: Columns, rows: Rows = ()) -> None:
        """Add at least one entry; all must be later than those added before."""
        encoded = entries.encode()
        count = len(entries)
        if len(encoded) > self._max_bytes and count > 1:
            half = count // 2
            self.add(entries.part(0, half), [row for row in rows if row[0] < half])
            self.add(entries.part(half, count), rows_from(rows, half))
            return
        if self._size + len(encoded) > self._max_bytes:
            self._finish()
        if not self._parts:
            self._first_ns = entries.time_ns(0)
        self._parts.append(compress(encoded))
        self._size += len(encoded)
        for entry, row in rows:
            if not self._rows or row - self._rows[-1][1] != entry + self._entries - self._rows[-1][0]:
                self._rows.append((entry + self._entries, row))
        self._entries += count
        self._last_ns = entries.time_ns(-1)

    def finish(self) -> list[Body]:
        """Return the bodies."""
        self._finish()
        return self._finished

    def _finish(self) -> None:
        if not self._parts:
            return
        data = join_request(self._labels, self._size, self._parts)
        self._finished.append(Body(self._labels, data, self._first_ns, self._last_ns, self._entries, self._rows))
        self._parts.clear()
        self._size = self._entries = 0
        self._rows = []


def single_body(labels: Mapping[str, str], entries: Sequence[Entry], rows: Rows = ()) -> Body:
    """Return the one body that holds these entries."""
    data = encode_request(labels, [columns_of(entries).encode()])
    return Body(labels, data, entries[0].time_ns, entries[-1].time_ns, len(entries), rows)


def rows_of(rows: Rows, indexes: Sequence[int]) -> Rows:
    """Return the rows of the entries with these indexes, renumbered from 0."""
    chosen: list[tuple[int, int]] = []
    for place, index in enumerate(indexes if rows else ()):
        run = bisect_right(rows, index, key=itemgetter(0)) - 1
        row = rows[run][1] + index - rows[run][0]
        if not chosen or row - chosen[-1][1] != place - chosen[-1][0]:
            chosen.append((place, row))
    return chosen


def rows_from(rows: Rows, entry: int) -> Rows:
    """Return the rows of the entries from this index on, renumbered from 0."""
    if not rows:
        return ()
    begun = bisect_right(rows, entry, key=itemgetter(0)) - 1
    return [(max(0, first - entry), row + max(0, entry - first)) for first, row in rows[begun:]]
