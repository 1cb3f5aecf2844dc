"""Finds the phases of a start, and the line that means ready, in a server's output."""

import re
from collections.abc import Sequence

from tracetail.launcher.engines import Phase


class PhaseWatch:
    """Searches the output of a server that is not ready yet."""

    def __init__(self, phases: Sequence[Phase], ready_pattern: str = "") -> None:
        """Args: ready_pattern: regular expression of the line that means ready; "" for none."""
        self._waiting = list(phases)
        self._ready = re.compile(ready_pattern.encode()) if ready_pattern else None
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
