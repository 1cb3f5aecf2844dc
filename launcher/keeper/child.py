"""The process whose end matters to a keeper: preStart's, then the server's."""

import os
import signal
import subprocess
from collections.abc import Mapping

from tracetail.contract.processes import ProcessRef, is_alive


class Child:
    """A process that this keeper started, and reaps, or one that it took over, and can only watch."""

    def __init__(self) -> None:
        self.pid = 0
        self.gone = False
        self.code: int | None = None
        """Its exit status; None if a signal ended it, or nobody was there to see."""
        self.signal: str | None = None
        """The name of the signal that ended it."""
        self.descriptor = -1
        """A pidfd of a process that was taken over: readable when it ends."""
        self._watched: ProcessRef | None = None

    def spawn(self, argv: list[str], environ: Mapping[str, str], work_dir: str, output: int) -> None:
        """Start it in a session of its own, printing to a descriptor. Raises OSError."""
        started = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=work_dir or None,
            env=environ,
            start_new_session=True,
        )
        started.returncode = 0  # the keeper reaps it; Popen shall not
        self.pid = started.pid

    def take_over(self, ref: ProcessRef) -> None:
        """Watch a process that another keeper started."""
        self._watched = ref
        self.look()
        if not self.gone:
            self.descriptor = os.pidfd_open(ref["pid"])

    def look(self) -> None:
        """See whether a process that was taken over is gone."""
        if self._watched is not None and not self.gone:
            self.gone = not is_alive(self._watched)

    def ended(self, wait_status: int) -> None:
        """Take note of how it ended, as waitpid tells."""
        status = os.waitstatus_to_exitcode(wait_status)
        self.gone = True
        self.code = status if status >= 0 else None
        self.signal = signal.Signals(-status).name if status < 0 else None

    def how(self) -> str:
        """Return `exited with status 3` or `killed by SIGKILL`."""
        return f"killed by {self.signal}" if self.signal else f"exited with status {self.code}"
