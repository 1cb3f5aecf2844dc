"""Deletes the oldest segments of a running launch: shipped ones beyond keepLogs, and any when the disk gets full.

Only closed segments are deleted, from the oldest on, so that the log stays whole from some line on.
"""

import errno
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tracetail.contract.shipped import Shipped, read_shipped
from tracetail.launcher.log.retention import free_bytes, is_shipped, low_space_reason

CHECK_SECONDS = 0.25
"""Interval of checks while the server prints: a disk takes some hundred MiB in that time."""
IDLE_CHECK_SECONDS = 10.0
"""Interval of checks while it prints nothing: others may need the space."""
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class Deleted(NamedTuple):
    """A segment that was deleted to free space."""

    path: Path
    bytes: int
    shipped: bool
    """Loki has all of it: nothing is lost."""
    reason: str


def prune_shipped(segments: Sequence[str], keep: int, shipped: Shipped | None) -> list[Path]:
    """Delete the oldest segments of a log beyond `keep`, up to the first that is not shipped; return their paths."""
    deleted = []
    existing = [path for path in map(Path, segments) if path.exists()]
    for path in existing[: max(0, len(existing) - keep)]:
        if not is_shipped(path, shipped):
            break
        path.unlink(missing_ok=True)
        deleted.append(path)
    return deleted


def prune(segments: Sequence[str], keep: int) -> None:
    """Delete the oldest segments of a log beyond `keep`, shipped or not."""
    for path in segments[: max(0, len(segments) - keep)]:
        Path(path).unlink(missing_ok=True)


class DiskSpaceGuard:
    """Keeps some space free on the disk of a running launch's log, at the cost of its oldest closed segments."""

    def __init__(self, min_free_bytes: int, shipped_path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: min_free_bytes: segments are deleted below it; shipped_path: the launch's shipped.json."""
        self._min_free_bytes = min_free_bytes
        self._shipped_path = shipped_path
        self._clock = clock
        self._check_at = 0.0

    def free_space(self, closed: Sequence[str], error: OSError | None) -> list[Deleted]:
        """Delete the oldest segments while too little space is free, and return them.

        Args:
            closed: the launch's closed segments, oldest first.
            error: why the last write failed, if it did: an exceeded quota shows nowhere else.

        """
        now = self._clock()
        if not closed or now < self._check_at:
            return []
        full = error is not None and error.errno in _DISK_FULL
        self._check_at = now + CHECK_SECONDS
        deleted = []
        for path in [path for path in map(Path, closed) if path.exists()]:
            if not full and free_bytes(path.parent) >= self._min_free_bytes:
                break
            shipped = is_shipped(path, read_shipped(self._shipped_path))
            reason = "the disk is full" if full else low_space_reason(self._min_free_bytes)
            deleted.append(Deleted(path, path.stat().st_size, shipped, reason))
            path.unlink(missing_ok=True)
            if full:
                break  # the writer tries again before the next one is deleted
        return deleted
