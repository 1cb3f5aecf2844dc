"""Replaces the keeper of a launch that lost it, or records the end of the launch if that fails."""

import contextlib
import functools
from collections.abc import Iterable, Iterator

from tracetail.contract import events, record
from tracetail.contract.record import LaunchDir, LaunchLock, Record
from tracetail.launcher import disk_reserve, plan, registry
from tracetail.launcher.log.log_end import append_event
from tracetail.launcher.log.stamper import timestamp_now
from tracetail.launcher.operations import as_owner, keeper_process
from tracetail.launcher.result import EXITED_BEFORE_READY


def rescue(launch: LaunchDir) -> bool:
    """Start a new keeper for a launch that lost its own; return whether it has one, or has ended.

    False: its server runs, and no keeper can be started.
    """
    if _adopt(launch):
        if "server" not in launch.read():  # the new keeper only records the end
            keeper_process.wait_for(
                lambda: launch.read()["state"] in record.ENDED_STATES, keeper_process.WAIT_SECONDS
            )
        return True
    found = registry.read_launch(launch)
    if found.live:
        return False
    end(launch, found.state, f"its keeper has ended, and no other could take over: see {launch.path / 'keeper.log'}")
    return True


def replace(launch: LaunchDir) -> None:
    """Have a new keeper stop a launch whose keeper was killed during a stop.

    The server still holds the FIFO with the lines that the old keeper did not read.
    """
    with _locked(launch) as locked:
        if locked is None:
            return
        lock, found = locked
        found["state"] = record.STOPPING
        _write(launch, lock, found)
    _adopt(launch)


def record_ends(launches: Iterable[registry.Launch]) -> None:
    """Record the ends of launches that ended while they had no keeper; of those of other users only root does."""
    for launch in launches:
        if launch.live or not keeper_process.lost_keeper(launch):
            continue
        owner = as_owner.foreign_owner(launch.dir.path)
        if owner is not None:
            as_owner.call(owner, functools.partial(_record_end, launch.dir))
        elif launch.dir.ours:
            _record_end(launch.dir)


def _record_end(launch: LaunchDir) -> None:
    rescue(launch)
    keeper_process.settled(launch)


def end(launch: LaunchDir, state: str, cause: str) -> None:
    """Write the end of a launch without a keeper into its log, its record and its outbox, unless it is there."""
    with _locked(launch) as locked:
        if locked is None:
            return
        lock, found = locked
        found["state"] = state
        found["endedAt"] = timestamp_now()
        found["exit"] = {"code": None, "signal": None, "cause": cause}
        if state == record.FAILED:
            found["exit"]["exitStatus"] = EXITED_BEFORE_READY
            append_event(found, events.FAILED, cause=cause, exitStatus=EXITED_BEFORE_READY)
        append_event(found, events.EXITED, state=state, cause=cause)
        _write(launch, lock, found)
    with contextlib.suppress(OSError, ValueError, KeyError):  # without a plan there is no callbackUrl
        settings = plan.read(launch)
        keeper_process.report(launch, state, settings["callbackUrl"], settings["callbackTokenFile"])


@contextlib.contextmanager
def _locked(launch: LaunchDir) -> Iterator[tuple[LaunchLock, Record] | None]:
    """Hold a launch's lock and yield it with the record; yield None if it has a keeper or its end is recorded."""
    lock = LaunchLock(launch)
    try:
        taken = lock.acquire()
    except OSError:  # a state directory that is read-only, or another user's
        taken = False
    if not taken:
        yield None
        return
    with lock:
        found = launch.read()
        yield None if found["state"] in record.ENDED_STATES else (lock, found)


def _write(launch: LaunchDir, lock: LaunchLock, found: Record) -> None:
    """Write a record. If the disk is full or read-only, readers see the state from the processes."""
    try:
        lock.write(found)
    except OSError:
        disk_reserve.release(launch)
        with contextlib.suppress(OSError):
            lock.write(found)


def _adopt(launch: LaunchDir) -> bool:
    try:
        return keeper_process.adopt(launch)
    except OSError:  # as above
        return False
