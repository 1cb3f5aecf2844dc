"""Deletes a launch's oldest segments: when there are too many, and Loki has them; when the disk gets full.

Only closed segments go, from the oldest on, so that the log stays whole from some line on.
"""

import errno
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tracetail.contract.shipped import Shipped, read_shipped

CHECK_SECONDS = 0.25
"""How often the room on the disk is looked at while a server prints: a disk takes some hundred MiB in that time."""
IDLE_CHECK_SECONDS = 10.0
"""The same while nothing is printed: the room may be missing to others."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Deleted(NamedTuple):
    """A segment that was given up for room."""

    path: Path
    bytes: int
    shipped: bool
    """Loki has all of it: nothing is lost."""
    why: str


def is_shipped(segment: Path, shipped: Shipped | None) -> bool:
    """Say whether all of a segment is acknowledged."""
    if shipped is None or not segment.exists():
        return False
    return shipped["segments"].get(str(segment), -1) >= segment.stat().st_size


def prune(segments: Sequence[str], keep: int, shipped: Shipped | None) -> list[Path]:
    """Delete the oldest segments of a log beyond `keep`, as far as they are shipped; return which."""
    deleted = []
    existing = [path for path in map(Path, segments) if path.exists()]
    for path in existing[: max(0, len(existing) - keep)]:
        if not is_shipped(path, shipped):
            break
        path.unlink(missing_ok=True)
        deleted.append(path)
    return deleted


def free_bytes(directory: Path) -> int:
    """Return how much may still be written where a directory is."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def too_little(min_free_bytes: int) -> str:
    """Return why a segment was given up while there still was some room."""
    return f"less than {min_free_bytes // 1024**2} MiB were free"


class RoomKeeper:
    """Keeps some room on the disk of one running launch's log, at the cost of its oldest closed segments."""

    def __init__(self, min_free_bytes: int, shipped_path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: min_free_bytes: below this segments go; shipped_path: what Loki has."""
        self._min_free_bytes = min_free_bytes
        self._shipped_path = shipped_path
        self._clock = clock
        self._check_at = 0.0

    def look(self, closed: Sequence[str], error: OSError | None) -> list[Deleted]:
        """Delete the oldest segments while there is too little room, and return them.

        Args:
            closed: the launch's closed segments, oldest first.
            error: why the disk takes nothing at the moment, if so: a quota shows nowhere else.

        """
        now = self._clock()
        if not closed or now < self._check_at:
            return []
        full = error is not None and error.errno in _FULL
        self._check_at = now + CHECK_SECONDS
        deleted = []
        for path in [path for path in map(Path, closed) if path.exists()]:
            if not full and free_bytes(path.parent) >= self._min_free_bytes:
                break
            shipped = is_shipped(path, read_shipped(self._shipped_path))
            why = "the disk is full" if full else too_little(self._min_free_bytes)
            deleted.append(Deleted(path, path.stat().st_size, shipped, why))
            path.unlink(missing_ok=True)
            if full:
                break  # the writer tries again before another one goes
        return deleted
