"""What the kernel's OOM killer did: its counters, of a control group and the machine, and its lines in /dev/kmsg."""

import contextlib
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

CGROUP_ROOT = Path("/sys/fs/cgroup")
_RECORD_MAX_BYTES = 8192
# Compiled by their first use, which re keeps: few launches end so.
_KILLED = (
    r"(?:(?P<limit>Memory cgroup )?[Oo]ut of memory[^:]{0,40}: )?Killed process (?P<pid>\d+) \((?P<name>.{0,16}?)\)"
    r"(?:, UID \d+)?,? total-vm:(?:.*? anon-rss:(?P<anon>\d+)kB)?"
)
"""mm/oom_kill.c, __oom_kill_process(), of Linux 3.10 to today."""
_LIMIT_REACHED = r"Memory cgroup out of memory: Kill process (?P<pid>\d+) "
"""The line before it, until Linux 4.20."""
_CONSTRAINT = r"oom-kill:.*,task_memcg=(?P<group>[^,]*),task=.*,pid=(?P<pid>\d+),"
"""mm/oom_kill.c, dump_oom_victim(): the line before it, since Linux 5.0."""


class Kill(NamedTuple):
    """A process that the OOM killer ended."""

    pid: int
    name: str
    resident_mib: int | None
    """Anonymous memory that it held."""
    by_limit: bool
    """A control group's limit was reached, not the end of the machine's memory."""
    group: str
    """Its memory control group; "" if the kernel does not say."""
    line: str

    def concerns(self, pids: Collection[int], group: str) -> bool:
        """Return whether it ended one of these processes, or one of this memory control group; "" or "/" is none."""
        return self.pid in pids or (len(group) > 1 and self.group == group)


class MemoryGroup(NamedTuple):
    """The memory control group of a process."""

    path: str
    """As in /proc/<pid>/cgroup."""
    directory: Path

    @classmethod
    def of(cls, pid: int, root: Path = CGROUP_ROOT, proc: Path = Path("/proc")) -> "MemoryGroup | None":
        """Return the memory control group of a process (v1 or v2); None if its files are not there."""
        try:
            lines = (proc / str(pid) / "cgroup").read_text().splitlines()
        except OSError:
            return None
        for line in lines:
            _, controllers, path = line.split(":", 2)
            mount = root / "memory" if "memory" in controllers.split(",") else root if not controllers else None
            if mount is None:
                continue
            # The controller may be enabled for a parent only. In a container, v1 shows paths of the host: its group
            # is then the mount itself, the last of the parents.
            own = mount / path.lstrip("/")
            for directory in [own, *(parent for parent in own.parents if parent.is_relative_to(mount))]:
                if any((directory / name).exists() for name in ("memory.events", "memory.oom_control")):
                    return cls(path, directory)
        return None

    def kills(self) -> int | None:
        """Return how many processes of the group the OOM killer has ended since it was made; None if unknown."""
        for name in ("memory.events", "memory.oom_control"):  # v2; v1 since Linux 4.13
            found = _counter(self.directory / name, "oom_kill")
            if found is not None:
                return found
        return None

    def limit_mib(self) -> int | None:
        """Return the group's limit in MiB; None if it has none."""
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):
                limit = int((self.directory / name).read_text())
                return limit >> 20 if limit < 1 << 62 else None
        return None


def machine_kills() -> int | None:
    """Return how many processes the OOM killer has ended since the machine started; None if unknown."""
    return _counter(Path("/proc/vmstat"), "oom_kill")


def logged_kills(since: float, records: Iterator[str] | None = None) -> list[Kill]:
    """Return the kills in the kernel's log.

    Args:
        since: seconds of the monotonic clock.
        records: of /dev/kmsg (Documentation/ABI/testing/dev-kmsg); None to read it.

    """
    found = []
    group_of: dict[int, str] = {}
    limited: set[int] = set()
    for record in _kmsg() if records is None else records:
        head, _, text = record.partition(";")
        fields = head.split(",")
        if len(fields) < 3 or not fields[2].isdigit() or int(fields[2]) / 1e6 < since:
            continue
        constraint = re.match(_CONSTRAINT, text)
        if constraint is not None:
            group_of[int(constraint["pid"])] = constraint["group"]
        limit_reached = re.match(_LIMIT_REACHED, text)
        if limit_reached is not None:
            limited.add(int(limit_reached["pid"]))
        killed = re.match(_KILLED, text)
        if killed is not None:
            pid = int(killed["pid"])
            size = int(killed["anon"]) >> 10 if killed["anon"] else None
            by_limit = killed["limit"] is not None or pid in limited
            found.append(Kill(pid, killed["name"], size, by_limit, group_of.get(pid, ""), text.split("\n")[0]))
    return found


def _kmsg() -> Iterator[str]:
    """Yield the records of the kernel's log; none where it may not be read."""
    try:
        descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        while True:
            try:
                yield os.read(descriptor, _RECORD_MAX_BYTES).decode(errors="replace")
            except BrokenPipeError:  # records were overwritten: the next read goes on after them
                continue
            except OSError:
                return
    finally:
        os.close(descriptor)


def _counter(path: Path, name: str) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return None
