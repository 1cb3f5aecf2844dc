"""Finds the phases of a start, and the line that means ready, in a server's output."""

import re
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from tracetail.launcher.engines import Phase


class _Pattern(Protocol):
    def search(self, text: bytes, /) -> object: ...


class _Literal:
    """A pattern without special characters but `^` at its beginning and `$` at its end."""

    def __init__(self, text: str, *, begins: bool, ends: bool) -> None:
        self._begins, self._ends = begins, ends
        self._text = b"\n" * begins + text.encode() + b"\n" * ends

    def search(self, text: bytes, /) -> object:
        """Return whether the text, one line or several, contains it."""
        if self._begins or self._ends:
            text = b"\n%b\n" % text
        return self._text in text


_LITERAL = re.compile(r"(\^?)((?:[^\\.^$*+?{}\[\]|()]|\\[^\w\s])*)(\$?)")
_OF_ONE_LINE = re.compile(r"\\[Az]|\(\?\w*-")
"""In a pattern that may match one line and not the block it is in: ends of the text, a flag unset."""


def _compile(pattern: str) -> _Pattern:
    """Return a pattern whose search takes linear time: with `re`, one could hang the keeper, and so the server."""
    if literal := _LITERAL.fullmatch(pattern):
        begin, text, end = literal.groups()
        return _Literal(re.sub(r"\\(.)", r"\1", text), begins=bool(begin), ends=bool(end))
    import re2  # noqa: PLC0415  (3 MB that most keepers do not need)

    compiled: _Pattern = re2.compile(f"(?m){pattern}")  # in one line that is the same
    return compiled


class PhaseWatch:
    """Searches the output of a server that is not ready yet."""

    def __init__(
        self, phases: Sequence[Phase], ready_pattern: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Args: ready_pattern: regular expression of the line that means ready, "" for none; clock: seconds."""
        self._waiting = list(phases)
        self._ready_pattern = ready_pattern
        self._ready: _Pattern | None = None
        self._only_lines = _OF_ONE_LINE.search(ready_pattern) is not None
        self.passed: list[str] = []
        """Names of the phases that have passed and are not reported yet."""
        self.ready_seen = False
        self.active = True
        """Whether output is searched: not after the server is ready."""
        self.last_phase = ""
        """The phase that passed last."""
        self.last_output = clock()
        """When the server last printed something, or began."""
        self._clock = clock

    def describe_progress(self) -> tuple[str, str]:
        """Return `last phase: model loaded; silent for 12 s`, and the same in Chinese."""
        seconds = f"{self._clock() - self.last_output:.0f}"
        last, last_zh = "no phase ended", "尚无阶段完成"
        if self.last_phase:
            last, last_zh = f"last phase: {self.last_phase}", f"最后完成的阶段：{self.last_phase}"
        return f"{last}; silent for {seconds} s", f"{last_zh}；已有 {seconds} 秒没有输出"

    def search(self, block: bytes, end: int | None = None) -> None:
        """Search the next lines: the first `end` bytes of a block; all of it for None."""
        if not self.active:
            return
        block = block[:end]
        self.last_output = self._clock()
        found = [(at, phase) for phase in self._waiting if (at := block.find(phase.anchor)) >= 0]
        for _, phase in sorted(found):
            self._waiting.remove(phase)
            self.passed.append(phase.name)
            self.last_phase = phase.name
        if not self._ready_pattern or self.ready_seen:
            return
        if self._ready is None:  # no server waits for its library
            self._ready = _compile(self._ready_pattern)
        # A whole block is searched much faster, and matches if one of its lines does.
        if self._only_lines or self._ready.search(block):
            self.ready_seen = any(self._ready.search(line) for line in block.split(b"\n"))
