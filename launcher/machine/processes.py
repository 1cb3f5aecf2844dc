"""Processes of this machine: their command lines, signals to exactly one of them, and the subreaper."""

import contextlib
import os
import signal
from collections.abc import Collection
from pathlib import Path

from tracetail.contract.launch_processes import LaunchProcesses, LaunchRoots
from tracetail.contract.masking import mask_command_line
from tracetail.contract.processes import Process, ProcessRef, read_command_line, read_process

_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Become the parent of every descendant that loses its own (prctl(2))."""
    import ctypes  # noqa: PLC0415  (only the keeper calls this)

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "PR_SET_CHILD_SUBREAPER")


def command_line(pid: int) -> str:
    """Return a process's command line, secrets masked; its name in brackets if it has none, `?` if it ended."""
    try:
        words = read_command_line(pid).rstrip(b"\0").decode(errors="replace").split("\0")
        text = " ".join(mask_command_line(words))
        return text or "[" + Path(f"/proc/{pid}/comm").read_text(errors="replace").strip() + "]"
    except OSError:
        return "?"


def same_file_system_view(pid: int) -> bool:
    """Return whether a process is in our mount namespace (in a container it is not); False if that is unknown."""
    try:
        return Path(f"/proc/{pid}/ns/mnt").samefile("/proc/self/ns/mnt")
    except OSError:
        return False


def members(
    launch_id: str,
    server: ProcessRef | None,
    *,
    container: ProcessRef | None = None,
    keeper: int = 0,
    spare: Collection[int] = (),
) -> list[Process]:
    """Return the running processes of one launch (the rule: contract.launch_processes)."""
    return LaunchProcesses().find([LaunchRoots(launch_id, server, keeper, container)], spare)[launch_id]


def send(process: Process, number: signal.Signals) -> bool:
    """Signal exactly this process, never a later one with its pid; False if it has ended."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        now = read_process(process.pid)
        if now is None or now.start_time != process.start_time:
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)
    return True
