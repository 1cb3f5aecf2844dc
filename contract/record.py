"""The record of a launch, its lock, and the state that follows from both.

    <stateDir>/launches/<launchId>/
        record.json    the record (schema 1)
        lock           held by the keeper for its life; else by the process that repairs the launch
        output         the FIFO that is the server's stdout and stderr
        outbox/        callbacks that are not delivered yet
        shipped.json   written by the agent: how much of the log Loki has acknowledged

What belongs to somebody else than the directory counts as not there (contract.owned_files).
Only the holder of the lock writes record.json. The lock is an open file description lock
(fcntl(2), F_OFD_SETLK): the kernel releases it when its holder ends, and F_OFD_GETLK reads it without taking it.
"""

import errno
import fcntl
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, cast, get_args, get_origin, is_typeddict

from tracetail.contract.identity import is_id
from tracetail.contract.owned_files import is_ours, open_owned, owner_of, read_with_owner, replace_file
from tracetail.contract.processes import ProcessRef, is_alive

SCHEMA = 1
_RECORD = "record.json"
_RECORD_MAX_BYTES = 16 * 1024 * 1024
"""Of a record that is read, which may be another user's: a real one has some kilobytes."""
_LOCK = "lock"

STARTING = "starting"
READY = "ready"
UNHEALTHY = "unhealthy"
"""It was ready, runs, and no longer answers; it may become ready again."""
STOPPING = "stopping"
FAILED = "failed"
STOPPED = "stopped"
CRASHED = "crashed"
ENDED_STATES = frozenset({FAILED, STOPPED, CRASHED})

# struct flock of fcntl(2): l_type, l_whence, l_start, l_len, l_pid (must be 0 for these locks)
_FLOCK = struct.Struct("hhqqi4x")
_WHOLE_FILE_EXCLUSIVE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)

# The value of these constants is the same on every Linux architecture; Python names them from 3.9 on.
_SETLK = fcntl.F_OFD_SETLK
_GETLK = fcntl.F_OFD_GETLK


class RecordError(Exception):
    """A record cannot be read; the message names the file and the reason."""


class RecordTooNewError(RecordError):
    """A record was written by a newer tracetail."""


class Phase(TypedDict):
    """One step of the start: seconds from the end of the step before to the end of this one."""

    name: str
    seconds: float


class ContainerExit(TypedDict, total=False):
    """How the container of a launch ended, as its runtime says."""

    exitCode: int
    oomKilled: bool
    """Its memory limit was reached, and the kernel ended a process of it."""
    error: str
    """Why the runtime could not start it."""
    imageDigest: str


class ContainerRecord(TypedDict, total=False):
    """The container in which the server of a launch runs."""

    runtime: str
    """`docker` or `podman`."""
    name: str
    id: str
    image: str
    """As the parameters name it."""
    imageDigest: str
    """The repository's digest of it; the image's id if it has none."""
    init: ProcessRef
    """Its first process: all others descend from it. Present once it runs."""
    problem: str
    """Why the runtime does not answer, while it does not: the container may still run."""


class Exit(TypedDict, total=False):
    """How the server ended, and why, as far as that is known."""

    code: int | None
    signal: str | None
    exitStatus: int
    """The exit status of `tracetail start`, for a start that failed."""
    cause: str
    hint: str
    causeCode: str
    """Stable code of the cause: docs/causes.md."""
    causeKind: str
    """`known`, or `unrecognised`: cause is then a line of the log."""
    causeZh: str
    hintZh: str
    """cause and hint in Chinese."""
    evidence: list[str]
    container: ContainerExit


class Health(TypedDict, total=False):
    """Why a server that was ready is unhealthy."""

    cause: str
    hint: str
    causeZh: str
    hintZh: str
    since: str
    """When that was found."""


class Sender(TypedDict):
    """The process that asked for a stop."""

    user: str
    pid: int
    command: str
    """Its command line, secrets masked; `?` if it had ended already."""


class Record(TypedDict, total=False):
    """The record of a launch. Times are RFC 3339 with offset; a field that is not known yet is absent."""

    schema: int
    launchId: str
    traceId: str
    instanceId: str
    jobId: str
    service: str
    env: str
    modelName: str
    servedName: str
    engine: str
    host: str
    port: int | None
    devices: list[str]
    nodes: int
    """How many machines serve the model together."""
    nodeRank: int
    """The number of this one among them, from 0."""
    role: str
    """`leader` or `follower` of several machines."""
    argv: list[str]
    logFile: str
    segments: list[str]
    keeper: ProcessRef
    server: ProcessRef
    """The process that the keeper started: the server, or the client of the container runtime."""
    container: ContainerRecord
    url: str
    """The base URL of the ready server."""
    state: str
    phases: list[Phase]
    startedAt: str
    readyAt: str
    endedAt: str
    stoppedBy: Sender
    health: Health
    """Present while the state is `unhealthy`."""
    exit: Exit


def _fits(kind: Any) -> Callable[[Any], bool]:
    """Return what checks whether a value is of a type, made once: a list reads thousands of records."""
    if is_typeddict(kind):
        required: frozenset[str] = kind.__required_keys__
        members = {name: _fits(one) for name, one in kind.__annotations__.items()}
        return lambda value: (
            isinstance(value, dict)
            and required <= value.keys()
            and all(fits(value[name]) for name, fits in members.items() if name in value)
        )
    if get_origin(kind) is list:
        fits_item = _fits(get_args(kind)[0])
        return lambda value: isinstance(value, list) and all(map(fits_item, value))
    types = (int, float) if kind is float else kind  # isinstance takes `int | None`, too
    return lambda value: isinstance(value, types)


_FITS = {name: _fits(kind) for name, kind in Record.__annotations__.items()}
"""By field. Whoever shares the state directory could otherwise stop everybody's commands by a record of his own."""


def _is_text(record: dict[str, Any]) -> bool:
    """Return whether a record can be printed: JSON can name halves of characters (surrogates)."""
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


class LaunchDir:
    """The directory of one launch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.launch_id = path.name

    @property
    def record_path(self) -> Path:
        """The record."""
        return self.path / _RECORD

    @property
    def lock_path(self) -> Path:
        """The file that the keeper holds locked."""
        return self.path / _LOCK

    @property
    def output_path(self) -> Path:
        """The FIFO that is the server's stdout and stderr."""
        return self.path / "output"

    @property
    def outbox_path(self) -> Path:
        """The directory of the callbacks that are not delivered yet."""
        return self.path / "outbox"

    @property
    def shipped_path(self) -> Path:
        """The file in which the agent says how much of the log every output has acknowledged."""
        return self.path / "shipped.json"

    @property
    def owner(self) -> int | None:
        """The uid that the launch belongs to; None if there is no directory."""
        return owner_of(self.path)

    @property
    def ours(self) -> bool:
        """Whether it belongs to the effective user, who may act on it; of the launches of others one may read."""
        return is_ours(self.path)

    def read(self) -> Record:
        """Return the record. Raises FileNotFoundError if there is none yet, OSError, RecordError."""
        return self.read_with_owner()[0]

    def read_with_owner(self) -> tuple[Record, int]:
        """Return the record, and the uid that it and the launch belong to. Raises as read()."""
        try:
            data, owner = read_with_owner(self.path, _RECORD, max_bytes=_RECORD_MAX_BYTES)
        except OSError as error:
            if error.errno == errno.EFBIG:
                raise RecordError(f"{self.record_path} is not a launch record: it is too large") from error
            raise
        try:
            record = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise RecordError(f"{self.record_path} is not valid JSON: {error}") from error
        if not isinstance(record, dict) or not isinstance(record.get("schema"), int):
            raise RecordError(f"{self.record_path} is not a launch record: it has no schema number")
        if record["schema"] > SCHEMA:
            raise RecordTooNewError(
                f"{self.record_path} has schema {record['schema']}, this tracetail knows {SCHEMA}: update tracetail"
            )
        for name in [name for name, fits in _FITS.items() if name in record and not fits(record[name])]:
            if record.pop(name) is not None:  # null means absent
                raise RecordError(f"{self.record_path} is not a launch record: its {name} has another type")
        if record.get("launchId", self.launch_id) != self.launch_id:
            raise RecordError(f"{self.record_path} is not a launch record: its launchId is not {self.launch_id}")
        for name in ("traceId", "instanceId"):
            if name in record and not is_id(record[name]):
                raise RecordError(f"{self.record_path} is not a launch record: its {name} is not valid")
        if b"\\u" in data and not _is_text(record):
            raise RecordError(f"{self.record_path} is not a launch record: it has characters that are no text")
        return cast("Record", record), owner

    def lock_held(self) -> bool:
        """Return whether the lock is held, which means that the keeper is alive. Needs read permission only."""
        try:
            descriptor = open_owned(self.path, _LOCK)
        except FileNotFoundError:
            return False
        try:
            answer = fcntl.fcntl(descriptor, _GETLK, _WHOLE_FILE_EXCLUSIVE)
        finally:
            os.close(descriptor)
        # Whoever may read the file can hold a lock for reading on it, which says nothing about a keeper.
        return bool(_FLOCK.unpack(answer)[0] == fcntl.F_WRLCK)

    def effective_state(self, record: Record) -> str:
        """Return the current state of the launch of a record."""
        return effective_state(
            record["state"],
            kept=self.lock_held(),
            server_alive=server_alive(record),
        )


class LaunchLock:
    """The lock of a launch: its holder may write the record. A context manager; released when the process ends."""

    def __init__(self, launch: LaunchDir, descriptor: int = -1) -> None:
        """Args: launch: whose lock; descriptor: of a lock that is held already, inherited from the parent process."""
        self._launch = launch
        self._descriptor = descriptor

    @property
    def descriptor(self) -> int:
        """The descriptor that holds the lock, for a child that keeps holding it; -1 if it is not held."""
        return self._descriptor

    def acquire(self) -> bool:
        """Take the lock without waiting; False if another process holds it. Raises OSError.

        Raises ForeignFileError for the launch of another user: only its owner acts on it.
        """
        launch = self._launch
        descriptor = open_owned(launch.path, _LOCK, os.O_RDWR | os.O_CREAT, ours=True)
        try:
            fcntl.fcntl(descriptor, _SETLK, _WHOLE_FILE_EXCLUSIVE)
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def write(self, record: Record) -> None:
        """Replace the record atomically: readers see the old one or the new one."""
        if self._descriptor < 0:
            raise RuntimeError("only the holder of the lock writes the record")
        replace_file(self._launch.record_path, json.dumps(record, ensure_ascii=False, indent=1).encode())

    def __enter__(self) -> Self:
        if self._descriptor < 0 and not self.acquire():
            raise BlockingIOError(f"{self._launch.lock_path} is held by another process")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def container_init(record: Record) -> ProcessRef | None:
    """Return the first process of a launch's container; None if it has none."""
    return record.get("container", {}).get("init")


def server_alive(record: Record) -> bool:
    """Return whether the server of a launch runs: its process, or its container, which needs no client."""
    init = container_init(record)
    return ("server" in record and is_alive(record["server"])) or (init is not None and is_alive(init))


def effective_state(state: str, *, kept: bool, server_alive: bool) -> str:
    """Return the current state of a launch.

    Args:
        state: the state in its record.
        kept: its keeper is alive.
        server_alive: its server's process is alive.

    """
    if state in ENDED_STATES or kept or server_alive:
        return state
    return {STARTING: FAILED, STOPPING: STOPPED}.get(state, CRASHED)
