"""The description of the API (OpenAPI 3.0), generated from the structs that validate the requests."""

from typing import Any

import msgspec

from tracetail.contract.identity import ID_PATTERN, LAUNCH_ID_PATTERN
from tracetail.loki import logql
from tracetail.panel.routes.operations import OPERATIONS, Operation
from tracetail.panel.routes.schemas import SCHEMAS, reference

_ERRORS = {
    "400": "a parameter or the body is not valid; the message names it",
    "401": "the token is missing, invalid or expired",
    "403": "the token or the configuration of the panel does not allow it",
    "404": "it does not exist, or the token is not for it",
    "405": "the path does not support the method",
    "409": "the current state does not allow it; the message gives the reason",
    "413": "the body is too large",
    "415": "the body is not application/json",
    "502": "Loki (or PowerJob) is unavailable",
    "503": "temporarily unavailable; try again",
}
_DESCRIPTIONS = {
    "traceId": "The trace. A launchId or instanceId can be given instead; it is resolved to its trace.",
    "launchId": "Only this launch.",
    "instanceId": "Only this run of the scheduler.",
    "level": f"Only these levels, separated by commas: {', '.join(logql.LEVELS)}.",
    "process": "Only this process of the engine.",
    "kind": "Only lines of this kind: event, cut or redraw.",
    "q": "Only lines that contain this text (with regex: that match this RE2 expression).",
    "regex": "q is a regular expression.",
    "case": "q is case-sensitive.",
    "start": "From this line (its id) or time (nanoseconds) on, inclusive.",
    "after": "From this line (its id) or time on, exclusive.",
    "before": "Up to this line or time, exclusive.",
    "direction": "From the start or from the end of the range; backward unless start or after is given.",
    "cursor": "Where to resume: the cursor of the last page, or the id of the last event (as Last-Event-ID).",
    "fromLine": "The number of the first line to return, from 0: nextLine of the previous answer.",
}
_PATTERNS = {"traceId": ID_PATTERN, "instanceId": ID_PATTERN, "launchId": LAUNCH_ID_PATTERN}
_KEY = {"type": "string", "pattern": r"^[0-9]{1,18}(-[0-9a-f]{16})?$"}
_LEVELS = {"type": "string", "enum": ["", *logql.LEVELS, "error,critical"]}


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    schemas: dict[str, Any] = dict(SCHEMAS)
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation_object(operation, schemas)
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


def _operation_object(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the operation as OpenAPI, and add the schemas of its body to schemas."""
    media = {operation.media: {"schema": operation.answer}}
    if operation.path == "/api/logs/download":
        media["application/x-ndjson"] = {"schema": {"type": "string"}}
    responses = {operation.status: {"description": "success", "content": media}}
    error = {"application/json": {"schema": reference("Error")}}
    responses |= {status: {"description": text, "content": error} for status, text in _ERRORS.items()}
    result: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": operation.method + operation.path.replace("/", "_").replace("{", "").replace("}", ""),
        "responses": responses,
    }
    parameters = _parameters(operation.query) if operation.query is not None else []
    if "{launchId}" in operation.path:
        schema = {"type": "string", "pattern": f"^{LAUNCH_ID_PATTERN}$"}
        parameters.append({"name": "launchId", "in": "path", "required": True, "schema": schema})
    if parameters:
        result["parameters"] = parameters
    if operation.body is not None:
        (body,), components = msgspec.json.schema_components(
            [operation.body], ref_template="#/components/schemas/{name}"
        )
        schemas |= components
        result["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return result


def _parameters(struct: Any) -> list[dict[str, Any]]:
    """Return the query parameters of a struct as OpenAPI parameters."""
    _, components = msgspec.json.schema_components([struct], ref_template="#/components/schemas/{name}")
    described = components[struct.__name__]
    parameters = []
    for name, schema in described["properties"].items():
        parameter_schema = dict(schema)
        if name in ("start", "after", "before"):
            parameter_schema = dict(_KEY)
        elif name == "level":
            parameter_schema = dict(_LEVELS)
        elif name in _PATTERNS:
            parameter_schema = {"type": "string", "pattern": f"^{_PATTERNS[name]}$"}
        if parameter_schema.get("default") == "":
            del parameter_schema["default"]
        parameter = {
            "name": name,
            "in": "query",
            "required": name in described.get("required", []),
            "schema": parameter_schema,
        }
        if name in _DESCRIPTIONS:
            parameter["description"] = _DESCRIPTIONS[name]
        parameters.append(parameter)
    return parameters
