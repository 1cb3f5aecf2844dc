"""A command on a terminal: what a person sees of it."""

import os
import pty
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Shown(NamedTuple):
    """What a command printed on a terminal."""

    status: int | None
    """None while it runs."""
    raw: str

    @property
    def text(self) -> str:
        """Without colours and movements of the cursor; what was overwritten is there, too."""
        return _ESCAPE.sub("", self.raw).replace("\r\n", "\n")


def run_on_terminal(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    columns: int = 120,
    on_output: Callable[[Shown], None] = lambda _: None,
) -> Shown:
    """Run a command whose stdin, stdout and stderr are a terminal, until it ends.

    on_output: called with all that it has printed, each time that it has printed more.
    """
    ours, theirs = pty.openpty()
    shown = {**environ, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "40"}
    process = subprocess.Popen(
        command, env=shown, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, close_fds=True
    )
    os.close(theirs)
    parts = []
    try:
        while part := os.read(ours, 65536):
            parts.append(part)
            on_output(_shown(None, parts))
    except OSError:  # EIO: the last one that had the terminal open has closed it
        pass
    finally:
        os.close(ours)
    return _shown(process.wait(timeout=60), parts)


def _shown(status: int | None, parts: list[bytes]) -> Shown:
    return Shown(status, b"".join(parts).decode(errors="replace"))
