"""What the journal knows of a source, and the source as it goes on from there."""

import json
import sqlite3
import time
from collections.abc import Callable
from datetime import tzinfo
from typing import Any

from agent.delivery import Delivery
from agent.journal import Journal
from agent.parsing import LineParser
from agent.sources import FileRow, Source
from agent.times import EngineTimes


class Ledger:
    """Opens sources where the journal says that they were left."""

    def __init__(
        self,
        journal: Journal,
        *,
        zone: tzinfo | None = None,
        structured_metadata: bool = True,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._journal = journal
        self._zone = zone
        self._structured = structured_metadata
        self._clock_ns = clock_ns

    async def completed(self) -> set[str]:
        """Return the keys of the sources that need not be opened any more."""
        rows = await self._journal.write(lambda db: db.execute("SELECT key FROM sources WHERE complete").fetchall())
        return {row["key"] for row in rows}

    async def open(self, source: Source, delivery: Delivery) -> None:
        """Deliver what was left of the source's last batch, then take up its position and state."""
        source.id = await self._journal.write(lambda db: _source_id(db, source, self._clock_ns()))
        await delivery.settle(source.id)
        row, files = await self._journal.write(lambda db: _load(db, source.id))
        source.lines = row["lines"]
        source.bytes = row["bytes"]
        source.rejected = row["rejected"]
        source.redacted = row["redacted"]
        source.complete = bool(row["complete"])
        source.files = files
        source.parser = LineParser(
            EngineTimes(row["first_seen_ns"], self._zone),
            structured_metadata=self._structured,
            ids_from_lines=source.kind == "file",
            plain=source.plain,
            state=json.loads(row["state"]),
        )
        source.open = True

    async def know_file(self, source: Source) -> None:
        """Make sure that the journal knows the file that the source reads from."""
        row = source.file
        if not row.id:
            row.id = await self._journal.write(lambda db: _insert_file(db, source.id, row))


def _source_id(db: sqlite3.Connection, source: Source, now_ns: int) -> int:
    db.execute(
        "INSERT INTO sources (key, kind, first_seen_ns) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING",
        (source.key, source.kind, now_ns),
    )
    source_id = db.execute("SELECT id FROM sources WHERE key = ?", (source.key,)).fetchone()[0]
    assert isinstance(source_id, int)
    return source_id


def _load(db: sqlite3.Connection, source_id: int) -> tuple[Any, list[FileRow]]:
    row = db.execute("SELECT * FROM sources WHERE id = ?", (source_id,)).fetchone()
    files = db.execute("SELECT * FROM files WHERE source_id = ? ORDER BY id", (source_id,)).fetchall()
    return row, [
        FileRow(f["id"], f["path"], f["device"], f["inode"], f["position"], f["head"], f["tail"], bool(f["done"]))
        for f in files
    ]


def _insert_file(db: sqlite3.Connection, source_id: int, row: FileRow) -> int:
    file_id = db.execute(
        "INSERT INTO files (source_id, path, device, inode, position, head, tail) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (source_id, row.path, row.device, row.inode, row.position, row.head, row.tail),
    ).lastrowid
    assert file_id is not None
    return file_id
