"""Proves that every line of a launch is in Loki, or says which are not.

The launch's segments are read and parsed anew, independently of the agent and its journal; every entry that must be
in Loki is then looked for there, by its time and text. Where segments are gone, the ledger's counts are compared.
"""

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.follower import Block, Follower
from agent.journal import JournalError, connect
from agent.parsing import LineParser
from agent.pipeline import TEXT_MAX_BYTES, redact
from agent.sender import LokiClient
from agent.times import EngineTimes
from contract import events
from contract.labels import LAUNCH_ID, METADATA_KIND, METADATA_ORIGINAL_TIME, launch_labels
from contract.logline import MARK_EVENT, STAMP_BYTES, parse_event, parse_stamp
from contract.logql import selector
from contract.record import LaunchDir, Record
from contract.redaction import Redactor
from contract.state import launches_dir

_QUERY_SPAN_NS = 7 * 86_400 * 1_000_000_000
_CLOCKS_APART_NS = 3600 * 1_000_000_000


@dataclass(slots=True)
class MissingRange:
    """Bytes of a segment whose lines are neither in Loki nor among the rejected."""

    file: str
    start: int
    end: int
    lines: int


@dataclass(slots=True)
class Report:
    """What was found out about one launch."""

    launch_id: str
    trace_id: str
    state: str
    lines: int = 0
    """In the segments that are still on disk."""
    found: int = 0
    """Of these, in Loki."""
    rejected: int = 0
    """Of these, kept in the journal with Loki's reason."""
    redacted: int = 0
    missing: list[MissingRange] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    """Segments that are not on disk any more."""
    receipt: dict[str, str] | None = None
    in_loki: int = 0
    """Lines of the launch that Loki returns, without the agent's own events."""

    @property
    def complete(self) -> bool:
        """Every line is accounted for."""
        if self.missing:
            return False
        if not self.gone:
            return True
        expected = int(self.receipt["lines"]) - int(self.receipt["rejected"]) if self.receipt else None
        return expected is not None and self.in_loki >= expected

    def as_json(self) -> dict[str, Any]:
        """Return the report as `tracetail verify --json` prints it."""
        return {
            "launchId": self.launch_id,
            "traceId": self.trace_id,
            "state": self.state,
            "complete": self.complete,
            "lines": self.lines,
            "found": self.found,
            "rejected": self.rejected,
            "redacted": self.redacted,
            "inLoki": self.in_loki,
            "missing": [
                {"file": gap.file, "from": gap.start, "to": gap.end, "lines": gap.lines} for gap in self.missing
            ],
            "gone": self.gone,
            "receipt": self.receipt,
        }


def launches_of(state_dirs: Sequence[Path], trace_id: str) -> list[tuple[LaunchDir, Record]]:
    """Return the launches of a trace on this machine, oldest first."""
    found = []
    for state_dir in state_dirs:
        for path in sorted(launches_dir(state_dir).glob("*/record.json")):
            launch = LaunchDir(path.parent)
            record = launch.read()
            if record["traceId"] == trace_id:
                found.append((launch, record))
    return found


async def verify(launch: LaunchDir, record: Record, journal: Path, redactor: Redactor, loki: LokiClient) -> Report:
    """Compare a launch's segments with Loki. Raises what LokiClient.entries raises."""
    report = Report(record["launchId"], record["traceId"], launch.effective_state(record))
    in_loki = await _entries_in_loki(record, loki)
    report.receipt = in_loki.receipt
    report.in_loki = in_loki.lines
    rejected = _rejected_times(journal, record["launchId"])
    parser = LineParser(EngineTimes(0))
    for name in record.get("segments", []):
        try:
            follower = Follower(Path(name))
        except FileNotFoundError:
            report.gone.append(name)
            continue
        try:
            while (block := follower.read(flush=True)) is not None:
                _compare(block, name, parser, redactor, in_loki.texts, rejected, report)
        finally:
            follower.close()
    return report


def _compare(
    block: Block,
    name: str,
    parser: LineParser,
    redactor: Redactor,
    texts: Mapping[int, int],
    rejected: AbstractSet[int],
    report: Report,
) -> None:
    entries = parser.parse(block.data, 0, unfinished=block.unfinished).stream(None).entries
    report.redacted += redact(entries, redactor)
    at = block.start
    for index, line in enumerate(block.data.removesuffix(b"\n").split(b"\n")):
        end = min(at + len(line) + 1, block.end)
        time_ns = entries.time_ns(index)
        text = entries.texts[index]
        report.lines += 1
        # A text over Loki's limit stands there in parts; the first of them has its time.
        if texts.get(time_ns) == hash(text.decode()) or (time_ns in texts and len(text) > TEXT_MAX_BYTES):
            report.found += 1
        elif time_ns in rejected:
            report.rejected += 1
        else:
            _add(report.missing, name, at, end)
        at = end


@dataclass(slots=True)
class _InLoki:
    texts: dict[int, int]
    """Time of each entry, its original one if it was sent again later, and the hash of its text."""
    lines: int
    receipt: dict[str, str] | None


async def _entries_in_loki(record: Record, loki: LokiClient) -> _InLoki:
    query = selector(launch_labels(record))
    found = _InLoki({}, 0, None)
    start = _first_ns(record)
    now = time.time_ns() + _CLOCKS_APART_NS
    while start < now:
        # Loki limits how long a time a query may span; a launch may run for months.
        end = min(start + _QUERY_SPAN_NS, now)
        for entry in await loki.entries(query, start, end):
            if entry.labels.get(METADATA_KIND) == MARK_EVENT and entry.line.startswith(f"{events.RECEIPT} "):
                found.receipt = parse_event(entry.line).fields
                continue
            found.lines += 1
            original = entry.labels.get(METADATA_ORIGINAL_TIME)
            found.texts[_nanoseconds(original) if original else entry.time_ns] = hash(entry.line)
        start = end + 1
    return found


def _first_ns(record: Record) -> int:
    """Return the time of the first line that is still on disk, else of the start."""
    for name in record.get("segments", []):
        try:
            with Path(name).open("rb") as file:
                return parse_stamp(file.read(STAMP_BYTES)) - 1
        except (OSError, ValueError):
            continue
    started = datetime.fromisoformat(record["startedAt"]) if "startedAt" in record else datetime.now(UTC)
    return int(started.timestamp()) * 1_000_000_000 - _CLOCKS_APART_NS


def _nanoseconds(text: str) -> int:
    """Return the time that agent.delivery wrote as RFC 3339."""
    return parse_stamp(text.removesuffix("Z").encode() + b"+00:00")


def _rejected_times(journal: Path, launch_id: str) -> set[int]:
    try:
        connection = connect(journal, readonly=True)
    except JournalError:
        return set()
    try:
        rows = connection.execute("SELECT labels, time_ns FROM rejected").fetchall()
    except sqlite3.Error:
        return set()
    finally:
        connection.close()
    return {row["time_ns"] for row in rows if json.loads(row["labels"]).get(LAUNCH_ID) == launch_id}


def _add(missing: list[MissingRange], name: str, start: int, end: int) -> None:
    """Add a line's bytes, to the range before if they follow it."""
    if missing and missing[-1].file == name and missing[-1].end == start:
        missing[-1].end = end
        missing[-1].lines += 1
    else:
        missing.append(MissingRange(name, start, end, 1))
