"""The description of the API (OpenAPI 3.0), made from the very structs that requests are checked against."""

import typing
from typing import Any

import msgspec

from tracetail.contract.identity import ID_PATTERN, LAUNCH_ID_PATTERN
from tracetail.loki import logql
from tracetail.panel.auth.tokens import TokenRequest
from tracetail.panel.routes.ingest import Lines, Report
from tracetail.panel.routes.logs import (
    DownloadQuery,
    HistogramQuery,
    IndexQuery,
    LaunchesQuery,
    LinesQuery,
    LogsQuery,
    SearchQuery,
    StreamQuery,
)
from tracetail.panel.routes.runs import RunQuery
from tracetail.panel.routes.schemas import SCHEMAS, list_of, object_with, reference

_ERRORS = {
    "400": "a parameter or the body is not valid; the message names it",
    "401": "no token, or it is not valid or no longer so",
    "403": "the token, or this panel's set-up, does not allow it",
    "404": "not known, or not for this token",
    "405": "no such method here",
    "409": "it cannot be done as things stand; the message says why",
    "413": "the body is too large",
    "415": "the body is not application/json",
    "502": "Loki (or PowerJob) does not answer",
    "503": "not now; try again",
}
_DESCRIPTIONS = {
    "traceId": "The trace; or launchId, or instanceId, which are resolved to their trace.",
    "launchId": "Only this launch.",
    "instanceId": "Only this run of the scheduler.",
    "level": f"Only these levels, separated by commas: {', '.join(logql.LEVELS)}.",
    "process": "Only this process of the engine.",
    "kind": "Only lines of this kind: event, cut or redraw.",
    "q": "Only lines with this text in them (or this RE2 expression, if regex).",
    "regex": "q is a regular expression.",
    "case": "q distinguishes capital letters.",
    "start": "From this line (its id) or time (nanoseconds) on, itself included.",
    "after": "From behind this line on.",
    "before": "Up to this line or time, itself excluded.",
    "direction": "From the start or from the end of the range; backward unless start or after is given.",
    "cursor": "Where to go on: the cursor of the last page, or the id of the last event (as Last-Event-ID).",
    "fromLine": "The number of the first line wanted, from 0: the nextLine of the last answer.",
}
_PATTERNS = {"traceId": ID_PATTERN, "instanceId": ID_PATTERN, "launchId": LAUNCH_ID_PATTERN}
_KEY = {"type": "string", "pattern": r"^[0-9]{1,18}(-[0-9a-f]{16})?$"}
_LEVELS = {"type": "string", "enum": ["", *logql.LEVELS, "error,critical"]}
_STRING = {"type": "string"}
_INTEGER = {"type": "integer"}
_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "enum": ["lines", "launches", "status", "token-expired"]},
        "data": {
            "type": "string",
            "description": "JSON: a LinesMessage, LaunchesMessage or StatusMessage; {} of token-expired",
        },
        "id": {"type": "string", "description": "of lines: the cursor behind them, for Last-Event-ID"},
    },
}


class _Operation(typing.NamedTuple):
    method: str
    path: str
    summary: str
    answer: Any
    query: Any = None
    body: Any = None
    status: str = "200"
    media: str = "application/json"


_OPERATIONS = (
    _Operation(
        "get",
        "/api/launches",
        "Launches of a trace, or the recent ones.",
        reference("LaunchesMessage"),
        LaunchesQuery,
    ),
    _Operation("get", "/api/launches/{launchId}", "All that is known of a launch.", reference("Launch")),
    _Operation(
        "get",
        "/api/logs",
        "One page of lines.",
        reference("LogPage"),
        LogsQuery,
    ),
    _Operation(
        "get",
        "/api/logs/stream",
        "Follow a trace: server-sent events (each as described here) lines, launches, status, token-expired.",
        _EVENT,
        StreamQuery,
        media="text/event-stream",
    ),
    _Operation(
        "get",
        "/api/logs/index",
        "Lines before a place, for line numbers.",
        reference("LineIndex"),
        IndexQuery,
    ),
    _Operation(
        "get",
        "/api/logs/search",
        "The next match, its number, and how many there are.",
        reference("SearchResult"),
        SearchQuery,
    ),
    _Operation(
        "get",
        "/api/logs/histogram",
        "Lines by level over time.",
        reference("Histogram"),
        HistogramQuery,
    ),
    _Operation(
        "get",
        "/api/logs/facets",
        "Processes and levels, with their numbers of lines.",
        reference("Facets"),
        LinesQuery,
    ),
    _Operation(
        "get",
        "/api/logs/stats",
        "Throughput, queue and cache from the engine's stats lines.",
        object_with(points=list_of(reference("StatsPoint"))),
        LinesQuery,
    ),
    _Operation("get", "/api/logs/download", "The log as a file.", _STRING, DownloadQuery, media="text/plain"),
    _Operation(
        "post",
        "/api/tokens",
        "Mint a token (with the admin key).",
        object_with(token=_STRING, expiresAt=_INTEGER),
        body=TokenRequest,
        status="201",
    ),
    _Operation(
        "post",
        "/api/report/llm-start",
        "A callback of a launch.",
        object_with(received={"type": "boolean"}, traceId=_STRING),
        body=Report,
    ),
    _Operation(
        "post",
        "/api/log/append",
        "Lines of a run that no agent follows.",
        object_with(appended=_INTEGER, traceId=_STRING),
        body=Lines,
    ),
    _Operation(
        "get",
        "/llm/logs",
        "The lines of a run by number.",
        object_with(nextLine=_INTEGER, lines=list_of(_STRING)),
        RunQuery,
    ),
    _Operation("get", "/healthz", "Whether the panel and its Loki answer.", object_with(status=_STRING)),
)


def document() -> dict[str, Any]:
    """Return the description."""
    schemas: dict[str, Any] = dict(SCHEMAS)
    paths: dict[str, Any] = {}
    for operation in _OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation, schemas)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "tracetail panel",
            "version": "1",
            "description": "Logs and launches of inference servers, by traceId. Without a secret no token is needed.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "security": [{"token": []}],
    }


def _described(operation: _Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    media = {operation.media: {"schema": operation.answer}}
    if operation.path == "/api/logs/download":
        media["application/x-ndjson"] = {"schema": _STRING}
    responses = {operation.status: {"description": "as asked", "content": media}}
    error = {"application/json": {"schema": reference("Error")}}
    responses |= {status: {"description": text, "content": error} for status, text in _ERRORS.items()}
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": operation.method + operation.path.replace("/", "_").replace("{", "").replace("}", ""),
        "responses": responses,
    }
    parameters = _parameters(operation.query) if operation.query is not None else []
    if "{launchId}" in operation.path:
        schema = {"type": "string", "pattern": f"^{LAUNCH_ID_PATTERN}$"}
        parameters.append({"name": "launchId", "in": "path", "required": True, "schema": schema})
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        (body,), components = msgspec.json.schema_components(
            [operation.body], ref_template="#/components/schemas/{name}"
        )
        schemas |= components
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return described


def _parameters(struct: Any) -> list[dict[str, Any]]:
    """Return the query parameters that the struct takes."""
    _, components = msgspec.json.schema_components([struct], ref_template="#/components/schemas/{name}")
    described = components[struct.__name__]
    found = []
    for name, schema in described["properties"].items():
        shown = dict(schema)
        if name in ("start", "after", "before"):
            shown = dict(_KEY)
        elif name == "level":
            shown = dict(_LEVELS)
        elif name in _PATTERNS:
            shown = {"type": "string", "pattern": f"^{_PATTERNS[name]}$"}
        if shown.get("default") == "":
            del shown["default"]
        parameter = {"name": name, "in": "query", "required": name in described.get("required", []), "schema": shown}
        if name in _DESCRIPTIONS:
            parameter["description"] = _DESCRIPTIONS[name]
        found.append(parameter)
    return found
