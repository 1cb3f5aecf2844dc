"""JSON Schemas (OpenAPI 3.0) of the API's answers.

The browser's typedefs (static/component/types.js) have the same names and fields; a test compares them.
"""

from typing import Any

_STRING = {"type": "string"}
_INTEGER = {"type": "integer"}
_NUMBER = {"type": "number"}
_BOOLEAN = {"type": "boolean"}
_COUNTS = {"type": "object", "additionalProperties": {"type": "integer"}}
_TIME = {"type": "string", "description": "nanoseconds since the epoch"}


def reference(name: str) -> dict[str, Any]:
    """Return a reference to one of SCHEMAS."""
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(items: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def object_with(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object that has all of these properties."""
    return {"type": "object", "required": list(properties), "properties": properties}


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """Return the schema of an object that has the required properties, and may have the others."""
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


_LINE = _object(
    {
        "id": {"type": "string", "description": "its position in the log; also a valid start, after and before"},
        "time": _TIME,
        "text": _STRING,
        "source": {"type": "string", "description": "the launchId, or an id of a log without a launch"},
    },
    level=_STRING,
    process=_STRING,
    pid=_STRING,
    node={"type": "string", "description": "address of the machine that printed it, where Ray brought it here"},
    code={"type": "string", "description": "file:line of the statement that logged it"},
    requestId=_STRING,
    kind={"type": "string", "description": "event, cut or redraw; absent for an ordinary line"},
    originalTime=_STRING,
)
_LAUNCH = _object(
    {
        "launchId": _STRING,
        "traceId": _STRING,
        "instanceId": _STRING,
        "modelName": _STRING,
        "env": _STRING,
        "engine": _STRING,
        "host": _STRING,
        "state": {
            "type": "string",
            "description": "starting, ready, unhealthy, failed, stopping, stopped, crashed or unknown",
        },
        "phases": list_of(reference("Phase")),
    },
    startedAt=_TIME,
    readyAt=_TIME,
    readySeconds={"type": "number", "nullable": True},
    endedAt=_TIME,
    lastHeardAt={**_TIME, "description": "of a launch that has not ended: when its machine was last heard of"},
    lostContact={"type": "boolean", "description": "true if nothing was heard of its machine for minutes"},
    service=_STRING,
    servedName=_STRING,
    port=_INTEGER,
    nodes={"type": "integer", "description": "how many machines serve the model together"},
    nodeRank={"type": "integer", "description": "number of this one among them, from 0"},
    role={"type": "string", "description": "leader or follower of several machines"},
    pid=_INTEGER,
    jobId=_STRING,
    image={"type": "string", "description": "of its container"},
    command={"type": "string", "description": "quoted as for a shell, secrets masked"},
    url=_STRING,
    reason=_STRING,
    adoptions=_INTEGER,
    droppedLines=_INTEGER,
    restartedAs=_STRING,
    receipt={"type": "object", "description": "lines, bytes, rejected, redacted: the agent's count at the end"},
    versions={"type": "object", "additionalProperties": _STRING, "description": "by program; in comparisons"},
    exit=reference("Exit"),
    health=reference("Health"),
)
SCHEMAS: dict[str, dict[str, Any]] = {
    "Line": _LINE,
    "Launch": _LAUNCH,
    "Phase": object_with(name=_STRING, seconds={"type": "number", "nullable": True}, at=_TIME),
    "Exit": _object(
        {"line": {"type": "string", "description": "the id of the event that reported the end"}},
        exitCode=_INTEGER,
        exitStatus=_INTEGER,
        signal=_STRING,
        cause=_STRING,
        hint=_STRING,
        causeCode={"type": "string", "description": "stable code of the cause: docs/causes.md"},
        causeKind={"type": "string", "enum": ["known", "unrecognised"]},
        causeZh={"type": "string", "description": "cause in Chinese"},
        hintZh={"type": "string", "description": "hint in Chinese"},
        evidence=list_of(_STRING),
    ),
    "Health": _object(
        {
            "since": {**_TIME, "description": "time of the event that reported it"},
            "line": {"type": "string", "description": "the id of that event"},
        },
        cause=_STRING,
        hint=_STRING,
    ),
    "Gap": object_with(time=_TIME, reason=_STRING),
    "LogPage": _object(
        {"traceId": _STRING, "lines": list_of(reference("Line")), "more": _BOOLEAN},
        gaps=list_of(reference("Gap")),
        metadata={"type": "boolean", "description": "false where Loki keeps no structured metadata, else absent"},
        cursor={"type": "string", "description": "of the newest page: where a stream resumes"},
    ),
    "LineIndex": _object(
        {"complete": {"type": "boolean", "description": "whether the lines are counted; if not, repeat the request"}},
        checkpoints=list_of(reference("Checkpoint")),
        counts={**_COUNTS, "description": "lines before the position, by source"},
        last={
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "by source, the id of the last line before the position, or a time directly after it",
        },
    ),
    "Checkpoint": object_with(time=_TIME, counts=_COUNTS),
    "SearchResult": object_with(count=_INTEGER, number=_INTEGER, line={**_LINE, "nullable": True}),
    "Histogram": object_with(stepMs=_INTEGER, slices=list_of(reference("HistogramSlice"))),
    "HistogramSlice": object_with(time=_TIME, counts=_COUNTS),
    "Facets": object_with(processes=_COUNTS, levels=_COUNTS),
    "StatsPoint": _object(
        {"time": _TIME, "source": _STRING},
        prompt={**_NUMBER, "description": "tokens a second"},
        generation={**_NUMBER, "description": "tokens a second"},
        running={**_NUMBER, "description": "requests"},
        waiting={**_NUMBER, "description": "requests"},
        cache={**_NUMBER, "description": "percent of the KV cache in use"},
    ),
    "LinesMessage": _object({"lines": list_of(reference("Line"))}, gaps=list_of(reference("Gap"))),
    "LaunchesMessage": object_with(launches=list_of(reference("Launch"))),
    "LaunchesPage": _object(
        {"launches": list_of(reference("Launch"))},
        next={"type": "string", "description": "`before` of the next page; absent if there are no more"},
        labels={
            "type": "object",
            "additionalProperties": list_of(_STRING),
            "description": "of the recent launches: by field, all values that can be filtered by",
        },
    ),
    "LastReady": object_with(launches={"type": "object", "additionalProperties": reference("Launch")}),
    "Comparison": _object(
        {"launch": reference("Launch")},
        other={**reference("Launch")},
        places=list_of(reference("Difference")),
        arguments=list_of(reference("Difference")),
        versions=list_of(reference("Difference")),
        phases=list_of(reference("PhaseDifference")),
    ),
    "StartHistory": object_with(starts=list_of(reference("Start"))),
    "Start": _object(
        {"launch": reference("Launch")},
        change={**_NUMBER, "description": "0.35: it took 35 % longer than the median of the ten starts before it"},
        slower={"type": "boolean", "description": "whether it took notably longer"},
    ),
    "Difference": _object({"name": _STRING}, launch=_STRING, other=_STRING),
    "PhaseDifference": _object({"name": _STRING}, launch=_NUMBER, other=_NUMBER),
    "StatusMessage": _object({"loki": _STRING}, message=_STRING),
    "Error": object_with(error=object_with(code=_STRING, message=_STRING)),
}
