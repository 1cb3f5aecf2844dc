"""Parses requests: query parameters and bodies into structs, and the trace that a request names."""

import zlib
from typing import TypeVar

import msgspec
import orjson
from aiohttp import web

from tracetail.contract import labels as names
from tracetail.contract.identity import InvalidIdError, check_id, is_launch_id
from tracetail.contract.request_time import read_body
from tracetail.panel.auth.access import Credential, Grant
from tracetail.panel.routes.errors import NotFoundError, RequestError
from tracetail.panel.trace.traces import Traces

GRANT = web.RequestKey("grant", Grant)
"""Where the access check stores what the request is allowed to do."""
CREDENTIAL = web.RequestKey("credential", Credential)
"""Where it stores what the request was opened with, for answers that take long."""
BODY_MAX_BYTES = 8 * 1024 * 1024

T = TypeVar("T")


def parameters(request: web.Request, kind: type[T]) -> T:
    """Return the query string as a struct of this kind. Raises RequestError (400), which names the parameter."""
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
    """Return the JSON body as a struct of this kind. Raises RequestError (400, 415), HTTPRequestEntityTooLarge."""
    if request.content_type != "application/json":
        raise RequestError(415, "not_json", "send Content-Type: application/json")
    data = _decompressed(await read_body(request), request.headers.get("Content-Encoding", ""))
    try:
        return msgspec.convert(orjson.loads(data), kind)
    except msgspec.ValidationError as error:
        raise RequestError(400, "bad_body", str(error)) from error
    except orjson.JSONDecodeError as error:
        raise RequestError(400, "bad_body", f"the body is not JSON: {error}") from error


def _decompressed(data: bytes, encoding: str) -> bytes:
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return data
    if encoding not in ("gzip", "deflate"):
        raise RequestError(415, "bad_encoding", f"Content-Encoding {encoding!r} is not supported: gzip or deflate")
    is_raw = data[:1] and data[0] & 0x0F != zlib.DEFLATED  # some clients' deflate has no header of zlib
    bits = zlib.MAX_WBITS + 16 if encoding == "gzip" else -zlib.MAX_WBITS if is_raw else zlib.MAX_WBITS
    inflater = zlib.decompressobj(bits)
    try:
        found = inflater.decompress(data, BODY_MAX_BYTES + 1)
    except zlib.error as error:
        raise RequestError(400, "bad_body", f"the body is not {encoding}: {error}") from error
    if len(found) > BODY_MAX_BYTES:
        raise web.HTTPRequestEntityTooLarge(BODY_MAX_BYTES, len(found))
    if not inflater.eof:
        raise RequestError(400, "bad_body", f"the body is not {encoding}: it ends too early")
    return found


def grant_of(request: web.Request) -> Grant:
    """Return what the request is allowed to do; the access check has stored it."""
    return request[GRANT]


def checked_id(name: str, value: str) -> str:
    """Return the id if it is valid. Raises RequestError (400)."""
    try:
        return check_id(name, value)
    except InvalidIdError as error:
        raise RequestError(400, "bad_parameter", str(error)) from error


async def trace_of(
    request: web.Request,
    traces: Traces,
    scope: str,
    *,
    trace_id: str = "",
    launch_id: str = "",
    instance_id: str = "",
) -> str:
    """Return the traceId that the request names, after checking that the token has the scope and the trace.

    A launchId or instanceId is resolved to its trace before the check. One that the token may not access gets the
    same answer as one that does not exist. Raises AccessError, RequestError or LokiError.
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
            found = await (traces.of_instance(value) if name == "instanceId" else traces.trace_ids(label, value))
            allowed = sorted(trace for trace in found if grant.allows(trace))
            if not allowed:
                raise NotFoundError(f"{name} {value}")
            if len(allowed) > 1:
                raise RequestError(409, "ambiguous", f"{name} {value} is part of several traces: add traceId")
            return allowed[0]
    raise RequestError(400, "bad_parameter", "name the trace by traceId, launchId or instanceId")
