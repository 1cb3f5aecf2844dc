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

from tracetail.agent.journal.database import JournalError, connect
from tracetail.agent.parsing.header import Headers
from tracetail.agent.parsing.parser import LineParser
from tracetail.agent.parsing.times import EngineTimes
from tracetail.agent.pipeline import TEXT_MAX_BYTES, redact
from tracetail.agent.reading.reader import Block, Follower
from tracetail.contract import events
from tracetail.contract.labels import LAUNCH_ID, METADATA_KIND, METADATA_ORIGINAL_TIME, launch_labels
from tracetail.contract.logline import MARK_EVENT, STAMP_BYTES, parse_event, parse_stamp
from tracetail.contract.record import ENDED_STATES, LaunchDir, Record, RecordError
from tracetail.contract.redaction import Redactor
from tracetail.contract.state import launches_dir
from tracetail.loki.client import LokiClient
from tracetail.loki.entries import decode_metadata
from tracetail.loki.logql import selector
from tracetail.loki.original_time import split_original_time

_QUERY_SPAN_NS = 7 * 86_400 * 1_000_000_000
_OWN_TIME = METADATA_ORIGINAL_TIME.encode()
_CLOCKS_APART_NS = 3600 * 1_000_000_000


@dataclass(slots=True)
class MissingRange:
    """Bytes of a segment whose lines are neither in Loki nor among the rejected."""

    file: str
    start: int
    end: int
    lines: int


@dataclass(frozen=True, slots=True)
class Lost:
    """Bytes of a segment that vanished before the agent could read them, as it told in the stream."""

    file: str
    start: int
    end: int
    """The same as start if it is not known how many there were."""
    reason: str


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
    lost: list[Lost] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    """Segments that are not on disk any more."""
    receipt: dict[str, str] | None = None
    in_loki: int = 0
    """Lines of the launch that Loki returns, without the agent's own events."""

    @property
    def runs(self) -> bool:
        """The launch may still print."""
        return self.state not in ENDED_STATES

    @property
    def complete(self) -> bool:
        """Every line is accounted for."""
        if self.missing or self.lost:
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
            "lost": [
                {"file": lost.file, "from": lost.start, "to": lost.end, "reason": lost.reason} for lost in self.lost
            ],
            "gone": self.gone,
            "receipt": self.receipt,
        }


def launches_of(state_dirs: Sequence[Path], trace_id: str) -> tuple[list[tuple[LaunchDir, Record]], list[str]]:
    """Return the launches of a trace on this machine, oldest first; and why some records cannot be read."""
    found = []
    unreadable = []
    for state_dir in state_dirs:
        for path in sorted(launches_dir(state_dir).glob("*/record.json")):
            launch = LaunchDir(path.parent)
            try:
                record = launch.read()
            except FileNotFoundError:
                continue
            except (OSError, RecordError) as error:
                unreadable.append(str(error))
                continue
            if record.get("traceId") == trace_id:
                found.append((launch, record))
    return found, unreadable


async def verify(launch: LaunchDir, record: Record, journal: Path, redactor: Redactor, loki: LokiClient) -> Report:
    """Compare a launch's segments with Loki. Raises LokiError."""
    report = Report(record["launchId"], record["traceId"], launch.effective_state(record))
    in_loki = await _entries_in_loki(record, loki)
    report.receipt = in_loki.receipt
    report.in_loki = in_loki.lines
    report.lost = in_loki.lost
    rejected = _rejected_times(journal, record["launchId"])
    parser = LineParser(EngineTimes(0), Headers())
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
    stream = parser.parse(block.data, 0, unfinished=block.unfinished).stream(None)
    entries = stream.entries
    report.redacted += redact(stream, redactor)
    at = block.start
    for index, line in enumerate(block.data.removesuffix(b"\n").split(b"\n")):
        end = min(at + len(line) + 1, block.end)
        # One that had to be moved behind the one before it stands in Loki with its own time told.
        time_ns = entries.time_ns(index)
        if _OWN_TIME in (meta := entries.metas[index]):
            time_ns = split_original_time("", decode_metadata(meta)[METADATA_ORIGINAL_TIME])[1] or time_ns
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
    lines: int = 0
    receipt: dict[str, str] | None = None
    lost: list[Lost] = field(default_factory=list)

    def is_the_agents(self, line: str) -> bool:
        """Say whether an event is the agent's own, and so in no segment; and take note of what it says."""
        event = parse_event(line)
        if event.name == events.RECEIPT and {"lines", "bytes", "rejected"} <= event.fields.keys():
            self.receipt = event.fields
            return True
        if event.name == events.GAP and {"file", "from", "to", "reason"} <= event.fields.keys():
            fields = event.fields
            self.lost.append(Lost(fields["file"], int(fields["from"]), int(fields["to"]), fields["reason"]))
            return True
        return False


async def _entries_in_loki(record: Record, loki: LokiClient) -> _InLoki:
    query = selector(launch_labels(record))
    found = _InLoki({})
    unmarked = None if loki.settings.structured_metadata else MARK_EVENT
    start = _first_ns(record)
    now = time.time_ns() + _CLOCKS_APART_NS
    while start < now:
        # Loki limits how long a time a query may span; a launch may run for months.
        end = min(start + _QUERY_SPAN_NS, now)
        for entry in await loki.all_entries(query, start, end):
            # Without structured metadata nothing marks the agent's own words but the words themselves.
            if entry.labels.get(METADATA_KIND, unmarked) == MARK_EVENT and found.is_the_agents(entry.line):
                continue
            found.lines += 1
            text, original = split_original_time(entry.line, entry.labels.get(METADATA_ORIGINAL_TIME))
            found.texts[original or entry.time_ns] = hash(text)
        start = end
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


def _rejected_times(journal: Path, launch_id: str) -> set[int]:
    try:
        connection = connect(journal, readonly=True)
    except JournalError:
        return set()
    try:
        rows = connection.execute("SELECT labels, time_ns, line, meta FROM rejected").fetchall()
    except sqlite3.Error:
        return set()
    finally:
        connection.close()
    times = set()
    for row in rows:
        if json.loads(row["labels"]).get(LAUNCH_ID) == launch_id:
            told = decode_metadata(row["meta"]).get(METADATA_ORIGINAL_TIME)
            _, original = split_original_time(row["line"].decode(errors="replace"), told)
            times.add(original or row["time_ns"])
    return times


def _add(missing: list[MissingRange], name: str, start: int, end: int) -> None:
    """Add a line's bytes, to the range before if they follow it."""
    if missing and missing[-1].file == name and missing[-1].end == start:
        missing[-1].end = end
        missing[-1].lines += 1
    else:
        missing.append(MissingRange(name, start, end, 1))
