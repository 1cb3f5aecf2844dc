"""Watches what a server can run out of and its log need not say: memory, shared memory, disks, file descriptors.

A thread looks at the running processes again and again, since an ended one shows nothing; at the end, `facts()`
returns what explains it. It is a thread of its own: a directory on a dead network file system would block any other.
"""

import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracetail.contract.processes import Process
from tracetail.launcher.keeper import end_facts
from tracetail.launcher.keeper.end_facts import EndFact
from tracetail.launcher.machine import capacity, oom, processes

if TYPE_CHECKING:
    from tracetail.launcher.machine.capacity import FileSystem, OpenFiles

SAMPLE_SECONDS = 5.0
LAST_SAMPLE_SECONDS = 2.0
"""How long the last look at the disks may take."""

SMALL_SHARED_MEMORY = 64 * 1024 * 1024
"""What a container gets without --shm-size: a server that dies of SIGBUS there has written past its end."""


class Surroundings:
    """The machine around one launch."""

    def __init__(
        self,
        written: Sequence[Path],
        members: Callable[[], Collection[Process]],
        shared_memory: Path = capacity.SHARED_MEMORY,
    ) -> None:
        """Args: written: directories that the server writes to; members: returns the launch's running processes."""
        self._written = written
        self._members = members
        self._shared_memory = shared_memory
        self._since = time.monotonic()
        self._ended = threading.Event()
        self._machine_kills = oom.machine_kills()
        self._group: oom.MemoryGroup | None = None
        self._group_kills: int | None = None
        self._pids: set[int] = set()
        self._full: list[FileSystem] = []
        self._shared: FileSystem | None = None
        """At its fullest."""
        self._open_files: tuple[OpenFiles, str] | None = None
        """Of the process that had used them up in the last sample, and its command line."""

    def begin(self, server_pid: int) -> None:
        """Remember what the counters are as the server starts."""
        self._follow(server_pid)
        threading.Thread(target=self._sample_often, name="surroundings", daemon=True).start()

    def enter(self, container_pid: int) -> None:
        """Look at what the server's container has instead. container_pid: of its first process."""
        self._follow(container_pid)
        inside = Path(f"/proc/{container_pid}/root")
        if os.access(inside, os.X_OK):  # else it is another user's: the machine's own would mislead
            self._shared_memory = inside / self._shared_memory.relative_to("/")
            self._shared = None

    def _follow(self, pid: int) -> None:
        self._pids.add(pid)
        self._group = oom.MemoryGroup.of(pid)
        self._group_kills = self._group.kills() if self._group is not None else None

    def end(self) -> None:
        """End the samples, after a last one."""
        self._ended.set()
        last = threading.Thread(target=self.sample_space, daemon=True)
        last.start()
        last.join(LAST_SAMPLE_SECONDS)

    def _sample_often(self) -> None:
        while True:
            self.sample_processes()
            self.sample_space()
            if self._ended.wait(SAMPLE_SECONDS):
                return

    def sample_processes(self) -> None:
        """Look at the launch's processes."""
        found = self._members()
        used_up = None
        for process in found:
            self._pids.add(process.pid)
            now = capacity.open_files(process.pid)
            if now is not None and now.used_up:
                used_up = (now, processes.command_line(process.pid)[:120])
        if found:
            self._open_files = used_up

    def sample_space(self) -> None:
        """Look at the disks and at shared memory."""
        self._full = capacity.full_file_systems(self._written)
        shared = capacity.file_system(self._shared_memory)
        if shared is not None and (self._shared is None or shared.free < self._shared.free):
            self._shared = shared

    def open_files_fact(self) -> EndFact | None:
        """Return that a process had used up its file descriptors in the last sample."""
        if self._open_files is None:
            return None
        used, name = self._open_files
        return end_facts.file_descriptors_used_up(used.pid, name, used.limit)

    def facts(self, signal_name: str | None) -> list[EndFact]:
        """Return what explains the end of the server, the most certain first.

        signal_name: the signal that ended the server; None if none did.
        """
        found = [self._memory(signal_name), self._shared_memory_fact(signal_name), self.open_files_fact()]
        found += [end_facts.disk_full(str(disk.path), no_files=disk.free_files == 0) for disk in self._full]
        return sorted((fact for fact in found if fact is not None), key=lambda fact: not fact.certain)

    def _memory(self, signal_name: str | None) -> EndFact | None:
        group = self._group
        limit = group.limit_mib() if group is not None else None
        logged = oom.logged_kills(self._since - 1)
        path = group.path if group is not None else ""
        kills = [kill for kill in logged if kill.concerns(self._pids, path)]
        if kills:
            last = kills[-1]
            return end_facts.killed_for_memory(
                last.pid, last.name, last.resident_mib, limit, by_limit=last.by_limit, line=last.line
            )
        if group is not None and _risen(self._group_kills, group.kills()):
            return end_facts.killed_for_memory(None, "", None, limit, by_limit=limit is not None, line="")
        # Those that the kernel's log names were others'; it may not be readable, or have lost lines.
        unnamed = None if self._machine_kills is None else self._machine_kills + len(logged)
        if signal_name == "SIGKILL" and _risen(unnamed, oom.machine_kills()):
            unsure = end_facts.killed_for_memory(None, "", None, None, by_limit=False, line="")
            return unsure._replace(certain=False)
        return None

    def _shared_memory_fact(self, signal_name: str | None) -> EndFact | None:
        shared = self._shared
        if shared is None or not (shared.full or (signal_name == "SIGBUS" and shared.size <= SMALL_SHARED_MEMORY)):
            return None
        return end_facts.shared_memory_full(str(shared.path), shared.size >> 20)


def _risen(before: int | None, now: int | None) -> bool:
    return before is not None and now is not None and now > before
