"""What a server of this machine has printed, and its keeper has not read yet."""

import fcntl
import os
import struct
import termios

from tracetail.contract.record import LaunchDir
from tracetail.contract.state import launches_dir, state_dir


def unread_bytes(launch_id: str) -> int:
    """Return the number of bytes in the FIFO of a launch; 0 if it has none here."""
    path = LaunchDir(launches_dir(state_dir(os.environ)) / launch_id).output_path
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0])
    finally:
        os.close(descriptor)
