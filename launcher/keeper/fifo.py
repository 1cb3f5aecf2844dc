"""The server's output: a FIFO that keeps its bytes until they are in the log.

Bytes are copied with tee(2) and taken out of the FIFO only when their lines are written: if a keeper is killed, none
are lost, because the server holds the FIFO open and the next keeper finds the bytes still there.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
import struct
import termios
from pathlib import Path

FIFO_BYTES = 1024 * 1024
BLOCK_BYTES = 320 * 1024
"""Bytes that are copied at once: more than the longest line that is written in one piece."""
_SPLICE_F_NONBLOCK = 2


class Output:
    """The reading end of a launch's FIFO."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        # Read-write: the open neither blocks nor fails without a writer, and the FIFO survives the server's end.
        self.descriptor = _open_fifo(path)
        self.capacity = _grow(self.descriptor, FIFO_BYTES)
        self._copy_out, self._copy_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _grow(self._copy_in, BLOCK_BYTES)
        self._nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.tee.restype = ctypes.c_ssize_t
        self._libc.tee.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)

    def open_for_server(self) -> int:
        """Return a new descriptor for the server's stdout and stderr.

        An open file description of its own, because ours does not block and the server's must. Read-write, so that
        the server gets no SIGPIPE when its keeper has ended, and the bytes in the FIFO outlive the keeper.
        """
        descriptor = _open_fifo(self._path)
        os.set_blocking(descriptor, True)
        return descriptor

    def waiting(self) -> int:
        """Return the number of bytes in the FIFO."""
        answer = fcntl.ioctl(self.descriptor, termios.FIONREAD, b"\0" * 4)
        return int(struct.unpack("i", answer)[0])

    def peek(self, size: int = BLOCK_BYTES) -> bytes:
        """Return the first bytes of the FIFO, up to size, and leave them in it. size: at most BLOCK_BYTES."""
        copied = self._libc.tee(self.descriptor, self._copy_in, size, _SPLICE_F_NONBLOCK)
        if copied <= 0:
            error = ctypes.get_errno()
            if copied == 0 or error in (11, 4):  # EAGAIN, EINTR
                return b""
            raise OSError(error, os.strerror(error), "tee")
        return _read_exactly(self._copy_out, copied)

    def take(self, count: int) -> bytes:
        """Read count bytes, which must be in the FIFO, out of it."""
        return _read_exactly(self.descriptor, count)

    def discard(self, count: int) -> None:
        """Remove the first count bytes, which must be in the FIFO, without reading them."""
        while count:
            count -= os.splice(self.descriptor, self._nowhere, count)

    def close(self) -> None:
        """Close all descriptors."""
        for descriptor in (self.descriptor, self._copy_in, self._copy_out, self._nowhere):
            os.close(descriptor)


def _read_exactly(descriptor: int, count: int) -> bytes:
    data = os.read(descriptor, count)
    if len(data) == count:
        return data
    parts = [data]
    count -= len(data)
    while count:
        parts.append(os.read(descriptor, count))
        count -= len(parts[-1])
    return b"".join(parts)


def _open_fifo(path: Path) -> int:
    """Open a FIFO of this user, which is no link. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW)
    status = os.fstat(descriptor)
    if not stat.S_ISFIFO(status.st_mode) or status.st_uid != os.geteuid():
        os.close(descriptor)
        raise OSError(errno.EEXIST, "it is not a FIFO of this user", str(path))
    return descriptor


def _grow(descriptor: int, size: int) -> int:
    """Raise a pipe's capacity as far as this user may (pipe(7), pipe-user-pages-soft); return it in bytes."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, size)
    return fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
