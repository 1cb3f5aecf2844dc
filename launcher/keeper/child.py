"""The process whose end ends the launch: preStart's, then the server's."""

import os
import subprocess
from collections.abc import Mapping

from tracetail.contract.processes import ProcessRef, is_alive
from tracetail.launcher.engines.signals import name_of
from tracetail.launcher.machine import exit_status


class Child:
    """A process that this keeper started, and reaps, or that an earlier keeper started: it is only watched."""

    def __init__(self) -> None:
        self.pid = 0
        self.exited = False
        self.code: int | None = None
        """Its exit status; None if a signal ended it, or if it was not our child and the kernel does not show it."""
        self.signal: str | None = None
        """The name of the signal that ended it."""
        self.shell_status: int | None = None
        """Its exit status as a shell gives it, 128+n for signal n; None as long as it is not known."""
        self.descriptor = -1
        """A pidfd of a watched process: readable when it ends."""
        self._watched: ProcessRef | None = None

    def spawn(
        self, argv: list[str], environ: Mapping[str, str], work_dir: str, output: int, *, errors_only: bool = False
    ) -> None:
        """Start a process in a session of its own, with a descriptor as its stdout and stderr. Raises OSError.

        errors_only: what it prints on stdout is not wanted.
        """
        started = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if errors_only else output,
            stderr=output,
            cwd=work_dir or None,
            env=environ,
            start_new_session=True,
        )
        started.returncode = 0  # the keeper reaps it; Popen must not
        self.pid = started.pid

    def watch(self, ref: ProcessRef) -> None:
        """Watch a process that an earlier keeper started."""
        self._watched = ref
        self.poll()
        if not self.exited:
            self.descriptor = os.pidfd_open(ref["pid"])

    def poll(self) -> None:
        """Update `exited` of a watched process, and its status where that can be known."""
        if self._watched is None or self.exited or is_alive(self._watched):
            return
        self.exited = True
        status = exit_status.wait_status(self._watched, self.descriptor)
        if status is not None:
            self.set_exit(status)

    def set_exit(self, wait_status: int) -> None:
        """Record the end of a process that was reaped. wait_status: from waitpid(2)."""
        status = os.waitstatus_to_exitcode(wait_status)
        self.exited = True
        self.code = status if status >= 0 else None
        self.signal = name_of(-status) if status < 0 else None
        self.shell_status = status if status >= 0 else 128 - status

    def describe_exit(self) -> str:
        """Return `exited with status 3` or `killed by SIGKILL`."""
        return f"killed by {self.signal}" if self.signal else f"exited with status {self.code}"
