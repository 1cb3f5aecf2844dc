"""Finds the end of a launch's log on disk, and appends an event to the log of a launch without a keeper."""

import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from tracetail.contract.logline import MARK_EVENT, TEXT_MAX_BYTES, Event, parse_event, parse_line
from tracetail.contract.owned_files import open_ours
from tracetail.contract.record import Record
from tracetail.contract.state import make_directory
from tracetail.launcher import plan
from tracetail.launcher.log.stamper import Stamper
from tracetail.launcher.plan import SEGMENT_MODE, LogPlan, segment_path

_TAIL_BYTES = 2 * TEXT_MAX_BYTES + 4096
"""Enough to hold the last whole line and a torn one behind it."""


class LogEnd(NamedTuple):
    """The end of a log: its last segment and what stands last in it."""

    path: Path
    """The last segment."""
    segment: int
    """Its number, from 1."""
    size: int
    """Its size in bytes; 0 if there is no file."""
    last_ns: int
    """The stamp of the last whole line, in nanoseconds since the epoch; 0 if there is none."""
    torn: bytes
    """The start of a line behind it whose writer died; empty if there is none."""
    last_event: Event | None
    """The event in the last whole line, if that is an event."""


def find_log_end(log: LogPlan, default_segment: int = 1) -> LogEnd:
    """Return the end of a log. default_segment: the number of the last segment if none is on the disk."""
    number = _last_segment(log, default_segment)
    path = segment_path(log, number)
    tail = read_from(path, -_TAIL_BYTES)
    size = path.stat().st_size if path.exists() else 0
    last_ns = _last_stamp(tail)
    if last_ns == 0 and number > 1:
        last_ns = _last_stamp(read_from(segment_path(log, number - 1), -_TAIL_BYTES))
    return LogEnd(path, number, size, last_ns, tail[tail.rfind(b"\n") + 1 :], _last_event(tail))


def append_event(launch: Record, name: str, /, **fields: object) -> bool:
    """Append an event to a launch's last segment; return False if the disk refuses it.

    Only for the holder of the launch's lock: a keeper writes to its log itself.
    """
    end = find_log_end(plan.log_of(launch))
    stamper = Stamper(launch["traceId"], launch["instanceId"], end.last_ns)
    data = (b"\n" if end.torn else b"") + stamper.event(time.time_ns(), name, **fields)
    try:
        make_directory(end.path.parent)
        descriptor = open_ours(end.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, SEGMENT_MODE)
        with os.fdopen(descriptor, "wb", buffering=0) as segment:
            segment.write(data)
    except OSError:
        return False
    return True


def read_from(path: Path, offset: int) -> bytes:
    """Return a file's content from an offset on (negative: from its end); empty if there is no file."""
    try:
        with os.fdopen(open_ours(path), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size + offset) if offset < 0 else offset)
            return file.read()
    except FileNotFoundError:
        return b""


def _last_segment(log: LogPlan, default: int) -> int:
    """Return the number of the newest segment on the disk: older ones may be deleted, so they cannot be counted."""
    name = re.compile(re.escape(log["stem"]) + r"(?:\.(\d+))?\.log")
    directory = Path(log["directory"])
    paths = directory.iterdir() if directory.is_dir() else ()
    return max((int(match[1] or 1) for path in paths if (match := name.fullmatch(path.name))), default=default)


def _last_event(tail: bytes) -> Event | None:
    line = parse_line(tail[: max(0, tail.rfind(b"\n"))].rpartition(b"\n")[2])
    return parse_event(line.text.decode(errors="replace")) if line is not None and line.mark == MARK_EVENT else None


def _last_stamp(tail: bytes) -> int:
    for line in reversed(tail.split(b"\n")[:-1]):
        parsed = parse_line(line)
        if parsed is not None:
            return parsed.time_ns
    return 0
