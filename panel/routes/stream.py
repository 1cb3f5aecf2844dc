"""GET /api/logs/stream: follows a trace as server-sent events."""

import asyncio
import time
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from tracetail.panel.auth.access import READ, Credential
from tracetail.panel.routes.errors import RequestError
from tracetail.panel.routes.log_queries import LinesRequests, RequestId
from tracetail.panel.routes.request import CREDENTIAL, grant_of, parameters, trace_of
from tracetail.panel.trace import cursor
from tracetail.panel.trace.feeds import Feeds, TooManyViewersError
from tracetail.panel.trace.request_filter import RequestFilter
from tracetail.panel.trace.stream_messages import Message
from tracetail.panel.trace.traces import Traces

_RECHECK_SECONDS = 1.0
_WRITE_TIMEOUT_SECONDS = 60.0
"""A viewer that reads nothing for this long is disconnected."""

_Cursor = Annotated[str, Meta(max_length=cursor.MAX_CHARACTERS, pattern="^[A-Za-z0-9_-]*$")]


class StreamQuery(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Selects the trace to follow, or one request's lines of it, and where to resume."""

    trace_id: str = ""
    launch_id: str = ""
    instance_id: str = ""
    request_id: RequestId = ""
    cursor: _Cursor = ""


class StreamRoutes:
    """Serves live streams."""

    def __init__(self, requests: LinesRequests, traces: Traces, feeds: Feeds, heartbeat_seconds: float) -> None:
        self._requests = requests
        self._traces = traces
        self._feeds = feeds
        self._heartbeat_seconds = heartbeat_seconds

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/api/logs/stream", self.stream)]

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Follow a trace from the cursor (or Last-Event-ID) on; without one from the trace's start."""
        query = parameters(request, StreamQuery)
        wanted = None
        if query.request_id:
            self._requests.require_metadata()
            wanted = RequestFilter(query.request_id)
        trace_id = await trace_of(
            request,
            self._traces,
            READ,
            trace_id=query.trace_id,
            launch_id=query.launch_id,
            instance_id=query.instance_id,
        )
        resume_at = request.headers.get("Last-Event-ID") or query.cursor
        try:
            positions = cursor.decode(resume_at) if resume_at else {}
        except cursor.InvalidCursorError as error:
            raise RequestError(400, "bad_cursor", str(error)) from error
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store, no-transform",
                "X-Accel-Buffering": "no",  # nginx would buffer the events
            }
        )
        try:
            with self._feeds.watch(trace_id, positions, grant_of(request).holder, wanted) as (feed, viewer):
                await response.prepare(request)
                await response.write(b"retry: 1000\n\n")
                deadline = _deadline(grant_of(request).seconds_left())
                messages = feed.messages(viewer, self._heartbeat_seconds)
                recheck = _Recheck(request[CREDENTIAL])
                while True:
                    try:
                        async with asyncio.timeout_at(deadline):
                            message = await anext(messages)
                        recheck.require_valid()
                    except TimeoutError:
                        await response.write(Message("token-expired", {}).encoded)
                        break
                    data = message.encoded if message is not None else b": alive\n\n"
                    async with asyncio.timeout(_WRITE_TIMEOUT_SECONDS):
                        await response.write(data)
        except TooManyViewersError as error:
            raise RequestError(503, "too_many_viewers", str(error)) from error
        except (ConnectionError, TimeoutError):
            pass  # the viewer has disconnected
        return response


class _Recheck:
    """Checks from time to time whether the token of a stream still holds: its secret may have been rotated."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential
        self._at = time.monotonic() + _RECHECK_SECONDS

    def require_valid(self) -> None:
        """Raise TimeoutError, as at the token's expiry, if it does not hold any more."""
        if time.monotonic() < self._at:
            return
        self._at = time.monotonic() + _RECHECK_SECONDS
        if not self._credential.is_valid():
            raise TimeoutError


def _deadline(seconds_left: float | None) -> float | None:
    return None if seconds_left is None else asyncio.get_running_loop().time() + seconds_left
