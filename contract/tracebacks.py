"""Recognises the lines of Python's tracebacks, of exception groups and of CANN's traces in a log.

A traceback begins where a line ends in `Traceback (most recent call last):`, whatever stands before it, and ends with
the exception's line and what continues its message. The lines of several processes may be interleaved: they are kept
apart by their prefixes (`(Worker_TP1 pid=7)`) or headers.
"""

import re
from enum import StrEnum
from typing import Any

from tracetail.contract.engine_lines import EngineLine, outermost_header
from tracetail.contract.header import Header


class Part(StrEnum):
    """What a line is within a traceback."""

    START = "start"
    """Ends in `Traceback (most recent call last):`."""
    FRAME = "frame"
    EXCEPTION = "exception"
    """The exception's type and the first line of its message."""
    MESSAGE = "message"
    """Another line of the exception's message."""
    LINK = "link"
    """`During handling of the above exception, …`, `The above exception was the direct cause of …`"""


TRACEBACK = b"Traceback (most recent call last):"
NEEDLE = b"(most recent call "
"""Is in every first line of a traceback; a search for it is cheap."""
FRAME_START = b'File "'
"""Is in every line that names a frame."""
_START = re.compile(
    rb"Trace[Bb]ack \(most recent call last\):(?: \[repeated \d{1,9}x across cluster\].{0,300})?[ \t\r]*$"
)
"""Ray appends to a line of its workers how often it left out the same."""
_FAULT_START = re.compile(rb"(?:Current thread|Thread) 0x[0-9a-f]+ .{0,200}\(most recent call first\):[ \t\r]*$")
_LINK = re.compile(
    rb"(?:During handling of the above exception, another|The above exception was the direct cause of)"
)
_FRAME = re.compile(rb"[ \t|]+File \"[^\"]{1,500}\", line \d+")
_EXCEPTION = re.compile(rb"(?:[A-Za-z_][\w.<>]{0,200})(?:\([\w.]{1,100}\))?(?::|[ \t]*$)")
"""A dotted name, then a colon and the message, or nothing."""
_RAY_CAUSE = re.compile(rb"ray\.exceptions\.[\w.]+(?:\([\w.]{1,100}\))?: ray::")
"""Ray appends the worker's traceback, without its first line."""
_VALIDATION = re.compile(rb"[\w.]*ValidationError: (\d{1,3}) validation errors? for ")
_VALIDATION_END = b"For further information visit"
_GOES_ON = re.compile(rb"[:,(\[]\s*$")
_CONTINUATION = re.compile(
    rb"\(?\d{1,2}[.)] |[-*] |(?:Please|You|Your|If|For|Try|See|Set|Search|Make sure|Check|Consider|Note|Use|To) "
    rb"|(?:CUDA|HIP|NPU) kernel errors|Compile with |Device-side |Possible |Last error:|nccl[A-Z]\w+: |Cuda failure"
    rb"|Repository Not Found|Entry Not Found|Cannot access |Access to |Invalid username|Open an issue"
    rb"|Model type should be one of "
)
"""How the further lines of a message that advises or enumerates begin: PyTorch, Hugging Face, NCCL, SGLang."""

_FRAMES = "frames"
_INDENTED = "indented"
"""All its lines are indented, the last too: an exception group's, CANN's."""
_MESSAGE = "message"
_EMPTY = re.compile(rb"[\w.]+:[ \t\r]*$")
"""An exception whose message begins on the next line: it has paragraphs."""
_INTERRUPTED = "interrupted"
"""A line of something else was printed between the frames."""
FRAME_STATES = (_FRAMES, _INDENTED)
"""The states of `Tracebacks.open` in which an indented line is a frame."""
_OPEN_MAX = 64
_VALIDATION_LINES_MAX = 200
_BLOCK_LINES_MAX = 40
_SAME_RECORD = ("error", "critical")


class Tracebacks:
    """The open tracebacks of one log."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        """Continue from `state`, which state() returned."""
        state = state or {}
        self.open: dict[bytes, str] = {key.encode(): value for key, value in state.get("open", {}).items()}
        """Whose lines have no header: their state, by the lines' prefix."""
        self.headed: dict[bytes, str] = {key.encode(): value for key, value in state.get("headed", {}).items()}
        """Whose lines have a header: their state, by prefix, kind of header, process and source."""

    def state(self) -> dict[str, Any]:
        """Return what later lines depend on; JSON-serialisable."""
        return {
            name: {key.decode(errors="replace"): value for key, value in sorted(table.items())}
            for name, table in (("open", self.open), ("headed", self.headed))
        }

    def has_frames(self, prefix: bytes) -> bool:
        """Return whether every indented line with this prefix, and no header, continues an open traceback.

        Such a line need not be given to add(), unless it contains NEEDLE.
        """
        return self.open.get(prefix) in FRAME_STATES and not self.headed

    def add(self, line: EngineLine, *, after_error: bool = False) -> Part | None:
        """Return what the next line is within a traceback; None if it belongs to none.

        after_error: the record before is an error; frames without a `Traceback` line may follow it (Ray).
        """
        headed = line.is_headed
        body = line.text[line.header.body if headed else line.prefix_end :]
        if headed and not self.headed and NEEDLE not in body:
            return Part.LINK if _LINK.match(body) else None
        table, key = (
            (self.headed, _header_key(line, outermost_header(line), line.header))
            if headed
            else (self.open, line.prefix)
        )
        if NEEDLE in body and (_START.search(body) or _FAULT_START.match(body)):
            self._start(line, body, headed=headed)
            return Part.START
        state = table.get(key)
        if state is None:
            if after_error and not headed and _FRAME.match(body):
                self._put(table, key, _FRAMES)
                return Part.FRAME
            return Part.LINK if _LINK.match(body) else None
        if headed and state.startswith(_MESSAGE) and _is_one_record(line) and not _FRAME.match(body):
            return Part.LINK if _LINK.match(body) else Part.MESSAGE
        part, after = _step(state, body, weak=line.header.weak)
        if part is not None:
            self._forget_pair(line, headed=headed)
        if after is None:
            table.pop(key, None)
        else:
            table[key] = after
        return part or (Part.LINK if _LINK.match(body) else None)

    def _start(self, line: EngineLine, body: bytes, *, headed: bool) -> None:
        """Open a traceback. One that begins behind a header goes on with the header or without."""
        state = _INDENTED if body[:1].isspace() or not _START.search(body) else _FRAMES
        if state != _INDENTED or self.open.get(line.prefix) != _FRAMES:
            self._put(self.open, line.prefix, state)
        if headed:
            # A stamp is on all lines; of the headers that name a level only vLLM's, which names the source, too.
            repeats = body.startswith(TRACEBACK) and (line.header.source is not None or not line.header.named)
            stamp = outermost_header(line)
            key = _header_key(line, stamp, line.header if repeats else stamp)
            self._put(self.headed, key, state)
            if repeats and not line.header.named and line.header.body > stamp.body:
                # SGLang's header, behind a stamp: the frames may have the stamp alone
                self._put(self.headed, _header_key(line, stamp, stamp), state)
        else:
            self._forget_headed(line.prefix)

    def _forget_pair(self, line: EngineLine, *, headed: bool) -> None:
        """Close the other of the two that _start opened: now it is known how the traceback goes on."""
        if headed:
            self.open.pop(line.prefix, None)
        elif self.headed:
            self._forget_headed(line.prefix)

    def _forget_headed(self, prefix: bytes) -> None:
        for key in [key for key in self.headed if key.startswith(prefix + b"\0")]:
            del self.headed[key]

    def _put(self, table: dict[bytes, str], key: bytes, state: str) -> None:
        if len(table) < _OPEN_MAX or key in table:
            table[key] = state


def _is_one_record(line: EngineLine) -> bool:
    """Return whether lines with this header and key are one record: logging repeats it on each line of an error."""
    return line.header.level in _SAME_RECORD and b":" in (line.header.source or b"")


def _header_key(line: EngineLine, stamp: Header, header: Header) -> bytes:
    """Return what distinguishes tracebacks. stamp: the outermost header; header: it, or the line's own."""
    kind = b"" if header.body == stamp.body else b"inner"
    kind = b"level" if header.named and not header.weak else kind
    return b"\0".join((line.prefix, kind, header.process or b"", header.source or b""))


def _step(state: str, body: bytes, *, weak: bool) -> tuple[Part | None, str | None]:
    """Return what a line is in a traceback with this state, and the traceback's next state, None if it has ended."""
    indented = not body or body[:1].isspace()
    if state == _FRAMES:
        return _after_frames(body, indented=indented, weak=weak)
    if state == _INDENTED:
        return (Part.FRAME, state) if indented else (None, None)
    if state == _INTERRUPTED:
        if _FRAME.match(body):
            return Part.FRAME, _FRAMES
        return (Part.EXCEPTION, _message(body)) if weak and _EXCEPTION.match(body) else (None, None)
    return _after_exception(state, body, indented=indented)


def _after_frames(body: bytes, *, indented: bool, weak: bool) -> tuple[Part | None, str | None]:
    if indented:
        return Part.FRAME, _FRAMES
    if _EXCEPTION.match(body):
        return Part.EXCEPTION, _FRAMES if _RAY_CAUSE.match(body) else _message(body)
    return None, _FRAMES if weak else _INTERRUPTED


def _message(body: bytes) -> str:
    """Return the state after an exception's line: `message`, what may follow, the numbers of items and lines left."""
    if m := _VALIDATION.match(body):
        return f"{_MESSAGE} validation {int(m[1])} {_VALIDATION_LINES_MAX}"
    if _EMPTY.match(body):
        return f"{_MESSAGE} block {_BLOCK_LINES_MAX}"
    return f"{_MESSAGE} list" if _GOES_ON.search(body) else _MESSAGE


def _after_exception(state: str, body: bytes, *, indented: bool) -> tuple[Part | None, str | None]:
    if indented and _FRAME.match(body):
        return Part.FRAME, _FRAMES
    if state.startswith(f"{_MESSAGE} validation"):
        items, lines = map(int, state.split()[2:])
        items -= _VALIDATION_END in body
        return Part.MESSAGE, f"{_MESSAGE} validation {items} {lines - 1}" if items and lines else None
    if state.startswith(f"{_MESSAGE} block"):
        left = int(state.split()[2]) - 1
        return (None, None) if not left or _LINK.match(body) else (Part.MESSAGE, f"{_MESSAGE} block {left}")
    if indented:
        return (Part.MESSAGE, state) if body.strip() else (None, state)
    if state == f"{_MESSAGE} list" or _CONTINUATION.match(body):
        return Part.MESSAGE, f"{_MESSAGE} list" if _GOES_ON.search(body) else _MESSAGE
    return None, None
