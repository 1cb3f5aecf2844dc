"""`gc`: removes old launches, and the oldest segments when the disk gets full.

What Loki does not have yet stays, unless the disk gets full: then a `dropped` event in the log records the loss.
"""

import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tracetail.contract import events
from tracetail.contract.identity import is_launch_id
from tracetail.contract.record import LaunchDir, LaunchLock, Record
from tracetail.contract.shipped import read_shipped
from tracetail.contract.state import launches_dir
from tracetail.launcher import registry
from tracetail.launcher.log.log_end import append_event
from tracetail.launcher.log.retention import free_bytes, is_shipped, low_space_reason
from tracetail.launcher.operations import rescue

DEFAULT_KEEP_DAYS = 14.0
DEFAULT_KEEP_LAUNCHES = 200


class Removed(NamedTuple):
    """One thing that gc removed, or would remove."""

    path: Path
    bytes: int
    shipped: bool = True
    """Loki has all of it."""


def collect(
    state_dir: Path,
    *,
    keep_days: float,
    keep_launches: int,
    min_free_bytes: int = 0,
    dry_run: bool = False,
    now: float | None = None,
) -> Iterator[Removed]:
    """Remove launches that ended more than keep_days ago, or beyond the newest keep_launches; yield what is removed.

    A launch that runs, or whose log is not shipped completely, is kept. If less than min_free_bytes are free after
    that, the oldest closed segments of ended launches are removed. now: seconds since the epoch.
    """
    moment = time.time() if now is None else now
    if not dry_run:
        rescue.record_ends(registry.launches(state_dir))
    yield from _remove_without_record(state_dir, moment - keep_days * 86400, dry_run=dry_run)
    ended = [launch for launch in registry.launches(state_dir) if not launch.live]
    removed_ids: set[str] = set()
    freed: Counter[int] = Counter()
    for index, launch in enumerate(ended):
        age = moment - launch.dir.record_path.stat().st_mtime
        if index < keep_launches and age < keep_days * 86400:
            continue
        if not _all_shipped(launch.record, launch.dir):
            continue
        for removed in _remove(launch, dry_run=dry_run):
            removed_ids.add(launch.dir.launch_id)
            freed[_device(removed.path)] += removed.bytes if dry_run else 0
            yield removed
    remaining = [launch for launch in reversed(ended) if launch.dir.launch_id not in removed_ids]
    yield from _free_space(remaining, min_free_bytes, freed, dry_run=dry_run)


def _all_shipped(record: Record, launch: LaunchDir) -> bool:
    shipped = read_shipped(launch.shipped_path)
    if shipped is not None and shipped["complete"]:
        return True
    segments = [path for path in map(Path, record.get("segments", [])) if path.exists()]
    return all(is_shipped(path, shipped) for path in segments)


def _remove(launch: registry.Launch, *, dry_run: bool) -> Iterator[Removed]:
    lock = LaunchLock(launch.dir)
    if not lock.acquire():
        return
    with lock:
        for path in map(Path, launch.record.get("segments", [])):
            if path.exists():
                yield Removed(path, path.stat().st_size)
                if not dry_run:
                    path.unlink(missing_ok=True)
        yield Removed(launch.dir.path, 0)
        if not dry_run:
            shutil.rmtree(launch.dir.path, ignore_errors=True)
            for path in map(Path, launch.record.get("segments", [])[:1]):
                with contextlib.suppress(OSError):  # not empty: other launches' logs are in it
                    path.parent.rmdir()


def _remove_without_record(state_dir: Path, before: float, *, dry_run: bool) -> Iterator[Removed]:
    """Remove directories of starts that were killed before they had a record. before: seconds since the epoch."""
    root = launches_dir(state_dir)
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        launch = LaunchDir(path)
        if not is_launch_id(path.name) or launch.record_path.exists() or launch.lock_held():
            continue
        if path.stat().st_mtime < before:
            yield Removed(path, 0)
            if not dry_run:
                shutil.rmtree(path, ignore_errors=True)


def _free_space(
    launches: list[registry.Launch], min_free_bytes: int, freed: Counter[int], *, dry_run: bool
) -> Iterator[Removed]:
    """Remove the oldest segments, shipped ones first. A launch's last one is kept: it has the end.

    freed: bytes by device that a dry run has counted as free.
    """
    for shipped_ones in (True, False):
        for launch in launches:
            for path in map(Path, launch.record.get("segments", [])[:-1]):
                if not path.exists() or is_shipped(path, read_shipped(launch.dir.shipped_path)) != shipped_ones:
                    continue
                if free_bytes(path.parent) + freed[_device(path)] >= min_free_bytes:
                    continue  # this disk has space; another log may be on another disk
                removed = Removed(path, path.stat().st_size, shipped_ones)
                if dry_run:
                    freed[_device(path)] += removed.bytes
                elif not _remove_segment(launch, removed, min_free_bytes):
                    continue
                yield removed


def _remove_segment(launch: registry.Launch, segment: Removed, min_free_bytes: int) -> bool:
    """Delete a segment, with a `dropped` event if it is not shipped; False if another process holds the launch."""
    lock = LaunchLock(launch.dir)
    if not lock.acquire():
        return False
    with lock:
        segment.path.unlink(missing_ok=True)
        if not segment.shipped:
            why = f"{segment.path.name} is deleted: {low_space_reason(min_free_bytes)}"
            append_event(launch.record, events.DROPPED, bytes=segment.bytes, reason=why)
    return True


def _device(path: Path) -> int:
    return (path if path.exists() else path.parent).stat().st_dev
