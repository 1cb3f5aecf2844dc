"""Ends everything that belongs to a launch: SIGTERM, some time, SIGKILL, again until nothing is left."""

import contextlib
import os
import signal
from collections.abc import Callable, Collection

from tracetail.contract.processes import Process, ProcessRef
from tracetail.launcher.machine import processes

LEFT_BEHIND_SECONDS = 1.0
"""How long what a dead server leaves behind may take to end by itself."""
SWEEP_SECONDS = 0.1
KILL_ROUNDS_SECONDS = 10.0
"""What SIGKILL does not end in this time (a process stuck in the kernel) is left, and told."""


class Sweep:
    """The end of one launch, step by step: run is called until it says that nothing is left."""

    def __init__(
        self, launch_id: str, stop_seconds: float, helpers: Collection[int], clock: Callable[[], float]
    ) -> None:
        """Args: helpers: the keeper's own children, which are spared."""
        self._launch_id = launch_id
        self._stop_seconds = stop_seconds
        self._helpers = helpers
        self._clock = clock
        self._asked: set[tuple[int, int]] = set()
        self._kill_at: float | None = None
        self._give_up_at = 0.0
        self.next_at = 0.0
        """When run is to be called again."""
        self.found = 0
        """How many processes there were at the first look."""
        self.stuck: list[Process] = []
        """What does not even end by SIGKILL."""

    def run(self, server: ProcessRef | None, *, server_gone: bool, stopping: bool) -> bool:
        """Ask, or kill, what is left; True when nothing is, or when it does not end by any means.

        Args:
            server: the launch's server.
            server_gone: it has ended: what it left behind gets little time.
            stopping: somebody asked for the end.

        """
        now = self._clock()
        if now < self.next_at:
            return False
        self.next_at = now + SWEEP_SECONDS
        left = processes.members(self._launch_id, server, keeper=os.getpid(), spare=self._helpers)
        if not left:
            return True
        if self._kill_at is None:
            self.found = len(left)
            self._kill_at = now + (LEFT_BEHIND_SECONDS if server_gone else self._stop_seconds)
            self._give_up_at = self._kill_at + KILL_ROUNDS_SECONDS
        elif server_gone and stopping:
            self._kill_at = min(self._kill_at, now + LEFT_BEHIND_SECONDS)
        number = signal.SIGKILL if now >= self._kill_at else signal.SIGTERM
        for process in left:
            if number == signal.SIGKILL or (process.pid, process.start_time) not in self._asked:
                self._asked.add((process.pid, process.start_time))
                with contextlib.suppress(PermissionError):
                    processes.send(process, number)
        if now < self._give_up_at:
            return False
        self.stuck = left
        return True
