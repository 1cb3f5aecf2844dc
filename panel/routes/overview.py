"""Routes for figures about a log: histogram, facets, engine statistics. Viewers of one trace share the answers."""

import asyncio
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta

from tracetail.contract import labels as names
from tracetail.panel.routes.answer import json_answer
from tracetail.panel.routes.log_queries import LinesQuery, LinesRequests, bounds, log_query_of
from tracetail.panel.trace.entry import Key
from tracetail.panel.trace.overview import STATS_FILTER, Overview
from tracetail.panel.trace.shared_answers import SharedAnswers

_ANSWER_SECONDS = 2.0
"""How old a shared answer may be."""


class HistogramQuery(LinesQuery):
    """Gives the number of time slices, and the part of the time that is wanted: keys, as for a page of lines."""

    start: str = ""
    before: str = ""
    buckets: Annotated[int, Meta(ge=1, le=500)] = 120


class OverviewRoutes:
    """Serves figures about a log."""

    def __init__(self, requests: LinesRequests, overview: Overview) -> None:
        self._requests = requests
        self._overview = overview
        self._answers = SharedAnswers(_ANSWER_SECONDS)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/api/logs/histogram", self.histogram),
            web.get("/api/logs/facets", self.facets),
            web.get("/api/logs/stats", self.stats),
        ]

    async def histogram(self, request: web.Request) -> web.Response:
        """Return the number of lines by level over time."""
        query = self._requests.query(request, HistogramQuery)
        trace_id, start = await self._requests.trace_start(request, query)
        log_query = log_query_of(trace_id, query)
        part = bounds(start=query.start, before=query.before)
        key = ("histogram", log_query, query.buckets, part)
        return json_answer(
            await self._answers.get(key, lambda: self._overview.histogram(log_query, start, query.buckets, part))
        )

    async def facets(self, request: web.Request) -> web.Response:
        """Return the processes and levels that occur in the log, with their numbers of lines."""
        query = self._requests.query(request, LinesQuery)
        trace_id, start = await self._requests.trace_start(request, query)
        log_query = log_query_of(trace_id, query)
        return json_answer(await self._answers.get(("facets", log_query), lambda: self._facets(log_query, start)))

    async def _facets(self, log_query: str, start: Key) -> dict[str, Any]:
        processes, levels = await asyncio.gather(
            self._overview.count(log_query, start, by=(names.METADATA_PROCESS,)),
            self._overview.count(log_query, start, by=(names.METADATA_LEVEL,)),
        )
        return {"processes": processes, "levels": levels}

    async def stats(self, request: web.Request) -> web.Response:
        """Return throughput, queue and cache over time, from the engine's own stats lines."""
        query = self._requests.query(request, LinesQuery)
        trace_id, start = await self._requests.trace_start(request, query)
        stats_query = f"{log_query_of(trace_id, query)} {STATS_FILTER}"
        points = await self._answers.get(("stats", stats_query), lambda: self._overview.stats(stats_query, start))
        return json_answer({"points": points})
