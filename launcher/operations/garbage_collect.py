"""`gc`: removes old launches, containers without one, and the oldest segments when the disk gets full.

What Loki does not have yet stays, unless the disk gets full: then a `dropped` event in the log records the loss.
Only the effective user's launches are removed; root removes those of others in a process that becomes their owner.
"""

import contextlib
import functools
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tracetail.contract import events
from tracetail.contract.identity import is_launch_id
from tracetail.contract.log_roots import log_roots
from tracetail.contract.owned_files import open_beneath, remove_beneath
from tracetail.contract.record import LaunchDir, LaunchLock, Record
from tracetail.contract.shipped import read_shipped
from tracetail.contract.state import launches_dir
from tracetail.launcher import registry
from tracetail.launcher.log.log_end import append_event
from tracetail.launcher.log.retention import free_bytes, is_shipped, low_space_reason
from tracetail.launcher.operations import as_owner, launch_container, rescue

DEFAULT_KEEP_DAYS = 14.0
DEFAULT_KEEP_LAUNCHES = 200


class Removed(NamedTuple):
    """One thing that gc removed, or would remove."""

    path: Path
    bytes: int
    shipped: bool = True
    """Loki has all of it."""
    runtime: str = ""
    """`docker` or `podman`: path is then the name of a container."""


def collect(
    state_dir: Path,
    *,
    keep_days: float,
    keep_launches: int,
    min_free_bytes: int = 0,
    dry_run: bool = False,
    now: float | None = None,
    problem: Callable[[str], None] = lambda _: None,
) -> Iterator[Removed]:
    """Remove launches that ended more than keep_days ago, or beyond the newest keep_launches; yield what is removed.

    A launch that runs, or whose log is not shipped completely, is kept. If less than min_free_bytes are free after
    that, the oldest closed segments of ended launches are removed. now: seconds since the epoch. The launches of
    each user count for themselves; where that fails for one, `problem` is called with the reason, and others follow.
    """
    moment = time.time() if now is None else now
    own = functools.partial(
        _collect_own,
        state_dir,
        keep_days=keep_days,
        keep_launches=keep_launches,
        min_free_bytes=min_free_bytes,
        dry_run=dry_run,
        moment=moment,
    )
    yield from own()
    yield from _remove_containers(state_dir, dry_run=dry_run)
    for owner in sorted(_foreign_owners(state_dir)):
        try:
            removed = as_owner.call(owner, lambda: [(str(one.path), one.bytes, one.shipped) for one in own()])
        except as_owner.OwnerProcessError as error:
            problem(error.strerror or str(error))
            continue
        yield from (Removed(Path(path), size, shipped) for path, size, shipped in removed)


def _remove_containers(state_dir: Path, *, dry_run: bool) -> Iterator[Removed]:
    """End and remove the containers whose launch has ended or is gone."""
    for used, container in launch_container.forsaken(state_dir):
        if dry_run or launch_container.remove(used, container):
            yield Removed(Path(container.name), 0, runtime=used.runtime)


def _foreign_owners(state_dir: Path) -> set[int]:
    """Return the users whose launches root collects in their place; none for anybody else."""
    root = launches_dir(state_dir)
    owners = {as_owner.foreign_owner(path) for path in root.iterdir()} if root.is_dir() else set()
    return {owner for owner in owners if owner is not None}


def _collect_own(
    state_dir: Path, *, keep_days: float, keep_launches: int, min_free_bytes: int, dry_run: bool, moment: float
) -> Iterator[Removed]:
    if not dry_run:
        rescue.record_ends(launch for launch in registry.launches(state_dir) if launch.dir.ours)
    yield from _remove_without_record(state_dir, moment - keep_days * 86400, dry_run=dry_run)
    ended = [launch for launch in registry.launches(state_dir) if launch.dir.ours and not launch.live]
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
        segments, roots = _segments(launch), log_roots(launch.dir)
        for path in segments:
            yield Removed(path, path.stat().st_size)
            if not dry_run:
                remove_beneath(roots, path)
        yield Removed(launch.dir.path, 0)
        if not dry_run:
            shutil.rmtree(launch.dir.path, ignore_errors=True)
            if segments:
                with contextlib.suppress(OSError):  # not empty: other launches' logs are in it
                    segments[0].parent.rmdir()


def _segments(launch: registry.Launch) -> list[Path]:
    """Return the segments that are on the disk; without what a record names and this user may not delete."""
    roots = log_roots(launch.dir)
    found = []
    for path in map(Path, launch.record.get("segments", [])):
        with contextlib.suppress(OSError):
            os.close(open_beneath(roots, path, os.geteuid()))
            found.append(path)
    return found


def _remove_without_record(state_dir: Path, before: float, *, dry_run: bool) -> Iterator[Removed]:
    """Remove directories of starts that were killed before they had a record. before: seconds since the epoch."""
    root = launches_dir(state_dir)
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        launch = LaunchDir(path)
        if not is_launch_id(path.name) or not launch.ours or launch.record_path.exists() or launch.lock_held():
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
            for path in _segments(launch):
                if (
                    str(path) == launch.record["segments"][-1]
                    or is_shipped(path, read_shipped(launch.dir.shipped_path)) != shipped_ones
                ):
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
        remove_beneath(log_roots(launch.dir), segment.path)
        if not segment.shipped:
            why = f"{segment.path.name} is deleted: {low_space_reason(min_free_bytes)}"
            append_event(launch.record, events.DROPPED, bytes=segment.bytes, reason=why)
    return True


def _device(path: Path) -> int:
    return (path if path.exists() else path.parent).stat().st_dev
