"""Words for a file that this user may not use: whose it is, and which group to join."""

import contextlib
import grp
import os
import pwd
from pathlib import Path


def denied(error: PermissionError) -> str:
    """Return which file or directory refused this user, and what to do about it."""
    if not error.filename:
        return error.strerror or str(error)
    path = Path(os.fsdecode(error.filename))
    text = f"{path}: {error.strerror}"
    barrier = _barrier(path)
    try:
        status = barrier.stat()
    except OSError:
        return text
    owner, group = _user_name(status.st_uid), _group_name(status.st_gid)
    where = "it" if barrier == path else str(barrier)
    text += f"; {where} belongs to user {owner}, group {group}"
    needed = 0o050 if barrier.is_dir() else 0o040
    if status.st_mode & needed == needed and status.st_gid not in {os.getegid(), *os.getgroups()}:
        return f"{text}: join that group (usermod -aG {group} {_user_name(os.geteuid())}, then log in again)"
    return f"{text}: run this as {owner}"


def _barrier(path: Path) -> Path:
    """Return the first of a path's directories that this user may not search, else the path itself."""
    for directory in reversed(path.parents):
        if not os.access(directory, os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            return directory
    return path


def _user_name(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _group_name(gid: int) -> str:
    with contextlib.suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)
