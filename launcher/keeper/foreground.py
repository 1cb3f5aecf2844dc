"""A keeper in the foreground (`tracetail run`): the main process of a container, often PID 1.

Beside the keeper's work it forwards signals to the server, copies the log to stdout, writes why the launch failed
where Kubernetes looks for it, and ends with the server's exit status, as if it were the server.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection

from tracetail.contract import record
from tracetail.contract.record import Record
from tracetail.launcher.keeper.child import Child
from tracetail.launcher.keeper.exit_reason import Failure
from tracetail.launcher.keeper.stdout_copy import StdoutCopy
from tracetail.launcher.termination_log import write_termination_log

FORWARDED = (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGCONT)
JOBS_SECONDS = 12.0
"""How long the last callback may take: a reporter tries for 10 s, and PID 1 takes it along when it ends."""
FAILED = 1
"""The exit status of a launch that failed although its server ended with 0, as vLLM's does after its engine died."""


class Foreground:
    """What a keeper in the foreground does beside keeping."""

    def __init__(self, termination_log: str, *, stdout_only: bool, plain_stdout: bool) -> None:
        """Take the settings.

        Args:
            termination_log: the file for the cause of a failure; "" for Kubernetes' own, if it exists.
            plain_stdout: stdout gets the server's own lines.
            stdout_only: the segments only serve the diagnosis: old ones are deleted, shipped or not.

        """
        self.copy = StdoutCopy(plain=plain_stdout)
        self.stdout_only = stdout_only
        self._termination_log = termination_log

    def handle_signals(self, server_pid: Callable[[], int]) -> None:
        """Forward signals. server_pid: returns the pid of the running server; 0 if there is none."""

        def forward(number: int, _: object) -> None:
            pid = server_pid()
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

        for number in FORWARDED:
            signal.signal(number, forward)

    def finish(self, known: Record, jobs: Collection[int], reap: Callable[[], None]) -> None:
        """Write why the launch failed, and wait for the last callback.

        Args:
            known: the record of the ended launch.
            jobs: the pids of running background jobs.
            reap: reaps children that have ended.

        """
        if known["state"] in (record.FAILED, record.CRASHED):
            write_termination_log(self._termination_log, describe(known))
        deadline = time.monotonic() + JOBS_SECONDS
        while jobs and time.monotonic() < deadline:
            reap()
            time.sleep(0.02)


def exit_status(known: Record, child: Child, failure: Failure | None) -> int:
    """Return the exit status of a foreground keeper: the server's, 128+n for a signal.

    A start that the keeper itself gave up has the status of `tracetail start` (11: not ready in time); a launch that
    failed has never 0.
    """
    if failure is not None:
        return failure.status
    status = FAILED if child.shell_status is None else child.shell_status
    failed = known["state"] in (record.FAILED, record.CRASHED)
    return status or (FAILED if failed else 0)


def describe(known: Record) -> str:
    """Return what is written about a launch that failed: cause, hint, evidence, ids."""
    end = known.get("exit", {})
    lines = [
        f"{known['state']}: {end.get('cause') or 'no cause is known'}",
        *([f"hint: {end['hint']}"] if end.get("hint") else []),
        f"traceId={known['traceId']} instanceId={known['instanceId']} launchId={known['launchId']}",
        *(f"evidence: {line}" for line in end.get("evidence", [])),
    ]
    return "\n".join(lines) + "\n"
