"""Routes for queries: query_range and query."""

from collections.abc import Callable

from aiohttp import web

from tracetail.store.disk.reader import Snapshot
from tracetail.store.http import params
from tracetail.store.http.answers import json_answer, matrix_json, streams_json, vector_json
from tracetail.store.http.params import INT64_MAX, ParameterError
from tracetail.store.http.query_executor import QueryExecutor
from tracetail.store.logql.tree import LogQLError, LogQuery
from tracetail.store.query.aggregate import Steps, evaluate
from tracetail.store.query.budget import Budget
from tracetail.store.query.log_query import LogRequest, run_log_query


class QueryRoutes:
    """Serves log queries and metric queries."""

    def __init__(self, executor: QueryExecutor, clock_ns: Callable[[], int]) -> None:
        self._executor = executor
        self._clock_ns = clock_ns

    async def query_range(self, request: web.Request) -> web.Response:
        """Return the entries or samples in a time range."""
        given = await params.of_request(request)
        query = await self._executor.parse(given.get("query", ""))
        wanted = params.time_range(given, self._clock_ns())
        if wanted.end <= wanted.start:
            raise ParameterError("end timestamp must not be before or equal to start time")
        backward = params.backward(given)
        if isinstance(query, LogQuery):
            if given.get("interval", "0") not in ("0", "0s"):
                raise ParameterError("the embedded store does not support interval; Loki does")
            log_request = LogRequest(query, wanted.start, wanted.end, params.limit(given), backward)
            return json_answer(
                await self._executor.run(
                    lambda snapshot, budget: streams_json(run_log_query(snapshot, log_request, budget))
                )
            )
        # As in Loki, the limit applies to log queries only.
        params.limit(given, maximum=INT64_MAX)
        steps = params.steps(given, wanted)
        metric = query

        def run(snapshot: Snapshot, budget: Budget) -> bytes:
            return matrix_json(evaluate(snapshot, metric, steps, budget), steps)

        return json_answer(await self._executor.run(run, is_metric=True))

    async def query(self, request: web.Request) -> web.Response:
        """Return the samples of a metric query at one time."""
        given = await params.of_request(request)
        query = await self._executor.parse(given.get("query", ""))
        params.limit(given, maximum=INT64_MAX)
        if isinstance(query, LogQuery):
            raise LogQLError(
                "log queries are not supported as an instant query type, "
                "please change your query to a range query type"
            )
        at = params.parse_time(given["time"]) if given.get("time") else self._clock_ns()
        metric = query

        def run(snapshot: Snapshot, budget: Budget) -> bytes:
            return vector_json(evaluate(snapshot, metric, Steps(at, 1, 1), budget), at)

        return json_answer(await self._executor.run(run, is_metric=True))
