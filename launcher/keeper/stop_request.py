"""Receives SIGTERM, the request to stop a launch, together with who sent it (signalfd(2))."""

import contextlib
import ctypes
import os
import pwd
import signal
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tracetail.launcher.machine import processes

if TYPE_CHECKING:
    from tracetail.contract.record import Sender

_TERM = {signal.SIGTERM}
_SIGNALFD_SIGINFO = struct.Struct("=IiiII108x")
"""struct signalfd_siginfo, 128 bytes: signo, errno, code, pid, uid."""
_SIGSET_BYTES = 128
"""sizeof(sigset_t) of glibc and musl."""


class StopRequest:
    """Whether SIGTERM has arrived, and from whom. To be made before the process has other threads."""

    def __init__(self) -> None:
        self.received = False
        self.sender: Sender | None = None
        """Who sent the first; None if nobody did yet, or if that is not known."""
        signal.signal(signal.SIGTERM, self._on_signal)  # for the moments of unblocked()
        signal.pthread_sigmask(signal.SIG_BLOCK, _TERM)
        self.descriptor = _signalfd()

    def read(self) -> None:
        """Take the signals that have arrived."""
        with contextlib.suppress(BlockingIOError):
            data = os.read(self.descriptor, _SIGNALFD_SIGINFO.size)
            _, _, _, pid, uid = _SIGNALFD_SIGINFO.unpack(data)
            if not self.received:
                self.sender = {"user": _user_name(uid), "pid": pid, "command": processes.command_line(pid)}
            self.received = True

    @staticmethod
    @contextlib.contextmanager
    def unblocked() -> Iterator[None]:
        """Let SIGTERM through for the time in which a child is started, which inherits what is blocked."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERM)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, _TERM)

    def _on_signal(self, *_: object) -> None:
        self.received = True


def _signalfd() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    mask = (ctypes.c_ubyte * _SIGSET_BYTES)()
    libc.sigemptyset(mask)
    libc.sigaddset(mask, int(signal.SIGTERM))
    descriptor = int(libc.signalfd(-1, mask, os.O_NONBLOCK | os.O_CLOEXEC))
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "signalfd")
    return descriptor


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
