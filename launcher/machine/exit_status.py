"""The exit status of a process that is not our child, where the kernel has it: of a server that was taken over.

Until its parent has reaped it, /proc/<pid>/stat has it (field 52, for processes of the same user). Afterwards a pidfd
that was opened before has it (PIDFD_GET_INFO with PIDFD_INFO_EXIT: linux/pidfd.h, since Linux 6.15).
"""

import contextlib
import fcntl
import struct
import time

from tracetail.contract.processes import ProcessRef, zombie_wait_status

_INFO = struct.Struct("<QQ11Ii")
"""struct pidfd_info, 64 bytes: mask, cgroupid, pid, tgid, ppid, eight user and group ids, exit_code."""
_INFO_EXIT = 1 << 3
_GET_INFO = (3 << 30) | (_INFO.size << 16) | (0xFF << 8) | 11
"""_IOWR(PIDFS_IOCTL_MAGIC, 11, struct pidfd_info)"""
REAP_SECONDS = 0.1
"""How long to wait for the moment in which a process that was just reaped gets its information."""


def wait_status(ref: ProcessRef, pidfd: int) -> int | None:
    """Return the status of a process that has ended, as waitpid(2) gives it; None if it cannot be known.

    pidfd: opened while the process ran; -1 for none.
    """
    found = zombie_wait_status(ref)
    deadline = time.monotonic() + REAP_SECONDS
    while found is None and pidfd >= 0:
        with contextlib.suppress(OSError):  # ENOTTY, EINVAL: an older kernel
            buffer = bytearray(_INFO.pack(_INFO_EXIT, *[0] * 13))
            fcntl.ioctl(pidfd, _GET_INFO, buffer)
            fields = _INFO.unpack(buffer)
            if fields[0] & _INFO_EXIT:
                return int(fields[-1])
        if time.monotonic() >= deadline:
            break
        time.sleep(0.01)
    return found
