"""Deletes a running launch's oldest segments: when there are too many, and Loki has them; when the disk is full."""

from collections.abc import Sequence
from pathlib import Path

from contract.shipped import Shipped


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
            break  # the log stays whole from some line on
        path.unlink(missing_ok=True)
        deleted.append(path)
    return deleted


def make_room(segments: Sequence[str]) -> tuple[Path, int] | None:
    """Delete the oldest segment, because the disk is full; return it and its size, None if there is none."""
    path = next((path for path in map(Path, segments) if path.exists()), None)
    if path is None:
        return None
    size = path.stat().st_size
    path.unlink(missing_ok=True)
    return path, size
