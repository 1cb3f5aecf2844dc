"""Words for a file that this user may not use: whose it is, and which group to join."""

import contextlib
import grp
import os
import pwd
from pathlib import Path

from tracetail.cli.language import both
from tracetail.contract.system_reasons import in_chinese


def denied(error: PermissionError) -> str:
    """Return which file or directory refused this user, and what to do about it."""
    if not error.filename:
        return both(str(error.strerror or error), in_chinese(error.strerror or error))
    path = Path(os.fsdecode(error.filename))
    text = both(f"{path}: {error.strerror}", f"{path}：{in_chinese(error.strerror)}")
    barrier, needed = _barrier(path)
    try:
        status = barrier.stat()
    except OSError:
        return text
    owner, group = _user_name(status.st_uid), _group_name(status.st_gid)
    where = both("it", "它") if barrier == path else str(barrier)
    text += both(f"; {where} belongs to user {owner}, group {group}", f"；{where} 属于用户 {owner}、用户组 {group}")
    if status.st_mode & needed == needed and status.st_gid not in {os.getegid(), *os.getgroups()}:
        command = f"usermod -aG {group} {_user_name(os.geteuid())}"
        return text + both(
            f": join that group ({command}, then log in again)", f"：请加入该用户组（{command}，然后重新登录）"
        )
    return text + both(f": run this as {owner}", f"：请以 {owner} 的身份运行")


def _barrier(path: Path) -> tuple[Path, int]:
    """Return the directory or file that refused this user, and the permissions that its group needs."""
    for directory in reversed(path.parents):
        if not os.access(directory, os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            return directory, 0o050
    if not path.exists():  # it could not be made
        return path.parent, 0o030
    return path, 0o050 if path.is_dir() else 0o040


def _user_name(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _group_name(gid: int) -> str:
    with contextlib.suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)
