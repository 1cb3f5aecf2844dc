"""Finds the phases of a start, and the line that means ready, in a server's output."""

from collections.abc import Sequence
from typing import Protocol

from tracetail.launcher.engines import Phase


class _Pattern(Protocol):
    def search(self, text: bytes, /) -> object: ...


def _compile(pattern: str) -> _Pattern:
    """Return a pattern whose search takes linear time: with `re`, one could hang the keeper, and so the server."""
    import re2  # noqa: PLC0415  (3 MB that most keepers do not need)

    compiled: _Pattern = re2.compile(pattern)
    return compiled


class PhaseWatch:
    """Searches the output of a server that is not ready yet."""

    def __init__(self, phases: Sequence[Phase], ready_pattern: str = "") -> None:
        """Args: ready_pattern: regular expression of the line that means ready; "" for none."""
        self._waiting = list(phases)
        self._ready = _compile(ready_pattern) if ready_pattern else None
        self.passed: list[str] = []
        """Names of the phases that have passed and are not reported yet."""
        self.ready_seen = False
        self.active = True
        """Whether output is searched: not after the server is ready."""

    def search(self, block: bytes) -> None:
        """Search the next lines."""
        if not self.active:
            return
        found = [(at, phase) for phase in self._waiting if (at := block.find(phase.anchor)) >= 0]
        for _, phase in sorted(found):
            self._waiting.remove(phase)
            self.passed.append(phase.name)
        if self._ready is not None and not self.ready_seen:
            self.ready_seen = any(self._ready.search(line) for line in block.split(b"\n"))
