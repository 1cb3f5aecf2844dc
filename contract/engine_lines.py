"""The grammar of lines that inference servers print: prefixes, headers, request ids.

Pure functions on bytes, standard library only. The agent parses with it, the launcher's diagnosis strips headers with
it, and the test of deploy/vector/tracetail.vrl requires the same forms there. Tracebacks are in tracebacks.py.
"""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from tracetail.contract.header import NO_HEADER, Header
from tracetail.contract.header_forms import FORMS, LEVELS, CompiledForm, forms_beginning_with
from tracetail.contract.identity import ID_PATTERN
from tracetail.contract.json_header import json_message, parse_json_header

__all__ = [
    "ANSI",
    "ESCAPE",
    "FATAL",
    "FORMS",
    "LEVELS",
    "NESTED_STARTS",
    "NO_HEADER",
    "PREFIX",
    "PREFIX_PATTERN",
    "PREFIX_STARTS",
    "EngineLine",
    "Header",
    "find_request_id",
    "json_message",
    "outermost_header",
    "parse_header",
    "parse_json_header",
    "read_line",
    "split_header",
]

ANSI = re.compile(rb"\x1b\[[0-9;:?]*[A-Za-z]")
"""Colours (VLLM_LOGGING_COLOR, Ray, loguru) and other terminal sequences."""
ESCAPE = b"\x1b"

_KEY_VALUE = r"(?:pid=(?P<pid>\d{1,10})|ip=(?P<node>[0-9A-Fa-f.:]{2,45})|[a-z_]{2,16}=[^\s,()]{1,128})"
PREFIX_PATTERN = (
    rf"(?:(?:\[traceId=(?P<trace>{ID_PATTERN}) instanceId=(?P<instance>{ID_PATTERN})\]"
    r"|\((?:(?P<process>[A-Za-z][\w.:/-]{0,63}(?: [A-Z]{2}\d{1,4}){0,4})(?:\([^()\s]{1,64}\))?,? )?"
    rf"(?:{_KEY_VALUE}(?:, ?| )?){{1,8}}\)"
    r"|\((?P<daemon>raylet|autoscaler|gcs_server)(?:[ ,][^()]{0,64})?\)"
    r"|\[(?:rank|default)\d{1,6}\]:) ?)*"
)
"""What may precede the header, in any order and more than once.

Ids (VLLM_LOGGING_PREFIX), `(name key=value …)` of vLLM (in 0.10.1 `(VllmWorker TP4 pid=7)`) and Ray, rank (torch,
torchrun).
"""
PREFIX = re.compile(PREFIX_PATTERN.encode())
"""Matches every line, often with no bytes. Process and pid are those of the last `(name key=value …)` with them."""
PREFIX_STARTS = b"(["
"""The first byte of a prefix that is not empty."""

UVICORN_LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_UVICORN_COLUMN = 10
"""`INFO:     text`, `WARNING:  text`"""

_PYTHON_WARNING = re.compile(rb":\d{1,7}: (?:[A-Za-z_][\w.]{0,60})?Warning: ")
"""`file.py:24: DeprecationWarning: text`; searched, since some programs print it after an unfinished line."""
_PYTHON_WARNING_REACH = 80
FATAL = (
    b"terminate called ",
    b"Fatal Python error: ",
    b"Segmentation fault",
    b"Bus error",
    b"Illegal instruction",
    b"Floating point exception",
    b"Aborted (core dumped)",
    b"!!!!!!! Segfault encountered",
    b"*** SIG",
    b"Signal (",
    b"free(): ",
    b"malloc(): ",
    b"double free or corruption",
    b"corrupted size vs. prev_size",
    b"munmap_chunk(): ",
    b"Exception in thread ",
    b"Exception ignored in: ",
    b"Exception raised from ",
    b"frame #",
    b"GGML_ASSERT(",
    b"CUDA error: ",
    b"Failed: Cuda error ",
    b"couldn't bind to server socket",
    b"thread '",
    b"A worker died or was killed while executing a task",
    b"Error response from daemon: ",
    b"docker: Error response from daemon: ",
    b"During handling of the above exception, another",
    b"The above exception was the direct cause of",
)
"""How lines without a header begin that are errors: of C and C++, Python, PyTorch, ggml, Rust, Ray, Docker."""
_EXCEPTION = re.compile(rb"[A-Za-z_][\w.]{0,200}(?:Error|Exception)(?:\([\w.]{1,100}\))?: ")
"""An exception's own line, which some programs print without a traceback."""

_DEPTH_MAX = 2
"""How many headers may precede a header: compose's and SGLang's before uvicorn's."""
_CONTINUATION = re.compile(rb"  |\t")
"""How what continues a record begins behind a header that is put in front of every line of a program."""
_FATAL_BYTES = 5
_FATAL_STARTS = frozenset(text[:_FATAL_BYTES] for text in FATAL)
_CANDIDATES: dict[bytes, tuple[tuple[CompiledForm, ...], tuple[CompiledForm, ...]]] = {}
"""By a line's first two bytes: what _candidates() returned for them."""
_LEVEL_NAMES = {
    spelled.encode(): level for word, level in LEVELS.items() for spelled in (word, word.lower(), word.capitalize())
}
NESTED_STARTS = (
    b"(",
    b"[",
    *(word.encode() for word in LEVELS if len(word) > 1),
    b"error",
    b"Error",
    b"warning",
    b"time=",
    b"level=",
    *FATAL,
)
"""What a header that follows another begins with."""

REQUEST = b"equest"
_REQUEST_ID = re.compile(
    rb"equest(?:\(s\)|s)?[ =:]{1,3}'?("
    rb"(?:cmpl|chatcmpl|embd|pool|score|rerank|classify|tokn)-[^ \t\n\r,'\"]{0,110}[^ \t\n\r,'\":.;)\]]"
    rb"|(?=\S{0,96}?\d)[a-z]{2,12}[-_][0-9A-Za-z_-]{8,96}|[0-9a-f]{16,32}\b)"
)
"""The id of a request in vLLM's messages: `Received request cmpl-…:`, `Added request cmpl-….`

Between `cmpl-` and `-0` stands the client's own X-Request-Id, if it sent one, whatever characters that has; the
engine adds eight hexadecimal digits of its own. `Aborted request(s)` lists several, with commas."""
_REQUEST_TRIES_MAX = 4

_AFTER_HEADER = re.compile(rb"[\])>]?[ \t]*(?:(?:--?|[|:])(?=[ \t])[ \t]*)?")
"""Separators between a header and the message, for headers that do not end with a blank."""


class EngineLine(NamedTuple):
    """A line of an inference server, parsed."""

    text: bytes
    """The line without ANSI sequences; offsets refer to it."""
    header: Header
    """Level None if the line has none. Process and pid are the prefix's where the header has none."""
    prefix_end: int
    """Offset of the header or, in a line without a header, of the message."""
    ids: tuple[bytes, bytes] | None
    """traceId and instanceId."""

    @property
    def is_headed(self) -> bool:
        """Whether a header precedes the message: not only the message's own words name a level."""
        header = self.header
        return header.body > self.prefix_end or (header.level is not None and not header.weak)

    @property
    def prefix(self) -> bytes:
        """What precedes the header: equal for the lines of one process."""
        return self.text[: self.prefix_end]

    @property
    def message(self) -> bytes:
        """The line without prefix, header and separator, its indentation kept; a line that is JSON is whole."""
        text, at = self.text, self.prefix_end
        if text.startswith(b"{", at):
            return text[at:]
        body = max(at, self.header.body)
        if body > at and not text.endswith(b" ", 0, body):
            separator = _AFTER_HEADER.match(text, body)
            body = separator.end() if separator else body
        return text[body:]


def read_line(line: bytes, *, loads: Callable[[bytes], Any] = json.loads) -> EngineLine:
    """Parse a line.

    loads: parses JSON; raises ValueError for anything else.
    """
    text = ANSI.sub(b"", line) if ESCAPE in line else line
    prefix = PREFIX.match(text) if text[:1] in PREFIX_STARTS else None
    if prefix is None or not prefix.end():
        return EngineLine(text, parse_header(text, loads=loads), 0, None)
    header = parse_header(text, prefix.end(), loads=loads)
    process, pid, node = prefix["process"] or prefix["daemon"], prefix["pid"], prefix["node"]
    if node or (process and not header.process) or (pid and not header.pid):
        header = header._replace(process=header.process or process, pid=header.pid or pid, node=node)
    ids = (prefix["trace"], prefix["instance"]) if prefix["trace"] else None
    return EngineLine(text, header, prefix.end(), ids)


def parse_header(text: bytes, at: int = 0, *, loads: Callable[[bytes], Any] = json.loads, depth: int = 0) -> Header:
    """Return the header of a line whose prefix (see PREFIX) ends at offset `at`; NO_HEADER if it has none.

    text: without ANSI sequences. depth: how many headers precede `at`.
    """
    first = text[at : at + 1]
    if not first or first.isspace():
        return NO_HEADER
    if first == b"{":
        return parse_json_header(text[at:], loads=loads)._replace(body=at if depth else 0)
    start = text[at : at + 2]
    strong, weak = _CANDIDATES.get(start) or _candidates(start)
    for form in strong:
        if form.needles and not _has_any(text, at, form.needles):
            continue
        if m := form.match(text, at):
            return _header(form, m, depth)
    if text[at : at + _FATAL_BYTES] in _FATAL_STARTS and text.startswith(FATAL, at):
        return Header("error", body=at, weak=True)
    if text.find(b": ", at) >= 0:
        return _weak_header(text, at, weak)
    return NO_HEADER


def _candidates(start: bytes) -> tuple[tuple[CompiledForm, ...], tuple[CompiledForm, ...]]:
    """Return the forms that a line with these first bytes may have: those with a header, and the weak ones."""
    forms = forms_beginning_with(start)
    found = tuple(form for form in forms if not form.weak), tuple(form for form in forms if form.weak)
    _CANDIDATES[start] = found
    return found


def _weak_header(text: bytes, at: int, forms: tuple[CompiledForm, ...]) -> Header:
    """Return the header of a line whose level follows from its words. It contains `: `."""
    for form in forms:
        if _has_any(text, at, form.needles) and (m := form.match(text, at)):
            return _header(form, m, _DEPTH_MAX)
    warning = text.find(b"Warning: ", at)
    if warning > 0 and _PYTHON_WARNING.search(text, max(at, warning - _PYTHON_WARNING_REACH)):
        return Header("warning", body=at, weak=True)
    if _EXCEPTION.match(text, at):
        return Header("error", body=at, weak=True)
    return NO_HEADER


def _has_any(text: bytes, at: int, needles: tuple[bytes, ...]) -> bool:
    for needle in needles:  # noqa: SIM110  (a generator costs more than the search)
        if text.find(needle, at) >= 0:
            return True
    return False


def _header(form: CompiledForm, m: re.Match[bytes], depth: int) -> Header:
    """Return the header that a form's match describes, and the one that follows it if the form has no level.

    Behind the stamps of docker, systemd or a platform there may be any header, behind SGLang's some.
    """
    level, letter, process, pid, source, timestamp = form.fields((None, *m.groups()))
    time = None
    if form.name == "glog":
        timestamp = b"%02d-%b %b" % (int(m["month"]), m["day"], m["clock"])
    if form.brackets and m.string.count(b"]", 0, m.end()) == form.brackets:
        time = (m.start("month"), m.end("clock")) if form.name == "glog" else m.span("time")
    if process is not None:
        process = process.strip() or None
    level = level or letter
    if level is not None or form.is_error:
        name = "error" if level is None else _LEVEL_NAMES.get(level, "info")
        body = m.start() if form.weak or form.is_error else _body_of(form, m)
        cacheable = form.cacheable and m.string.endswith(b" ", 0, body)
        return Header(name, process, pid, source, timestamp, body, cacheable, True, form.weak, time=time)
    text, end = m.string, m.end()
    if depth < _DEPTH_MAX and (not form.cacheable or may_have_header(text, end)):
        inner = _nested_header(text, end, depth + 1)
        if inner.level is not None:
            timestamp = timestamp or inner.timestamp
            return inner._replace(
                process=inner.process or process,
                pid=inner.pid or pid,
                timestamp=timestamp,
                cacheable=False,
                time=None,
            )
    own = None if not form.cacheable and _CONTINUATION.match(text, end) else "info"
    return Header(own, process, pid, None, timestamp, end, form.cacheable, named=False)


def _body_of(form: CompiledForm, m: re.Match[bytes]) -> int:
    """Return where the message begins: uvicorn's begins at a column, and may be indented."""
    end = m.end()
    if form.name == "uvicorn" and m.string.startswith(b":  ", m.end("level")) and m.string.endswith(b"  ", 0, end):
        return min(end, m.start() + _UVICORN_COLUMN)
    return end


def outermost_header(line: EngineLine) -> Header:
    """Return the header that a program which stamps the lines of others put in front of this one; else its own."""
    return parse_header(line.text, line.prefix_end, depth=_DEPTH_MAX)


def may_have_header(text: bytes, at: int) -> bool:
    """Return whether another header may follow one of an engine that ends at offset `at`."""
    return text.startswith(NESTED_STARTS, at)


def _nested_header(text: bytes, at: int, depth: int) -> Header:
    """Return the header that follows another, with its prefix: `docker logs --timestamps`, SGLang's uvicorn."""
    prefix = PREFIX.match(text, at)
    if prefix is None or not prefix.end() > at:
        return parse_header(text, at, depth=depth)
    header = parse_header(text, prefix.end(), depth=depth)
    process, pid, node = prefix["process"] or prefix["daemon"], prefix["pid"], prefix["node"]
    if header.level is None:
        return Header("info", process, pid, body=prefix.end(), named=False, node=node)
    return header._replace(process=header.process or process, pid=header.pid or pid, node=header.node or node)


def split_header(line: bytes) -> tuple[str | None, bytes]:
    """Return the level (one of LEVELS' values) and the message of a line: without prefix, header and separator.

    A line without a header has the level None. A line that is JSON is returned whole.
    """
    parsed = read_line(line)
    return parsed.header.level, parsed.message


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
