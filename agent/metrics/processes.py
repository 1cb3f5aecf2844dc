"""Which processes of this machine belong to which launch, and what they use.

A process belongs to the launch whose tag (TRACETAIL_LAUNCH_ID) stands in its environment, or whose server or keeper
is among its ancestors. The tag finds what was orphaned when the server was killed; the ancestors find what another
user's environment hides.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

TAG = b"TRACETAIL_LAUNCH_ID="


class Roots(NamedTuple):
    """The two processes of a launch that its record names; None for one that is gone."""

    keeper: int | None
    server: int | None


class Usage(NamedTuple):
    """What a launch's processes use together."""

    pids: frozenset[int]
    cpu_seconds: float
    """User and system time, of reaped children too."""
    resident_bytes: int
    """The sum of the resident sets: memory that processes share counts for each of them."""
    threads: int
    open_files: int | None
    """None if the agent may not look into any of them."""


class ProcessTable:
    """Assigns the processes of this machine to launches. Reads a process's environment only once."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._tags: dict[psutil.Process, str] = {}

    def by_launch(self, roots: Mapping[str, Roots]) -> dict[str, list[psutil.Process]]:
        """Return the live processes of each of these launches, given by launchId."""
        processes = {process.pid: process for process in psutil.process_iter(["ppid"])}
        self._forget_all_but(processes.values())
        owners = {pid: launch for launch, of in roots.items() for pid in of if pid is not None}
        keepers = {of.keeper for of in roots.values()}
        found: dict[str, list[psutil.Process]] = {launch: [] for launch in roots}
        for pid, process in processes.items():
            if pid in keepers:
                continue
            tag = self._tag(process)
            launch = tag if tag in roots else _owner(pid, processes, owners)
            if launch is not None:
                found[launch].append(process)
        return found

    def _tag(self, process: psutil.Process) -> str:
        known = self._tags.get(process)
        if known is not None:
            return known
        try:
            environ = (self._proc / str(process.pid) / "environ").read_bytes()
        except (OSError, ValueError):
            environ = b""
        tag = next((entry[len(TAG) :] for entry in environ.split(b"\0") if entry.startswith(TAG)), b"")
        self._tags[process] = text = tag.decode(errors="replace")
        return text

    def _forget_all_but(self, alive: Iterable[psutil.Process]) -> None:
        keep = set(alive)
        self._tags = {process: tag for process, tag in self._tags.items() if process in keep}


def _owner(pid: int, processes: Mapping[int, psutil.Process], owners: Mapping[int, str]) -> str | None:
    """Return the launch of the nearest ancestor that is a root, or of the process itself."""
    seen = set()
    while pid in processes and pid not in seen:
        if pid in owners:
            return owners[pid]
        seen.add(pid)
        pid = processes[pid].info["ppid"]
    return None


def usage(processes: list[psutil.Process]) -> Usage:
    """Add up what these processes use. Those that end meanwhile, or may not be looked into, are left out."""
    pids = set()
    cpu = 0.0
    resident = threads = 0
    open_files: int | None = None
    for process in processes:
        try:
            with process.oneshot():
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                times = process.cpu_times()
                memory = process.memory_info().rss
                thread_count = process.num_threads()
        except psutil.Error:
            continue
        pids.add(process.pid)
        cpu += times.user + times.system + times.children_user + times.children_system
        resident += memory
        threads += thread_count
        try:
            open_files = (open_files or 0) + len(os.listdir(f"/proc/{process.pid}/fd"))  # noqa: PTH208 (names suffice)
        except OSError:
            continue
    return Usage(frozenset(pids), cpu, resident, threads, open_files)
