"""Finds the process that holds a port: a listener, or a server that has bound the port and does not listen yet.

vLLM binds its port minutes before it listens. Meanwhile a connect is refused and a bind with SO_REUSEADDR succeeds,
so only a bind without it shows that the port is held; but that also fails for a port that is only in TIME_WAIT. A
connection in TIME_WAIT has one local address, a server all of them or the given one: so the two are distinguished.
"""

import contextlib
import errno
import os
import socket
import time
from typing import NamedTuple

from tracetail.contract.processes import CLOCK_TICKS, read_process, running_processes
from tracetail.contract.tcp_sockets import LISTEN, TIME_WAIT, sockets
from tracetail.launcher.machine import processes

_SYS_PIDFD_GETFD = 438


class Holder(NamedTuple):
    """The process that holds a port."""

    port: int
    pid: int | None
    """None if it belongs to a user whose processes we may not read."""
    command: str
    seconds: float | None
    """Seconds since the process started; None if unknown."""
    listening: bool

    def describe(self) -> str:
        """Return `port 8000 is held by pid 812 (python -m http.server), for 3 h`."""
        how = "" if self.listening else ", which has bound it and does not listen yet"
        if self.pid is None:
            return f"port {self.port} is held by a process of another user{how}"
        command = self.command if len(self.command) <= 120 else self.command[:120] + "…"
        since = "" if self.seconds is None else f", for {duration(self.seconds)}"
        return f"port {self.port} is held by pid {self.pid} ({command}){since}{how}"

    def describe_zh(self) -> str:
        """Return what describe() says in Chinese."""
        how = "" if self.listening else "，它已绑定端口但尚未监听"
        if self.pid is None:
            return f"端口 {self.port} 被其他用户的进程占用{how}"
        command = self.command if len(self.command) <= 120 else self.command[:120] + "…"
        since = "" if self.seconds is None else f"，已运行 {duration(self.seconds)}"
        return f"端口 {self.port} 被进程 {self.pid}（{command}）占用{since}{how}"


def duration(seconds: float) -> str:
    """Return a duration in its largest unit: `40 s`, `12 min`, `3 h`, `5 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def holder(port: int, host: str = "") -> Holder | None:
    """Return the process that holds a port at this address ("" for any); None if a server can bind it."""
    rows = sockets(port)
    for row in rows:
        if row.state == LISTEN and _conflicts(row.local[0], host):
            return _describe(port, row.inode, listening=True)
    if not _bind_fails(_wildcard(host), port):
        return None
    if any(row.state != TIME_WAIT and _conflicts(row.local[0], host) for row in rows):
        row = next(row for row in rows if row.state != TIME_WAIT and _conflicts(row.local[0], host))
        return _describe(port, row.inode, listening=False)
    resting = {row.local[0] for row in rows}
    if _bind_fails(_unused_loopback(resting), port):
        return _bound(port)
    for address in {host, "127.0.0.1"} - resting - {"", "0.0.0.0", "::"}:  # noqa: S104
        if _conflicts(address, host) and _bind_fails(address, port):
            return _bound(port)
    return None


def _wildcard(host: str) -> str:
    return host or "0.0.0.0"  # noqa: S104  (a probe: nothing listens on it)


def _unused_loopback(used: set[str]) -> str:
    while True:
        address = "127." + ".".join(str(byte % 254 + 1) for byte in os.urandom(3))
        if address not in used:
            return address


def _conflicts(address: str, host: str) -> bool:
    """Return whether a socket at address prevents a server from binding host."""
    wildcards = ("", "0.0.0.0", "::")  # noqa: S104
    return host in wildcards or address in wildcards or address == host


def _bind_fails(host: str, port: int) -> bool:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(address)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _describe(port: int, inode: str, *, listening: bool) -> Holder:
    for pid in running_processes():
        if inode in _socket_inodes(pid):
            return _of_process(port, pid, listening=listening)
    return Holder(port, None, "", None, listening)


def _of_process(port: int, pid: int, *, listening: bool) -> Holder:
    process = read_process(pid)
    seconds = None
    if process is not None:
        seconds = max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - process.start_time / CLOCK_TICKS)
    return Holder(port, pid, processes.command_line(pid), seconds, listening)


def _bound(port: int) -> Holder:
    """Return the process that has bound a port without listening: no file lists such sockets, so each is examined."""
    for pid in running_processes():
        if _has_bound(pid, port):
            return _of_process(port, pid, listening=False)
    return Holder(port, None, "", None, listening=False)


def _socket_inodes(pid: int) -> dict[str, int]:
    """Return inode → descriptor of a process's sockets; empty if we may not read them."""
    found = {}
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(entry.path)  # noqa: PTH115
                if target.startswith("socket:["):
                    found[target[8:-1]] = int(entry.name)
    return found


def _has_bound(pid: int, port: int) -> bool:
    sockets = _socket_inodes(pid)
    if not sockets:
        return False
    import ctypes  # noqa: PLC0415  (only for a port in use)

    libc = ctypes.CDLL(None, use_errno=True)
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        for descriptor in sockets.values():
            copy = libc.syscall(_SYS_PIDFD_GETFD, process, descriptor, 0)
            if copy < 0:
                continue
            with socket.socket(fileno=copy) as borrowed, contextlib.suppress(OSError):
                if borrowed.family in (socket.AF_INET, socket.AF_INET6) and borrowed.type == socket.SOCK_STREAM:
                    name = borrowed.getsockname()
                    connected = True
                    try:
                        borrowed.getpeername()
                    except OSError:
                        connected = False
                    if name[1] == port and not connected:
                        return True
    finally:
        os.close(process)
    return False
