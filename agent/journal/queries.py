"""The SQL of the journal: each function runs in a transaction of Journal.write and takes its connection."""

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracetail.agent.model import Batch, FileRow, Intent
from tracetail.agent.reading.file_names import path_of
from tracetail.contract.safe_open import open_file
from tracetail.loki.entries import Entry
from tracetail.loki.push import Body


@dataclass(slots=True)
class SourceRow:
    """What the journal holds of a source."""

    id: int
    first_seen_ns: int
    listed_ns: int
    """Files that were rotated away from its path since then, before one was seen there, are read; 0 if none are."""
    state: dict[str, Any]
    """The parser's."""
    lines: int
    bytes: int
    rejected: int
    redacted: int
    complete: bool
    files: list[FileRow]
    batches: list[int]
    """Ids of the batches that are not acknowledged."""


# Sources and files


def open_source(
    db: sqlite3.Connection, key: str, kind: str, labels: Mapping[str, str], now_ns: int, listed_ns: int = 0
) -> SourceRow:
    """Return a source's row; it is inserted, as first seen now, if it does not exist.

    listed_ns: of the source, unless the journal knows an earlier one.
    """
    db.execute(
        "INSERT INTO sources (key, kind, labels, first_seen_ns, listed_ns) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (key) DO UPDATE SET labels = excluded.labels,"
        " listed_ns = iif(listed_ns, listed_ns, excluded.listed_ns)",
        (key, kind, json.dumps(labels), now_ns, listed_ns),
    )
    row = db.execute("SELECT * FROM sources WHERE key = ?", (key,)).fetchone()
    files = db.execute("SELECT * FROM files WHERE source_id = ? ORDER BY id", (row["id"],)).fetchall()
    batches = db.execute("SELECT id FROM batches WHERE source_id = ? ORDER BY id", (row["id"],)).fetchall()
    return SourceRow(
        id=row["id"],
        first_seen_ns=row["first_seen_ns"],
        listed_ns=row["listed_ns"],
        state=json.loads(row["state"]),
        lines=row["lines"],
        bytes=row["bytes"],
        rejected=row["rejected"],
        redacted=row["redacted"],
        complete=bool(row["complete"]),
        files=[_file_row(file) for file in files],
        batches=[batch["id"] for batch in batches],
    )


def first_seen_ns(db: sqlite3.Connection, key: str) -> int | None:
    """Return when a source was first seen; None if the journal does not know it."""
    row = db.execute("SELECT first_seen_ns FROM sources WHERE key = ?", (key,)).fetchone()
    return None if row is None else int(row["first_seen_ns"])


def rejected_counts(db: sqlite3.Connection, sources: Iterable[int]) -> dict[int, int]:
    """Return, by the id of a source, how many of its lines Loki has refused and not accepted since."""
    chosen = json.dumps(list(sources))
    rows = db.execute("SELECT id, rejected FROM sources WHERE id IN (SELECT value FROM json_each(?))", (chosen,))
    return {row["id"]: row["rejected"] for row in rows}


def completed_sources(db: sqlite3.Connection) -> set[str]:
    """Return the keys of the sources that need not be followed any more."""
    return {row["key"] for row in db.execute("SELECT key FROM sources WHERE complete")}


def unfinished_files(db: sqlite3.Connection) -> dict[str, dict[str, str]]:
    """Return path and labels of the sources with files that were not read to their end, or not looked for."""
    rows = db.execute(
        "SELECT DISTINCT key, labels FROM sources LEFT JOIN files ON files.source_id = sources.id"
        " WHERE kind = 'file' AND iif(files.id, NOT done, listed_ns)"
    )
    return {row["key"]: json.loads(row["labels"]) for row in rows}


def forget_file(db: sqlite3.Connection, key: str) -> None:
    """Note that at the path of a source there has been no file for so long that none has to be looked for."""
    db.execute("UPDATE sources SET listed_ns = 0 WHERE key = ?", (key,))


def note_look(db: sqlite3.Connection, listed_ns: int) -> None:
    """Note that what a look for logs found, in nanoseconds since the epoch, is among the sources."""
    db.execute("UPDATE looks SET listed_ns = ?", (listed_ns,))


def unfinished_launches(db: sqlite3.Connection) -> dict[str, list[int]]:
    """Return launch id and batches of the launches with batches that are not acknowledged."""
    rows = db.execute(
        "SELECT key, batches.id FROM sources JOIN batches ON batches.source_id = sources.id"
        " WHERE kind = 'launch' ORDER BY batches.id"
    )
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row["key"], []).append(row["id"])
    return found


def file_owners(db: sqlite3.Connection) -> list[tuple[str, FileRow]]:
    """Return, for each file that no keeper wrote, the key of its source; oldest first."""
    rows = db.execute(
        "SELECT key, files.* FROM files JOIN sources ON sources.id = source_id WHERE kind = 'file' ORDER BY files.id"
    )
    return [(row["key"], _file_row(row)) for row in rows]


def finish_files(
    db: sqlite3.Connection, source_id: int, rows: list[int], going_on: Sequence[FileRow], keep: int
) -> list[int]:
    """Mark files as done; keep the newest `keep` of the source, to recognise those that are renamed.

    going_on: files that go on where one of these ended (its copy, say), in the same transaction: whoever knew only
    that one is done would take the rest of them for read. Return their ids.
    """
    ids = [_insert_file(db, source_id, row) for row in going_on]
    db.executemany("UPDATE files SET done = 1 WHERE id = ?", [(row,) for row in rows])
    db.execute(
        "DELETE FROM files WHERE source_id = ? AND done AND id NOT IN"
        " (SELECT id FROM files WHERE source_id = ? ORDER BY id DESC LIMIT ?)",
        (source_id, source_id, keep),
    )
    return ids


# Batches and intents


def insert_batch(db: sqlite3.Connection, batch: Batch) -> tuple[Intent, int]:
    """Insert a batch, and its file if it is new; return the batch's first intent and the file's id."""
    file_id = 0
    if batch.file is not None:
        file_id = batch.file.id or _insert_file(db, batch.source_id, batch.file)
    batch_id = db.execute(
        "INSERT INTO batches (source_id, file_id, start, end, head, tail, lines, entries, redacted, completes, state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            batch.source_id,
            file_id or None,
            batch.start,
            batch.end,
            batch.fingerprint.head,
            batch.fingerprint.tail,
            batch.lines,
            sum(body.entries for body in batch.bodies) if batch.lines else 0,
            batch.redacted,
            batch.completes,
            json.dumps(batch.state),
        ),
    ).lastrowid
    assert batch_id is not None
    db.execute("UPDATE files SET size = max(size, ?) WHERE id = ?", (batch.fingerprint.size, file_id))
    intents = [_insert_intent(db, batch_id, body, retimed=False) for body in batch.bodies]
    return min(intents, key=lambda intent: (intent.first_ns, intent.id)), file_id


def next_intent(db: sqlite3.Connection, batch_id: int) -> Intent:
    """Return the oldest intent of a batch, which has at least one while it exists."""
    row = db.execute("SELECT * FROM intents WHERE batch_id = ? ORDER BY first_ns, id LIMIT 1", (batch_id,)).fetchone()
    return Intent(
        id=row["id"],
        batch_id=row["batch_id"],
        labels=json.loads(row["labels"]),
        body=row["body"],
        first_ns=row["first_ns"],
        last_ns=row["last_ns"],
        entries=row["entries"],
        rows=json.loads(row["rows"]),
        retimed=bool(row["retimed"]),
    )


def intent_body(db: sqlite3.Connection, intent_id: int) -> bytes:
    """Return the body of an intent."""
    body: bytes = db.execute("SELECT body FROM intents WHERE id = ?", (intent_id,)).fetchone()[0]
    return body


def acknowledge(db: sqlite3.Connection, intent: Intent) -> bool:
    """Delete an intent; the last one of a batch deletes the batch and advances the position.

    Return whether the batch is complete. Do not query by its id afterwards: SQLite may reuse it.
    """
    db.execute("DELETE FROM intents WHERE id = ?", (intent.id,))
    if db.execute("SELECT 1 FROM intents WHERE batch_id = ? LIMIT 1", (intent.batch_id,)).fetchone():
        return False
    batch = db.execute("SELECT * FROM batches WHERE id = ?", (intent.batch_id,)).fetchone()
    db.execute(
        "UPDATE files SET position = ?, head = ?, tail = ? WHERE id = ?",
        (batch["end"], batch["head"], batch["tail"], batch["file_id"]),
    )
    db.execute(
        "UPDATE sources SET state = ?, lines = lines + ?, bytes = bytes + ?, entries = entries + ?,"
        " redacted = redacted + ?, complete = max(complete, ?) WHERE id = ?",
        (
            batch["state"],
            batch["lines"],
            batch["end"] - batch["start"],
            batch["entries"],
            batch["redacted"],
            batch["completes"],
            batch["source_id"],
        ),
    )
    db.execute("DELETE FROM batches WHERE id = ?", (intent.batch_id,))
    return True


def replace_intent(db: sqlite3.Connection, intent: Intent, bodies: list[Body]) -> list[Intent]:
    """Replace an intent by intents with these bodies, and return them."""
    intents = [_insert_intent(db, intent.batch_id, body, retimed=intent.retimed) for body in bodies]
    db.execute("DELETE FROM intents WHERE id = ?", (intent.id,))
    return intents


def reject_entries(
    db: sqlite3.Connection,
    intent: Intent,
    rejected: list[tuple[int | None, Entry]],
    reasons: Mapping[int, str],
    replaced: Sequence[tuple[Body, bool]],
) -> bool:
    """Store entries that Loki refused, replace the intent by those that are sent again, and acknowledge the rest.

    Args:
        db: the connection.
        intent: the one that was refused.
        rejected: entries, each with the index of its line in the batch, if it is known.
        reasons: by the entry's timestamp.
        replaced: bodies that are sent again; whether their entries have a later time now.

    Returns:
        whether the batch is complete.

    """
    batch = db.execute(
        "SELECT batches.*, files.path FROM batches LEFT JOIN files ON files.id = file_id WHERE batches.id = ?",
        (intent.batch_id,),
    ).fetchone()
    now = time.time()
    offsets = _line_offsets(batch)
    for index, entry in rejected:
        db.execute(
            "INSERT INTO rejected"
            " (source_id, path, start, end, offset, labels, time_ns, line, meta, reason, rejected_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                batch["source_id"],
                batch["path"],
                batch["start"],
                batch["end"],
                offsets[index] if index is not None and index < len(offsets) else None,
                json.dumps(intent.labels),
                entry.time_ns,
                entry.text,
                entry.meta,
                reasons[entry.time_ns],
                now,
            ),
        )
    db.execute(
        "UPDATE sources SET rejected = rejected + ?, entries = entries - ? WHERE id = ?",
        (len(rejected), len(rejected), batch["source_id"]),
    )
    for body, retimed in replaced:
        _insert_intent(db, intent.batch_id, body, retimed=retimed)
        # After a restart, too, the stream's next lines must be later than the entries that are sent again.
        db.execute(
            "UPDATE batches SET state = json_set(state, '$.last_ns', max(?, json_extract(state, '$.last_ns')))"
            " WHERE id = ?",
            (body.last_ns, intent.batch_id),
        )
    return acknowledge(db, intent)


def _insert_file(db: sqlite3.Connection, source_id: int, row: FileRow) -> int:
    file_id = db.execute(
        "INSERT INTO files (source_id, path, real_path, device, inode, position, head, tail, size, seen_ns)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            source_id,
            row.path,
            row.real_path,
            row.device,
            row.inode,
            row.position,
            row.head,
            row.tail,
            row.size,
            row.seen_ns,
        ),
    ).lastrowid
    assert file_id is not None
    return file_id


def _file_row(file: sqlite3.Row) -> FileRow:
    return FileRow(
        path=file["path"],
        device=file["device"],
        inode=file["inode"],
        head=file["head"],
        tail=file["tail"],
        position=file["position"],
        size=file["size"],
        seen_ns=file["seen_ns"],
        real_path=file["real_path"],
        done=bool(file["done"]),
        id=file["id"],
    )


def _insert_intent(db: sqlite3.Connection, batch_id: int, body: Body, *, retimed: bool) -> Intent:
    intent_id = db.execute(
        "INSERT INTO intents (batch_id, labels, body, first_ns, last_ns, entries, rows, retimed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            batch_id,
            json.dumps(body.labels),
            body.data,
            body.first_ns,
            body.last_ns,
            body.entries,
            json.dumps(body.rows),
            retimed,
        ),
    ).lastrowid
    assert intent_id is not None
    return Intent(
        intent_id,
        batch_id,
        body.labels,
        body.data,
        body.first_ns,
        body.last_ns,
        body.entries,
        body.rows,
        retimed,
    )


def _line_offsets(batch: sqlite3.Row) -> list[int]:
    """Return the offset in its file of each line of a batch; [] if they cannot be determined any more."""
    if batch["path"] is None or batch["lines"] != batch["entries"]:
        return []
    try:
        with os.fdopen(open_file(path_of(batch["path"])), "rb") as file:
            file.seek(batch["start"])
            data = file.read(batch["end"] - batch["start"])
    except OSError:
        return []
    if not data.endswith(batch["tail"][-len(data) :]):
        return []
    offsets = []
    at = batch["start"]
    for line in data.split(b"\n"):
        offsets.append(at)
        at += len(line) + 1
    return offsets
