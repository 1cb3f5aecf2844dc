"""Routes for launches: the list, and one launch by its launchId."""

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from tracetail.contract.identity import is_launch_id
from tracetail.panel.auth.access import READ
from tracetail.panel.routes.answer import json_answer
from tracetail.panel.routes.errors import NotFoundError, RequestError
from tracetail.panel.routes.request import grant_of, parameters, trace_of
from tracetail.panel.trace.last_ready import LastReady
from tracetail.panel.trace.launch_filter import STATES, LaunchFilter
from tracetail.panel.trace.traces import Traces, labels_of


class LaunchesQuery(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Selects the launches of a trace; without a traceId the recent ones.

    The list of recent ones may be filtered, and read on: `before` is the `next` of the page before. `since` and
    `until` are nanoseconds since the epoch: of launches that ran at some time between them.
    """

    trace_id: str = ""
    state: Annotated[str, Meta(max_length=200)] = ""
    model_name: Annotated[str, Meta(max_length=500)] = ""
    engine: Annotated[str, Meta(max_length=100)] = ""
    host: Annotated[str, Meta(max_length=300)] = ""
    env: Annotated[str, Meta(max_length=100)] = ""
    q: Annotated[str, Meta(max_length=300)] = ""
    since: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 0
    until: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 0
    before: Annotated[str, Meta(max_length=100)] = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class ComparisonQuery(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Names the launch to compare with; by default the last one of the same service before it that became ready."""

    other: str = ""


class LastReadyQuery(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Names launches by their launchIds, separated by commas."""

    of: Annotated[str, Meta(max_length=8000)] = ""


class LaunchRoutes:
    """Serves launches."""

    def __init__(self, traces: Traces, last_ready: LastReady) -> None:
        self._traces = traces
        self._last_ready = last_ready

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/api/launches", self.launches),
            web.get("/api/launches/last-ready", self.last_ready),
            web.get("/api/launches/{launchId}", self.launch),
            web.get("/api/launches/{launchId}/comparison", self.comparison),
        ]

    async def launches(self, request: web.Request) -> web.Response:
        """Return the launches of a trace, oldest first; or the recent ones that the token may read, newest first.

        `next` is there if there are more of the recent ones.
        """
        query = parameters(request, LaunchesQuery)
        grant = grant_of(request)
        grant.require(READ)
        _check_states(query.state)
        if query.trace_id:
            trace_id = await trace_of(request, self._traces, READ, trace_id=query.trace_id)
            return json_answer({"launches": await self._traces.launches(trace_id)})
        if query.before and not is_launch_id(query.before):
            raise RequestError(400, "bad_parameter", f"before {query.before!r}: take the `next` of the page before")
        wanted = LaunchFilter(query.state, query.model_name, query.engine, query.host, query.env, query.q)
        if grant.traces is None:
            time_range = query.since, query.until
            page = await self._traces.recent(wanted, query.limit, query.before, time_range)
            return json_answer(_page(*page))
        found: list[dict[str, Any]] = []
        for trace_id in sorted(grant.traces):
            found += await self._traces.launches(trace_id)
        labels = labels_of(found)
        found = [one for one in found if wanted.matches(one) and _ran_between(one, query.since, query.until)]
        found = [one for one in found if not query.before or one["launchId"] < query.before]
        found.sort(key=lambda launch: str(launch["launchId"]), reverse=True)
        following = found[query.limit - 1]["launchId"] if len(found) > query.limit else ""
        return json_answer(_page(found[: query.limit], following, labels))

    async def launch(self, request: web.Request) -> web.Response:
        """Return one launch."""
        return json_answer(await self._launch(request, request.match_info["launchId"]))

    async def last_ready(self, request: web.Request) -> web.Response:
        """Return by launchId, for several launches, the last one of the same service before it that became ready."""
        query = parameters(request, LastReadyQuery)
        grant = grant_of(request)
        grant.require(READ)
        launch_ids = [one for one in query.of.split(",") if is_launch_id(one)]
        return json_answer({"launches": await self._last_ready.before_each(launch_ids, grant.allows)})

    async def comparison(self, request: web.Request) -> web.Response:
        """Return what differs between a launch and another one; the launch alone if it was never ready before."""
        query = parameters(request, ComparisonQuery)
        launch = await self._launch(request, request.match_info["launchId"])
        if query.other:
            other: dict[str, Any] | None = await self._launch(request, query.other)
        else:
            other = await self._last_ready.before(launch, grant_of(request).allows)
        if other is None:
            return json_answer({"launch": launch})
        return json_answer(await self._last_ready.comparison(launch, other))

    async def _launch(self, request: web.Request, launch_id: str) -> dict[str, Any]:
        """Return a launch that the token may read. Raises NotFoundError, AccessError, LokiError."""
        if not is_launch_id(launch_id):
            raise NotFoundError("this launch")
        trace_id = await trace_of(request, self._traces, READ, launch_id=launch_id)
        found = await self._traces.launches(trace_id, launch_id)
        if not found:
            raise NotFoundError(f"launchId {launch_id}")
        return found[0]


def _check_states(states: str) -> None:
    """Raise RequestError (400) if one of the states is none: an empty list would look like an answer."""
    for state in filter(None, states.split(",")):
        if state not in STATES:
            raise RequestError(400, "bad_parameter", f"state {state!r} is not one of {', '.join(STATES)}")


def _page(launches: list[dict[str, Any]], following: str, labels: dict[str, list[str]]) -> dict[str, Any]:
    return {"launches": launches, "labels": labels, **({"next": following} if following else {})}


def _ran_between(launch: dict[str, Any], since: int, until: int) -> bool:
    """Return whether a launch ran at some time in this range; 0: without a bound."""
    if since and int(launch.get("endedAt", since)) < since:
        return False
    return not until or int(launch.get("startedAt", 0)) < until
