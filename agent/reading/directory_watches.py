"""Watches directories for what appears in them."""

import contextlib
import errno
import os
from collections import defaultdict

from watchdog.observers.inotify_c import InotifyConstants

from tracetail.agent.reading.inotify import Inotify

WATCHES_MAX = 8192
"""At most so many directories are watched; the kernel's limit is that of a user (fs.inotify.max_user_watches)."""
_MASK = (
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_ONLYDIR
)
_APPEARED = InotifyConstants.IN_CREATE | InotifyConstants.IN_MOVED_TO


class DirectoryWatches:
    """Directories in which something may appear."""

    def __init__(self, limit: int = WATCHES_MAX) -> None:
        """limit: on the number of directories."""
        self._limit = limit
        self._inotify: Inotify | None = None
        self._watches: dict[str, int] = {}
        """By a directory's path: its watch."""
        self._paths: defaultdict[int, set[str]] = defaultdict(set)
        """By watch: the paths of its directory, several with links or bind mounts."""
        self.missed = False
        """Something may have appeared without an event: there were too many, or a directory was replaced."""

    def open(self) -> None:
        """Begin to watch. Raises OSError if the machine's limit of inotify instances is reached."""
        self._inotify = Inotify()

    def close(self) -> None:
        """End watching; closing twice does nothing."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    def fileno(self) -> int:
        """Return the descriptor that is readable when something has appeared; -1 if nothing is watched."""
        return -1 if self._inotify is None else self._inotify.fileno()

    def add(self, directory: str) -> None:
        """Watch the directory that is at this path now. Raises OSError; ENOSPC if there are too many."""
        if self._inotify is None:
            return
        if directory not in self._watches and len(self._paths) >= self._limit:
            raise OSError(errno.ENOSPC, f"{self._limit} directories are watched already")
        watch = self._inotify.add(directory, _MASK)
        if self._watches.get(directory, watch) != watch:
            self._forget(directory)
        self._watches[directory] = watch
        self._paths[watch].add(directory)

    def keep(self, directories: set[str]) -> None:
        """Watch no other directories any more."""
        for directory in self._watches.keys() - directories:
            self._forget(directory)

    def read(self) -> dict[str, bool]:
        """Return the paths that have appeared since the last call, and whether they were created there, not moved."""
        appeared: dict[str, bool] = {}
        for watch, mask, name in self._inotify.events() if self._inotify is not None else ():
            paths = self._paths.get(watch, set())
            if mask & InotifyConstants.IN_Q_OVERFLOW:
                self.missed = True
            elif mask & InotifyConstants.IN_IGNORED:
                self._gone(watch)
            elif mask & InotifyConstants.IN_MOVE_SELF:
                for path in list(paths):
                    self._look_again(path)
            elif mask & _APPEARED:
                created = bool(mask & InotifyConstants.IN_CREATE)
                appeared |= {os.path.join(path, name): created for path in paths}  # noqa: PTH118  (text)
        return appeared

    def _gone(self, watch: int) -> None:
        """Forget a directory that was deleted or unmounted. What is above it reports the next one of its name."""
        for path in self._paths.pop(watch, set()):
            del self._watches[path]
            self._check_above(path)

    def _look_again(self, path: str) -> None:
        """Watch what is at the path of a directory that was renamed."""
        try:
            self.add(path)
        except OSError:
            self._forget(path)
            self._check_above(path)

    def _check_above(self, path: str) -> None:
        if os.path.dirname(path) not in self._watches:  # noqa: PTH120  (text)
            self.missed = True

    def _forget(self, directory: str) -> None:
        watch = self._watches.pop(directory)
        paths = self._paths[watch]
        paths.discard(directory)
        if not paths:
            del self._paths[watch]
            with contextlib.suppress(OSError):
                if self._inotify is not None:
                    self._inotify.remove(watch)
