"""Routes for queries: query_range and query."""

from collections.abc import Callable

from aiohttp import web

from tracetail.store.disk.reader import Snapshot
from tracetail.store.http import params
from tracetail.store.http.answers import json_answer, matrix_json, streams_json, vector_json
from tracetail.store.http.params import INT64_MAX, ParameterError
from tracetail.store.http.query_executor import QueryExecutor
from tracetail.store.logql.tree import (
    Json,
    LineFilter,
    Logfmt,
    LogQLError,
    LogQuery,
    Metric,
    RangeAggregation,
    Regexp,
    Stage,
    VectorAggregation,
)
from tracetail.store.query.aggregate import Steps, evaluate
from tracetail.store.query.budget import Budget
from tracetail.store.query.line_filter import is_of_texts, passes_all
from tracetail.store.query.log_query import LogRequest, run_log_query

LIMIT_OF_SMALL_PAGE = 100
"""Entries that are built in less than half a millisecond."""
LIMIT_OF_SMALL_SEARCH = 1_000
"""It is expected to find less, and goes on in a thread where it finds more than SMALL_MATCHES."""
STEPS_OF_SMALL_METRIC = 1_000


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
                    lambda snapshot, budget: streams_json(run_log_query(snapshot, log_request, budget)),
                    may_be_small=may_be_small(query, log_request.limit),
                )
            )
        # As in Loki, the limit applies to log queries only.
        params.limit(given, maximum=INT64_MAX)
        steps = params.steps(given, wanted)
        metric = query

        def run(snapshot: Snapshot, budget: Budget) -> bytes:
            return matrix_json(evaluate(snapshot, metric, steps, budget), steps)

        return json_answer(
            await self._executor.run(run, is_metric=True, may_be_small=may_be_small_metric(metric, steps))
        )

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


def may_be_small(query: LogQuery, limit: int) -> bool:
    """Return whether a query takes little time for few lines."""
    is_search = any(isinstance(stage, LineFilter) and not passes_all(stage) for stage in query.stages)
    return limit <= (LIMIT_OF_SMALL_SEARCH if is_search else LIMIT_OF_SMALL_PAGE) and all(
        map(_is_quick, query.stages)
    )


def may_be_small_metric(query: Metric, steps: Steps) -> bool:
    """Return whether a query takes little time for few entries: a histogram of them does."""
    if not isinstance(query, VectorAggregation) or not isinstance(query.inner, RangeAggregation):
        return False
    # An entry has a point in each step whose range it is in.
    steps_max = STEPS_OF_SMALL_METRIC if query.inner.range_ns <= steps.step else STEPS_OF_SMALL_METRIC // 20
    return query.function == "sum" and steps.count <= steps_max and all(map(_is_quick, query.inner.query.stages))


def _is_quick(stage: Stage) -> bool:
    """Return whether a stage takes microseconds for a line, whatever it looks for."""
    return is_of_texts(stage) if isinstance(stage, LineFilter) else not isinstance(stage, Json | Logfmt | Regexp)
