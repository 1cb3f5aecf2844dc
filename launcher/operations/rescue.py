"""Gives a launch without a keeper a new one, or, where none can be had, writes the end that a keeper would write."""

import contextlib
from collections.abc import Iterable, Iterator

from tracetail.contract import events, record
from tracetail.contract.record import LaunchDir, LaunchLock, Record
from tracetail.launcher import disk_reserve, plan, registry
from tracetail.launcher.log.log_end import append_event
from tracetail.launcher.log.stamper import timestamp_now
from tracetail.launcher.operations import keeper_process
from tracetail.launcher.result import EXITED_BEFORE_READY


def rescue(launch: LaunchDir) -> bool:
    """Have a launch that lost its keeper kept again; say whether it is, or has ended.

    False: its server runs, and no keeper can be had for it.
    """
    if _adopted(launch):
        if "server" not in launch.read():  # nothing to keep: the new keeper only tells the end
            keeper_process.wait_for(
                lambda: launch.read()["state"] in record.ENDED_STATES, keeper_process.WAIT_SECONDS
            )
        return True
    found = registry.look(launch)
    if found.live:
        return False
    end(launch, found.state, f"its keeper is gone, and no other could take over: see {launch.path / 'keeper.log'}")
    return True


def replace(launch: LaunchDir) -> None:
    """Have a launch whose keeper was ended in the midst of a stop stopped by a new one.

    Its server still holds the FIFO with the lines that the old keeper did not read.
    """
    with _unkept(launch) as kept:
        if kept is None:
            return
        lock, found = kept
        found["state"] = record.STOPPING
        _write(launch, lock, found)
    _adopted(launch)


def tell_ends(launches: Iterable[registry.Launch]) -> None:
    """Have the ends written of those launches that died with nobody there to see it."""
    for launch in launches:
        if not launch.live and keeper_process.needs_keeper(launch):
            rescue(launch.dir)
            keeper_process.settled(launch.dir)


def end(launch: LaunchDir, state: str, cause: str) -> None:
    """Write the end of a launch into its log, its record and its outbox, unless it is there or somebody keeps it."""
    with _unkept(launch) as kept:
        if kept is None:
            return
        lock, found = kept
        found["state"] = state
        found["endedAt"] = timestamp_now()
        found["exit"] = {"code": None, "signal": None, "cause": cause}
        if state == record.FAILED:
            found["exit"]["exitStatus"] = EXITED_BEFORE_READY
            append_event(found, events.FAILED, cause=cause, exitStatus=EXITED_BEFORE_READY)
        append_event(found, events.EXITED, state=state, cause=cause)
        _write(launch, lock, found)
    with contextlib.suppress(OSError, ValueError, KeyError):  # no plan: nobody knows where to report
        settings = plan.read(launch)
        keeper_process.report(launch, state, settings["callbackUrl"], settings["callbackTokenFile"])


@contextlib.contextmanager
def _unkept(launch: LaunchDir) -> Iterator[tuple[LaunchLock, Record] | None]:
    """Hold the lock of a launch that nobody keeps and whose end is not written; None if it is not such a one."""
    lock = LaunchLock(launch)
    try:
        taken = lock.acquire()
    except OSError:  # a state directory that is read-only, or somebody else's
        taken = False
    if not taken:
        yield None
        return
    with lock:
        found = launch.read()
        yield None if found["state"] in record.ENDED_STATES else (lock, found)


def _write(launch: LaunchDir, lock: LaunchLock, found: Record) -> None:
    """Write a record; where the disk takes nothing, what is true is seen from the processes."""
    try:
        lock.write(found)
    except OSError:
        disk_reserve.release(launch)
        with contextlib.suppress(OSError):
            lock.write(found)


def _adopted(launch: LaunchDir) -> bool:
    try:
        return keeper_process.adopt(launch)
    except OSError:  # as above
        return False
