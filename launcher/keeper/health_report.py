"""Reports that a server has become unhealthy, or healthy again: record, log and callback change together."""

from tracetail.contract import events, record
from tracetail.contract.record import Record
from tracetail.launcher.keeper.launch_log import LaunchLog
from tracetail.launcher.keeper.liveness import Liveness
from tracetail.launcher.log.stamper import seconds_between, timestamp_now


def apply_health(known: Record, liveness: Liveness, log: LaunchLog) -> str:
    """Change the record and write the event if the server's health has changed; return the event's name, else ""."""
    problem = liveness.problem
    now = timestamp_now()
    if problem is not None and known["state"] == record.READY:
        known["state"] = record.UNHEALTHY
        known["health"] = {"cause": problem.cause, "hint": problem.hint, "since": now}
        seconds = seconds_between(known["readyAt"], now)
        log.event(events.UNHEALTHY, cause=problem.cause, hint=problem.hint or None, seconds=seconds)
        return events.UNHEALTHY
    if liveness.healthy and known["state"] == record.UNHEALTHY:
        known["state"] = record.READY
        since = known.pop("health", {}).get("since", now)
        log.event(events.RECOVERED, seconds=seconds_between(since, now))
        return events.RECOVERED
    return ""
