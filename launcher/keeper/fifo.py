"""The server's output: a FIFO that keeps its bytes until they are in the log.

Bytes are looked at with tee(2) and taken out of the FIFO only when their lines are written: a keeper that is killed
takes nothing with it, because the server holds the FIFO open and the next keeper finds the bytes still there.
"""

import contextlib
import ctypes
import fcntl
import os
import struct
import termios
from pathlib import Path

FIFO_BYTES = 1024 * 1024
BLOCK_BYTES = 320 * 1024
"""How much is looked at at once: more than the longest line that is written in one piece."""
_SPLICE_F_NONBLOCK = 2


class Output:
    """The reading end of a launch's FIFO."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        # Read-write, so that the FIFO lives and nobody waits for another end, whoever dies first.
        self.descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.capacity = _grow(self.descriptor, FIFO_BYTES)
        self._copy_out, self._copy_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _grow(self._copy_in, BLOCK_BYTES)
        self._nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.tee.restype = ctypes.c_ssize_t
        self._libc.tee.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)

    def open_for_server(self) -> int:
        """Return what becomes the server's stdout and stderr.

        An open file description of its own, because ours does not block and the server's must. Read-write, so that
        the server gets no SIGPIPE when its keeper is gone, and the bytes in the FIFO outlive the keeper.
        """
        return os.open(self._path, os.O_RDWR | os.O_CLOEXEC)

    def waiting(self) -> int:
        """Return how many bytes are in the FIFO."""
        answer = fcntl.ioctl(self.descriptor, termios.FIONREAD, b"\0" * 4)
        return int(struct.unpack("i", answer)[0])

    def peek(self) -> bytes:
        """Return bytes from the beginning of the FIFO, and leave them there."""
        copied = self._libc.tee(self.descriptor, self._copy_in, BLOCK_BYTES, _SPLICE_F_NONBLOCK)
        if copied <= 0:
            error = ctypes.get_errno()
            if copied == 0 or error in (11, 4):  # EAGAIN, EINTR
                return b""
            raise OSError(error, os.strerror(error), "tee")
        return _read_exactly(self._copy_out, copied)

    def take(self, count: int) -> bytes:
        """Take count bytes, which are known to be there, out of the FIFO."""
        return _read_exactly(self.descriptor, count)

    def discard(self, count: int) -> None:
        """Take count bytes, which are known to be there, out of the FIFO without looking at them."""
        while count:
            count -= os.splice(self.descriptor, self._nowhere, count)

    def close(self) -> None:
        """Let go of the FIFO."""
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


def _grow(descriptor: int, size: int) -> int:
    """Raise a pipe's buffer as far as this user may (pipe(7), pipe-user-pages-soft); return what it is."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, size)
    return fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
