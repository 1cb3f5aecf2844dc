"""Receives the signals that ask to stop a launch, together with who sent them (signalfd(2))."""

import contextlib
import ctypes
import os
import pwd
import signal
import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tracetail.launcher.machine import processes

if TYPE_CHECKING:
    from tracetail.contract.record import Sender

_OUTSIDE = "a process outside this container"
"""Its pid is 0 for whom it cannot be seen (pid_namespaces(7))."""
_BLOCKED = {signal.SIGTERM, signal.SIGINT}
_SIGNALFD_SIGINFO = struct.Struct("=IiiII108x")
"""struct signalfd_siginfo, 128 bytes: signo, errno, code, pid, uid."""
_SIGSET_BYTES = 128
"""sizeof(sigset_t) of glibc and musl."""


class StopRequest:
    """Whether a stop was asked for, and by whom. To be made before the process has other threads."""

    def __init__(self, signals: Sequence[signal.Signals] = (signal.SIGTERM,)) -> None:
        """Args: signals: SIGTERM, and SIGINT where that asks for a stop, too."""
        self.received = False
        self.sender: Sender | None = None
        """Who sent the first; None if nobody did yet, or if that is not known."""
        for number in signals:
            signal.signal(number, self._on_signal)  # for the moments of unblocked()
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        self.descriptor = _signalfd(signals)

    def read(self) -> None:
        """Take the signals that have arrived."""
        with contextlib.suppress(BlockingIOError):
            data = os.read(self.descriptor, _SIGNALFD_SIGINFO.size)
            _, _, _, pid, uid = _SIGNALFD_SIGINFO.unpack(data)
            if not self.received:
                command = processes.command_line(pid) if pid else _OUTSIDE
                self.sender = {"user": _user_name(uid), "pid": pid, "command": command}
            self.received = True

    @staticmethod
    @contextlib.contextmanager
    def unblocked() -> Iterator[None]:
        """Let signals through for the time in which a child is started, which inherits what is blocked."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)

    def _on_signal(self, *_: object) -> None:
        self.received = True


def _signalfd(signals: Sequence[signal.Signals]) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    mask = (ctypes.c_ubyte * _SIGSET_BYTES)()
    libc.sigemptyset(mask)
    for number in signals:
        libc.sigaddset(mask, int(number))
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
