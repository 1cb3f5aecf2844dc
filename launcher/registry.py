"""Finds the launches of this machine and their states; locks for operations on a service."""

import contextlib
import fcntl
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tracetail.contract import record
from tracetail.contract.identity import is_launch_id
from tracetail.contract.owned_files import user_name
from tracetail.contract.record import LaunchDir, Record
from tracetail.contract.safe_open import open_file
from tracetail.contract.state import existing_state_dirs, launches_dir, make_directory

CLAIMS_SECONDS = 60.0
"""How long a start waits for others that claim ports and devices."""
CLAIMS_POLL_SECONDS = 0.02
LIVE_STATES = frozenset({record.STARTING, record.READY, record.UNHEALTHY, record.STOPPING})


class BusyError(Exception):
    """Another operation holds a lock; `holder` is what it has written about itself."""

    def __init__(self, message: str, message_zh: str, holder: dict[str, Any]) -> None:
        super().__init__(message)
        self.holder = holder
        self.zh = (message_zh, "等它结束后重试")
        """Cause and hint in Chinese."""


class Launch(NamedTuple):
    """One launch and its current state."""

    dir: LaunchDir
    record: Record
    state: str
    """The effective state."""
    locked: bool | None
    """Its lock was held; None for a launch that has ended, whose lock was not looked at: a machine has thousands."""

    @property
    def kept(self) -> bool:
        """Whether its keeper is alive: for some seconds after the end of the launch, too."""
        if self.locked is not None:
            return self.locked
        try:
            return self.dir.lock_held()
        except PermissionError:
            return False

    @property
    def live(self) -> bool:
        """Whether something of it runs."""
        return self.state in LIVE_STATES


def read_launch(launch: LaunchDir) -> Launch:
    """Return a launch with its current state. Raises FileNotFoundError, record.RecordError."""
    found = launch.read()
    state = found["state"]
    if state in record.ENDED_STATES:
        return Launch(launch, found, state, None)
    kept = launch.lock_held()
    return Launch(
        launch, found, record.effective_state(state, kept=kept, server_alive=record.server_alive(found)), kept
    )


def launches(state_dir: Path, problem: Callable[[str], None] | None = None) -> Iterator[Launch]:
    """Yield the launches that can be read, newest first.

    Args:
        state_dir: the state directory.
        problem: called with an error message for each launch that is there and cannot be read.

    """
    root = launches_dir(state_dir)
    names = os.listdir(root) if root.is_dir() else []  # noqa: PTH208
    names = sorted(filter(is_launch_id, names), reverse=True)
    # An id begins with the second of its start; within a second the records say which was first.
    for _, of_one_second in itertools.groupby(names, key=lambda name: name.partition("-")[0]):
        found = [_read(LaunchDir(root / name)) for name in of_one_second]
        found.sort(key=_started_at, reverse=True)
        for launch in found:
            if isinstance(launch, Launch):
                yield launch
            elif launch and problem is not None:
                problem(launch)


def _read(launch: LaunchDir) -> Launch | str:
    """Return a launch, or why it cannot be read; "" for one that is being made, or removed, at this moment."""
    try:
        return read_launch(launch)
    except (record.RecordError, PermissionError) as error:
        return str(error)
    except KeyError as error:
        return f"{launch.record_path} is not a whole launch record: it has no {error}"
    except TypeError as error:
        return f"{launch.record_path} is not a launch record: {error}"
    except OSError:
        return ""


def _started_at(found: Launch | str) -> str:
    return str(found.record.get("startedAt", "")) if isinstance(found, Launch) else ""


def machine_launches(state_dir: Path) -> Iterator[Launch]:
    """Yield the launches of this machine that this user may read: of state_dir and of the other state directories."""
    for directory in dict.fromkeys((state_dir, *existing_state_dirs(os.environ))):
        with contextlib.suppress(PermissionError):
            yield from launches(directory)


def service_name(env: str, model_name: str, port: int | None, node_rank: int | None = None) -> str:
    """Return the name of a service: `test/qwen-7b:8000`, and of a follower that has a number `test/qwen-7b#1`."""
    if port is None and node_rank:
        return f"{env}/{model_name}#{node_rank}"
    return f"{env}/{model_name}" + ("" if port is None else f":{port}")


class Operation:
    """An operation on a service, whose lock is held; what it does is in the lock's file."""

    def __init__(self, descriptor: int, doing: dict[str, Any]) -> None:
        self._descriptor = descriptor
        self._doing = {**doing, "pid": os.getpid(), "since": time.time()}
        self.previous = _read_holder(descriptor)
        """What the holder before had written."""
        self.note()

    def note(self, **more: Any) -> None:
        """Write what the operation does, with these fields as well."""
        self._doing |= more
        if os.geteuid() == 0 != os.fstat(self._descriptor).st_uid:
            return  # root writes into no file of another user
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(self._doing).encode(), 0)


@contextlib.contextmanager
def operation_lock(state_dir: Path, service: str, doing: dict[str, Any]) -> Iterator[Operation]:
    """Hold the lock for starting or stopping a service. Raises BusyError at once if another process holds it.

    Args:
        state_dir: the state directory.
        service: the service's name.
        doing: what the holder writes about itself for those who find the lock held.

    """
    import hashlib  # noqa: PLC0415  (not for a list: it loads OpenSSL)

    name = hashlib.sha256(service.encode()).hexdigest()[:16]
    descriptor = _open_lock(state_dir, f"service-{name}.lock")
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read_holder(descriptor)
            who = f" (pid {holder['pid']}, {holder.get('action', '?')})" if "pid" in holder else ""
            locker = _locked_by(descriptor)
            if locker is not None and locker != holder.get("pid"):  # who locks it need not write, or not the truth
                who = f" (pid {locker}, user {_user_of(locker)})"
            zh = f"{service} 的另一个操作正在进行{who}"
            raise BusyError(f"another operation on {service} is running{who}", zh, holder) from None
        yield Operation(descriptor, doing)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def claims_lock(state_dir: Path) -> Iterator[None]:
    """Hold the lock for claiming ports and devices: between checking that they are free and claiming them.

    Raises BusyError if others hold it for CLAIMS_SECONDS: a start does so for a moment, but whoever may read the
    file can lock it.
    """
    descriptor = _open_lock(state_dir, "claims.lock")
    try:
        deadline = time.monotonic() + CLAIMS_SECONDS
        while not _locks(descriptor):
            if time.monotonic() >= deadline:
                locker = _locked_by(descriptor)
                who = "" if locker is None else f" (pid {locker}, user {_user_of(locker)})"
                path = state_dir / "locks" / "claims.lock"
                raise BusyError(
                    f"{path} has been locked for {CLAIMS_SECONDS:.0f} s{who}",
                    f"{path} 已被锁定 {CLAIMS_SECONDS:.0f} 秒{who}",
                    {},
                )
            time.sleep(CLAIMS_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locked_by(descriptor: int) -> int | None:
    """Return the pid of a process that holds a lock on an open file (/proc/locks, proc_locks(5)); None if unknown."""
    status = os.fstat(descriptor)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if "->" not in fields and fields[1] == "FLOCK" and fields[5] == place and int(fields[4]) > 0:
                return int(fields[4])
    return None


def _user_of(pid: int) -> str:
    try:
        return user_name(Path(f"/proc/{pid}").stat().st_uid)
    except OSError:
        return "?"


def _open_lock(state_dir: Path, name: str) -> int:
    path = state_dir / "locks" / name
    try:
        make_directory(state_dir)
        make_directory(path.parent)
        return open_file(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o660)
    except OSError as error:
        # A stop must work on a read-only disk: flock(2) needs no write permission.
        try:
            return open_file(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            raise error from None


def _read_holder(descriptor: int) -> dict[str, Any]:
    try:
        value = json.loads(os.pread(descriptor, 4096, 0))
    except (ValueError, RecursionError):  # anybody of the group can write it
        return {}
    return value if isinstance(value, dict) else {}
