"""The lines that Loki refused and the journal keeps: listing them, and sending them again."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracetail.agent.journal.database import connect
from tracetail.contract.labels import TRACE_ID
from tracetail.loki import answers
from tracetail.loki.answers import Verdict
from tracetail.loki.client import LokiClient
from tracetail.loki.entries import Entry
from tracetail.loki.push import single_body

_BATCH_LINES = 500


@dataclass(frozen=True, slots=True)
class Rejected:
    """One refused line."""

    id: int
    path: str | None
    offset: int | None
    labels: dict[str, str]
    entry: Entry
    reason: str
    rejected_at: float

    def as_json(self) -> dict[str, Any]:
        """Return it as `tracetail agent rejected --json` prints it."""
        return {
            "id": self.id,
            "file": self.path,
            "offset": self.offset,
            "labels": self.labels,
            "time": str(self.entry.time_ns),
            "line": self.entry.text.decode(errors="replace"),
            "reason": self.reason,
            "rejectedAt": self.rejected_at,
        }


def rejected_lines(journal: Path, trace_id: str | None = None) -> list[Rejected]:
    """Return the refused lines, oldest first. Raises JournalError."""
    if not journal.exists():
        return []
    connection = connect(journal, readonly=True)
    try:
        rows = connection.execute("SELECT * FROM rejected ORDER BY id").fetchall()
    finally:
        connection.close()
    found = [_of_row(row) for row in rows]
    return [line for line in found if trace_id is None or line.labels.get(TRACE_ID) == trace_id]


async def replay(journal: Path, loki: LokiClient, trace_id: str | None = None) -> tuple[int, list[str]]:
    """Send refused lines again; return how many Loki accepted, and the reasons for the others.

    A line is deleted from the journal when Loki has accepted it. The agent may run meanwhile. Raises JournalError,
    LokiUnavailableError.
    """
    lines = rejected_lines(journal, trace_id)
    if not lines:
        return 0, []
    connection = connect(journal)
    connection.execute("PRAGMA busy_timeout = 10000")
    accepted = 0
    reasons: list[str] = []
    try:
        for group in _groups(lines):
            for part in await _send(group, loki, reasons):
                with connection:
                    connection.executemany("DELETE FROM rejected WHERE id = ?", [(line.id,) for line in part])
                accepted += len(part)
    finally:
        connection.close()
    return accepted, list(dict.fromkeys(reasons))


async def _send(lines: list[Rejected], loki: LokiClient, reasons: list[str]) -> list[list[Rejected]]:
    """Push lines of one stream, in halves if some are refused; return those that were accepted."""
    answer = await loki.push(single_body(lines[0].labels, [line.entry for line in lines]).data)
    verdict = answers.verdict(answer)
    if verdict is Verdict.DELIVERED:
        return [lines]
    if verdict is Verdict.SOME_REFUSED and len(lines) > 1:
        half = len(lines) // 2
        return [*await _send(lines[:half], loki, reasons), *await _send(lines[half:], loki, reasons)]
    reasons.append(f"{answer.status}: {answer.text}".strip(": "))
    return []


def _groups(lines: list[Rejected]) -> Iterator[list[Rejected]]:
    """Yield the lines in groups of one stream and at most _BATCH_LINES."""
    streams: dict[str, list[Rejected]] = {}
    for line in lines:
        streams.setdefault(json.dumps(line.labels, sort_keys=True), []).append(line)
    for stream in streams.values():
        for start in range(0, len(stream), _BATCH_LINES):
            yield stream[start : start + _BATCH_LINES]


def _of_row(row: sqlite3.Row) -> Rejected:
    entry = Entry(row["time_ns"], row["line"], row["meta"])
    labels = json.loads(row["labels"])
    return Rejected(row["id"], row["path"], row["offset"], labels, entry, row["reason"], row["rejected_at"])
