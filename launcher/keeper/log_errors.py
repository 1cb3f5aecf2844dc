"""Reads the errors in a log: tracebacks, chained as Python chains them, and other lines of level error. Pure."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tracetail.contract.engine_lines import EngineLine
from tracetail.contract.tracebacks import FRAME_START, Part, Tracebacks
from tracetail.launcher.keeper.printed_lines import HARMLESS, printed_lines

_SERVED = re.compile(
    rb'"(?:GET|POST|PUT|DELETE) /(?!health|metrics|v1/models|ping|version|get_model_info)\S* HTTP/[\d.]+" [234]\d\d\b'
)
"""An access log's line of a request that was answered."""
_READY = (
    b"Application startup complete.",
    b"The server is fired up and ready to roll!",
    b"Daemon start success!",
    b"server is listening on http",
    b"all slots are idle",
)
_EXCEPTION = re.compile(
    rb"[ \t|+-]*(?P<text>(?:[A-Za-z_][\w.]*)?(?:Error|Exception|Exit|Interrupt|Group)\b(?:\([\w.]+\))?(?::.*|$))"
)
_ERROR_START = re.compile(
    rb"terminate called |Fatal Python error: |Segmentation fault|Bus error|Illegal instruction"
    rb"|Aborted \(core dumped\)|!!!!!!! Segfault encountered|double free or corruption|free\(\): |malloc\(\): "
    rb"|GGML_ASSERT\(|Assertion failed: |thread '.*' panicked|[\w./+-]{1,100}: (?:fatal )?error: |(?:fatal )?error: "
    rb"|[\w./+-]{1,200}(?:\(\d{1,7}\)|:\d{1,7}(?::\d{1,5})?): "
    rb"(?:(?:fatal |catastrophic )?error\b|GGML_ASSERT\(|CANN error$)"
    rb"|Error: |ERROR: |FATAL: |\[TM\]\[ERROR\]|E[A-Z]\d{4}: |[\w./+-]*/ld: "
    rb"|[\w./+-]*/python[\d.]*: (?:No module named|Error while finding)|[\w./+-]{1,100}: line \d+: "
    rb"|(?:/[\w./+-]+|\w{2,10}): (?:\d+: )?[\w./+-]+: (?:not found|command not found)|docker: |exec \S+: "
    rb"|[\w./+-]+: error while loading shared libraries: "
    rb"|[\w./+-]{1,120}\.cuh?:\d{1,7}: .{0,200}Assertion |std::exception: "
    rb"|Error while finding module specification for "
    rb"|CCL_ERROR\||(?:\[[\d.]{1,20}\] \[[^\]]{1,80}\] +)?\w+\.c:\d+ +UCX  ERROR|\d{1,8} error [\w.]+:\d+\] "
    rb"|(?:Translate to LLVM IR failed)?LLVM ERROR: |Memory access fault by GPU|rocBLAS error: "
    rb"|:?[01]:(?:rocdevice\.cpp|hip_fatbin\.cpp .{0,60}No compatible code objects)"
    rb"|standard_init_linux|Failed: Cuda error |couldn't bind to server socket|Error response from daemon: "
)
"""How lines without a header begin that report an error: of C++, Python, compilers, shells, CANN, oneCCL, UCX."""

_COMPLAINT = re.compile(
    rb"[\w./+-]{1,100}: (?:\d+: )?(?:.{1,300}: (?:No such file(?: or directory)?|Permission denied"
    rb"|Operation not permitted|Invalid argument|No space left on device|Read-only file system"
    rb"|Not a directory|Is a directory|Cannot allocate memory|Device or resource busy|Input/output error"
    rb"|Stale file handle)|(?:cannot|can't|could not|failed to|unable to) .{1,300})$"
)
"""How programs of the system say that they failed: `mkdir: cannot create directory 'x': Permission denied`."""

WENT_ON = re.compile(
    rb"Error retrieving (?:safetensors|file list): |Failed to import Triton kernels\. "
    rb"|Unable to register cu\w+ (?:plugin )?factory: |Dumping (?:input data for|scheduler (?:output|stats))"
    rb"|TBE Subprocess\[\w+\] raise error\[\], main process disappeared"
)
"""What is logged as an error and is none, most of it in starts that succeed.

vLLM asks the hub about a model in a local directory, and goes on without an answer, as it does without kernels that
only some models use; TensorFlow, which Transformers imports where it is installed, registers its plugins beside
PyTorch's. When a step failed, vLLM dumps its input before it says why. CANN's compilers say so of a server that is
gone.
"""
_CONTINUES_WARNING = re.compile(rb"Exception raised from |frame #\d+: ")
"""What c10 appends to its message: PyTorch logs as a warning that another rank, or its store, is gone."""
_LIBRARY = re.compile(
    rb"-packages/(?:torch/|transformers/configuration_utils\.py)|/lib/python3\.\d+/(?!(?:site|dist)-packages/)"
    rb"|File \"<|\.p(?:yx|xi)\", line"
)
_BARE = re.compile(rb"[A-Za-z_][\w.]*[ \t\r]*$")
"""An exception without a message."""
_SHELL_REPORT = re.compile(rb"(?:[^'\"]{1,200} )?(?:Killed|Terminated)\b")
"""What a shell prints of its process that a signal ended."""
_FRAMES_MAX = 200
CANN_CODE = re.compile(rb"(?:\[PID: ?\d+\] \S+ \w+\()?E[A-Z0-9]\d{4}\)?: ")
"""How a line begins by which CANN says why an operation failed."""
_CODE_LINES = 3
"""How many lines after an exception the CANN code may be that says why it was raised."""
_LINK_LINES = 3
"""How many lines before `The above exception was the direct cause of` an exception without frames may be."""


class Message(NamedTuple):
    """One line of a log, or of the message of a line that is JSON."""

    at: int
    """The line's number."""
    line: bytes
    """For users: as printed, with header, but without colours."""
    text: bytes
    """Without header; its indentation kept."""
    level: str | None
    """None if the line has no header."""


class Failure(NamedTuple):
    """An error in a log: the exceptions of a traceback and of those chained to it, or one line of level error."""

    at: int
    exceptions: list[list[Message]]
    """In the order of the log; each is the exception's line and the further lines of its message.

    After an exception without a message comes where it was raised: the assertion, or the frame.
    """
    raised: list[Message | None]
    """The frame in which each of them was raised; None where the log does not have it."""
    headline: Message | None = None
    """The line of level error right before a traceback, which says what failed."""
    process: tuple[bytes | None, bytes | None] = (None, None)
    """Name and pid of the process that printed it, as far as its header has them."""
    said: list[Message] | None = None
    """The lines of CANN's trace, which names no exception; None for another traceback."""


class LogErrors(NamedTuple):
    """What a log has of errors."""

    messages: list[Message]
    """Lines outside of tracebacks, but those of a header with level debug or info."""
    tracebacks: list[Failure]
    complaints: list[Message]
    """Lines with which a program of the system says that it failed; scripts often go on after one."""
    lines: list[Failure]
    """Lines of level error outside of tracebacks, and lines with which programs report an error."""
    alive_at: int
    """The number of the last line that shows the server at work, after the errors before; -1 if there is none."""
    starts: list[Message]
    """The first lines of tracebacks."""
    frames: list[bytes]
    """Lines that name a frame, the first of the log: the paths show which program it is."""
    informed: list[Message]
    """Messages of level info that report a shutdown."""
    logged_at: int
    """The number of the last line with a header that has a level; -1 if there is none."""
    headed_at: int
    """The number of the last line with any header, if only a stamp; -1 if there is none."""
    last_at: int
    """The number of the last line; -1 if there is none."""
    went_on_at: dict[tuple[bytes | None, bytes | None], int]
    """By a process's name and pid: the number of its last line of level info or debug."""

    code: dict[int, Message]
    """By the number of a frame's line: the line of code that stands under it."""

    def texts(self) -> Iterator[bytes]:
        """Yield the texts of all lines that may name a cause."""
        for message in self.messages:
            yield message.text
        for failure in self.tracebacks:
            for exception in failure.exceptions:
                for message in exception:
                    yield message.text


def read_errors(lines: Iterable[bytes]) -> LogErrors:
    """Read the lines of a log: texts, without stamp and prefix."""
    found = LogErrors([], [], [], [], -1, [], [], [], -1, -1, -1, {}, {})
    reader = _Reader(found)
    at = -1
    for at, parsed, shown in printed_lines(lines):
        reader.add(at, parsed, shown)
    explained = set(map(id, reader.explained))
    found.lines[:] = [one for one in found.lines if id(one) not in explained]
    return found._replace(
        alive_at=reader.alive_at,
        logged_at=reader.logged_at,
        headed_at=reader.headed_at,
        last_at=at,
        went_on_at=reader.went_on_at,
    )


class _Record:
    """The lines of level error that one call of logging printed, outside of tracebacks."""

    def __init__(self, stamp: bytes | None) -> None:
        self.stamp = stamp
        self.lines: list[Failure] = []
        """What it reports, as long as it has no exception; then that."""
        self.frame: Message | None = None
        """The last line that names a frame."""
        self.exception: Failure | None = None


class _Traceback:
    """A traceback whose lines are being read, and those of the ones that are chained to it."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        self.unfinished = True
        """Its frames are read: its exception's line is to come."""
        self.linked = False
        """The next traceback is chained to it."""
        self.frame: Message | None = None
        """The frame that was read last."""
        self.caller: Message | None = None
        """The last frame outside of PyTorch and of Python's own library."""
        self.assertion: Message | None = None
        """The last frame's line of code, if it is an assertion."""

    def is_complete(self) -> bool:
        """Return whether it has ended. Ray appends the worker's frames to an exception."""
        exceptions = self.failure.exceptions
        return bool(exceptions) and b"ray::" not in exceptions[-1][0].text and not self.unfinished

    def is_indented_exception(self, text: bytes) -> bool:
        """Return whether a line among frames is an exception: of a group, or of a traceback that was indented."""
        if _EXCEPTION.match(text) is None:
            return False
        return b"|" in text or (self.frame is not None and _indent(text) < _indent(self.frame.text))

    def add_exception(self, message: Message) -> None:
        """Add the line of the exception that its frames lead to.

        Behind one without a message comes what says most about it, an assertion or the frame. It was raised by the
        frame of the program: what PyTorch and Python's own library raise is the fault of who called them.
        """
        where = self.assertion or self.frame
        bare = where is not None and _BARE.match(message.text.strip())
        self.failure.exceptions.append([message, where] if where is not None and bare else [message])
        self.failure.raised.append(self.caller or self.frame)
        self.frame = self.caller = self.assertion = None
        self.unfinished = False


class _Reader:
    """Assigns each line to the traceback that it belongs to."""

    def __init__(self, found: LogErrors) -> None:
        self.found = found
        self.alive_at = self.logged_at = self.headed_at = -1
        self.went_on_at: dict[tuple[bytes | None, bytes | None], int] = {}
        self.explained: list[Failure] = []
        """Lines that belong to a later exception."""
        self._tracebacks = Tracebacks()
        self._open: dict[tuple[bytes, bytes, bytes], _Traceback] = {}
        self._last: _Traceback | None = None
        self._headline: Message | None = None
        self._after_error = self._after_warning = False
        self._process: tuple[bytes | None, bytes | None] = (None, None)
        """The process that printed the line that is being added."""
        self._last_part = -1
        self._records: dict[tuple[bytes, bytes, bytes], _Record] = {}
        """By what distinguishes the lines of several processes and sources: the record that was read last."""

    def add(self, at: int, parsed: EngineLine, shown: bytes) -> None:
        """Add a line."""
        text, level = parsed.message, parsed.header.level
        level = level if parsed.header.named else None
        if parsed.header.weak and self._after_warning and _CONTINUES_WARNING.match(text):
            level = "warning"
        message = Message(at, shown, text, level)
        if _SERVED.search(text) or text.startswith(_READY):
            self.alive_at = at
        if parsed.is_headed:
            self.headed_at = at
            self.logged_at = at if level is not None else self.logged_at
        part = self._tracebacks.add(parsed, after_error=self._after_error)
        self._process = parsed.header.process, parsed.header.pid
        if part is None:
            if parsed.is_headed and parsed.header.level in HARMLESS and not _SHELL_REPORT.match(text):
                self.went_on_at[self._process] = at
            self._line(message, parsed)
        else:
            self._part(part, message, _key(parsed))
            self._last_part = at
        self._after_error = level in ("error", "critical")
        self._after_warning = level == "warning"

    def _line(self, message: Message, parsed: EngineLine) -> None:
        """Add a line outside of tracebacks."""
        text = message.text.strip()
        if message.level not in HARMLESS:
            self.found.messages.append(message)
        last = self._last.failure.exceptions if self._last else []
        if last and message.at - self._last_part <= _CODE_LINES and CANN_CODE.match(text):
            last[-1].append(message)  # CANN says after the exception why it was raised
        elif b"hut" in text or b"SIG" in text or b"signal" in text or b"arent process exited" in text:
            self.found.informed.append(message)
        if text and _is_error(message, text):
            self._headline = message
            self._error(message, text, parsed)
        elif message.level is None and self.found.lines and self._continues_last(message, text):
            self.found.lines[-1].exceptions[0].append(message)
        elif text:
            self._headline = None
            if message.level is None and _COMPLAINT.match(text):
                self.found.complaints.append(message)

    def _error(self, message: Message, text: bytes, parsed: EngineLine) -> None:
        """Add a line that reports an error.

        Logging repeats the header on each line of a record. Where the first line of its traceback is missing, because
        Ray or a rotation left it out, or the frames are not indented any more, its exception speaks for the record.
        """
        failure = Failure(message.at, [[message]], [None])
        if not _is_of_record(parsed):
            self.found.lines.append(failure)
            return
        key, stamp = _key(parsed), parsed.header.timestamp
        earlier = self._records.get(key)
        record = earlier if earlier is not None and earlier.stamp == stamp else _Record(stamp)
        self._records[key] = record
        if _EXCEPTION.match(text):
            where = [record.frame] if record.frame is not None and _BARE.match(text) else []
            record.exception = Failure(message.at, [[message, *where]], [record.frame])
            self.explained += record.lines
            record.lines = [record.exception]
            self.found.lines.append(record.exception)
        elif record.exception is not None:
            record.exception.exceptions[0].append(message)
        else:
            record.frame = message if FRAME_START in text else record.frame
            record.lines.append(failure)
            self.found.lines.append(failure)

    def _continues_last(self, message: Message, text: bytes) -> bool:
        """Return whether a line continues the error before it: C++'s what(), the message of a panic of Rust."""
        last = self.found.lines[-1].exceptions[0][-1]
        return text.startswith(b"what():") or (
            message.at == last.at + 1 and last.text.startswith(b"thread '") and last.text.rstrip().endswith(b":")
        )

    def _part(self, part: Part, message: Message, key: tuple[bytes, bytes, bytes]) -> None:
        """Add a line of a traceback."""
        if part == Part.START:
            self._start(message, key)
            if message.level not in HARMLESS:
                self.found.starts.append(message)
            return
        if part == Part.FRAME and len(self.found.frames) < _FRAMES_MAX and FRAME_START in message.text:
            self.found.frames.append(message.text)
        traceback = self._open.get(key) or self._last
        if part == Part.FRAME and traceback is not None and traceback.is_complete():
            traceback = None  # frames without a first line are another traceback
        if part == Part.LINK:
            traceback = self._chain_bare_exception(message.at, key, traceback)
        if part == Part.FRAME and traceback is not None and traceback.failure.said is not None:
            traceback.failure.said.append(message)
        if traceback is None or (part == Part.FRAME and self._after_error and self._headline is not None):
            traceback = self._begin(message.at, key)
            self._headline = None
        if part == Part.LINK:
            traceback.linked = True
        elif part == Part.EXCEPTION or (part == Part.FRAME and traceback.is_indented_exception(message.text)):
            traceback.add_exception(message)
        elif part == Part.MESSAGE and traceback.failure.exceptions:
            traceback.failure.exceptions[-1].append(message)
        elif part == Part.FRAME:
            self._frame(traceback, message)

    def _frame(self, traceback: _Traceback, message: Message) -> None:
        """Keep the last frame of a traceback, and what it asserts."""
        if FRAME_START in message.text:
            traceback.frame, traceback.assertion = message, None
            if not _LIBRARY.search(message.text):
                traceback.caller = message
            return
        frame = traceback.frame
        if frame is not None and message.at == frame.at + 1:
            self.found.code[frame.at] = message
        if message.text.lstrip().startswith(b"assert "):
            traceback.assertion = message

    def _chain_bare_exception(
        self, at: int, key: tuple[bytes, bytes, bytes], open_: _Traceback | None
    ) -> _Traceback | None:
        """Return the chain that a link at line `at` continues: an exception without frames is one line before it."""
        if not self.found.lines or self.found.lines[-1].at < at - _LINK_LINES:
            return open_
        bare = self.found.lines.pop()
        self.found.messages[:] = [message for message in self.found.messages if message.at != bare.at]
        traceback = open_ if open_ is not None and open_.linked else self._begin(bare.at, key)
        traceback.failure.exceptions.extend(bare.exceptions)
        traceback.failure.raised.extend(bare.raised)
        return traceback

    def _start(self, message: Message, key: tuple[bytes, bytes, bytes]) -> None:
        headline = self._headline
        if headline is not None and self.found.lines and message.at - headline.at <= 1:
            self.found.lines.pop()  # it announced this traceback
        self._headline = None
        traceback = self._open.get(key) or self._last
        if traceback is not None and traceback.linked:
            traceback.linked, traceback.unfinished = False, True
            self._open[key] = self._last = traceback
        else:
            cann = message.text.lstrip().startswith(b"TraceBack ")
            self._begin(message.at, key, headline, harmless=message.level in HARMLESS, cann=cann)

    def _begin(
        self,
        at: int,
        key: tuple[bytes, bytes, bytes],
        headline: Message | None = None,
        *,
        harmless: bool = False,
        cann: bool = False,
    ) -> _Traceback:
        """Open a traceback. harmless: it is logged below warning, as a part of a prompt. cann: it is CANN's."""
        failure = Failure(at, [], [], headline, self._process, [] if cann else None)
        if not harmless:
            self.found.tracebacks.append(failure)
        self._open[key] = self._last = traceback = _Traceback(failure)
        return traceback


def _is_error(message: Message, text: bytes) -> bool:
    """Return whether a line outside of tracebacks reports an error."""
    if message.level is None:
        return _ERROR_START.match(text) is not None
    return message.level in ("error", "critical") and not WENT_ON.match(text)


def _indent(text: bytes) -> int:
    return len(text) - len(text.lstrip())


def _is_of_record(line: EngineLine) -> bool:
    """Return whether lines with this header are one record: logging repeats it on each line of an error."""
    header = line.header
    return header.level in ("error", "critical") and not header.weak and b":" in (header.source or b"")


def _key(line: EngineLine) -> tuple[bytes, bytes, bytes]:
    """Return what distinguishes the tracebacks of several processes that print at the same time."""
    header = line.header
    headed = line.is_headed
    return line.prefix, (header.process or b"") if headed else b"", (header.source or b"") if headed else b""
