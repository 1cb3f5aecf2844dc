"""Ends all processes of a launch: SIGTERM, then SIGKILL, repeated until none is left."""

import contextlib
import os
import signal
from collections.abc import Callable, Collection

from tracetail.contract.processes import Process, ProcessRef
from tracetail.launcher.machine import processes

LOADING_STOP_SECONDS = 5.0
"""From SIGTERM to SIGKILL for a server that was not ready: no request is in flight, and vLLM does not answer SIGTERM
while it loads a model (seen for over 40 s)."""
LEFT_BEHIND_SECONDS = 1.0
"""How long processes may take to end by themselves once their server has ended."""
INTERVAL_SECONDS = 0.1
KILL_SECONDS = 10.0
"""How long SIGKILL is repeated; a process that is stuck in the kernel after that is left, and reported."""


def patience(stop_seconds: float, *, was_ready: bool) -> float:
    """Return the seconds from SIGTERM to SIGKILL. stop_seconds: those of the parameters."""
    return stop_seconds if was_ready else min(stop_seconds, LOADING_STOP_SECONDS)


class Teardown:
    """The end of one launch's processes, step by step: run() is called until it returns True."""

    def __init__(
        self, launch_id: str, stop_seconds: float, jobs: Collection[int], clock: Callable[[], float]
    ) -> None:
        """Take what is needed to end a launch.

        Args:
            launch_id: the launch.
            stop_seconds: from SIGTERM to SIGKILL for a server that runs.
            jobs: pids of the keeper's background jobs, which are spared.
            clock: seconds, monotonic.

        """
        self._launch_id = launch_id
        self._stop_seconds = stop_seconds
        self._jobs = jobs
        self._clock = clock
        self._terminated: set[tuple[int, int]] = set()
        """Pid and start time of the processes that got a SIGTERM."""
        self._kill_at: float | None = None
        self._give_up_at = 0.0
        self.next_at = 0.0
        """When run() is to be called again."""
        self.found = 0
        """How many processes there were at the first call."""
        self.stuck: list[Process] = []
        """Processes that not even SIGKILL ended."""

    def run(
        self,
        server: ProcessRef | None,
        container: ProcessRef | None = None,
        *,
        was_ready: bool,
        server_exited: bool,
        stopping: bool,
    ) -> bool:
        """Signal the processes that are left; True when none is, or when they cannot be ended.

        Args:
            server: the launch's server.
            container: the first process of its container.
            was_ready: it has been ready: requests may be in flight.
            server_exited: it has ended: what it left behind gets less time.
            stopping: a stop was asked for.

        """
        now = self._clock()
        if now < self.next_at:
            return False
        self.next_at = now + INTERVAL_SECONDS
        left = processes.members(self._launch_id, server, container=container, keeper=os.getpid(), spare=self._jobs)
        if not left:
            return True
        if self._kill_at is None:
            self.found = len(left)
            term = LEFT_BEHIND_SECONDS if server_exited else patience(self._stop_seconds, was_ready=was_ready)
            self._kill_at = now + term
            self._give_up_at = self._kill_at + KILL_SECONDS
        elif server_exited and stopping:
            self._kill_at = min(self._kill_at, now + LEFT_BEHIND_SECONDS)
        self._signal(left, signal.SIGKILL if now >= self._kill_at else signal.SIGTERM)
        if now < self._give_up_at:
            return False
        self.stuck = left
        return True

    def _signal(self, left: Collection[Process], number: signal.Signals) -> None:
        """Send a signal: SIGTERM once to each process, SIGKILL each time.

        A process that SIGSTOP has stopped gets SIGTERM only when it is continued: without SIGCONT it would wait for
        SIGKILL, and end as if it had crashed.
        """
        for process in left:
            if number == signal.SIGKILL or (process.pid, process.start_time) not in self._terminated:
                self._terminated.add((process.pid, process.start_time))
                with contextlib.suppress(PermissionError):
                    if processes.send(process, number) and number == signal.SIGTERM:
                        processes.send(process, signal.SIGCONT)
