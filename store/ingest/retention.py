"""Deletes blocks that exceed the retention in age or total size, and returns free pages to the file system."""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

from tracetail.store.ingest.counts import Counts
from tracetail.store.ingest.streams import Streams

RETENTION_SECONDS = 30.0
"""Interval of the check of age and size."""
RETENTION_BLOCKS = 16
"""The number of blocks that one step deletes."""
VACUUM_PAGES = 256
"""The number of pages that one step returns to the file system."""


@dataclass(frozen=True, slots=True)
class Retention:
    """The limits of what is kept; None means no limit."""

    age_ns: int | None
    size_bytes: int | None


class RetentionCleanup:
    """Enforces the retention in small steps."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        retention: Retention,
        streams: Streams,
        counts: Counts,
        clock_ns: Callable[[], int],
    ) -> None:
        self._connection = connection
        self._retention = retention
        self._streams = streams
        self._counts = counts
        self._clock_ns = clock_ns
        self._next_check_at = 0.0

    def step(self) -> bool:
        """Delete some blocks or return some pages, if a check is due; return whether there is more to do."""
        now = time.monotonic()
        if now < self._next_check_at:
            return False
        if self._delete_blocks() or self._vacuum():
            return True
        self._next_check_at = now + RETENTION_SECONDS
        return False

    def _delete_blocks(self) -> bool:
        rows = self._expired_blocks() or self._excess_blocks()
        if not rows:
            return False
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("DELETE FROM block WHERE id = ?", [(row[0],) for row in rows])
        for stream in {row[1] for row in rows}:
            self._update_stream(stream)
        self._connection.execute("COMMIT")
        self._streams.clear()
        self._counts.deleted_blocks += len(rows)
        return True

    def _update_stream(self, stream: int) -> None:
        """Set the first time of a stream whose blocks were deleted; delete the stream if it has no block left."""
        (oldest,) = self._connection.execute("SELECT min(first) FROM block WHERE stream = ?", (stream,)).fetchone()
        if oldest is None:
            self._connection.execute("DELETE FROM label WHERE stream = ?", (stream,))
            self._connection.execute("DELETE FROM stream WHERE id = ?", (stream,))
        else:
            self._connection.execute("UPDATE stream SET first = ? WHERE id = ?", (oldest, stream))

    def _expired_blocks(self) -> list[tuple[int, int]]:
        """Return id and stream of some blocks of which every entry is too old."""
        if self._retention.age_ns is None:
            return []
        return self._connection.execute(
            "SELECT id, stream FROM block WHERE last < ? ORDER BY last LIMIT ?",
            (self._clock_ns() - self._retention.age_ns, RETENTION_BLOCKS),
        ).fetchall()

    def _excess_blocks(self) -> list[tuple[int, int]]:
        """Return id and stream of the oldest blocks by which the database is too large, at most RETENTION_BLOCKS."""
        if self._retention.size_bytes is None:
            return []
        pages, free = (self._pragma(name) for name in ("page_count", "freelist_count"))
        excess = (pages - free) * self._pragma("page_size") - self._retention.size_bytes
        rows = self._connection.execute(
            "SELECT id, stream, length(entries_index) + length(entries_text) FROM block ORDER BY last LIMIT ?",
            (RETENTION_BLOCKS,),
        ).fetchall()
        chosen = []
        for block_id, stream, size in rows:
            if excess <= 0:
                break
            chosen.append((block_id, stream))
            excess -= size
        return chosen

    def _vacuum(self) -> bool:
        if self._pragma("freelist_count") < VACUUM_PAGES:
            return False
        self._connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
        return True

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
