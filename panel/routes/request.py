"""What a request says: typed parameters and bodies, and which trace it is about."""

from typing import TypeVar

import msgspec
import orjson
from aiohttp import web

from tracetail.contract import labels as names
from tracetail.contract.identity import InvalidIdError, check_id, is_launch_id
from tracetail.panel.auth.access import Grant
from tracetail.panel.routes.errors import NotFoundError, RequestError
from tracetail.panel.trace.traces import Traces

GRANT = web.RequestKey("grant", Grant)
BODY_MAX_BYTES = 8 * 1024 * 1024

T = TypeVar("T")


def parameters(request: web.Request, kind: type[T]) -> T:
    """Return the query string as the struct. Raises RequestError (400) that names the parameter."""
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise RequestError(400, "bad_parameter", f"{name} is given twice")
        values[name] = value
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise RequestError(400, "bad_parameter", str(error).replace("Object contains", "the request has")) from error


async def body(request: web.Request, kind: type[T]) -> T:
    """Return the JSON body as the struct. Raises RequestError."""
    if request.content_type != "application/json":
        raise RequestError(415, "not_json", "send Content-Type: application/json")
    data = await request.read()
    try:
        return msgspec.convert(orjson.loads(data), kind)
    except msgspec.ValidationError as error:
        raise RequestError(400, "bad_body", str(error)) from error
    except orjson.JSONDecodeError as error:
        raise RequestError(400, "bad_body", f"the body is not JSON: {error}") from error


def grant_of(request: web.Request) -> Grant:
    """Return what the request may do (the middleware has found out)."""
    return request[GRANT]


def checked_id(name: str, value: str) -> str:
    """Return the id. Raises RequestError (400)."""
    try:
        return check_id(name, value)
    except InvalidIdError as error:
        raise RequestError(400, "bad_parameter", str(error)) from error


async def trace_of(
    request: web.Request, found: Traces, scope: str, *, trace_id: str = "", launch_id: str = "", instance_id: str = ""
) -> str:
    """Return the traceId that the request is about, once the token is known to open it.

    A launchId or instanceId is resolved first and judged then; one that the token does not open is answered like one
    that does not exist.
    """
    grant = grant_of(request)
    grant.require(scope)
    if launch_id and not is_launch_id(launch_id):
        raise RequestError(400, "bad_parameter", f"launchId {launch_id[:60]!r} is not valid")
    if instance_id:
        checked_id("instanceId", instance_id)
    if trace_id:
        grant.require_trace(checked_id("traceId", trace_id))
        return trace_id
    for name, label, value in (
        ("launchId", names.LAUNCH_ID, launch_id),
        ("instanceId", names.INSTANCE_ID, instance_id),
    ):
        if value:
            opened = sorted(trace for trace in await found.trace_ids(label, value) if grant.opens(trace))
            if not opened:
                raise NotFoundError(f"{name} {value}")
            if len(opened) > 1:
                raise RequestError(409, "ambiguous", f"{name} {value} is part of several traces: add traceId")
            return opened[0]
    raise RequestError(400, "bad_parameter", "say which trace: traceId, launchId or instanceId")
