"""Finds the root cause of a failure in a launch's log. Pure but for `diagnose_log`, which reads the log's end.

What wins, in this order:

1. the server's own death by a signal that nothing at the end of its log explains;
2. the first line that names a known root cause;
3. the first traceback that reports no consequence: of its chained exceptions the last, unless that is a wrapper;
   or a known general cause, or the death of one of the server's processes, where it comes first;
4. what a shell complained of last (a missing program), if the server logged nothing after it;
5. the first other line of level error, or with which a program reports an error;
6. what a program of the system (`mkdir`) complained of last, if the server logged nothing after it;
7. of what the server said without a level, the last lines that speak of trouble (`x does not equal y`): right before
   the first consequence, or at the end of the log;
8. a consequence (`Engine core initialization failed`);
9. the same, of the lines without their headers of level info: a program that starts the server may log its output so.

A line counts where the engine printed it as an error only: a known cause must match from the beginning of a message,
and a line whose header has the level info or debug is none. So the text of a logged prompt is not taken for a cause.
Errors that the server survived, because it answered requests afterwards, are not why it ended.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tracetail.contract.logline import MARK_EVENT, parse_line
from tracetail.contract.safe_open import open_file
from tracetail.launcher.engines import Engine, signals
from tracetail.launcher.engines.causes import ascend, tables
from tracetail.launcher.engines.causes.cause import ABOVE, UNSAID, Cause, Rank, Text
from tracetail.launcher.keeper import cause_match
from tracetail.launcher.keeper.cause_match import Matched
from tracetail.launcher.keeper.finding import KNOWN, NO_END, UNRECOGNISED, End, Finding
from tracetail.launcher.keeper.last_words import last_words
from tracetail.launcher.keeper.log_errors import (
    CANN_CODE,
    Failure,
    LogErrors,
    Message,
    read_errors,
)
from tracetail.launcher.keeper.printed_lines import without_info_headers
from tracetail.launcher.keeper.unrecognised import shown, unrecognised

READ_MAX_BYTES = 4 * 1024 * 1024
"""Bytes at the end of the log that are searched: all of a start's log, or what a crash after days printed."""
_REPORT_LINES = 2
"""How many lines before a cause its consequence may be: SGLang prints `scheduler is dead`, then its exit code."""

_NEAR_LINES = 3
"""How many lines before an exception another error may be that led to it."""
_CODE_LINES = 6
"""How many lines after an operation that failed CANN's code may be that says why."""
_OWN_CLEAN_UP = re.compile(
    rb"(?:\[[^\]]{1,40}\] )?(?:Received sigquit from a child proc|SIGQUIT received\.|\w+ hit an exception: Traceback"
    rb"|Initialization failed\. (?:warmup error: |Please see the error messages above)"
    rb"|(?:\w+ )?[Ww]atchdog timeout \(|(?:Mu(?:lit|lti)procExecutor got|Got) fatal signal from worker processes"
    rb"|LLMInferEngine failed to init|(?:ERR: )?Failed to init endpoint!)"
)
"""SGLang, MindIE and vLLM 0.7 and 0.8 end with SIGKILL after they have killed their own processes."""
_SCHEDULER_KILLED = re.compile(
    rb"slurmstepd: error: (?:Detected \d+ oom[-_]kill event|\*\*\* (?:JOB|STEP) .{1,120} CANCELLED AT )"
)
"""Slurm says why it ended the job's processes."""
_ASKED = re.compile(
    rb"(?:\[shutdown\] API server: shutdown triggered|Shutting down(?:$| FastAPI HTTP server)|SIGTERM received"
    rb"|(?:\w+: )*signal received, starting graceful shutdown|Gracefully exiting"
    rb"|.{0,40}Received (?:SIGTERM|SIGINT|signal))"
)
"""What a server says when a signal asks it to stop: vLLM, uvicorn, SGLang, TGI."""
_ORPHANED = re.compile(rb"Parent process exited, terminating worker")
"""What a worker of vLLM prints when its engine's process is gone."""
_SHUTTING_DOWN = re.compile(rb"\[shutdown\] |Shutting down")
_PORT = re.compile(r"(\d{1,5})\D*$")
_NATIVE_FAULTS = ("SIGABRT", "SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP")
_NATIVE_CODES = tuple(signals.cause_of(signals.number_of(name)).code for name in _NATIVE_FAULTS)
_NATIVE_REPORT = re.compile(
    rb"terminate called |  what\(\): |Fatal Python error: |!!!!!!! Segfault|.*Assertion .* failed"
    rb"|(?:[\w./+-]{1,200}:\d{1,7}: )?(?:GGML_ASSERT\(|CANN error$)"
    rb"|double free|free\(\): |malloc\(\): |corrupted |Check failed: |F\d{4} |munmap_chunk"
    rb"|Assertion failed: |CUDA error: |\S+:\d+: CUDA error|\*\*\* SIG[A-Z]+ received at |Memory access fault by GPU"
    rb"|:?0:rocdevice\.cpp|.{0,40}LLVM ERROR: |rocBLAS error: |:?\d:hip_fatbin\.cpp .{0,60}No compatible code objects"
)
"""How native code reports why it raises the signal that ends its process."""
_FATAL_SIGNAL = re.compile(rb"Fatal Python error: (?:Aborted|Segmentation fault)|\*\*\* SIG")
"""How Python reports the signal alone."""
_FATAL_REPORT = re.compile(rb"Fatal Python error: |terminate called |!!!!!!! Segfault|\*\*\* SIG[A-Z]+ received at ")
"""How a process reports its own death by a signal; those that its parent ends after it are ended by SIGKILL."""
_KERNEL_KILLED = re.compile(
    rb"(?:\[ *[\d.+]{1,20}\] )?(?:Memory cgroup o|O)ut of memory: Kill(?:ed)? process \d+|oom-kill:constraint="
)
"""The kernel's OOM killer says what it ended: no error before is why."""
_SEE_NCCL = re.compile(rb"NCCL_DEBUG|unhandled (?:cuda|system) error")
_RUNTIME_FAILURE = re.compile(
    rb"\b(?:Cuda|CUDA|HIP) failure\b"
    rb"|NCCL WARN .{0,200}(?:\bfailed\b|\brefused\b|[Tt]imed out|No route to host|[Ee]rror\b)"
)
"""NCCL's own line of the call that failed, which the exception only refers to."""
_NO_EXTENSION = b"Failed to import from vllm._C with "
"""vLLM's compiled part cannot be loaded: its build is for another platform than this machine's."""
_CUDA_WARNING = b"UserWarning: CUDA initialization: "
_PRINTED = re.compile(rb"[\w./+-]{1,300}\.so[\w.]*: undefined symbol: ")
"""The loader's words on a line of their own: a package, as bitsandbytes, printed them and goes on."""
_NOT_IMPORTED = re.compile(
    rb"Ignore import error when loading (?P<module>(?:[\w]+\.)*(?P<name>[a-z]+)\w*)[.:] (?P<why>.+)"
)
"""SGLang goes on without the models whose modules it could not import."""
_UNREACHABLE = "hub_unreachable"
"""The code of a cause that the first exception of the chain explains: a proxy, TLS, a name that is not resolved."""
_NO_DEVICE = ("no_device", "device_not_found")
"""The codes of causes that say that there is no device, and not why."""
_ENDED_BY_OTHERS = ("SIGKILL", "SIGTERM")
"""How a parent process, a probe of Kubernetes or a person ends a server."""
_ASIDE = re.compile(rb"Exception (?:in thread|ignored in)\b")
"""Python's headline of a traceback that ends a thread, or nothing: the process goes on."""
_EMPTY_WRAPPER = re.compile(rb".{1,300}(?:: ?|\b(?:error|exception|reason|cause) is:?)\s*$")
_SAYS_NOTHING = re.compile(rb"(?!AssertionError)[A-Za-z_][\w.]*\s*$")
"""An exception without a message, of which the log has no condition either."""
_EXITED = re.compile(rb"SystemExit\b")
"""A program ended itself after it had logged why."""


class Order(IntEnum):
    """Which of several candidates is the cause: one of the lowest number."""

    KILLED_BY_KERNEL = -1
    """The kernel reports that it killed the server, which ended by SIGKILL."""
    ROOT = 0
    GENERAL = 1
    """A known general cause, or an unrecognised traceback."""
    WEAK = 2
    UNKNOWN_ERROR = 3
    """An unrecognised error without a traceback that names an exception."""
    CONSEQUENCE = 4
    SURVIVED = 5
    """A complaint after which the server logged something."""


_ORDER_OF = {
    Rank.ROOT: Order.ROOT,
    Rank.GENERAL: Order.GENERAL,
    Rank.WEAK: Order.WEAK,
    Rank.CONSEQUENCE: Order.CONSEQUENCE,
}


class Candidate(NamedTuple):
    """A possible root cause."""

    at: int
    """The number of its line."""
    order: Order
    make: Callable[[], Finding]
    """Masking its texts takes a while, and a log may have thousands of errors."""


def diagnose_log(engine: Engine, segments: Sequence[str], end: End = NO_END) -> Finding | None:
    """Return the root cause that the end of a log names, or None. segments: the paths of all its segments."""
    return diagnose(engine, _last_texts(segments), end)


def diagnose(
    engine: Engine,
    lines: Iterable[bytes],
    end: End = NO_END,
    *,
    known: bool = True,
) -> Finding | None:
    """Return the root cause that these lines (texts, without stamp and prefix) name, or None.

    known: whether to use the table of known causes; consequences are recognised in any case.
    """
    lines = list(lines)
    search = _search(engine, lines, end, known=known)
    if end.number and not search.explains(end.number):
        return search.death(end)
    asked = search.asked(end)
    if asked is not None and not search.names_something_before(asked):
        return search.shutdown(asked)
    found = search.best() or (search.orphaned() if asked is None else None)
    found = found or (search.last_words() if known and end.code else None)
    if found is None and end.code and not search.was_alive:
        raw = without_info_headers(lines)
        return _search(engine, raw, end, known=known).certain() if raw != lines else None
    return found


def _search(engine: Engine, lines: list[bytes], end: End, *, known: bool) -> "_Search":
    errors = read_errors(lines)
    table = tables.table(engine.name)
    run = tables.run_by(
        engine.name, [*(message.line for message in (*errors.starts, *errors.messages[:2000])), *errors.frames]
    )
    return _Search(
        errors,
        table if known else [c for c in table if c.rank == Rank.CONSEQUENCE and not c.died],
        tables.hints(run),
        ended_by_shell=end.code in _SHELL_STATUS,
        kills_itself=run in _KILL_THEMSELVES,
        killed=end.number == signals.number_of("SIGKILL"),
    )


_OWN_END_LINES = 30
"""How many lines before the end of the log of a server that kills itself an error that is not known may be."""
_KILL_THEMSELVES = ("mindie",)
"""The engines that end with SIGKILL, which their parent process sends them, whatever has failed."""
_SHELL_STATUS = (126, 127)
"""How a shell ends when it cannot execute a program, or finds none."""


class _Search:
    """The search for the root cause in one log."""

    def __init__(
        self,
        errors: LogErrors,
        table: Sequence[Cause],
        hints: dict[str, Text],
        *,
        ended_by_shell: bool,
        kills_itself: bool,
        killed: bool,
    ) -> None:
        self._errors = errors
        self._killed = killed
        self._kills_itself = kills_itself
        self._ended_by_shell = ended_by_shell
        self._last_error = max((one.at for one in (*errors.tracebacks, *errors.lines)), default=-1)
        self._table = cause_match.with_anchors_in(table, errors.texts())
        self._hints = hints

    def best(self) -> Finding | None:
        """Return the most telling candidate; of those of the same order the first."""
        fresh = sorted(
            self._candidates(after=self._errors.alive_at),
            key=lambda one: (one.order, -one.at if one.order == Order.WEAK else one.at),
        )
        complaints = [one for one in self._errors.complaints if not self._is_survived(one)]
        if complaints and (not fresh or fresh[0].order == Order.CONSEQUENCE):
            return unrecognised([complaints[-1]])
        if fresh:
            first = fresh[0]
            if (why := self._why_no_device(first) or self._why_not_imported(first)) is not None:
                return why
            reported = [
                one.make().evidence
                for one in fresh
                if one.order == Order.CONSEQUENCE and 0 < first.at - one.at <= _REPORT_LINES
            ]
            found = first.make()
            if found.consequence and found.code in _NATIVE_CODES:
                said = [shown(one) for one in last_words(self._errors.messages, self._errors.alive_at, first.at)]
                found = found._replace(evidence=[*(self._reported(first.at) or said), *found.evidence])
            if first.order == Order.CONSEQUENCE and not found.own_end:
                if (words := self.last_words(first.at)) is not None:
                    return words._replace(evidence=[*words.evidence, *found.evidence])
                if found.hint == ABOVE:  # nothing above says more
                    found = found._replace(hint=UNSAID)
            elif found.kind == UNRECOGNISED:
                found = found._replace(evidence=[*self._logged_right_before(first.at), *found.evidence])
            return found._replace(evidence=[*found.evidence, *(line for one in reported for line in one)])
        if self._errors.alive_at < 0:
            return None
        survived = sorted(self._candidates(after=-1), key=lambda one: (one.order, -one.at))
        return survived[0].make() if survived else None

    def _logged_right_before(self, at: int) -> list[str]:
        """Return the error that was logged right before a line, as by native code for which Python then raised."""
        near = [one for one in self._errors.lines if at - _NEAR_LINES <= one.at < at]
        return [shown(near[-1].exceptions[0][0])] if near else []

    def _reported(self, before: int) -> list[str]:
        """Return the last report of native code before a line, as `terminate called … what(): …`: those lines."""
        reports = [one for one in self._errors.lines if self._errors.alive_at < one.at < before]
        native = [one.exceptions[0] for one in reports if _NATIVE_REPORT.match(one.exceptions[0][0].text)]
        why = [one for one in native if not _FATAL_SIGNAL.match(one[0].text)] or native
        return [shown(one) for one in why[-1]] if why else []

    @property
    def was_alive(self) -> bool:
        """Whether the log shows the server at work."""
        return self._errors.alive_at >= 0

    def certain(self) -> Finding | None:
        """Return what the first known cause, or the first traceback, names; None if the log has neither."""
        found = [one for one in self._candidates(after=-1) if one.order <= Order.GENERAL]
        return min(found, key=lambda one: (one.order, one.at)).make() if found else None

    def last_words(self, before: int | None = None) -> Finding | None:
        """Return what the server said last of trouble in lines without a level, None if it did not.

        before: the number of the line, a consequence, right before which it must be; None for the end of the log.
        """
        after = self._errors.alive_at if before is not None else max(self._errors.alive_at, self._errors.logged_at)
        said = last_words(self._errors.messages, after, before)
        return unrecognised(said[:1])._replace(evidence=[shown(one) for one in said]) if said else None

    def _why_no_device(self, first: Candidate) -> Finding | None:
        """Return what PyTorch said before of why it has no device, if that a device is missing is the first cause.

        It only warns: a server that can do without, as one on a CPU, goes on.
        """
        found = first.make()
        if found.code not in _NO_DEVICE and "cuda.is_available()" not in found.text.en:
            return None
        for message in self._errors.messages:
            if message.at < first.at and message.text.startswith(_NO_EXTENSION):
                return found._replace(evidence=[shown(message), *found.evidence])
            if message.at < first.at and message.level == "warning" and (at := message.text.find(_CUDA_WARNING)) >= 0:
                said = message._replace(text=message.text[at + len(_CUDA_WARNING) :])
                why = cause_match.match(self._table, said)
                if why is not None and why.cause.rank == Rank.ROOT and why.cause.code not in _NO_DEVICE:
                    known = self._known(why)
                    return known._replace(evidence=[*known.evidence, *found.evidence])
        return None

    def _why_not_imported(self, first: Candidate) -> Finding | None:
        """Return why a model's module was not imported, if the first cause is that its architecture is not known."""
        found = first.make()
        if found.code != "architecture_not_supported":
            return None
        for message in self._errors.messages:
            failed = _NOT_IMPORTED.match(message.text) if message.at < first.at else None
            if failed is not None and failed["name"].decode() in found.text.en.lower():
                why = message._replace(text=failed["why"])
                known = cause_match.match(self._table, why)
                named = self._known(known) if known is not None else unrecognised([why])
                return named._replace(evidence=[*named.evidence, *found.evidence])
        return None

    def _candidates(self, after: int) -> Iterator[Candidate]:
        """Yield what may be the cause, of the lines behind the line with the number `after`."""
        known_at = set()
        for message in self._errors.messages:
            if message.at > after and _may_name_cause(message):
                found = cause_match.match(self._table, message)
                if found is not None:
                    known_at.add(message.at)
                    yield Candidate(message.at, self._order(found, message), partial(self._known, found))
        for failure in self._errors.tracebacks:
            headline = failure.headline
            if failure.at > after and failure.exceptions:
                candidate = self._of_traceback(failure)
                if _is_aside(failure):
                    candidate = candidate._replace(order=_of_aside(candidate.order))
                yield candidate
            elif headline is not None and headline.at > after and headline.at not in known_at:
                # It has no exception: CANN's traces have none, and of others the end may be missing.
                yield Candidate(headline.at, Order.UNKNOWN_ERROR, partial(unrecognised, [headline]))
            elif headline is None and failure.said and failure.at > after:
                yield Candidate(failure.at, Order.UNKNOWN_ERROR, partial(unrecognised, failure.said))
        for failure in self._errors.lines:
            if failure.at > after and failure.at not in known_at:
                yield Candidate(
                    failure.at, Order.UNKNOWN_ERROR, self._unknown(failure.exceptions[0], failure.raised[0])
                )

    def _order(self, found: Matched, message: Message) -> Order:
        """Return the order of a message that names a known cause."""
        if message.level is None and _PRINTED.match(message.text):
            return Order.WEAK
        if self._killed and _KERNEL_KILLED.match(message.text):
            return Order.KILLED_BY_KERNEL
        if found.cause.rank != Rank.WEAK:
            return _ORDER_OF[found.cause.rank]
        if self._is_survived(message):
            return Order.SURVIVED
        return Order.ROOT if self._ended_by_shell and message.at >= self._last_error else Order.WEAK

    def _is_survived(self, message: Message) -> bool:
        """Return whether the server logged something after what a shell or a program of the system complained of."""
        bare = message.text == message.line
        return message.at < (self._errors.headed_at if bare else self._errors.logged_at)

    def _of_traceback(self, failure: Failure) -> Candidate:
        """Return the cause that a traceback names: its last exception, or the last before that is no wrapper."""
        exceptions = failure.exceptions[::-1]
        matches = [cause_match.first_match(self._table, one) for one in exceptions]
        for rank in (Rank.ROOT, Rank.GENERAL):
            for exception, found in zip(exceptions, matches, strict=True):
                if found is not None and found.cause.rank == rank:
                    first = failure.exceptions[0] if found.cause.code == _UNREACHABLE else exception
                    why = None if first is exception else first[0]
                    return Candidate(failure.at, _ORDER_OF[rank], partial(self._known, found, exception, why))
        for at, (exception, found, raised) in enumerate(zip(exceptions, matches, failure.raised[::-1], strict=True)):
            if found is None and not (exceptions[at + 1 :] and _is_empty_wrapper(exception)):
                said = exceptions[at - 1][0] if at and _SAYS_NOTHING.match(exception[0].text) else None
                return Candidate(failure.at, Order.GENERAL, self._unknown(exception, raised, said))
        assert matches[-1] is not None
        if failure.headline is not None and _EXITED.match(failure.exceptions[-1][0].text):
            return Candidate(failure.headline.at, Order.GENERAL, partial(unrecognised, [failure.headline]))
        return Candidate(failure.at, self._order(matches[-1], exceptions[-1][0]), partial(self._known, matches[-1]))

    def _unknown(
        self, exception: list[Message], raised: Message | None, said: Message | None = None
    ) -> Callable[[], Finding]:
        """Return what makes the finding for an exception. said: what was raised from it, if that says more."""
        code = self._errors.code.get(raised.at) if raised is not None else None
        if said is None:
            return partial(unrecognised, exception, raised, code)
        return lambda: (found := unrecognised(exception, raised, code))._replace(
            evidence=[*found.evidence, shown(said)]
        )

    def _known(self, found: Matched, exception: Sequence[Message] = (), why: Message | None = None) -> Finding:
        """Return the finding for a known cause.

        Args:
            found: the cause, and the message that names it.
            exception: the lines of the exception whose message names it.
            why: the exception from which that one was raised, which says more.

        """
        evidence = [shown(found.message), *([shown(why)] if why is not None else [])]
        if exception and exception[0].at > found.message.at:  # it has no message: its code names the cause
            evidence.append(shown(exception[0]))
        if found.cause.hint in (ascend.SEE_CODE, ascend.SEE_HCCL_CODE):
            evidence += [shown(one) for one in self._cann_codes(found.message, exception)][:1]
        if found.cause.code == "nccl_failed" and _SEE_NCCL.search(found.message.text):
            said = [one for one in self._errors.messages if _RUNTIME_FAILURE.search(one.line)]
            evidence += [shown(one) for one in said[:1]]
        port = _PORT.search(found.values.get("address", ""))
        return Finding(
            found.cause.code,
            KNOWN,
            found.text(),
            found.hint(self._hints),
            evidence,
            found.cause.about_port,
            int(port[1]) if port else None,
            consequence=found.cause.rank == Rank.CONSEQUENCE or found.cause.died,
        )

    def _cann_codes(self, message: Message, exception: Sequence[Message]) -> Iterator[Message]:
        """Yield the lines in which CANN says why the operation failed of which this message is."""
        for one in exception or self._errors.messages:
            is_near = message.at < one.at <= message.at + _CODE_LINES
            if is_near and CANN_CODE.match(one.text.strip()) and not one.text.rstrip().endswith(b"Inner Error!"):
                yield one

    def explains(self, number: int) -> bool:
        """Return whether the log says why the server was ended by this signal."""
        if any(_OWN_CLEAN_UP.match(message.text) for message in (*self._errors.messages, *self._errors.starts)):
            return signals.name_of(number) in ("SIGKILL", "SIGQUIT", "SIGTERM")
        if any(_SCHEDULER_KILLED.match(message.text) for message in self._errors.messages):
            return signals.name_of(number) in ("SIGKILL", "SIGTERM")
        after = self._errors.alive_at
        if signals.name_of(number) == "SIGKILL" and any(
            _KERNEL_KILLED.match(one.text) or (one.at > after and _FATAL_REPORT.match(one.text))
            for one in self._errors.messages
        ):
            return True
        if signals.name_of(number) in _ENDED_BY_OTHERS and self._failed_for_good():
            return True
        if self._kills_itself and signals.name_of(number) == "SIGKILL":
            near = self._errors.last_at - _OWN_END_LINES
            return any(
                one.order <= Order.GENERAL or (one.order == Order.UNKNOWN_ERROR and one.at > near)
                for one in self._candidates(after)
            )
        if signals.name_of(number) not in _NATIVE_FAULTS:
            return False
        return any(message.at > after and _NATIVE_REPORT.match(message.text) for message in self._errors.messages)

    def _failed_for_good(self) -> bool:
        """Return whether a process of a server that never became ready printed nothing more after its traceback.

        SGLang before 0.4 kills itself then; others hang, until the probe of their container ends them. After a
        traceback that does not say whose it is, no process may have printed more.
        """
        if self._errors.alive_at >= 0:
            return False
        anybody = max(self._errors.went_on_at.values(), default=-1)
        for failure in self._errors.tracebacks:
            went_on_at = self._errors.went_on_at.get(failure.process, -1) if any(failure.process) else anybody
            ended_it = went_on_at < failure.at and failure.exceptions and not _is_aside(failure)
            if ended_it and self._of_traceback(failure).order <= Order.GENERAL:
                return True
        return False

    def death(self, end: End) -> Finding:
        """Return the cause of a server that was ended by a signal."""
        name, found = signals.name_of(end.number), signals.cause_of(end.number)
        text = Text(f"killed by {name}", f"被 {name} 终止")
        if end.signal is None:
            text = Text(
                f"exited with status {end.code}: a process was killed by {name}",
                f"以状态 {end.code} 退出：进程被 {name} 终止",
            )
        said: Sequence[Message] = ()
        if name in _NATIVE_FAULTS:  # native code mostly says why it gives up; who is killed from outside says nothing
            said = last_words(self._errors.messages, self._errors.alive_at)
        return Finding(found.code, KNOWN, text, found.hint, [shown(one) for one in said], own_end=True)

    def asked(self, end: End) -> Message | None:
        """Return the line by which a server says that it was asked to stop, and did; None if there is none."""
        if end.code != 0:
            return None
        informed = self._errors.informed
        return next((one for one in informed if one.at > self._errors.alive_at and _ASKED.match(one.text)), None)

    def names_something_before(self, asked: Message) -> bool:
        """Return whether a cause is named before a server says that it was asked to stop.

        What comes after is a consequence: vLLM 0.32 may find its engine dead that it has just killed.
        """
        return any(one.at < asked.at for one in self._candidates(after=self._errors.alive_at))

    def shutdown(self, asked: Message) -> Finding:
        """Return the cause of a server that was asked to stop, and did."""
        text = Text("shut down because somebody sent it a signal (SIGTERM)", "收到他人发送的信号（SIGTERM）后退出")
        return Finding(
            "terminated",
            KNOWN,
            text,
            signals.cause_of(signals.number_of("SIGTERM")).hint,
            [shown(asked)],
            own_end=True,
        )

    def orphaned(self) -> Finding | None:
        """Return the cause of a server that only its workers' words explain: their engine died before it shut down.

        A headless node of vLLM prints nothing else when its engine is killed, and exits with 0.
        """
        for one in self._errors.informed:
            if one.at > self._errors.alive_at and _SHUTTING_DOWN.match(one.text):
                return None
            if one.at > self._errors.alive_at and _ORPHANED.match(one.text):
                text = Text("the engine process died", "引擎进程意外退出")
                return Finding("engine_died", KNOWN, text, UNSAID, [shown(one)], consequence=True)
        return None


def _is_empty_wrapper(exception: Sequence[Message]) -> bool:
    """Return whether an exception wraps another one that had no message: `RuntimeError: X failed, error is`."""
    return _EMPTY_WRAPPER.match(exception[0].text) is not None and not any(one.text.strip() for one in exception[1:])


def _is_aside(failure: Failure) -> bool:
    """Return whether a traceback ended a thread only, or nothing."""
    return failure.headline is not None and _ASIDE.match(failure.headline.text) is not None


def _of_aside(order: Order) -> Order:
    """Return the order of a candidate whose traceback is an aside: behind the others of its own order."""
    return Order(order + 1) if order < Order.WEAK else order


def _may_name_cause(message: Message) -> bool:
    """Return whether a message is printed as an error. NCCL prints its errors as warnings.

    DeepGEMM prints what nvcc says behind a warning without a line end.
    """
    return message.level != "warning" or b"NCCL WARN" in message.line or b"nvcc fatal" in message.line


def _last_texts(segments: Sequence[str]) -> Iterator[bytes]:
    """Yield the server's texts at the end of a log."""
    left = READ_MAX_BYTES
    parts: list[tuple[Path, int]] = []
    for path in map(Path, reversed(segments)):
        size = path.stat().st_size if path.exists() else 0
        parts.insert(0, (path, max(0, size - left)))
        left -= size
        if left <= 0:
            break
    for path, offset in parts:
        if not path.exists():
            continue
        with os.fdopen(open_file(path), "rb") as file:
            file.seek(offset)
            for line in file:
                parsed = parse_line(line.rstrip(b"\n"))
                if parsed is not None and parsed.mark != MARK_EVENT:
                    yield parsed.text
