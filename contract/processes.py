"""The process table of this machine, read from /proc: the standard library only."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypedDict

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
"""Clock ticks per second, the unit of start times."""

_PROC = "/proc"
# Indices into what _stat_fields returns: proc_pid_stat(5) counts from 1, and the list starts with field 3.
_STATE, _PARENT, _GROUP, _SESSION, _START_TIME, _ENVIRON_START, _EXIT_CODE = 0, 1, 2, 3, 19, 47, 49
_ARGUMENTS_MAX = 6 << 20
"""Bytes that arguments and environment have together at most (execve(2): three quarters of _STK_LIM)."""
_COMMAND_LINE_MAX = 128 << 10
"""Of a command line, which people read: as long as one argument may be."""
_READ_BYTES = 64 << 10
_ENTRY = re.compile(rb"[^\0]+")
_ENDED_STATES = frozenset({"Z", "X"})


class ProcessRef(TypedDict):
    """A reference to a process that never matches a later process with the same pid."""

    pid: int
    startTime: int
    """Clock ticks after boot: field 22 of /proc/<pid>/stat."""
    bootId: str
    """/proc/sys/kernel/random/boot_id."""


class Process(NamedTuple):
    """One process: fields of /proc/<pid>/stat (proc_pid_stat(5))."""

    pid: int
    state: str
    """One letter; Z and X are processes that have ended."""
    parent: int
    group: int
    session: int
    start_time: int
    """Clock ticks after boot."""
    environ_start: int
    """Address of the initial environment: it changes with each execve(2). 0 without permission to read it."""

    @property
    def running(self) -> bool:
        """Return whether the process has not ended (a zombie has)."""
        return self.state not in _ENDED_STATES


def boot_id() -> str:
    """Return the id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def read_process(pid: int) -> Process | None:
    """Return the process with this pid, zombies included; None if there is none."""
    fields = _stat_fields(pid)
    if fields is None:
        return None
    return Process(
        pid,
        fields[_STATE].decode(),
        int(fields[_PARENT]),
        int(fields[_GROUP]),
        int(fields[_SESSION]),
        int(fields[_START_TIME]),
        int(fields[_ENVIRON_START]),
    )


def running_processes() -> dict[int, Process]:
    """Return all running processes by pid; zombies are left out."""
    found = {}
    for name in os.listdir(_PROC):  # noqa: PTH208  (a path object per process costs more than the scan)
        if name.isdigit() and (process := read_process(int(name))) is not None and process.running:
            found[process.pid] = process
    return found


def process_ref(pid: int) -> ProcessRef | None:
    """Return a reference to the process with this pid; None if there is none."""
    process = read_process(pid)
    return None if process is None else {"pid": pid, "startTime": process.start_time, "bootId": boot_id()}


def is_alive(ref: ProcessRef) -> bool:
    """Return whether the referenced process still runs (a zombie does not)."""
    process = read_process(ref["pid"])
    if process is None or not process.running:
        return False
    return process.start_time == ref["startTime"] and boot_id() == ref["bootId"]


def zombie_wait_status(ref: ProcessRef) -> int | None:
    """Return the status, as waitpid(2) gives it, of a process that has ended and is not reaped; None otherwise.

    The kernel shows it to processes of the same user (proc_pid_stat(5)); others read 0, which means nothing.
    """
    fields = _stat_fields(ref["pid"])
    if fields is None or int(fields[_START_TIME]) != ref["startTime"] or fields[_STATE].decode() not in _ENDED_STATES:
        return None
    return int(fields[_EXIT_CODE]) if os.geteuid() in (0, _owner(ref["pid"])) else None


def _owner(pid: int) -> int:
    """Return the uid of a process; -1 if it is gone."""
    try:
        return os.stat(f"{_PROC}/{pid}").st_uid  # noqa: PTH116
    except OSError:
        return -1


def read_environ(pid: int) -> Mapping[bytes, bytes]:
    """Return a process's environment as it was at its start; empty if it is gone or may not be read."""
    try:
        data = _read_memory(pid, "environ", _ARGUMENTS_MAX)
    except OSError:
        return {}
    entries = (entry[0].partition(b"=") for entry in _ENTRY.finditer(data))
    return {name: value for name, equals, value in entries if equals}


def read_command_line(pid: int) -> bytes:
    """Return a process's arguments, NUL behind each, at most 128 KiB; empty for a thread of the kernel.

    Raises OSError if it is gone.
    """
    return _read_memory(pid, "cmdline", _COMMAND_LINE_MAX)


def _read_memory(pid: int, name: str, limit: int) -> bytes:
    """Return the beginning of a file of /proc that shows memory of a process. Raises OSError.

    The process chooses what memory that is (prctl(2), PR_SET_MM_MAP, needs no privilege): gigabytes of zeros, say.
    """
    parts = []
    with open(f"{_PROC}/{pid}/{name}", "rb", buffering=0) as file:  # noqa: PTH123  (cheaper than a path, once per process)
        while limit > 0 and (data := file.read(min(limit, _READ_BYTES))):
            parts.append(data)
            limit -= len(data)
    return b"".join(parts)


def _stat_fields(pid: int) -> list[bytes] | None:
    """Return the fields of /proc/<pid>/stat from the third, the state, on; None if there is no such process.

    The second field, the name in parentheses, may contain blanks and parentheses.
    """
    try:
        with open(f"{_PROC}/{pid}/stat", "rb") as file:  # noqa: PTH123  (cheaper than a path, once per process)
            data = file.read()
    except OSError:
        return None
    return data[data.rindex(b")") + 2 :].split()
