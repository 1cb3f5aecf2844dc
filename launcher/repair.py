"""Gives a launch without a keeper a new one, or, where none can be had, writes the end that a keeper would write."""

import contextlib
from collections.abc import Iterable

from contract import events, record
from contract.record import LaunchDir, LaunchLock
from launcher import adoption, plan, postscript, registry
from launcher.result import EXITED_BEFORE_READY
from launcher.stamping import moment


def rescue(launch: LaunchDir) -> bool:
    """Have a launch that lost its keeper kept again; say whether it is, or has ended.

    False: its server runs, and no keeper can be had for it.
    """
    if adoption.adopt(launch):
        if "server" not in launch.read():  # nothing to keep: the new keeper only tells the end
            adoption.wait_for(lambda: launch.read()["state"] in record.ENDED_STATES, adoption.WAIT_SECONDS)
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
    lock = LaunchLock(launch)
    if not lock.acquire():
        return
    with lock:
        found = launch.read()
        if found["state"] in record.ENDED_STATES:
            return
        found["state"] = record.STOPPING
        with contextlib.suppress(OSError):  # a full disk: what is true is seen from the processes
            lock.write(found)
    adoption.adopt(launch)


def tell_ends(launches: Iterable[registry.Launch]) -> None:
    """Have the ends written of those launches that died with nobody there to see it."""
    for launch in launches:
        if not launch.live and adoption.needs_keeper(launch):
            rescue(launch.dir)
            adoption.settled(launch.dir)


def end(launch: LaunchDir, state: str, cause: str) -> None:
    """Write the end of a launch into its log, its record and its outbox, unless it is there or somebody keeps it."""
    lock = LaunchLock(launch)
    if not lock.acquire():
        return
    with lock:
        found = launch.read()
        if found["state"] not in registry.LIVE_STATES:
            return
        found["state"] = state
        found["endedAt"] = moment()
        found["exit"] = {"code": None, "signal": None, "cause": cause}
        if state == record.FAILED:
            found["exit"]["exitStatus"] = EXITED_BEFORE_READY
            postscript.say(found, events.FAILED, cause=cause, exitStatus=EXITED_BEFORE_READY)
        postscript.say(found, events.EXITED, state=state, cause=cause)
        with contextlib.suppress(OSError):
            lock.write(found)
    with contextlib.suppress(OSError, ValueError, KeyError):  # no plan: nobody knows where to report
        settings = plan.read(launch)
        adoption.report(launch, state, settings["callbackUrl"], settings["callbackTokenFile"])
