"""Watches a starting server's lines for phases and for the line that means ready."""

import re
from collections.abc import Sequence

from tracetail.launcher.engines import Phase


class Watch:
    """Looks through the output until it is told that the server is ready."""

    def __init__(self, phases: Sequence[Phase], ready_pattern: str = "") -> None:
        self._waiting = list(phases)
        self._ready = re.compile(ready_pattern.encode()) if ready_pattern else None
        self.passed: list[str] = []
        """Names of phases that have passed and are not reported yet."""
        self.ready_seen = False
        self.active = True

    def __call__(self, block: bytes) -> None:
        """Look at some lines."""
        if not self.active:
            return
        found = [(at, phase) for phase in self._waiting if (at := block.find(phase.anchor)) >= 0]
        for _, phase in sorted(found):
            self._waiting.remove(phase)
            self.passed.append(phase.name)
        if self._ready is not None and not self.ready_seen:
            self.ready_seen = any(self._ready.search(line) for line in block.split(b"\n"))
