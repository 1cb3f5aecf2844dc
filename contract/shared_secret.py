"""The secret that the parts of one installation share: `<stateDir>/secret`, made at the first start of any of them.

Loopback belongs to every user and program of a machine. Who may read the state directory may read this file (mode
0640, the directory's group), and so use store, agent and panel: `Authorization: Bearer <its one line>`.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from tracetail.contract.state import STATE_DIR_VARIABLE, existing_state_dirs, make_directory, state_dir

FILE_NAME = "secret"
MODE = 0o640
_BYTES = 32
"""Of randomness; as text it is longer than the 32 bytes that a key for signing tokens needs."""


def find(environ: Mapping[str, str]) -> Path | None:
    """Return the secret of the first state directory that has one this user may read; None if there is none.

    Where TRACETAIL_STATE_DIR names one, no other counts.
    """
    directories = [state_dir(environ)] if environ.get(STATE_DIR_VARIABLE) else existing_state_dirs(environ)
    paths = (directory / FILE_NAME for directory in directories)
    return next((path for path in paths if _is_usable(path)), None)


def ensure(environ: Mapping[str, str]) -> Path:
    """Return the secret, which is made if there is none. Raises OSError if it can be neither read nor made."""
    if found := find(environ):
        return found
    import secrets  # noqa: PLC0415  (only to make one: every command reads the secret)

    directory = state_dir(environ)
    make_directory(directory)
    path = directory / FILE_NAME
    temporary = directory / f".{FILE_NAME}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_urlsafe(_BYTES).encode() + b"\n")
            with contextlib.suppress(PermissionError):  # a group that this user is not in
                os.fchown(file.fileno(), -1, directory.stat().st_gid)
            os.fchmod(file.fileno(), MODE)
        with contextlib.suppress(FileExistsError):  # another part was quicker
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()
    if not _is_usable(path):
        raise PermissionError(errno.EACCES, "it may not be read, or belongs to another user", str(path))
    return path


def _is_usable(path: Path) -> bool:
    """Return whether a path is a secret of the directory's owner, of root or of this user, which this user may read.

    Others could have put one that they know into a directory of a group.
    """
    try:
        status = path.lstat()
        owners = {os.geteuid(), 0, path.parent.stat().st_uid}
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid in owners and os.access(path, os.R_OK)
