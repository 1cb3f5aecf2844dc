"""Removes what is no longer needed of launches: old segments, old records. Never what Loki does not have yet."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from contract.record import LaunchDir, LaunchLock, Record
from contract.shipped import read_shipped
from launcher import registry
from launcher.pruning import is_shipped

DEFAULT_KEEP_DAYS = 14.0
DEFAULT_KEEP_LAUNCHES = 200


class Removed(NamedTuple):
    """One thing that gc removed, or would remove."""

    path: Path
    bytes: int


def collect(
    state_dir: Path, *, keep_days: float, keep_launches: int, dry_run: bool = False, now: float | None = None
) -> Iterator[Removed]:
    """Remove launches that ended more than keep_days ago, or are beyond the newest keep_launches; yield what goes.

    A launch that runs stays, and so does one of whose log Loki has not acknowledged all.
    """
    moment = time.time() if now is None else now
    ended = [launch for launch in registry.launches(state_dir) if not launch.live]
    for place, launch in enumerate(ended):
        age = moment - launch.dir.record_path.stat().st_mtime
        if place < keep_launches and age < keep_days * 86400:
            continue
        if not _all_shipped(launch.record, launch.dir):
            continue
        yield from _remove(launch, dry_run=dry_run)


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
