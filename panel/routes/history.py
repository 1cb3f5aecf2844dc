"""Route for the last starts of a model."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from tracetail.panel.auth.access import READ
from tracetail.panel.routes.answer import json_answer
from tracetail.panel.routes.request import grant_of, parameters
from tracetail.panel.trace.start_history import StartHistory


class HistoryQuery(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Names a model; with an environment or an engine, only the launches there or by it."""

    model_name: Annotated[str, Meta(max_length=500)] = ""
    env: Annotated[str, Meta(max_length=100)] = ""
    engine: Annotated[str, Meta(max_length=100)] = ""
    limit: Annotated[int, Meta(ge=1, le=50)] = 20


class HistoryRoutes:
    """Serves the last starts of a model."""

    def __init__(self, history: StartHistory) -> None:
        self._history = history

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/api/history", self.history)]

    async def history(self, request: web.Request) -> web.Response:
        """Return the last starts that the token may read, the newest first."""
        query = parameters(request, HistoryQuery)
        grant = grant_of(request)
        grant.require(READ)
        if not query.model_name:
            return json_answer({"starts": []})
        starts = await self._history.starts(query.model_name, query.env, query.engine, query.limit, grant.allows)
        return json_answer({"starts": starts})
