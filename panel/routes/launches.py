"""Routes for launches: the list, and one launch by its launchId."""

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from tracetail.contract.identity import is_launch_id
from tracetail.panel.auth.access import READ
from tracetail.panel.routes.answer import json_answer
from tracetail.panel.routes.errors import NotFoundError
from tracetail.panel.routes.request import grant_of, parameters, trace_of
from tracetail.panel.trace.launch_filter import LaunchFilter
from tracetail.panel.trace.traces import Traces


class LaunchesQuery(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Selects the launches of a trace; without a traceId the recent ones.

    The list of recent ones may be filtered, and read on: `before` is the `next` of the page before.
    """

    trace_id: str = ""
    state: Annotated[str, Meta(max_length=200)] = ""
    model_name: Annotated[str, Meta(max_length=500)] = ""
    engine: Annotated[str, Meta(max_length=100)] = ""
    host: Annotated[str, Meta(max_length=300)] = ""
    env: Annotated[str, Meta(max_length=100)] = ""
    q: Annotated[str, Meta(max_length=300)] = ""
    before: Annotated[str, Meta(max_length=100)] = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class LaunchRoutes:
    """Serves launches."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/api/launches", self.launches), web.get("/api/launches/{launchId}", self.launch)]

    async def launches(self, request: web.Request) -> web.Response:
        """Return the launches of a trace, oldest first; or the recent ones that the token may read, newest first.

        `next` is there if there are more of the recent ones.
        """
        query = parameters(request, LaunchesQuery)
        grant = grant_of(request)
        grant.require(READ)
        if query.trace_id:
            trace_id = await trace_of(request, self._traces, READ, trace_id=query.trace_id)
            return json_answer({"launches": await self._traces.launches(trace_id)})
        wanted = LaunchFilter(query.state, query.model_name, query.engine, query.host, query.env, query.q)
        if grant.traces is None:
            page, following = await self._traces.recent(wanted, query.limit, query.before)
            return json_answer({"launches": page, **({"next": following} if following else {})})
        found: list[dict[str, Any]] = []
        for trace_id in sorted(grant.traces):
            found += await self._traces.launches(trace_id)
        found = [one for one in found if wanted.matches(one) and (not query.before or one["launchId"] < query.before)]
        found.sort(key=lambda launch: str(launch["launchId"]), reverse=True)
        following = found[query.limit - 1]["launchId"] if len(found) > query.limit else ""
        return json_answer({"launches": found[: query.limit], **({"next": following} if following else {})})

    async def launch(self, request: web.Request) -> web.Response:
        """Return one launch."""
        launch_id = request.match_info["launchId"]
        if not is_launch_id(launch_id):
            raise NotFoundError("this launch")
        trace_id = await trace_of(request, self._traces, READ, launch_id=launch_id)
        found = await self._traces.launches(trace_id, launch_id)
        if not found:
            raise NotFoundError(f"launchId {launch_id}")
        return json_answer(found[0])
