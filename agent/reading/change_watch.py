"""Reports the first change of files that are quiet, by one-shot watches of inotify(7).

A watch is a hint, never the truth: writes through mmap(2), and those of another machine to a network file system,
raise no event. Files of such file systems are not watched, and whoever uses a watch looks at the file now and then
all the same.
"""

import contextlib
import ctypes
import errno
import functools
import logging
import os
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from watchdog.observers.inotify_c import InotifyConstants

from tracetail.agent.reading.inotify import ONESHOT, Inotify

log = logging.getLogger(__name__)

_K = TypeVar("_K")

DIRECTORY = int(InotifyConstants.IN_DELETE_SELF | InotifyConstants.IN_MOVE_SELF)
FILE = DIRECTORY | InotifyConstants.IN_MODIFY | InotifyConstants.IN_ATTRIB
"""Written, truncated, renamed, deleted; a lost link is a change of attributes while the file is open."""
LINK = FILE | InotifyConstants.IN_DONT_FOLLOW
"""The same of a symlink itself."""
_OVERFLOW_WATCH = -1
_STATFS_BYTES = 256
_LOCAL_FILE_SYSTEMS = {
    0xEF53,  # ext2, ext3, ext4
    0x58465342,  # XFS
    0x9123683E,  # Btrfs
    0xF2F52010,  # F2FS
    0x2FC12FC1,  # ZFS
    0x01021994,  # tmpfs
    0x3153464A,  # JFS
    0x4D44,  # FAT
}
"""The f_type of statfs(2) of file systems whose every change is this kernel's own. Not OverlayFS: its file may be
copied up, and the watched one below it remains as it is."""


class ChangeWatch(Generic[_K]):
    """Watches the files of keys (what they are is up to the caller), each until its first change."""

    def __init__(self) -> None:
        """Open the inotify instance; without one add() returns False."""
        self._inotify: Inotify | None = None
        self._keys: dict[int, set[_K]] = {}
        """By watch descriptor."""
        self._watches: dict[_K, list[int]] = {}
        try:
            self._inotify = Inotify()
        except OSError as error:
            log.warning("cannot watch files (%s); they are polled instead", error)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable with an event; -1 if the kernel gives no instance."""
        return -1 if self._inotify is None else self._inotify.fileno()

    def add(self, key: _K, paths: Iterable[tuple[str, int]]) -> bool:
        """Watch the files of a key until one changes; return whether all can be watched.

        paths: each with FILE, LINK or DIRECTORY. Look at the files once more afterwards: they may have changed
        before.
        """
        if self._inotify is None:
            return False
        watches: list[int] = []
        self._watches[key] = watches
        try:
            for path, mask in paths:
                if not _is_local(os.fsencode(path)):
                    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))  # noqa: TRY301
                watch = self._inotify.add(path, mask | ONESHOT)
                watches.append(watch)
                self._keys.setdefault(watch, set()).add(key)
        except OSError as error:
            log.debug("%s is not watched: %s", key, error)
            self.remove(key)
        return bool(watches) and key in self._watches

    def remove(self, key: _K) -> None:
        """Watch the files of a key no longer."""
        for watch in self._watches.pop(key, ()):
            keys = self._keys.get(watch, set())
            keys.discard(key)
            if not keys and self._keys.pop(watch, None) is not None:
                with contextlib.suppress(OSError):  # the file is gone, and the watch with it
                    if self._inotify is not None:
                        self._inotify.remove(watch)

    def changed(self) -> set[_K]:
        """Return the keys of which a file has changed since the last call; they are watched no longer."""
        changed: set[_K] = set()
        for watch, _, _ in self._inotify.events() if self._inotify is not None else ():
            if watch == _OVERFLOW_WATCH:
                changed.update(self._watches)
            # The kernel has removed a one-shot watch with its event.
            changed |= self._keys.pop(watch, set())
        for key in changed:
            self.remove(key)
        return changed

    def close(self) -> None:
        """Close the instance and all its watches."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _is_local(path: bytes) -> bool:
    """Return whether a path is on a file system whose changes this kernel sees. Raises OSError."""
    buffer = (ctypes.c_long * (_STATFS_BYTES // ctypes.sizeof(ctypes.c_long)))()
    if _libc().statfs(path, ctypes.byref(buffer)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(path))
    return int(buffer[0]) & 0xFFFFFFFF in _LOCAL_FILE_SYSTEMS
