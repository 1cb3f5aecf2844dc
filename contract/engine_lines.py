"""The grammar of lines that inference servers print: prefixes, headers, tracebacks, request ids.

Pure functions on bytes, standard library only. The forms were taken from real logs of vLLM 0.32, uvicorn, PyTorch and
NCCL, and from the documentation of SGLang and MindIE. The agent parses with it, the launcher's diagnosis strips
headers with it, and the test of deploy/vector/tracetail.vrl requires an example line of each form.
"""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from tracetail.contract.identity import ID_PATTERN

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
"""Level names as engines print them, and the value of the metadata `level` for each."""
_GLOG_LEVELS = {"I": "info", "W": "warning", "E": "error", "F": "critical", "C": "critical"}

_ID = ID_PATTERN.encode()
_ANSI = rb"(?:\x1b\[[0-9;]*m)*"
_IDS = rb"(?:\[traceId=(" + _ID + rb") instanceId=(" + _ID + rb")\] ?)?"

PREFIX = re.compile(
    _IDS
    + _ANSI
    + rb"(?:\(([A-Za-z][\w.:/-]{0,63}) pid=(\d{1,10})\)"
    + _ANSI
    + rb" ?)?"
    + _IDS
    + rb"(?:\[rank(\d{1,6})\]:[ ]?)?"
)
"""What may precede the header; matches every line, often with no bytes.

Groups 1 and 2, or 5 and 6: traceId and instanceId (VLLM_LOGGING_PREFIX; older versions of vLLM print it after the
process). 3 and 4: process and pid (vLLM). 7: rank (torchrun).
"""

UVICORN_LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

VLLM = re.compile(
    rb"(DEBUG|INFO|WARNING|ERROR|CRITICAL) (\d\d-\d\d \d\d:\d\d:\d\d)(?:[.,]\d{1,9})? \[([^\]\s]{1,128})\](?: |$)"
)
UVICORN = re.compile(rb"(TRACE|DEBUG|INFO|WARNING|ERROR|CRITICAL):(?: {2,}|[\w.]{1,64}:)")
"""Also the default format of Python's logging: `ERROR:root:text`."""
SGLANG = re.compile(rb"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)((?: [A-Z]+\d{0,6}){0,6})\] ")
MINDIE = re.compile(
    rb"\[(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,:]\d{1,9})?)[^\]]{0,16}\] \[(\d{1,10})\] \[\d{1,20}\]"
    rb"(?: \[([^\]]{1,64})\])? \[([A-Z]{3,9})\] \[([^\]]{1,128})\]"
)
GLOG = re.compile(
    rb"\[?([IWEFC])(\d\d)(\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,9})?) +(?:\d{1,10} +)?([\w./<>-]{1,128}:\d{1,7})\] "
)
"""glog, and PyTorch's C++ in brackets."""
DATED = re.compile(
    rb"\[?(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|[+-]\d\d:?\d\d))?)\]?[\s,|:-]*"
    rb"(?:[\w.]{1,64} ?[\s|:-] ?)??[\[(<]?(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL)?\b"
)
"""Other lines that begin with a date and may name a level: `2026-11-22 13:12:10,123 WARNING text`."""
BRACKETED = re.compile(rb"\[(DEBUG|INFO|WARN|WARNING|ERROR|FATAL|CRITICAL)(?:\|([^\]\s]{1,128}))?\] ")
"""`[ERROR|trainer.py:7] text` of transformers."""
NCCL = re.compile(
    rb"[\w.-]{1,128}:(\d{1,10}):\d{1,10} \[\d{1,4}\] (?:[\w./-]{1,64}:\d{1,6} )?NCCL (WARN|INFO|TRACE|ERROR)"
)
PYTHON_WARNING = re.compile(rb":\d{1,7}: (?:[A-Za-z_][\w.]{0,60})?Warning: ")
"""`file.py:24: DeprecationWarning: text`; searched, since some programs print it after an unfinished line."""
FATAL = (
    b"terminate called after",
    b"terminate called without",
    b"Fatal Python error: ",
    b"Segmentation fault",
    b"Exception in thread ",
    b"Exception ignored in: ",
    b"During handling of the above exception, another",
    b"The above exception was the direct cause of",
)
"""Beginnings of lines without a header that are errors."""

FORMS = {
    "vllm": VLLM,
    "uvicorn": UVICORN,
    "sglang": SGLANG,
    "mindie": MINDIE,
    "glog": GLOG,
    "dated": DATED,
    "bracketed": BRACKETED,
    "nccl": NCCL,
}
"""The headers that a regular expression recognises at the beginning of a line, after its prefix."""

_START_BYTES = 5
_FATAL_STARTS = frozenset(text[:_START_BYTES] for text in FATAL)
_LEVEL_STARTS = frozenset((level.encode() + end)[:_START_BYTES] for level in UVICORN_LEVELS for end in (b" ", b":"))

TRACEBACK = b"Traceback (most recent call last)"
TRACEBACK_STARTS = b"T+ \t"
"""The first byte of a traceback's first line is one of these."""
_TRACEBACK_LINE = re.compile(rb"(?:[ \t]*\+ Exception Group )?Traceback \(most recent call last\)")
EXCEPTION_LINE = re.compile(rb"[A-Za-z_][\w.<>]{0,200}(?::|$)")
"""The last line of a traceback: a dotted name, then a colon and the message, or nothing."""

REQUEST = b"equest"
_REQUEST_ID = re.compile(
    rb"equest(?:\(s\)|s)?[ =:]{1,3}'?((?=\S{0,96}?\d)[a-z]{2,12}[-_][0-9A-Za-z_-]{8,96}|[0-9a-f]{16,32}\b)"
)
"""The id of a request in vLLM's messages: `Received request cmpl-…:`, `Added request cmpl-….`"""
_REQUEST_TRIES_MAX = 4

_JSON_VALUE_MAX = 128
_AFTER_HEADER = re.compile(rb"[\])>]?(?: ?[-|:](?= ))? ?")
"""Separators between a header and the message, for headers that do not end with a blank."""


class Header(NamedTuple):
    """The fields of a line's header. A field is None where the header does not contain it."""

    level: str | None = None
    """One of LEVELS' values; None if the line has no header."""
    process: bytes | None = None
    pid: bytes | None = None
    source: bytes | None = None
    """`file:line`, or a logger's name."""
    timestamp: bytes | None = None
    """The engine's own time, as printed."""
    body: int = 0
    """Offset of the message in the line."""
    cacheable: bool = False
    """The header ends with the first `] ` and depends on the text before it only: equal text, equal header."""


NO_HEADER = Header()


def parse_header(text: bytes, at: int = 0, *, loads: Callable[[bytes], Any] = json.loads) -> Header:
    """Return the header of a line whose prefix (see PREFIX) ends at offset `at`; NO_HEADER if it has none.

    loads: parses JSON; raises ValueError for anything else.
    """
    first = text[at : at + 1]
    if not first or first.isspace():
        return NO_HEADER
    start = text[at : at + _START_BYTES]
    if start in _LEVEL_STARTS:
        if m := VLLM.match(text, at):
            return Header(LEVELS[m[1].decode()], None, None, m[3], m[2], m.end(), text.endswith(b" ", 0, m.end()))
        if m := UVICORN.match(text, at):
            return Header(LEVELS[m[1].decode()], body=m.end())
    if first == b"{":
        return parse_json_header(text[at:], loads=loads)
    if first in b"[0123456789IWEFC" and (header := _bracketed_or_dated(text, at)):
        return header
    if text.find(b" NCCL ", at) > 0 and (m := NCCL.match(text, at)):
        return Header(LEVELS[m[2].decode()], None, m[1], None, None, m.end())
    if start in _FATAL_STARTS and text.startswith(FATAL, at):
        return Header("error", body=at)
    if (warning := text.find(b"Warning: ", at)) > 0 and PYTHON_WARNING.search(text, max(at, warning - 80)):
        return Header("warning", body=at)
    return NO_HEADER


def _bracketed_or_dated(text: bytes, at: int) -> Header | None:
    first = text[at : at + 1]
    if (first == b"[" or first.isalpha()) and (m := GLOG.match(text, at)):
        timestamp = m[2] + b"-" + m[3] + b" " + m[4]
        return Header(_GLOG_LEVELS[m[1].decode()], None, None, m[5], timestamp, m.end())
    if first == b"[":
        if m := MINDIE.match(text, at):
            level = LEVELS.get(m[4].decode())
            if level:
                return Header(level, m[3], m[2], m[5], m[1], m.end())
        if m := SGLANG.match(text, at):
            return Header("info", m[2].strip() or None, None, None, m[1], m.end(), cacheable=True)
        if m := BRACKETED.match(text, at):
            return Header(LEVELS[m[1].decode()], None, None, m[2], None, m.end())
    if (first == b"[" or first.isdigit()) and (m := DATED.match(text, at)):
        return Header(LEVELS[m[2].decode()] if m[2] else "info", None, None, None, m[1], m.end())
    return None


def parse_json_header(text: bytes, *, loads: Callable[[bytes], Any] = json.loads) -> Header:
    """Return the header of a line that is a JSON object (vLLM's JSON formatter and others); NO_HEADER if it is none.

    `body` is 0: the message is the whole line.
    """
    if not text.rstrip().endswith(b"}"):
        return NO_HEADER
    try:
        fields = loads(text)
    except (ValueError, RecursionError):
        return NO_HEADER
    if not isinstance(fields, dict):
        return NO_HEADER
    level = LEVELS.get(str(_first(fields, "levelname", "level", "severity", "lvl") or "INFO").upper(), "info")
    name = _first(fields, "filename", "file", "pathname")
    line = _first(fields, "lineno", "line")
    source = f"{name}:{line}" if name and line else _first(fields, "source", "caller", "name", "logger")
    return Header(
        level,
        _json_value(_first(fields, "vllm_process_name", "processName")),
        _json_value(_first(fields, "process", "pid")),
        _json_value(source),
        _json_value(_first(fields, "asctime", "time", "timestamp", "ts", "@timestamp")),
    )


def _first(fields: dict[str, Any], *names: str) -> Any:
    """Return the first of these fields that has a value; None if there is none."""
    return next((fields[name] for name in names if fields.get(name) not in (None, "")), None)


def _json_value(value: Any) -> bytes | None:
    return str(value)[:_JSON_VALUE_MAX].encode(errors="replace") if isinstance(value, str | int | float) else None


def split_header(line: bytes) -> tuple[str | None, bytes]:
    """Return the level (one of LEVELS' values) and the message of a line: without prefix, header and separator.

    A line without a header has the level None. A line that is JSON is returned whole.
    """
    prefix = PREFIX.match(line)
    at = prefix.end() if prefix else 0
    header = parse_header(line, at)
    if line.startswith(b"{", at):
        return header.level, line[at:]
    body = max(at, header.body)
    if body > at and not line.endswith(b" ", 0, body):
        separator = _AFTER_HEADER.match(line, body)
        body = separator.end() if separator else body
    return header.level, line[body:]


def starts_traceback(text: bytes, at: int = 0) -> bool:
    """Return whether the first line of a traceback, or of an exception group's traceback, begins at offset `at`."""
    return text[at : at + 1] in TRACEBACK_STARTS and _TRACEBACK_LINE.match(text, at) is not None


def is_exception_group(text: bytes, at: int = 0) -> bool:
    """Return whether the traceback that begins at `at` is a group's: all its lines are indented, the last too."""
    return text[at : at + 1].isspace()


def find_request_id(text: bytes) -> bytes | None:
    """Return the first request id in a message of an engine; None if there is none."""
    at = 0
    for _ in range(_REQUEST_TRIES_MAX):
        at = text.find(REQUEST, at)
        if at < 0:
            return None
        if match := _REQUEST_ID.match(text, at):
            return match[1]
        at += len(REQUEST)
    return None
