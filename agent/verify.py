"""Checks that every line of a launch is in Loki, independently of the agent and its journal.

The launch's segments are read and parsed again. Each entry that should be in Loki is compared with Loki's entries by
time and text. For segments that are no longer on disk, the counts of the agent's receipt are compared.
"""

import errno
import json
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tracetail.agent.journal.database import JournalError, connect
from tracetail.agent.model import Block
from tracetail.agent.parsing.header_cache import HeaderCache
from tracetail.agent.parsing.parser import LineParser
from tracetail.agent.parsing.prepare import TEXT_MAX_BYTES
from tracetail.agent.parsing.redact import redact
from tracetail.agent.parsing.times import EngineTimes
from tracetail.agent.reading.reader import FileReader
from tracetail.agent.verify_report import LostRange, MissingRange, Report
from tracetail.contract import events
from tracetail.contract.labels import LAUNCH_ID, METADATA_KIND, METADATA_ORIGINAL_TIME, launch_labels
from tracetail.contract.log_roots import log_roots
from tracetail.contract.logline import MARK_EVENT, STAMP_BYTES, parse_event, parse_stamp
from tracetail.contract.owned_files import open_beneath
from tracetail.contract.record import LaunchDir, Record, RecordError
from tracetail.contract.redaction import Redactor
from tracetail.contract.state import launches_dir
from tracetail.loki.client import LokiClient
from tracetail.loki.entries import decode_metadata
from tracetail.loki.logql import selector
from tracetail.loki.original_time import split_original_time

_ORIGINAL_TIME = METADATA_ORIGINAL_TIME.encode()
_CLOCK_SKEW_MAX_NS = 3600 * 1_000_000_000


def launches_of(state_dirs: Sequence[Path], trace_id: str) -> tuple[list[tuple[LaunchDir, Record]], list[str]]:
    """Return the launches of a trace on this machine, oldest first, and the errors of records that cannot be read."""
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


async def verify(
    launch: LaunchDir,
    record: Record,
    journal: Path,
    redactor: Redactor,
    loki: LokiClient,
    roots: Sequence[str] = (),
) -> Report:
    """Compare a launch's segments with Loki.

    Args:
        launch: the launch's directory.
        record: its record.
        journal: the agent's journal, for the lines that Loki refused.
        redactor: masks secrets as the agent does.
        loki: the client.
        roots: directories outside the state directory beneath which segments may lie.

    Raises LokiError; OSError for a segment that may not be read.

    """
    report = Report(record["launchId"], record["traceId"], launch.effective_state(record))
    segments = _Segments(launch, roots)
    stored = await _read_stored(record, segments, loki)
    report.receipt = stored.receipt
    report.in_loki = stored.lines
    report.lost = stored.lost
    rejected = _rejected_times(journal, record["launchId"])
    parser = LineParser(EngineTimes(0), HeaderCache())
    for name in record.get("segments", []):
        try:
            reader = FileReader(Path(name), descriptor=segments.open(name))
        except FileNotFoundError:
            report.gone.append(name)
            continue
        try:
            while (block := reader.read(flush=True)) is not None:
                _compare(block, name, parser, redactor, stored.texts, rejected, report)
        finally:
            reader.close()
    return report


def _compare(
    block: Block,
    name: str,
    parser: LineParser,
    redactor: Redactor,
    stored_texts: Mapping[int, "_Text"],
    rejected: AbstractSet[int],
    report: Report,
) -> None:
    stream = parser.parse(block.data, 0, unfinished=block.unfinished).stream(None)
    entries = stream.entries
    report.redacted += redact(stream, redactor, parser.secret_lines)
    start = block.start
    for index, line in enumerate(block.data.removesuffix(b"\n").split(b"\n")):
        end = min(start + len(line) + 1, block.end)
        # An entry whose time is not after that of the entry before it is stored under a later one.
        time_ns = entries.time_ns(index)
        if _ORIGINAL_TIME in (meta := entries.meta(index)):
            time_ns = split_original_time("", decode_metadata(meta)[METADATA_ORIGINAL_TIME])[1] or time_ns
        text = entries.text(index)
        report.lines += 1
        stored = stored_texts.get(time_ns)
        # A text over Loki's limit is stored in pieces, of which the first has the line's time.
        if stored is not None and (stored.digest == hash(text.decode()) or len(text) > TEXT_MAX_BYTES):
            report.found += 1
        elif stored is not None and stored.size < len(text):
            report.truncated += 1
            report.truncated_bytes = max(report.truncated_bytes, stored.size)
        elif time_ns in rejected:
            report.rejected += 1
        else:
            _add_missing(report.missing, name, start, end)
        start = end


class _Segments:
    """Opens the segments of one launch."""

    def __init__(self, launch: LaunchDir, roots: Sequence[str]) -> None:
        self._owner = launch.owner
        self._roots = log_roots(launch, roots)

    def open(self, name: str) -> int:
        """Return a descriptor of a segment. Raises OSError."""
        if self._owner is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return open_beneath(self._roots, Path(name), self._owner)


class _Text(NamedTuple):
    """What is compared of a stored text."""

    digest: int
    """hash() of it."""
    size: int
    """In bytes."""


@dataclass(slots=True)
class _Stored:
    """What Loki has of a launch."""

    texts: dict[int, _Text] = field(default_factory=dict)
    """By the entry's time, or its original time if it has one."""
    lines: int = 0
    receipt: dict[str, str] | None = None
    lost: list[LostRange] = field(default_factory=list)

    def add_agent_event(self, line: str) -> bool:
        """Evaluate an event that the agent wrote, and so is in no segment; return whether it is one."""
        event = parse_event(line)
        if event.name == events.RECEIPT and {"lines", "bytes", "rejected"} <= event.fields.keys():
            self.receipt = event.fields
            return True
        if event.name == events.GAP and {"file", "from", "to", "reason"} <= event.fields.keys():
            fields = event.fields
            self.lost.append(LostRange(fields["file"], int(fields["from"]), int(fields["to"]), fields["reason"]))
            return True
        return False


async def _read_stored(record: Record, segments: _Segments, loki: LokiClient) -> _Stored:
    query = selector(launch_labels(record))
    stored = _Stored()
    # Without structured metadata no entry is marked as an event: each may be one.
    default_kind = None if loki.settings.structured_metadata else MARK_EVENT
    async for entry in loki.entries(query, _first_ns(record, segments), time.time_ns() + _CLOCK_SKEW_MAX_NS):
        if entry.labels.get(METADATA_KIND, default_kind) == MARK_EVENT and stored.add_agent_event(entry.line):
            continue
        stored.lines += 1
        text, original = split_original_time(entry.line, entry.labels.get(METADATA_ORIGINAL_TIME))
        stored.texts[original or entry.time_ns] = _Text(hash(text), len(text.encode()))
    return stored


def _first_ns(record: Record, segments: _Segments) -> int:
    """Return a time just before the first line that is still on disk, else before the start of the launch."""
    for name in record.get("segments", []):
        try:
            with os.fdopen(segments.open(name), "rb") as file:
                return parse_stamp(file.read(STAMP_BYTES)) - 1
        except (OSError, ValueError):
            continue
    started = datetime.fromisoformat(record["startedAt"]) if "startedAt" in record else datetime.now(UTC)
    return int(started.timestamp()) * 1_000_000_000 - _CLOCK_SKEW_MAX_NS


def _rejected_times(journal: Path, launch_id: str) -> set[int]:
    """Return the times, original ones where there are any, of the launch's lines that Loki refused."""
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
            metadata = decode_metadata(row["meta"]).get(METADATA_ORIGINAL_TIME)
            _, original = split_original_time(row["line"].decode(errors="replace"), metadata)
            times.add(original or row["time_ns"])
    return times


def _add_missing(missing: list[MissingRange], name: str, start: int, end: int) -> None:
    """Add a line's byte range; extend the last range if the line follows it."""
    if missing and missing[-1].file == name and missing[-1].end == start:
        missing[-1].end = end
        missing[-1].lines += 1
    else:
        missing.append(MissingRange(name, start, end, 1))
