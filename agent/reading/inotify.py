"""One instance of inotify(7): watches, and the events that wait, without a thread.

watchdog's own observer starts a thread for every directory that is watched by itself, and a recursive one watches
everything below. Its bindings are used, not the observer.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

from watchdog.observers.inotify_c import inotify_add_watch, inotify_init, inotify_rm_watch

_remove_watch: Callable[[int, int], int] = cast("Any", inotify_rm_watch)
"""Its type differs between versions of watchdog."""
ONESHOT = 0x80000000
"""IN_ONESHOT: the kernel removes the watch with its first event."""
_EVENT = struct.Struct("iIII")
"""struct inotify_event of inotify(7): watch, mask, cookie, length of the name that follows."""
_READ_BYTES = 64 << 10
_READS_MAX = 16


class Event(NamedTuple):
    """What happened to a watched file, or to a name in a watched directory."""

    watch: int
    """-1 for an overflow: events are missing."""
    mask: int
    name: str
    """Empty for the watched file itself."""


class Inotify:
    """An instance, open from the beginning."""

    def __init__(self) -> None:
        """Open it. Raises OSError: the machine's limit of instances, or a kernel without inotify."""
        descriptor = inotify_init()
        if descriptor < 0:
            raise _error("cannot watch files")
        os.set_blocking(descriptor, False)
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor

    def fileno(self) -> int:
        """Return the descriptor that is readable when there are events."""
        return self._descriptor

    def add(self, path: str, mask: int) -> int:
        """Watch what is at this path now; return the watch. Raises OSError; ENOSPC if there are too many."""
        watch = inotify_add_watch(self._descriptor, os.fsencode(path), cast("Any", mask))
        if watch < 0:
            raise _error(path)
        return watch

    def remove(self, watch: int) -> None:
        """Remove a watch. Raises OSError if it has ended with its file."""
        if _remove_watch(self._descriptor, watch) < 0:
            raise _error(f"watch {watch}")

    def events(self) -> Iterator[Event]:
        """Yield the events that wait, at most a mebibyte of them."""
        for _ in range(_READS_MAX):
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                watch, mask, _, length = _EVENT.unpack_from(data, at)
                at += _EVENT.size + length
                yield Event(watch, mask, os.fsdecode(data[at - length : at].rstrip(b"\0")))

    def close(self) -> None:
        """Close it and all its watches."""
        os.close(self._descriptor)


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    if number == errno.ENOSPC:
        return OSError(number, "fs.inotify.max_user_watches is reached", what)
    return OSError(number, os.strerror(number), what)
