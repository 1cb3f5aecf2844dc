"""Appends entries to streams, each entry once, and caches the state of the streams that are being written."""

import sqlite3
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson

from tracetail.store.disk import block
from tracetail.store.disk.block import Entries, Labels, Metadata
from tracetail.store.disk.database import LEVEL_FULL
from tracetail.store.ingest.blocks import insert_block, split
from tracetail.store.ingest.counts import Counts
from tracetail.store.ingest.limits import Refusals, check_order

STREAMS_CACHED = 2048


@dataclass(slots=True)
class StreamState:
    """What is cached of a stream."""

    id: int
    newest: int
    """The time of its newest entry, in nanoseconds; -1 if it has none."""
    small_blocks: dict[int, int] = field(default_factory=dict)
    """The number of its blocks of each level below LEVEL_FULL."""
    pushed_at: float = 0.0
    """Monotonic time of its last push."""


class Streams:
    """The streams of the database. Must be used in transactions of the connection; clear() after a rollback."""

    def __init__(self, connection: sqlite3.Connection, counts: Counts) -> None:
        self._connection = connection
        self._counts = counts
        self._cache: OrderedDict[Labels, StreamState] = OrderedDict()

    def __iter__(self) -> Iterator[StreamState]:
        """Iterate over the cached streams."""
        return iter(self._cache.values())

    def clear(self) -> None:
        """Clear the cache."""
        self._cache.clear()

    def append(self, labels: Labels, entries: Entries, refusals: Refusals) -> Entries:
        """Store the entries that the stream does not have yet, and return them. Adds to refusals."""
        state = self._state(labels, entries)
        entries = check_order(labels, entries, state.newest, refusals)
        count = len(entries)
        if not block.is_increasing(entries.times):
            entries = _without_duplicates(block.sort(entries))
        if entries.times[0] <= state.newest:
            entries = self._without_stored(state, entries)
        self._counts.duplicates += count - len(entries)
        if not len(entries):
            return entries
        for part in split(entries):
            level = insert_block(self._connection, state.id, part, level=0)
            state.small_blocks[level] = state.small_blocks.get(level, 0) + 1
        state.newest = max(state.newest, entries.times[-1])
        state.pushed_at = time.monotonic()
        self._connection.execute(
            "UPDATE stream SET first = min(first, ?), last = max(last, ?) WHERE id = ?",
            (entries.times[0], entries.times[-1], state.id),
        )
        self._counts.entries += len(entries)
        self._counts.text_bytes += entries.text_bytes()
        return entries

    def count_small_blocks(self, stream: int) -> dict[int, int]:
        """Return the number of blocks of a stream by level, of levels below LEVEL_FULL."""
        return dict(
            self._connection.execute(
                "SELECT level, count(*) FROM block WHERE stream = ? AND level < ? GROUP BY level",
                (stream, LEVEL_FULL),
            ).fetchall()
        )

    def _state(self, labels: Labels, entries: Entries) -> StreamState:
        """Return the state of the stream with these labels, which is created if it does not exist."""
        state = self._cache.get(labels)
        if state is not None:
            self._cache.move_to_end(labels)
            return state
        text = orjson.dumps(labels).decode()
        row = self._connection.execute("SELECT id, last FROM stream WHERE labels = ?", (text,)).fetchone()
        if row is None:
            state = self._create(labels, text, first=min(entries.times))
        else:
            state = StreamState(row[0], newest=row[1], small_blocks=self.count_small_blocks(row[0]))
        self._cache[labels] = state
        if len(self._cache) > STREAMS_CACHED:
            self._cache.popitem(last=False)
        return state

    def _create(self, labels: Labels, text: str, first: int) -> StreamState:
        cursor = self._connection.execute(
            "INSERT INTO stream (labels, first, last) VALUES (?, ?, ?)", (text, first, first)
        )
        assert cursor.lastrowid is not None
        self._connection.executemany(
            "INSERT INTO label (name, value, stream) VALUES (?, ?, ?)",
            [(name, value, cursor.lastrowid) for name, value in labels],
        )
        return StreamState(cursor.lastrowid, newest=-1)

    def _without_stored(self, state: StreamState, entries: Entries) -> Entries:
        """Return the entries that the stream does not have yet."""
        times = set(entries.times)
        stored: set[tuple[int, bytes, Metadata]] = set()
        rows = self._connection.execute(
            "SELECT entries_index, entries_text, text_bytes FROM block WHERE stream = ? AND first <= ? AND last >= ?",
            (state.id, entries.times[-1], entries.times[0]),
        )
        for index, text, text_bytes in rows:
            in_block = block.decode(index, text, text_bytes)
            if not times.isdisjoint(in_block.times):
                stored.update(key for key in in_block.identities() if key[0] in times)
        if not stored:
            return entries
        return entries.take([i for i, key in enumerate(entries.identities()) if key not in stored])


def _without_duplicates(entries: Entries) -> Entries:
    """Return sorted entries with the first of each group of equal entries."""
    if block.is_increasing(entries.times):
        return entries
    seen = set()
    kept = []
    for i, key in enumerate(entries.identities()):
        if key not in seen:
            seen.add(key)
            kept.append(i)
    return entries.take(kept)
