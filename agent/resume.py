"""What the journal knows of a source, and the source as it goes on from there."""

import json
import sqlite3
import time
from collections.abc import Callable
from datetime import tzinfo
from typing import Any

from tracetail.agent.journal.database import Journal
from tracetail.agent.parsing.header import Headers
from tracetail.agent.parsing.parser import LineParser
from tracetail.agent.parsing.times import EngineTimes
from tracetail.agent.reading.file_source import ROWS_MAX, Inodes
from tracetail.agent.reading.reader import FileRow
from tracetail.agent.reading.source import Source
from tracetail.agent.shipping.delivery import Delivery


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
        self._headers = Headers(structured_metadata=structured_metadata)
        self._clock_ns = clock_ns

    async def completed(self) -> set[str]:
        """Return the keys of the sources that need not be opened any more."""
        rows = await self._journal.write(lambda db: db.execute("SELECT key FROM sources WHERE complete").fetchall())
        return {row["key"] for row in rows}

    async def open(self, source: Source, delivery: Delivery) -> None:
        """Deliver what was left of the source's last batch, then take up its position and state."""
        source.id, row, files, leftovers = await self._journal.write(lambda db: _open(db, source, self._clock_ns()))
        if leftovers:
            await delivery.settle(leftovers)
            _, row, files, _ = await self._journal.write(lambda db: _open(db, source, self._clock_ns()))
        source.lines = row["lines"]
        source.bytes = row["bytes"]
        source.rejected = row["rejected"]
        source.redacted = row["redacted"]
        source.complete = bool(row["complete"])
        source.files = files
        source.parser = LineParser(
            EngineTimes(row["first_seen_ns"], self._zone),
            self._headers,
            ids_from_lines=source.kind == "file",
            plain=source.plain,
            state=json.loads(row["state"]),
        )
        source.open = True

    async def begun_files(self) -> dict[str, dict[str, str]]:
        """Return the paths, with their labels, of files that were begun and not finished."""
        rows = await self._journal.write(
            lambda db: db.execute(
                "SELECT DISTINCT key, labels FROM sources JOIN files ON files.source_id = sources.id"
                " WHERE kind = 'file' AND NOT done"
            ).fetchall()
        )
        return {row["key"]: json.loads(row["labels"]) for row in rows}

    async def begun_launches(self) -> dict[str, list[int]]:
        """Return the launches, with the batches, of which a batch is under way."""
        rows = await self._journal.write(
            lambda db: db.execute(
                "SELECT key, batches.id FROM sources JOIN batches ON batches.source_id = sources.id"
                " WHERE kind = 'launch' ORDER BY batches.id"
            ).fetchall()
        )
        begun: dict[str, list[int]] = {}
        for row in rows:
            begun.setdefault(row["key"], []).append(row["id"])
        return begun

    async def inodes(self) -> Inodes:
        """Return which source reads, or has read, which file that no keeper wrote."""
        rows = await self._journal.write(
            lambda db: db.execute(
                "SELECT key, device, inode, head FROM files JOIN sources ON sources.id = source_id"
                " WHERE kind = 'file' ORDER BY files.id"
            ).fetchall()
        )
        inodes = Inodes()
        for row in rows:
            inodes.take(FileRow("", row["device"], row["inode"], row["head"]), row["key"])
        return inodes

    async def finish_files(self, source: Source) -> None:
        """Note the files that need not be opened any more."""
        rows = [row.id for row in source.finished]
        source.finished.clear()
        await self._journal.write(lambda db: _finish_files(db, source.id, rows))


def _open(db: sqlite3.Connection, source: Source, now_ns: int) -> tuple[int, Any, list[FileRow], list[int]]:
    """Return a source's id, row and files, and the batches that were under way."""
    db.execute(
        "INSERT INTO sources (key, kind, labels, first_seen_ns) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (key) DO UPDATE SET labels = excluded.labels",
        (source.key, source.kind, json.dumps(source.own_labels), now_ns),
    )
    row = db.execute("SELECT * FROM sources WHERE key = ?", (source.key,)).fetchone()
    files = db.execute("SELECT * FROM files WHERE source_id = ? ORDER BY id", (row["id"],)).fetchall()
    batches = db.execute("SELECT id FROM batches WHERE source_id = ? ORDER BY id", (row["id"],)).fetchall()
    return row["id"], row, [_row_of(file) for file in files], [batch["id"] for batch in batches]


def _row_of(file: sqlite3.Row) -> FileRow:
    return FileRow(
        path=file["path"],
        device=file["device"],
        inode=file["inode"],
        head=file["head"],
        tail=file["tail"],
        position=file["position"],
        size=file["size"],
        seen_ns=file["seen_ns"],
        done=bool(file["done"]),
        id=file["id"],
    )


def _finish_files(db: sqlite3.Connection, source_id: int, rows: list[int]) -> None:
    """Mark files as done; they are remembered for a while, in case they come back under another name."""
    db.executemany("UPDATE files SET done = 1 WHERE id = ?", [(row,) for row in rows])
    db.execute(
        "DELETE FROM files WHERE source_id = ? AND done AND id NOT IN"
        " (SELECT id FROM files WHERE source_id = ? ORDER BY id DESC LIMIT ?)",
        (source_id, source_id, ROWS_MAX),
    )
