"""Opens a log through the links in its path, if whoever made them may decide what is shipped.

A glob reaches into directories of others (`/home/*/logs/*.log`), and the agent may read what they may not: its own
secrets, for root's agent everything. A link among the logs would have it ship that. So a link counts if it belongs to
root, to the agent's user, or to the owner of the file that it leads to, as with Apache's SymLinksIfOwnerMatch.
Who is root in a container has the uid of root here, unless its users are mapped: a link in a pod's volume, as an
emptyDir, counts within that volume only.
Hard links to files of others the kernel refuses (fs.protected_hardlinks, proc_sys_fs(5)).
"""

import errno
import os
import re
import stat
from pathlib import Path

from tracetail.contract.owned_files import user_name
from tracetail.contract.safe_open import open_file

_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS_MAX = 40
"""As many as the kernel follows (path_resolution(7))."""
_DELETED = " (deleted)"
_VOLUME = re.compile(r"(?P<volume>.*?/pods/[^/]+/volumes/[^/]+/[^/]+)/.")
"""Of a pod, below the kubelet's directory."""


def open_trusted(path: Path) -> int:
    """Return a descriptor, for reading, of the regular file at an absolute path.

    Raises OSError, NotAFileError; PermissionError with EACCES for a link that does not count.
    """
    descriptor = open_file(path)
    # The kernel's own word where the file is, whatever has become of the path meanwhile.
    if _place(descriptor) in (os.fspath(path), os.fspath(path) + _DELETED):
        return descriptor
    os.close(descriptor)
    found, makers = _resolve(os.fspath(path))
    try:
        owner = os.fstat(found).st_uid
        for maker in makers:
            if maker not in (0, os.geteuid(), owner):
                reason = (
                    f"a link of user {user_name(maker)} leads to a file of user {user_name(owner)}: it is followed "
                    "only if it belongs to root, to the agent's user or to the file's owner"
                )
                raise PermissionError(errno.EACCES, reason, os.fspath(path))
        if (match := _VOLUME.match(os.fspath(path))) and not _is_beneath(found, match["volume"]):
            reason = "a link in a pod's volume leads out of it: whoever is root in the pod may have made it"
            raise PermissionError(errno.EACCES, reason, os.fspath(path))
        return open_file(f"/proc/self/fd/{found}")
    finally:
        os.close(found)


def _is_beneath(descriptor: int, directory: str) -> bool:
    return _place(descriptor).startswith(os.path.realpath(directory) + "/")


def _place(descriptor: int) -> str:
    """Return the path of an open file; empty if it cannot be known."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115  (the name may not be UTF-8)
    except OSError:
        return ""


def _resolve(path: str) -> tuple[int, list[int]]:
    """Return a descriptor (O_PATH) of what is at a path, and the owners of the links on the way. Raises OSError.

    Each name is opened beneath the descriptor of its directory, so that nothing can be replaced behind the check.
    """
    waiting = path.split("/")[::-1]
    makers: list[int] = []
    here = os.open("/", _STEP)
    try:
        while waiting and len(makers) <= _LINKS_MAX:
            name = waiting.pop()
            if name in ("", "."):
                continue
            found = os.open(name, _STEP, dir_fd=here)
            status = os.fstat(found)
            if not stat.S_ISLNK(status.st_mode):
                os.close(here)
                here = found
                continue
            try:
                target = os.readlink("", dir_fd=found)
            finally:
                os.close(found)
            makers.append(status.st_uid)
            if target.startswith("/"):
                root = os.open("/", _STEP)
                os.close(here)
                here = root
            waiting += target.split("/")[::-1]
    except BaseException:
        os.close(here)
        raise
    if waiting:
        os.close(here)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return here, makers
