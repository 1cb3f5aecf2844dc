"""Writes entries to the block table, in blocks of bounded size."""

import sqlite3

from tracetail.store.disk import block
from tracetail.store.disk.block import Entries
from tracetail.store.disk.counts import encode_counts
from tracetail.store.disk.database import LEVEL_FULL
from tracetail.store.disk.text_filter import encode_filter

BLOCK_BYTES = 1024 * 1024
"""Larger sets of entries are divided into several blocks. Bounds what a query of one page must decompress."""
BLOCK_FULL_BYTES = 512 * 1024
"""Blocks of at least this size are not merged any more."""

COUNTED_MIN_ENTRIES = 256
"""Smaller blocks are counted when they are read, which takes no longer."""
FILTERED_MIN_BYTES = 128 * 1024
"""Smaller texts are searched as they are: a filter would be large beside them."""


def split(entries: Entries) -> list[Entries]:
    """Return the entries in parts of about BLOCK_BYTES at most."""
    if entries.size() <= BLOCK_BYTES + BLOCK_FULL_BYTES:
        return [entries]
    parts, start, size = [], 0, 0
    for i, line in enumerate(entries.lines):
        size += len(line) + block.ENTRY_BYTES
        if size >= BLOCK_BYTES:
            parts.append(entries.slice(start, i + 1))
            start, size = i + 1, 0
    if start < len(entries):
        parts.append(entries.slice(start, len(entries)))
    return parts


def insert_block(
    connection: sqlite3.Connection, stream: int, entries: Entries, level: int, block_id: int | None = None
) -> int:
    """Insert entries as one block of this level, or of LEVEL_FULL if it is large; return the level.

    block_id: its position among the blocks of the stream; the last by default.
    """
    sets = block.columns_of_sets(entries.metadata_sets)
    text = b"\n".join(entries.lines)
    encoded = block.encode(entries, text, sets)
    level = LEVEL_FULL if entries.size() >= BLOCK_FULL_BYTES else level
    cursor = connection.execute(
        "INSERT INTO block (id, stream, first, last, level, count, text_bytes, entries_index, entries_text) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            block_id,
            stream,
            encoded.first,
            encoded.last,
            level,
            encoded.count,
            encoded.text_bytes,
            encoded.index,
            encoded.text,
        ),
    )
    if len(entries) >= COUNTED_MIN_ENTRIES and (counts := encode_counts(entries, sets)) is not None:
        connection.execute("INSERT INTO block_counts (block, counts) VALUES (?, ?)", (cursor.lastrowid, counts))
    if len(text) >= FILTERED_MIN_BYTES and (bits := encode_filter(text)) is not None:
        connection.execute("INSERT INTO block_filter (block, bits) VALUES (?, ?)", (cursor.lastrowid, bits))
    return level
