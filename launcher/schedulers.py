"""Finds the instance id of the scheduler that runs this process."""

import os
import re

from tracetail.contract.processes import read_process
from tracetail.launcher.machine import processes

_POWERJOB_SCRIPT = re.compile(r"(?:shell|python)_(\d+)\.(?:sh|py)\b")
"""PowerJob's worker writes the script of a job into a file with the instance id in its name, and runs that."""


def scheduler_instance_id() -> str:
    """Return the PowerJob instance id in the command line of an ancestor; "" if there is none."""
    process = read_process(os.getpid())
    while process is not None and process.parent > 0:
        process = read_process(process.parent)
        match = _POWERJOB_SCRIPT.search(processes.command_line(process.pid)) if process else None
        if match is not None:
            return match[1]
    return ""
