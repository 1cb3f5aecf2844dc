"""`status`: the state of a service now."""

import functools
import time
from collections.abc import Sequence
from pathlib import Path

from tracetail.contract import record
from tracetail.contract.record import Record
from tracetail.launcher import plan, probe, registry
from tracetail.launcher.operations import as_owner, keeper_process, rescue
from tracetail.launcher.result import CHANGING, OK, STOPPED, UNHEALTHY, Result
from tracetail.launcher.selection import Selection


def status(selection: Selection, state_dir: Path, elsewhere: Sequence[Record] = ()) -> Result:
    """Return the state of the selected service: that of its newest launch that runs, else of its newest.

    A traceId may select several services. The result is then that of the one in the worst state, with all of them as
    its `launches`. A keeper that died is replaced first.

    elsewhere: what is known of the launches of the trace on other machines.
    """
    found = selection.find(state_dir)
    if not found and not elsewhere:
        wanted = selection.describe()
        zh = (f"没有 {wanted} 的启动", "")
        return Result("status", STOPPED, None, record.STOPPED, cause=f"there is no launch of {wanted}", zh=zh)
    if not selection.of_trace:
        return _launch_status(_current(found))
    services: dict[str, list[registry.Launch]] = {}
    for launch in found:
        services.setdefault(launch.record["service"], []).append(launch)
    results = [_launch_status(_current(launches)) for launches in services.values()]
    results += [_status_elsewhere(one) for one in elsewhere]
    results.sort(key=_badness, reverse=True)
    return results[0] if len(results) == 1 else results[0]._replace(launches=results)


def _status_elsewhere(known: Record) -> Result:
    """Return the state of a launch of another machine, as it was reported."""
    state = known["state"]
    if state in (record.STARTING, record.STOPPING):
        return Result("status", CHANGING, known, state)
    if state == record.UNHEALTHY:
        health = known.get("health") or {}
        cause = f"unhealthy: {health.get('cause', '')}"
        zh = (f"不健康：{health.get('causeZh') or health.get('cause', '')}", health.get("hintZh", ""))
        return Result("status", UNHEALTHY, known, state, cause=cause, hint=health.get("hint", ""), zh=zh)
    return Result("status", OK if state == record.READY else STOPPED, known, state)


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
        health = launch.record.get("health", {})
        cause = f"unhealthy: {health.get('cause', 'its probes fail')}"
        zh = (f"不健康：{health.get('causeZh', '探测失败')}", health.get("hintZh", ""))
        seconds = time.monotonic() - begun
        return Result("status", UNHEALTHY, launch.record, launch.state, seconds, cause, health.get("hint", ""), zh)
    if launch.state != record.READY:
        return Result("status", STOPPED, launch.record, launch.state, time.monotonic() - begun)
    failed = _failed_probe(launch)
    seconds = time.monotonic() - begun
    if failed is not None:
        cause, zh = f"unhealthy: {failed}", (f"不健康：{failed.chinese}", "")
        return Result("status", UNHEALTHY, launch.record, record.UNHEALTHY, seconds, cause=cause, zh=zh)
    return Result("status", OK, launch.record, launch.state, seconds)


def _failed_probe(launch: registry.Launch) -> probe.ProbeError | None:
    """Return why a ready server no longer passes its readiness probe; None if it passes."""
    try:
        ready = plan.read(launch.dir)["ready"]
    except (OSError, ValueError, KeyError):
        return None
    if ready["port"] is None or ready["kind"] not in (plan.HTTP, plan.PORT):
        return None
    tls = launch.record.get("url", "").startswith("https:")
    target = probe.Target(probe.connect_host(ready["host"]), ready["port"], tls=tls)
    try:
        if ready["kind"] == plan.HTTP:
            probe.check_ready_path(target, ready["path"])
        else:
            probe.check_port(target)
    except probe.ProbeError as error:
        return error
    return None
