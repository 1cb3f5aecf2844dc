"""The format of a launch's log lines, as the keeper writes them, and of the events among them.

    2026-11-22T21:12:10.123456789+08:00 [traceId=4bf92f35 instanceId=1008611] text

The bracket may end with one more word, the mark: `event`, `cut` or `redraw`.
"""

import functools
import re
import time
from typing import NamedTuple

from tracetail.contract.identity import ID_PATTERN

MARK_EVENT = "event"
"""Written by the keeper, not by the server: the text is an event in logfmt."""
MARK_CUT = "cut"
"""The server's next line continues this one: there was no line end here."""
MARK_REDRAW = "redraw"
"""The line was ended by a bare CR: a progress bar."""

TEXT_MAX_BYTES = 256 * 1024
"""Longer lines are written in pieces, because Loki refuses entries over 262,144 bytes."""

STAMP_BYTES = 35
"""The length of every stamp: `2026-11-22T21:12:10.123456789+08:00`."""

_ID = ID_PATTERN.encode()
HEAD_PATTERN = (
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d)"
    rb" \[traceId=(" + _ID + rb") instanceId=(" + _ID + rb")(?: (event|cut|redraw))?\] "
)
"""Matches stamp and prefix. Groups: stamp, traceId, instanceId, mark or None."""
LINE_PATTERN = HEAD_PATTERN + rb"(.*)"
"""Groups: those of the head, text."""

_EVENT_NAME = re.compile(r"[a-z][a-z-]*")
_LOGFMT_NEEDS_QUOTES = re.compile(r'[\s"=\\\x00-\x1f\x7f]|^$')
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_UNESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class LogLine(NamedTuple):
    """A parsed line of a launch's log."""

    time_ns: int
    """Nanoseconds since the epoch."""
    trace_id: str
    instance_id: str
    mark: str | None
    text: bytes
    """What the server printed, without the line end."""


class Event(NamedTuple):
    """A parsed event: `ready seconds=55.2` is Event("ready", {"seconds": "55.2"})."""

    name: str
    fields: dict[str, str]


def local_offset_seconds(time_ns: int) -> int:
    """Return the machine's offset from UTC at time_ns, in seconds."""
    return time.localtime(time_ns // 1_000_000_000).tm_gmtoff


def render_stamp(time_ns: int, offset_seconds: int) -> bytes:
    """Return the stamp of time_ns at an offset from UTC: 35 bytes."""
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    shown = time.gmtime(seconds + offset_seconds)
    sign = "-" if offset_seconds < 0 else "+"
    hours, minutes = divmod(abs(offset_seconds) // 60, 60)
    return (
        f"{shown.tm_year:04d}-{shown.tm_mon:02d}-{shown.tm_mday:02d}"
        f"T{shown.tm_hour:02d}:{shown.tm_min:02d}:{shown.tm_sec:02d}.{nanos:09d}{sign}{hours:02d}:{minutes:02d}"
    ).encode()


def parse_stamp(stamp: bytes) -> int:
    """Return a stamp's time in nanoseconds since the epoch. Raises ValueError for what render_stamp cannot return."""
    text = stamp.decode("ascii")
    seconds = _days_since_epoch(int(text[0:4]), int(text[5:7]), int(text[8:10])) * 86_400
    seconds += int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
    offset = int(text[30:32]) * 3600 + int(text[33:35]) * 60
    seconds += offset if text[29] == "-" else -offset
    return seconds * 1_000_000_000 + int(text[20:29])


@functools.lru_cache(maxsize=64)
def _days_since_epoch(year: int, month: int, day: int) -> int:
    from datetime import date  # noqa: PLC0415  (a keeper writes stamps, and seldom reads one)

    return date(year, month, day).toordinal() - 719_163


def render_prefix(trace_id: str, instance_id: str, mark: str | None = None) -> bytes:
    """Return the bytes between stamp and text, blanks included."""
    ending = f" {mark}" if mark else ""
    return f" [traceId={trace_id} instanceId={instance_id}{ending}] ".encode()


def render_line(time_ns: int, trace_id: str, instance_id: str, text: bytes, mark: str | None = None) -> bytes:
    """Return a whole line with its LF. text must not contain one."""
    stamp = render_stamp(time_ns, local_offset_seconds(time_ns))
    return stamp + render_prefix(trace_id, instance_id, mark) + text + b"\n"


def parse_line(line: bytes) -> LogLine | None:
    """Parse a line, given without its LF; None if it does not have the keeper's format."""
    match = _line().fullmatch(line)
    if match is None:
        return None
    stamp, trace_id, instance_id, mark, text = match.groups()
    try:
        time_ns = parse_stamp(stamp)
    except ValueError:
        return None
    return LogLine(time_ns, trace_id.decode(), instance_id.decode(), mark.decode() if mark else None, text)


def render_event(name: str, /, **fields: object) -> str:
    """Return an event in logfmt; fields that are None are left out. Booleans are `true` and `false`."""
    if not _EVENT_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not an event name")
    words = [name]
    for key, value in fields.items():
        if value is None:
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        words.append(f"{key}={_quote(text)}")
    return " ".join(words)


def parse_event(text: str) -> Event:
    """Parse an event. Of a text that is not one, whatever can be parsed is returned."""
    name, _, rest = text.partition(" ")
    fields = {
        match[1]: _unquote(match[2]) if match[2] is not None else match[3] for match in _logfmt_pair().finditer(rest)
    }
    return Event(name, fields)


def _quote(text: str) -> str:
    if not _LOGFMT_NEEDS_QUOTES.search(text):
        return text
    escaped = "".join(_ESCAPES.get(c) or (f"\\u{ord(c):04x}" if ord(c) < 32 or ord(c) == 127 else c) for c in text)
    return f'"{escaped}"'


def _unquote(text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        escape = match[1]
        return chr(int(escape[1:], 16)) if len(escape) == 5 else _UNESCAPES.get(escape, escape)

    return _escape().sub(plain, text)


# What only readers need is compiled when something is read: every keeper, and every start, imports this module.


@functools.cache
def _line() -> re.Pattern[bytes]:
    return re.compile(LINE_PATTERN, re.DOTALL)


@functools.cache
def _logfmt_pair() -> re.Pattern[str]:
    return re.compile(r'([A-Za-z][A-Za-z0-9_]*)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')


@functools.cache
def _escape() -> re.Pattern[str]:
    return re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
