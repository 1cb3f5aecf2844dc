"""Disk space reserved for the record of one launch, for when the disk is full.

Without it the keeper could not record on a full disk that a stop was asked for, and the end would count as a crash.
"""

import contextlib
import os

from tracetail.contract.owned_files import open_owned
from tracetail.contract.record import LaunchDir

RESERVE_BYTES = 64 * 1024
"""Several times a record."""


def reserve(launch: LaunchDir) -> None:
    """Reserve the space. Raises OSError if there is too little."""
    descriptor = open_owned(launch.path, "reserve", os.O_WRONLY | os.O_CREAT, ours=True)
    try:
        os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
    finally:
        os.close(descriptor)


def release(launch: LaunchDir) -> None:
    """Free the space, because it is needed or because nothing more will be written."""
    with contextlib.suppress(OSError):
        (launch.path / "reserve").unlink()
