"""A little room on the disk that belongs to one launch, for its record when there is none left.

Without it the keeper could not note on a full disk that a stop was asked for, and the end would pass for a crash.
"""

import contextlib
import os

from tracetail.contract.record import LaunchDir

RESERVE_BYTES = 64 * 1024
"""Several times a record."""


def make(launch: LaunchDir) -> None:
    """Set the room aside. Raises OSError if there is none."""
    descriptor = os.open(launch.path / "reserve", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
    finally:
        os.close(descriptor)


def release(launch: LaunchDir) -> None:
    """Give the room up, because it is needed, or because nothing will be written any more."""
    with contextlib.suppress(OSError):
        (launch.path / "reserve").unlink()
