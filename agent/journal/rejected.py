"""The lines that Loki refused and the journal keeps: listing them, and sending them again."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracetail.agent.journal.database import connect
from tracetail.contract import events
from tracetail.contract.labels import LAUNCH_ID, METADATA_KIND, METADATA_LEVEL, TRACE_ID
from tracetail.contract.logline import MARK_EVENT, render_event
from tracetail.loki import answers, original_time
from tracetail.loki.answers import Verdict
from tracetail.loki.client import LokiClient
from tracetail.loki.entries import Entry
from tracetail.loki.errors import LokiRefusedError
from tracetail.loki.push import single_body
from tracetail.loki.refusals import Refusals, refusals_of

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
                _remove(connection, part)
                accepted += len(part)
                await _push_receipt(connection, loki, part[0].labels)
    finally:
        connection.close()
    return accepted, list(dict.fromkeys(reasons))


async def _send(lines: list[Rejected], loki: LokiClient, reasons: list[str]) -> list[list[Rejected]]:
    """Push lines of one stream; return those that were accepted.

    What Loki refuses for its time is pushed with the current one; if a refusal does not say which lines it is about,
    the halves are pushed.
    """
    entries = [line.entry for line in lines]
    answer = await loki.push(single_body(lines[0].labels, entries).data)
    verdict = answers.verdict(answer)
    if verdict is Verdict.DELIVERED:
        return [lines]
    if verdict is Verdict.SOME_REFUSED:
        found = refusals_of(answer.text, entries) or Refusals(unknown={entry.time_ns for entry in entries})
        if len(lines) == 1:
            found = Refusals({entries[0].time_ns: answer.text})
        late = [line for line in lines if answers.is_time_refusal(found.reasons.get(line.entry.time_ns, ""))]
        unknown = [line for line in lines if line.entry.time_ns in found.unknown]
        stored = [line for line in lines if line.entry.time_ns not in found.reasons.keys() | found.unknown]
        accepted = [stored] if stored else []
        if late and await _send_retimed(late, loki):
            accepted.append(late)
            found.reasons = {
                ns: reason for ns, reason in found.reasons.items() if not answers.is_time_refusal(reason)
            }
        reasons += [f"{answer.status}: {reason}" for reason in dict.fromkeys(found.reasons.values())]
        half = (len(unknown) + 1) // 2 if len(unknown) == len(lines) else len(unknown)
        for part in (unknown[:half], unknown[half:]):
            accepted += await _send(part, loki, reasons) if part else []
        return accepted
    reasons.append(f"{answer.status}: {answer.text}".strip(": "))
    return []


async def _send_retimed(lines: list[Rejected], loki: LokiClient) -> bool:
    """Push lines with the current time, their own beside the text; return whether all of them are stored."""
    now = time.time_ns()
    structured = loki.settings.structured_metadata
    entries = [
        original_time.retimed(line.entry, now + place, structured_metadata=structured)
        for place, line in enumerate(lines)
    ]
    answer = await loki.push(single_body(lines[0].labels, entries).data)
    return answers.verdict(answer) is Verdict.DELIVERED


def _remove(connection: sqlite3.Connection, lines: list[Rejected]) -> None:
    """Delete lines that Loki has now, and no longer count them as rejected."""
    ids = [(line.id,) for line in lines]
    with connection:
        connection.executemany(
            "UPDATE sources SET rejected = rejected - 1, entries = entries + 1"
            " WHERE rejected > 0 AND id = (SELECT source_id FROM rejected WHERE id = ?)",
            ids,
        )
        connection.executemany("DELETE FROM rejected WHERE id = ?", ids)


async def _push_receipt(connection: sqlite3.Connection, loki: LokiClient, labels: dict[str, str]) -> None:
    """Push a launch's receipt again, which counts the rejected lines, if it has one already."""
    row = connection.execute(
        "SELECT * FROM sources WHERE complete AND kind = 'launch' AND key = ?", (labels.get(LAUNCH_ID),)
    ).fetchone()
    if row is not None:
        counts = {name: row[name] for name in ("lines", "bytes", "rejected", "redacted")}
        metadata = {METADATA_KIND: MARK_EVENT, METADATA_LEVEL: "info"}
        text = render_event(events.RECEIPT, **counts)
        with contextlib.suppress(LokiRefusedError):
            await loki.push_entries(labels, [(time.time_ns(), text, metadata)])


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
