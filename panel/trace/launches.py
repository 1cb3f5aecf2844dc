"""The state of a trace's launches, computed from the events in their logs alone.

The keeper writes all that a remote reader needs into the log (contract.events); this module folds those events into
one JSON object per launch. Pure: entries in, dictionaries out.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tracetail.contract import events, record
from tracetail.contract import labels as names
from tracetail.contract.logline import Event, parse_event
from tracetail.panel.trace.entry import Entry

EVENT_METADATA = {names.METADATA_KIND: "event"}
STATE_EVENTS = (
    events.STARTED,
    events.READY,
    events.UNHEALTHY,
    events.RECOVERED,
    events.FAILED,
    events.REFUSED,
    events.STOPPING,
    events.EXITED,
    events.RECEIPT,
)
"""The events that change the state; a long log has many of the others."""
UNKNOWN = "unknown"
"""The state of every launch in a Loki without structured metadata, where a server's output could imitate an event."""
_OF_RUNNING = ("health", "lastHeardAt", "lostContact")
"""What only a launch that runs has."""
_PLACE = ("nodes", "nodeRank", "role")
"""Of a launch among those of several machines that serve one model together."""
_INTEGERS = frozenset(
    (
        *("nodes", "nodeRank", "port", "pid", "exitCode", "exitStatus", "attempt"),
        *("lines", "bytes", "rejected", "redacted"),
    )
)
_INTEGER = re.compile(r"-?[0-9]{1,18}")
"""Others are left out: an answer's JSON has 64 bits, and one launch must not cost the whole list."""
_EXIT_FIELDS = (
    "exitCode",
    "exitStatus",
    "signal",
    "cause",
    "hint",
    "causeCode",
    "causeKind",
    "causeZh",
    "hintZh",
    "evidence",
)


def launches_from_series(
    series: Iterable[Mapping[str, str]], state: str = record.STARTING
) -> dict[str, dict[str, Any]]:
    """Return launches with the fields that stream labels give, by launchId. Skips streams without a launchId."""
    found: dict[str, dict[str, Any]] = {}
    for labels in series:
        launch_id = labels.get(names.LAUNCH_ID)
        if launch_id:
            found[launch_id] = {**_from_labels(labels), "state": state}
    return found


def apply_events(launches: dict[str, dict[str, Any]], entries: Iterable[Entry]) -> None:
    """Update launches in place from the events among the entries, which must be in order of time."""
    for entry in entries:
        fields = entry.stream.fields
        if fields.get(names.METADATA_KIND) != "event":
            continue
        event = parse_event(entry.text)
        launch_id = entry.stream.launch_id
        if launch_id:
            _apply(launches.setdefault(launch_id, _from_labels(fields)), event, entry)


def in_order(launches: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the launches, oldest first."""
    return sorted(launches.values(), key=lambda launch: (launch.get("startedAt", ""), launch["launchId"]))


def _from_labels(labels: Mapping[str, str]) -> dict[str, Any]:
    return {
        "launchId": labels.get(names.LAUNCH_ID, ""),
        "traceId": labels.get(names.TRACE_ID, ""),
        "instanceId": labels.get(names.INSTANCE_ID, ""),
        "modelName": labels.get(names.SERVICE_NAME, ""),
        "env": labels.get(names.ENV, ""),
        "engine": labels.get(names.ENGINE, ""),
        "host": labels.get(names.HOST, ""),
        "state": record.STARTING,
        "phases": [],
    }


def _apply(launch: dict[str, Any], event: Event, entry: Entry) -> None:
    """Update a launch from one event."""
    fields: dict[str, Any] = {
        name: int(value) if name in _INTEGERS else value
        for name, value in event.fields.items()
        if name not in _INTEGERS or _INTEGER.fullmatch(value)
    }
    at = str(entry.key.time_ns)
    if event.name == events.STARTED:
        launch["startedAt"] = at
        _copy(launch, fields, ("service", "servedName", "port", "pid", "jobId", "image", "command", *_PLACE))
    elif event.name == events.PHASE:
        launch["phases"].append({"name": fields.get("name", ""), "seconds": _seconds(fields), "at": at})
    elif event.name == events.READY:
        launch["state"] = record.READY
        launch["readyAt"] = at
        launch["readySeconds"] = _seconds(fields)
        _copy(launch, fields, ("port", "pid", "url"))
    elif event.name == events.UNHEALTHY:
        launch["state"] = record.UNHEALTHY
        launch["health"] = {"since": at, "line": str(entry.key)}
        _copy(launch["health"], fields, ("cause", "hint"))
    elif event.name == events.RECOVERED:
        launch["state"] = record.READY
        launch.pop("health", None)
    elif event.name in (events.FAILED, events.REFUSED):
        launch["state"] = record.FAILED
        launch["endedAt"] = at
        launch.setdefault("startedAt", at)
        _copy(launch, fields, ("service", "servedName", "port", "jobId", "command", *_PLACE))
        _apply_exit(launch, fields, entry)
    elif event.name == events.STOPPING:
        launch["state"] = record.STOPPING
        _copy(launch, fields, ("reason",))
    elif event.name == events.EXITED:
        launch["state"] = fields.get("state", record.STOPPED)
        for name in _OF_RUNNING:
            launch.pop(name, None)
        launch["endedAt"] = at
        _apply_exit(launch, fields, entry)
    elif event.name == events.ADOPTED:
        launch["adoptions"] = launch.get("adoptions", 0) + 1
    elif event.name == events.DROPPED:
        launch["droppedLines"] = launch.get("droppedLines", 0) + _integer(fields.get("lines"))
    elif event.name == events.RESTARTED:
        launch["restartedAs"] = fields.get("launchId")
    elif event.name == events.RECEIPT:
        launch["receipt"] = {
            name: fields[name] for name in ("lines", "bytes", "rejected", "redacted") if name in fields
        }


def _apply_exit(launch: dict[str, Any], fields: Mapping[str, Any], entry: Entry) -> None:
    """Update `exit`. A later event adds to an earlier one: `exited` does not repeat every field of `failed`."""
    known = launch.setdefault("exit", {})
    _copy(known, fields, _EXIT_FIELDS)
    if isinstance(known.get("evidence"), str):
        known["evidence"] = known["evidence"].split("\n")
    known["line"] = str(entry.key)


def _copy(target: dict[str, Any], fields: Mapping[str, Any], wanted: Iterable[str]) -> None:
    """Copy the wanted fields that have a value."""
    target.update({name: fields[name] for name in wanted if fields.get(name) not in (None, "")})


def _seconds(fields: Mapping[str, Any]) -> float | None:
    try:
        return float(fields["seconds"])
    except (KeyError, ValueError):
        return None


def _integer(value: Any) -> int:
    return value if isinstance(value, int) else 0
