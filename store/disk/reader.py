"""Reads the database: the streams that a selector matches, and their blocks in a time range.

A snapshot is one read transaction: it sees the same entries, whatever is written, merged or deleted meanwhile.
"""

import sqlite3
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import cramjam
import orjson

from tracetail.store.disk import block
from tracetail.store.disk.block import BlockIndex, Labels, StoredBlock
from tracetail.store.disk.counts import BlockCounts, decode_counts
from tracetail.store.disk.database import Database
from tracetail.store.disk.decoded_cache import DecodedCache
from tracetail.store.disk.text_filter import decode_filter
from tracetail.store.logql.matching import compile_matcher
from tracetail.store.logql.tree import Matcher

SELECTIVITY_COUNT_MAX = 1000
"""How many streams of an equality matcher are counted at most, to compare selectivities."""
SMALL_STREAMS = 4
SMALL_BLOCKS = 8
SMALL_TEXT_BYTES = 512 * 1024
SMALL_ENTRIES = 2_500
"""What a SmallSnapshot finds, and opens, at most. Most launches are smaller."""
SMALL_MATCHES = 200
"""Lines of a block with a text or an expression: each takes up to 15 µs."""
SMALL_CACHE_BYTES = 8 * 1024 * 1024
_INDEX_ENTRY_BYTES = 64
"""The approximate memory of an entry in a decoded index."""
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A row of the block table, without its contents."""

    id: int
    stream: int
    first: int
    last: int
    count: int
    text_bytes: int


class NotSmallError(Exception):
    """A query needs more than a SmallSnapshot has."""


class Snapshot:
    """The database at the time when the snapshot was taken. Time ranges are start <= time < end, in nanoseconds."""

    matches_max = sys.maxsize
    """With more matching lines in a block a query is not small: NotSmallError is to be raised."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def streams(self, selector: Sequence[Matcher], start: int, end: int) -> dict[int, Labels]:
        """Return the streams that satisfy all matchers and may have entries in the range, as labels by id."""
        found = {}
        for stream, text in self._candidates(selector, start, end):
            labels: Labels = tuple((name, value) for name, value in orjson.loads(text))
            values = dict(labels)
            if all(compile_matcher(m)(values.get(m.name, "")) for m in selector):
                found[stream] = labels
        return found

    def _candidates(self, selector: Sequence[Matcher], start: int, end: int) -> Iterator[tuple[int, str]]:
        """Yield id and labels of the streams that the label index returns for the most selective matcher."""
        equalities = [m for m in selector if m.op == "=" and m.value]
        if equalities:
            best = min(equalities, key=self._selectivity) if len(equalities) > 1 else equalities[0]
            yield from self._connection.execute(
                "SELECT s.id, s.labels FROM label l JOIN stream s ON s.id = l.stream "
                "WHERE l.name = ? AND l.value = ? AND s.last >= ? AND s.first < ?",
                (best.name, best.value, *_int64(start, end)),
            )
            return
        regex = next((m for m in selector if not compile_matcher(m)("")), None)
        if regex is None:
            yield from self._connection.execute(
                "SELECT id, labels FROM stream WHERE last >= ? AND first < ?", _int64(start, end)
            )
            return
        yield from self._connection.execute(
            "SELECT s.id, s.labels FROM label l JOIN stream s ON s.id = l.stream "
            "WHERE l.name = ? AND s.last >= ? AND s.first < ?",
            (regex.name, *_int64(start, end)),
        )

    def _selectivity(self, matcher: Matcher) -> int:
        row = self._connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM label WHERE name = ? AND value = ? LIMIT ?)",
            (matcher.name, matcher.value, SELECTIVITY_COUNT_MAX),
        ).fetchone()
        return int(row[0])

    def blocks(self, streams: Sequence[int], start: int, end: int) -> list[BlockRef]:
        """Return the blocks of these streams that may have entries in the range."""
        found: list[BlockRef] = []
        for at in range(0, len(streams), _CHUNK):
            chunk = streams[at : at + _CHUNK]
            marks = ", ".join("?" * len(chunk))
            rows = self._connection.execute(
                "SELECT id, stream, first, last, count, text_bytes FROM block "  # noqa: S608  (only question marks)
                f"WHERE stream IN ({marks}) AND first < ? AND last >= ?",
                (*chunk, *_int64(end, start)),
            )
            found.extend(BlockRef(*row) for row in rows)
        return found

    def open(self, ref: BlockRef) -> StoredBlock:
        """Return a block. It is read on demand, which is possible as long as the snapshot exists."""
        return StoredBlock(partial(self._index, ref), partial(self._text, ref))

    def counts(self, ref: BlockRef) -> BlockCounts | None:
        """Return the counts of a block, if they were stored."""
        row = self._connection.execute("SELECT counts FROM block_counts WHERE block = ?", (ref.id,)).fetchone()
        return None if row is None else decode_counts(row[0])

    def text_filter(self, ref: BlockRef) -> bytes | None:
        """Return the filter of a block's text, if it was stored."""
        row = self._connection.execute("SELECT bits FROM block_filter WHERE block = ?", (ref.id,)).fetchone()
        return None if row is None else decode_filter(row[0])

    def _index(self, ref: BlockRef) -> BlockIndex:
        row = self._connection.execute("SELECT entries_index FROM block WHERE id = ?", (ref.id,)).fetchone()
        return self._decode_index(ref, row[0])

    def _decode_index(self, _ref: BlockRef, data: bytes) -> BlockIndex:
        return BlockIndex(data)

    def _text(self, ref: BlockRef) -> cramjam.Buffer | bytes:
        row = self._connection.execute("SELECT entries_text FROM block WHERE id = ?", (ref.id,)).fetchone()
        return self._decode_text(ref, row[0])

    def _decode_text(self, ref: BlockRef, data: bytes) -> cramjam.Buffer | bytes:
        return block.decode_text(data, ref.text_bytes)

    def label_names(self, start: int, end: int) -> list[str]:
        """Return the label names of the streams that may have entries in the range."""
        rows = self._connection.execute(
            "SELECT DISTINCT l.name FROM stream s JOIN label l ON l.stream = s.id WHERE s.last >= ? AND s.first < ?",
            _int64(start, end),
        )
        return sorted(row[0] for row in rows)

    def label_values(self, name: str, start: int, end: int) -> list[str]:
        """Return the values of one label of the streams that may have entries in the range."""
        rows = self._connection.execute(
            "SELECT DISTINCT l.value FROM label l JOIN stream s ON s.id = l.stream "
            "WHERE l.name = ? AND s.last >= ? AND s.first < ?",
            (name, *_int64(start, end)),
        )
        return sorted(row[0] for row in rows)


class SmallSnapshot(Snapshot):
    """A snapshot that tells within a fraction of a millisecond whether a query reads little.

    Its methods raise NotSmallError where it does not.
    """

    matches_max = SMALL_MATCHES

    def __init__(self, connection: sqlite3.Connection, cache: DecodedCache, entries_max: int) -> None:
        super().__init__(connection)
        self._cache = cache
        self._entries_left = entries_max

    def _candidates(self, selector: Sequence[Matcher], start: int, end: int) -> Iterator[tuple[int, str]]:
        for matcher in selector:
            if matcher.op == "=" and matcher.value:
                # All of a label's value, whenever they were: what is counted is what is read.
                rows = self._connection.execute(
                    "SELECT s.id, s.labels, s.first, s.last FROM label l JOIN stream s ON s.id = l.stream "
                    "WHERE l.name = ? AND l.value = ? LIMIT ?",
                    (matcher.name, matcher.value, SMALL_STREAMS + 1),
                ).fetchall()
                if len(rows) <= SMALL_STREAMS:
                    return ((row[0], row[1]) for row in rows if row[3] >= start and row[2] < end)
        raise NotSmallError

    def blocks(self, streams: Sequence[int], start: int, end: int) -> list[BlockRef]:
        """Return the blocks of these streams that may have entries in the range."""
        found = super().blocks(streams, start, end)
        if len(found) > SMALL_BLOCKS or sum(ref.text_bytes for ref in found) > SMALL_TEXT_BYTES:
            raise NotSmallError
        return found

    def open(self, ref: BlockRef) -> StoredBlock:
        """Return a block."""
        self._entries_left -= ref.count
        if self._entries_left < 0:
            raise NotSmallError
        return super().open(ref)

    def _decode_index(self, ref: BlockRef, data: bytes) -> BlockIndex:
        return self._cache.get((ref.id, "index"), data, _INDEX_ENTRY_BYTES * ref.count, BlockIndex)

    def _decode_text(self, ref: BlockRef, data: bytes) -> cramjam.Buffer | bytes:
        return self._cache.get((ref.id, "text"), data, ref.text_bytes, partial(super()._decode_text, ref))


def _int64(*times: int) -> tuple[int, ...]:
    """Return the times clamped to SQLite's 64-bit integers, which bound every stored time."""
    return tuple(min(max(time, -(2**63)), 2**63 - 1) for time in times)


class Reader:
    """Creates snapshots. Each thread has a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._small: sqlite3.Connection | None = None
        self._cache = DecodedCache(SMALL_CACHE_BYTES)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Yield a snapshot, for the length of a with block."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._open()
        with _transaction(connection):
            yield Snapshot(connection)

    @contextmanager
    def small_snapshot(self, entries_max: int = SMALL_ENTRIES) -> Iterator[SmallSnapshot]:
        """Yield a snapshot for one thread, which does not wait for a locked database.

        entries_max: of the blocks that it opens. Raises sqlite3.OperationalError.
        """
        if self._small is None:
            self._small = self._open()
            self._small.execute("PRAGMA busy_timeout = 0")
        with _transaction(self._small):
            yield SmallSnapshot(self._small, self._cache, entries_max)

    def _open(self) -> sqlite3.Connection:
        connection = self._database.reader()
        self._connections.append(connection)
        return connection

    def close(self) -> None:
        """Close every connection. No thread may use a snapshot any more."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")
