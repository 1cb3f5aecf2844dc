"""`status`: the state of a service now."""

import functools
import time
from pathlib import Path

from tracetail.contract import record
from tracetail.launcher import plan, probe, registry
from tracetail.launcher.operations import as_owner, keeper_process, rescue
from tracetail.launcher.result import CHANGING, OK, STOPPED, UNHEALTHY, Result
from tracetail.launcher.selection import Selection


def status(selection: Selection, state_dir: Path) -> Result:
    """Return the state of the selected service: that of its newest launch that runs, else of its newest.

    A traceId may select several services. The result is then that of the one in the worst state, with all of them as
    its `launches`. A keeper that died is replaced first.
    """
    found = selection.find(state_dir)
    if not found:
        return Result("status", STOPPED, None, record.STOPPED, cause=f"there is no launch of {selection.describe()}")
    if not selection.of_trace:
        return _launch_status(_current(found))
    services: dict[str, list[registry.Launch]] = {}
    for launch in found:
        services.setdefault(launch.record["service"], []).append(launch)
    results = [_launch_status(_current(launches)) for launches in services.values()]
    results.sort(key=_badness, reverse=True)
    return results[0] if len(results) == 1 else results[0]._replace(launches=results)


def _current(launches: list[registry.Launch]) -> registry.Launch:
    """Return the newest launch that runs, else the newest. launches: newest first."""
    return next((one for one in launches if one.live), launches[0])


def _badness(result: Result) -> int:
    """Return the rank of a service's state in its trace: failed, unhealthy, stopped, changing, ready."""
    if result.state in (record.FAILED, record.CRASHED):
        return 4
    return {UNHEALTHY: 3, STOPPED: 2, CHANGING: 1}.get(result.status, 0)


def _launch_status(launch: registry.Launch) -> Result:
    return as_owner.result_of([launch.dir], functools.partial(_repaired_status, launch))


def _repaired_status(launch: registry.Launch) -> Result:
    begun = time.monotonic()
    if keeper_process.needs_keeper(launch):
        rescue.rescue(launch.dir)
    launch = keeper_process.settled(launch.dir)
    if launch.state in (record.STARTING, record.STOPPING):
        return Result("status", CHANGING, launch.record, launch.state, time.monotonic() - begun)
    if launch.state == record.UNHEALTHY:
        cause = f"unhealthy: {launch.record.get('health', {}).get('cause', 'its probes fail')}"
        hint = launch.record.get("health", {}).get("hint", "")
        return Result("status", UNHEALTHY, launch.record, launch.state, time.monotonic() - begun, cause, hint)
    if launch.state != record.READY:
        return Result("status", STOPPED, launch.record, launch.state, time.monotonic() - begun)
    problem = health_problem(launch)
    seconds = time.monotonic() - begun
    if problem:
        return Result("status", UNHEALTHY, launch.record, record.UNHEALTHY, seconds, cause=f"unhealthy: {problem}")
    return Result("status", OK, launch.record, launch.state, seconds)


def health_problem(launch: registry.Launch) -> str:
    """Return why a ready server no longer passes its readiness probe; "" if it passes."""
    try:
        ready = plan.read(launch.dir)["ready"]
    except (OSError, ValueError, KeyError):
        return ""
    if ready["port"] is None or ready["kind"] not in (plan.HTTP, plan.PORT):
        return ""
    tls = launch.record.get("url", "").startswith("https:")
    target = probe.Target(probe.connect_host(ready["host"]), ready["port"], tls=tls)
    try:
        if ready["kind"] == plan.HTTP:
            probe.check_ready_path(target, ready["path"])
        else:
            probe.check_port(target)
    except probe.ProbeError as error:
        return str(error)
    return ""
