"""Lets root act on the launches of others: in a child process that has become their owner.

Who runs servers decides what is in the files of his launches: the commands of a plan, the paths of segments, links in
place of files. With root's rights each of them could do anything. So root reads records, and leaves everything else
to a process with the rights of the owner.
"""

import json
import os
import pwd
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn, cast

from tracetail.contract.owned_files import owner_of, user_name
from tracetail.contract.record import LaunchDir
from tracetail.launcher.result import Result

ROOT = 0
_FAILED = 1
_OF_THE_MACHINE = frozenset({"PATH", "LANG", "LANGUAGE", "TZ", "TERM", "LD_LIBRARY_PATH", "XDG_CONFIG_HOME"})
_OF_THE_MACHINE_PREFIXES = ("LC_", "TRACETAIL_", "CUDA_", "NVIDIA_", "ASCEND_", "ROCM_")
_OF_SECRETS = ("TOKEN", "KEY", "SECRET", "PASSWORD")


class OwnerProcessError(OSError):
    """The process of the owner ended without a result."""


def foreign_owner(directory: Path) -> int | None:
    """Return the uid that root has to become to act on a launch; None if this process may act, or may never act."""
    owner = owner_of(directory)
    return owner if os.geteuid() == ROOT and owner not in (ROOT, None) else None


def result_of(launches: Iterable[LaunchDir], operation: Callable[[], Result]) -> Result:
    """Return the result of an operation on launches of one owner, who executes it if this process is root's."""
    owner = next((uid for launch in launches if (uid := foreign_owner(launch.path)) is not None), None)
    if owner is None:
        return operation()
    return _result(call(owner, lambda: operation()._asdict()))


def call(owner: int, function: Callable[[], Any]) -> Any:
    """Return what a function returns (JSON) in a child process that has become a user. Raises OwnerProcessError."""
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _answer(writing, owner, function)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        data = answer.read()
    _, status = os.waitpid(child, 0)
    if status or not data:
        raise OwnerProcessError(0, f"the process that became user {user_name(owner)} failed", "")
    value = json.loads(data)
    if "error" in value:
        raise OwnerProcessError(0, f"as user {user_name(owner)}: {value['error']}", "")
    return value["value"]


def go_on_as_owner(launch: LaunchDir) -> None:
    """Return in a process that may act on a launch: for root that of another user, in a child that has become him.

    The calling process then ends with the child's exit status.
    """
    owner = foreign_owner(launch.path)
    if owner is None:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        become(owner)
        return
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)


def become(owner: int) -> None:
    """Give up root's rights for those of a user, for good, and the variables that may hold what is root's alone.

    A keeper that is started then, and with it the server, has the rest.
    """
    for name in [name for name, value in os.environ.items() if not _is_of_the_machine(name, value)]:
        del os.environ[name]
    try:
        entry = pwd.getpwuid(owner)
    except KeyError:  # a user of a container, say
        os.setgroups([])
        os.setresgid(owner, owner, owner)
    else:
        os.setgroups(os.getgrouplist(entry.pw_name, entry.pw_gid))
        os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
        os.environ.update(HOME=entry.pw_dir, USER=entry.pw_name, LOGNAME=entry.pw_name)
    os.setresuid(owner, owner, owner)


def _is_of_the_machine(name: str, value: str) -> bool:
    """Return whether a variable says something of the machine or the terminal: every user may see it."""
    if "@" in value or name.endswith(_OF_SECRETS):  # an address with a password, TRACETAIL_TOKEN, TRACETAIL_API_KEY
        return False
    is_proxy = name.lower().endswith("_proxy")
    return is_proxy or name in _OF_THE_MACHINE or name.startswith(_OF_THE_MACHINE_PREFIXES)


def _answer(writing: int, owner: int, function: Callable[[], Any]) -> NoReturn:
    """Become a user, call a function, write what it returns, and end."""
    status = 0
    try:
        become(owner)
        try:
            answer = {"value": function()}
        except Exception as error:  # noqa: BLE001  (the parent reports it)
            answer = {"error": f"{type(error).__name__}: {error}"}
        with os.fdopen(writing, "wb") as file:
            file.write(json.dumps(answer).encode())
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001  (nothing of the parent's may run in this process)
        status = _FAILED
    os._exit(status)


def _result(values: dict[str, Any]) -> Result:
    return Result(**{**values, "launches": [_result(cast("dict[str, Any]", one)) for one in values["launches"]]})
