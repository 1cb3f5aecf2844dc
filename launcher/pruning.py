"""keepLogs: a running launch's oldest segments go when there are too many, but never before Loki has them."""

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
