"""What a line of an inference server says about itself: level, process, pid, source, request and time.

Pure: text in, header out. Formats were taken from real logs of vLLM 0.32, uvicorn, PyTorch and NCCL, and from the
documentation of SGLang and MindIE.
"""

import re
from typing import Any, Literal, NamedTuple

import orjson

from tracetail.contract.identity import ID_PATTERN

Format = Literal["auto", "vllm", "uvicorn", "json", "sglang", "mindie", "plain"]

LEVELS = {
    "TRACE": "debug",
    "DEBUG": "debug",
    "INFO": "info",
    "NOTICE": "info",
    "EVENT": "info",
    "WARN": "warning",
    "WARNING": "warning",
    "ERROR": "error",
    "EXCEPTION": "error",
    "FATAL": "critical",
    "CRITICAL": "critical",
}
_GLOG = {"I": "info", "W": "warning", "E": "error", "F": "critical", "C": "critical"}

_ID = ID_PATTERN.encode()
_ANSI = rb"(?:\x1b\[[0-9;]*m)*"

PREFIX = re.compile(
    rb"(?:\[traceId=("
    + _ID
    + rb") instanceId=("
    + _ID
    + rb")\] ?)?"
    + _ANSI
    + rb"(?:\(([A-Za-z][\w.:/-]{0,63}) pid=(\d{1,10})\)"
    + _ANSI
    + rb" ?)?"
    rb"(?:\[traceId=(" + _ID + rb") instanceId=(" + _ID + rb")\] ?)?"
    rb"(?:\[rank(\d{1,6})\]:[ ]?)?"
)
"""What may stand before the header: ids (vLLM's VLLM_LOGGING_PREFIX, in both orders), process, rank (torchrun)."""

_VLLM = re.compile(
    rb"(DEBUG|INFO|WARNING|ERROR|CRITICAL) (\d\d-\d\d \d\d:\d\d:\d\d)(?:[.,]\d{1,9})? \[([^\]\s]{1,128})\](?: |$)"
)
_UVICORN = re.compile(rb"(TRACE|DEBUG|INFO|WARNING|ERROR|CRITICAL):(?: {2,}|[\w.]{1,64}:)")
_SGLANG = re.compile(rb"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)((?: [A-Z]+\d{0,6}){0,6})\] ")
_MINDIE = re.compile(
    rb"\[(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,:]\d{1,9})?)[^\]]{0,16}\] \[(\d{1,10})\] \[\d{1,20}\]"
    rb"(?: \[([^\]]{1,64})\])? \[([A-Z]{3,9})\] \[([^\]]{1,128})\]"
)
_GLOG_LINE = re.compile(
    rb"\[?([IWEFC])(\d\d)(\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,9})?) +(?:\d{1,10} +)?([\w./<>-]{1,128}:\d{1,7})\] "
)
_DATED = re.compile(
    rb"\[?(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|[+-]\d\d:?\d\d))?)\]?[\s,|:-]*"
    rb"(?:[\w.]{1,64} ?[\s|:-] ?)??[\[(<]?(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL)?\b"
)
_BRACKETED = re.compile(rb"\[(DEBUG|INFO|WARN|WARNING|ERROR|FATAL|CRITICAL)(?:\|([^\]\s]{1,128}))?\] ")
_NCCL = re.compile(
    rb"[\w.-]{1,128}:(\d{1,10}):\d{1,10} \[\d{1,4}\] (?:[\w./-]{1,64}:\d{1,6} )?NCCL (WARN|INFO|TRACE|ERROR)"
)
_PYTHON_WARNING = re.compile(rb":\d{1,7}: (?:[A-Za-z_][\w.]{0,60})?Warning: ")
_FATAL = (
    b"terminate called after",
    b"terminate called without",
    b"Fatal Python error: ",
    b"Segmentation fault",
    b"Exception in thread ",
    b"Exception ignored in: ",
    b"During handling of the above exception, another",
    b"The above exception was the direct cause of",
)
_START_BYTES = 5
_FATAL_STARTS = frozenset(text[:_START_BYTES] for text in _FATAL)
_LEVEL_STARTS = frozenset(
    (level + end)[:_START_BYTES]
    for level in (b"TRACE", b"DEBUG", b"INFO", b"WARNING", b"ERROR", b"CRITICAL")
    for end in (b" ", b":")
)
TRACEBACK = b"Traceback (most recent call last)"
TRACEBACK_STARTS = b"T+ \t"
"""A traceback begins with one of these."""
_TRACEBACK_LINE = re.compile(rb"(?:[ \t]*\+ Exception Group )?Traceback \(most recent call last\)")
EXCEPTION_LINE = re.compile(rb"[A-Za-z_][\w.<>]{0,200}(?::|$)")
"""The last line of a traceback: a dotted name, then a colon and the message, or nothing."""
REQUEST = b"equest"
_REQUEST_ID = re.compile(
    rb"equest(?:\(s\)|s)?[ =:]{1,3}'?((?=\S{0,96}?\d)[a-z]{2,12}[-_][0-9A-Za-z_-]{8,96}|[0-9a-f]{16,32}\b)"
)
"""The id of a request in vLLM's messages: `Received request cmpl-…:`, `Added request cmpl-….`"""


_REQUESTS_LOOKED_AT = 4


def request_id(text: bytes, at: int = 0) -> bytes | None:
    """Return the id of the first request that text speaks of, from `at` on."""
    for _ in range(_REQUESTS_LOOKED_AT):
        at = text.find(REQUEST, at)
        if at < 0:
            return None
        if match := _REQUEST_ID.match(text, at):
            return match[1]
        at += len(REQUEST)
    return None


class Header(NamedTuple):
    """What the beginning of a line tells. Fields that are None are not told."""

    level: str | None = None
    process: bytes | None = None
    pid: bytes | None = None
    source: bytes | None = None
    when: bytes | None = None
    """The engine's own time, as it stands there."""
    body: int = 0
    """Where the message begins."""
    exact: bool = False
    """The header depends on nothing but the text before the `] ` that ends it."""


NONE = Header()


def header_of(text: bytes, at: int = 0) -> Header:
    """Return the header of a line of text whose prefix ends at `at`; level is None if it has none of its own."""
    first = text[at : at + 1]
    if not first or first.isspace():
        return NONE
    start = text[at : at + _START_BYTES]
    if start in _LEVEL_STARTS:
        if m := _VLLM.match(text, at):
            return Header(LEVELS[m[1].decode()], None, None, m[3], m[2], m.end(), text.endswith(b" ", 0, m.end()))
        if m := _UVICORN.match(text, at):
            return Header(LEVELS[m[1].decode()], body=m.end())
    if first == b"{":
        return json_header(text[at:])
    if first in b"[0123456789IWEFC" and (header := _bracketed_or_dated(text, at)):
        return header
    if text.find(b" NCCL ", at) > 0 and (m := _NCCL.match(text, at)):
        return Header(LEVELS[m[2].decode()], None, m[1], None, None, m.end())
    if start in _FATAL_STARTS and text.startswith(_FATAL, at):
        return Header("error", body=at)
    # Some print it behind a line that they did not end, so it may stand anywhere.
    if (warning := text.find(b"Warning: ", at)) > 0 and _PYTHON_WARNING.search(text, max(at, warning - 80)):
        return Header("warning", body=at)
    return NONE


def _bracketed_or_dated(text: bytes, at: int) -> Header | None:
    first = text[at : at + 1]
    if (first == b"[" or first.isalpha()) and (m := _GLOG_LINE.match(text, at)):
        when = m[2] + b"-" + m[3] + b" " + m[4]
        return Header(_GLOG[m[1].decode()], None, None, m[5], when, m.end())
    if first == b"[":
        if m := _MINDIE.match(text, at):
            level = LEVELS.get(m[4].decode())
            if level:
                return Header(level, m[3], m[2], m[5], m[1], m.end())
        if m := _SGLANG.match(text, at):
            return Header("info", m[2].strip() or None, None, None, m[1], m.end(), exact=True)
        if m := _BRACKETED.match(text, at):
            return Header(LEVELS[m[1].decode()], None, None, m[2], None, m.end())
    if (first == b"[" or first.isdigit()) and (m := _DATED.match(text, at)):
        return Header(LEVELS[m[2].decode()] if m[2] else "info", None, None, None, m[1], m.end())
    return None


def json_header(text: bytes) -> Header:
    """Return the header of a line that is a JSON object, as vLLM's JSON formatter and many others print them."""
    if not text.rstrip().endswith(b"}"):
        return NONE
    try:
        fields = orjson.loads(text)
    except ValueError:
        return NONE
    if not isinstance(fields, dict):
        return NONE
    level = LEVELS.get(str(_first(fields, "levelname", "level", "severity", "lvl") or "INFO").upper(), "info")
    name = _first(fields, "filename", "file", "pathname")
    line = _first(fields, "lineno", "line")
    source = f"{name}:{line}" if name and line else _first(fields, "source", "caller", "name", "logger")
    when = _first(fields, "asctime", "time", "timestamp", "ts", "@timestamp")
    return Header(
        level,
        _text(_first(fields, "vllm_process_name", "processName")),
        _text(_first(fields, "process", "pid")),
        _text(source),
        _text(when),
        0,
    )


def _first(fields: dict[str, Any], *names: str) -> Any:
    return next((fields[name] for name in names if fields.get(name) not in (None, "")), None)


def _text(value: Any) -> bytes | None:
    return str(value)[:128].encode() if isinstance(value, str | int | float) else None


def may_be_stats(header: Header) -> bool:
    """Say whether lines with this header may be the engine's statistics.

    vLLM prints them from loggers.py; SGLang's header tells no source, but a time; in JSON it may be a logger's name.
    """
    if header.source is None:
        return header.when is not None
    return header.source.startswith((b"loggers.py", b"metrics.py")) or b":" not in header.source


def is_exception_group(text: bytes, at: int = 0) -> bool:
    """Say whether the traceback that begins at `at` is that of a group: all its lines are indented, the last too."""
    return text[at : at + 1].isspace()


def starts_traceback(text: bytes, at: int = 0) -> bool:
    """Say whether a traceback begins at `at`."""
    return text[at : at + 1] in TRACEBACK_STARTS and _TRACEBACK_LINE.match(text, at) is not None
