"""Which segments may be deleted: those that Loki has, and, where the disk gets full, the oldest."""

import os
from pathlib import Path

from tracetail.contract.shipped import Shipped


def is_shipped(segment: Path, shipped: Shipped | None) -> bool:
    """Return whether all bytes of a segment are acknowledged; False if the segment does not exist."""
    if shipped is None or not segment.exists():
        return False
    return shipped["segments"].get(str(segment), -1) >= segment.stat().st_size


def free_bytes(directory: Path) -> int:
    """Return how many bytes this user can still write to the disk of a directory."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def low_space_reason(min_free_bytes: int) -> str:
    """Return why a segment was deleted before the disk was full."""
    return f"less than {min_free_bytes // 1024**2} MiB were free"
