"""Opens files whose path another user or program may have replaced: by a FIFO, a device, a socket, a directory.

A plain open of a FIFO waits for its other end, for ever if nobody opens it; that of a terminal may make it the
process's controlling one, and that of some devices (a watchdog, a tape) has effects of its own. So the type is looked
at before the open, and again behind it: the path may be replaced in between.
"""

import contextlib
import errno
import os
import stat
from pathlib import Path

Name = str | bytes | Path

_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a block device"),
)


class NotAFileError(OSError):
    """The path is not that of a regular file; the message says what it is."""


def open_file(path: Name, flags: int = os.O_RDONLY, mode: int = 0o640, *, directory: int | None = None) -> int:
    """Return a descriptor of a regular file, without ever waiting for one that is not.

    Args:
        path: of the file; with O_CREAT it need not exist.
        flags: of open(2); O_NONBLOCK, O_NOCTTY and O_CLOEXEC are added, which mean nothing for reading and writing
            regular files. O_TRUNC applies after the check.
        mode: of a file that is created; its owner and group can read it whatever the umask of a scheduler's job is.
        directory: a descriptor of the directory that path is relative to: then a symbolic link is refused, too.

    Raises OSError, NotAFileError.

    """
    truncate = flags & os.O_TRUNC
    new = False
    try:
        # os.stat, not Path.stat: a path may be bytes.
        looked = os.stat(path) if directory is None else os.stat(path, dir_fd=directory, follow_symlinks=False)  # noqa: PTH116
        _check(path, looked)
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
        new = True
    flags = flags & ~os.O_TRUNC | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    flags |= 0 if directory is None else os.O_NOFOLLOW
    descriptor = os.open(path, flags, mode, dir_fd=directory)
    try:
        opened = os.fstat(descriptor)
        _check(path, opened)
        if new and (missing := mode & 0o640 & ~opened.st_mode):
            with contextlib.suppress(PermissionError):  # another user has made it in between
                os.fchmod(descriptor, stat.S_IMODE(opened.st_mode) | missing)
        if truncate:
            os.ftruncate(descriptor, 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read_file(path: Name, limit: int = -1) -> bytes:
    """Return the content of a regular file, or its first `limit` bytes. Raises OSError, NotAFileError."""
    with os.fdopen(open_file(path), "rb") as file:
        return file.read(limit)


def kind_of(status: os.stat_result) -> str:
    """Return what is at a path that is not a regular file, as `a FIFO`; empty for a regular file."""
    if stat.S_ISREG(status.st_mode):
        return ""
    return next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "not a file")


def _check(path: Name, status: os.stat_result) -> None:
    if kind := kind_of(status):
        raise NotAFileError(errno.EINVAL, f"it is {kind}, not a regular file", os.fsdecode(path))
