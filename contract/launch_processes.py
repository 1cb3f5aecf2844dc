"""The rule that assigns processes to launches: for a stop, which ends them, and for metrics, which measure them.

A process belongs to a launch if it
- is the launch's server, or is in the server's session or process group,
- carries the launch's tag in its environment (TRACETAIL_LAUNCH_ID),
- has the launch's FIFO as stdout or stderr,
- is the first process of the launch's container,
- or descends from such a process, or from the launch's keeper.
The keeper and the children that work for it do not belong to the launch. A keeper is a child subreaper, so what the
server leaves behind becomes the keeper's child, whatever it did to its session, title and environment.
"""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from tracetail.contract.process_tag import KEEPER_TAG, LAUNCH_TAG
from tracetail.contract.processes import Process, ProcessRef, boot_id, read_environ, running_processes

_LAUNCH_TAG = LAUNCH_TAG.encode()
_KEEPER_TAG = KEEPER_TAG.encode()
_FIFO = re.compile(r"/launches/([^/]+)/output$")


class LaunchRoots(NamedTuple):
    """What the record of a launch says about its processes."""

    launch_id: str
    server: ProcessRef | None
    """Dead or alive; None if it never started."""
    keeper: int = 0
    """The pid of its keeper; 0 if there is none."""
    container: ProcessRef | None = None
    """The first process of its container: no descendant of the keeper, and often of another user."""


class _Tags(NamedTuple):
    """What the environment of a process says."""

    environ_start: int
    """Of the process when its environment was read; it differs after an execve(2)."""
    launch_id: str
    is_keeper: bool


class LaunchProcesses:
    """Assigns the processes of this machine to launches; remembers the environments that it has read."""

    def __init__(self) -> None:
        self._tags: dict[tuple[int, int], _Tags] = {}
        """By pid and start time."""

    def find(self, launches: Iterable[LaunchRoots], spare: Collection[int] = ()) -> dict[str, list[Process]]:
        """Return the running processes of each launch, by launchId, in the order of their pids.

        Reads the process table once for all launches. A process may belong to several launches, if one was started
        from within another.

        Args:
            launches: the launches to look for.
            spare: pids that belong to no launch. The calling process never does.

        """
        processes = running_processes()
        self._forget_ended(processes)
        index = _Index(processes, {pid: self._tags_of(process) for pid, process in processes.items()})
        spared = {os.getpid(), *spare}
        return {
            launch.launch_id: [processes[pid] for pid in sorted(index.members(launch, spared | {launch.keeper}))]
            for launch in launches
        }

    def _tags_of(self, process: Process) -> _Tags:
        key = (process.pid, process.start_time)
        tags = self._tags.get(key)
        if tags is None or tags.environ_start != process.environ_start:
            environ = read_environ(process.pid)
            launch_id = environ.get(_LAUNCH_TAG, b"").decode(errors="replace")
            tags = self._tags[key] = _Tags(process.environ_start, launch_id, _KEEPER_TAG in environ)
        return tags

    def _forget_ended(self, running: Mapping[int, Process]) -> None:
        keys = {(process.pid, process.start_time) for process in running.values()}
        self._tags = {key: tags for key, tags in self._tags.items() if key in keys}


class _Index:
    """The process table, indexed by what makes a process belong to a launch."""

    def __init__(self, processes: Mapping[int, Process], tags: Mapping[int, _Tags]) -> None:
        self._processes = processes
        self._tags = tags
        self._by_launch_id: defaultdict[str, set[int]] = defaultdict(set)
        """By the launchId of the tag or of the FIFO."""
        self._by_leader: defaultdict[int, set[int]] = defaultdict(set)
        """By the pid of the process itself, and of the leaders of its session and its process group."""
        self._children: defaultdict[int, list[int]] = defaultdict(list)
        for pid, process in processes.items():
            self._by_launch_id[tags[pid].launch_id].add(pid)
            self._by_launch_id[_fifo_of(pid)].add(pid)
            for leader in (pid, process.session, process.group):
                self._by_leader[leader].add(pid)
            self._children[process.parent].append(pid)

    def members(self, launch: LaunchRoots, spared: Collection[int]) -> set[int]:
        """Return the pids of a launch's processes."""
        server_pid = _server_pid(launch.server, self._processes)
        in_session = {pid for pid in self._by_leader[server_pid] if not self._tags[pid].is_keeper}
        found = (in_session | self._by_launch_id[launch.launch_id]).difference(spared)
        found |= self._running(launch.container)
        queue = [*found, *([launch.keeper] if launch.keeper else [])]
        while queue:
            for child in self._children[queue.pop()]:
                if child not in found and child not in spared and not self._tags[child].is_keeper:
                    found.add(child)
                    queue.append(child)
        return found

    def _running(self, ref: ProcessRef | None) -> set[int]:
        """Return the pid of a process as a set; the empty set if it has ended."""
        process = None if ref is None or ref["bootId"] != boot_id() else self._processes.get(ref["pid"])
        return {process.pid} if process is not None and ref and process.start_time == ref["startTime"] else set()


def _server_pid(server: ProcessRef | None, processes: Mapping[int, Process]) -> int:
    """Return the pid by which the server's session and group are found; -1 if there is none.

    The session and group of a server that has ended still have its pid, unless a later process has got that pid.
    """
    if server is None or server["bootId"] != boot_id():
        return -1
    process = processes.get(server["pid"])
    return -1 if process is not None and process.start_time != server["startTime"] else server["pid"]


def _fifo_of(pid: int) -> str:
    """Return the launchId of the FIFO that is a process's stdout or stderr; "" if neither is one."""
    for descriptor in (1, 2):
        try:
            match = _FIFO.search(os.readlink(f"/proc/{pid}/fd/{descriptor}"))  # noqa: PTH115  (one call per process)
        except OSError:
            return ""
        if match is not None:
            return match[1]
    return ""
