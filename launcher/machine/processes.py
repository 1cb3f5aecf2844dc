"""Which processes belong to a launch, and how they are ended.

A process belongs to a launch if it is the server, is in the server's session or process group, carries the launch's
tag in its environment, prints to the launch's FIFO, or descends from one that does. The keeper is a child subreaper,
so what the server leaves behind becomes its child and cannot get lost, whatever it did to its session, title and
environment.
"""

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tracetail.contract.record import START_TIME, ProcessRef, boot_id, process_stat
from tracetail.launcher.masking import mask_flags

TAG = "TRACETAIL_LAUNCH_ID"
KEEPER_TAG = "TRACETAIL_KEEPER"
"""Marks a keeper and its helpers: no launch ends another launch's keeper."""

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
"""How many a second: start times are counted in them."""

_PR_SET_CHILD_SUBREAPER = 36


class Process(NamedTuple):
    """One row of the process table (proc(5), stat)."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    start_time: int

    def ref(self) -> ProcessRef:
        """Return what the record keeps of it."""
        return {"pid": self.pid, "startTime": self.start_time, "bootId": boot_id()}


def become_subreaper() -> None:
    """Become the parent of every descendant that loses its own (prctl(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "PR_SET_CHILD_SUBREAPER")


def read(pid: int) -> Process | None:
    """Return one process, None if there is none."""
    stat = process_stat(pid)
    if stat is None:
        return None
    return Process(pid, stat[0].decode(), int(stat[1]), int(stat[2]), int(stat[3]), int(stat[START_TIME]))


def table() -> dict[int, Process]:
    """Return every process that runs (zombies do not)."""
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  (a path object per process costs more than the scan)
        if name.isdigit() and (process := read(int(name))) is not None and process.state not in "ZX":
            found[process.pid] = process
    return found


def environment_value(pid: int, name: str) -> str | None:
    """Return a variable of a process's environment as it was at its start; None if absent or not to be read."""
    try:
        data = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    wanted = name.encode() + b"="
    for pair in data.split(b"\0"):
        if pair.startswith(wanted):
            return pair[len(wanted) :].decode(errors="replace")
    return None


def command_line(pid: int) -> str:
    """Return a process's command line as text, secrets masked; its name in brackets if it shows none."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").split("\0")
        text = " ".join(mask_flags(words))
        return text or "[" + Path(f"/proc/{pid}/comm").read_text(errors="replace").strip() + "]"
    except OSError:
        return "?"


def same_file_system_view(pid: int) -> bool:
    """Say whether a process is in our mount namespace: one in a container is not. False if that cannot be seen."""
    try:
        return Path(f"/proc/{pid}/ns/mnt").samefile("/proc/self/ns/mnt")
    except OSError:
        return False


def members(
    launch_id: str, server: ProcessRef | None, *, keeper: int = 0, spare: Iterable[int] = ()
) -> list[Process]:
    """Return the processes of a launch that run now.

    Args:
        launch_id: the launch, as in the tag.
        server: its server, dead or alive; None if it never started.
        keeper: the launch's keeper: what descends from it belongs to the launch. 0: nothing does.
        spare: pids that are never members (the keeper's own helpers).

    """
    processes = table()
    spared = {os.getpid(), keeper, *spare}
    same_boot = server is not None and server["bootId"] == boot_id()
    server_pid = server["pid"] if server is not None and same_boot else -1
    leader = processes.get(server_pid)
    if leader is not None and server is not None and leader.start_time != server["startTime"]:
        server_pid = -1  # the pid belongs to somebody else now, and so do its session and group
    found: set[int] = set()
    for process in processes.values():
        if process.pid in spared:
            continue
        in_session = server_pid in (process.pid, process.session, process.group)
        if (
            (in_session and not _is_keeper(process.pid))
            or environment_value(process.pid, TAG) == launch_id
            or _prints_to(process.pid, f"/launches/{launch_id}/output")
        ):
            found.add(process.pid)
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    queue = [*found, *([keeper] if keeper else [])]
    while queue:
        for child in children.get(queue.pop(), ()):
            if child not in found and child not in spared and not _is_keeper(child):
                found.add(child)
                queue.append(child)
    return [processes[pid] for pid in sorted(found)]


def _prints_to(pid: int, fifo: str) -> bool:
    """Say whether a process's stdout or stderr is a launch's FIFO: it may have shed all other signs of its origin."""
    for descriptor in (1, 2):
        try:
            if os.readlink(f"/proc/{pid}/fd/{descriptor}").endswith(fifo):  # noqa: PTH115  (one call per process)
                return True
        except OSError:
            return False
    return False


def _is_keeper(pid: int) -> bool:
    return environment_value(pid, KEEPER_TAG) is not None


def send(process: Process, number: signal.Signals) -> bool:
    """Signal exactly this process, never a later one with its pid; False if it is gone."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        now = read(process.pid)
        if now is None or now.start_time != process.start_time:
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)
    return True
