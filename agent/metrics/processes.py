"""CPU time, memory, threads and open files of a launch's processes."""

import os
from collections.abc import Collection
from typing import NamedTuple


class Usage(NamedTuple):
    """The resources that a launch's processes use together."""

    pids: frozenset[int]
    cpu_seconds: float
    """User and system time, of reaped children too."""
    resident_bytes: int
    """The sum of the resident sets: memory that processes share counts for each of them."""
    threads: int
    open_files: int | None
    """None if the agent may not read this of any of them."""


def usage(pids: Collection[int]) -> Usage:
    """Return what these processes use; those that have ended or may not be read are left out."""
    import psutil  # noqa: PLC0415  (a machine without launches, or whose metrics nobody asks for, needs none)

    counted = set()
    cpu = 0.0
    resident = threads = 0
    open_files: int | None = None
    for pid in pids:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                times = process.cpu_times()
                memory = process.memory_info().rss
                thread_count = process.num_threads()
        except psutil.Error:
            continue
        counted.add(pid)
        cpu += times.user + times.system + times.children_user + times.children_system
        resident += memory
        threads += thread_count
        try:
            open_files = (open_files or 0) + len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208  (names suffice)
        except OSError:
            continue
    return Usage(frozenset(counted), cpu, resident, threads, open_files)
