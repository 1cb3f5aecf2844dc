"""Merges small blocks of a stream into larger ones."""

import sqlite3
import time
from itertools import groupby

from tracetail.store.disk import block
from tracetail.store.disk.database import LEVEL_FULL
from tracetail.store.ingest.blocks import insert_block, split
from tracetail.store.ingest.counts import Counts
from tracetail.store.ingest.streams import Streams, StreamState

MERGE_COUNT = 16
"""This many blocks of one level are merged into one of the next level."""
IDLE_MERGE_SECONDS = 120.0
"""All small blocks of a stream are merged once it has received nothing for this long."""


class Compaction:
    """Merges the blocks of the streams that were written recently."""

    def __init__(self, connection: sqlite3.Connection, streams: Streams, counts: Counts) -> None:
        self._connection = connection
        self._streams = streams
        self._counts = counts

    def step(self) -> bool:
        """Merge the blocks of one stream that has enough of them; return whether there may be more to do."""
        now = time.monotonic()
        for state in self._streams:
            small = {level: count for level, count in state.small_blocks.items() if level < LEVEL_FULL}
            levels = [level for level, count in small.items() if count >= MERGE_COUNT]
            if levels:
                self._merge(state, {min(levels)})
                return True
            if sum(small.values()) > 1 and now - state.pushed_at > IDLE_MERGE_SECONDS:
                self._merge(state, set(small))
                return True
        return False

    def _merge(self, state: StreamState, levels: set[int]) -> None:
        """Merge adjacent blocks of these levels.

        Only adjacent blocks are merged, and the result takes their position: the order of blocks stays the order of
        arrival, which is the order of entries with equal times.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        rows = self._connection.execute(
            "SELECT id, level FROM block WHERE stream = ? AND id >= "
            "(SELECT min(id) FROM block WHERE stream = ? AND level < ?) ORDER BY id",
            (state.id, state.id, LEVEL_FULL),
        ).fetchall()
        for is_mergeable, run in groupby(rows, key=lambda row: row[1] in levels):
            ids = [row[0] for row in run]
            if is_mergeable and len(ids) > 1:
                self._merge_run(state.id, ids, min(max(levels) + 1, LEVEL_FULL - 1))
        self._connection.execute("COMMIT")
        state.small_blocks = self._streams.count_small_blocks(state.id)
        for level in levels:
            # The remaining blocks of these levels have no neighbours to merge with, until new ones arrive.
            state.small_blocks.pop(level, None)
        self._counts.merges += 1

    def _merge_run(self, stream: int, ids: list[int], level: int) -> None:
        parts = []
        for block_id in ids:
            row = self._connection.execute(
                "SELECT entries_index, entries_text, text_bytes FROM block WHERE id = ?", (block_id,)
            ).fetchone()
            parts.append(block.decode(*row))
        self._connection.executemany("DELETE FROM block WHERE id = ?", [(block_id,) for block_id in ids])
        for block_id, part in zip(ids, split(block.merge(parts)), strict=False):
            insert_block(self._connection, stream, part, level, block_id)
