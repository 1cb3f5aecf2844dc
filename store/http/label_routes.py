"""Routes for labels: label names, label values, series."""

from collections.abc import Callable, Mapping, Sequence

from aiohttp import web

from tracetail.store.disk.reader import Snapshot
from tracetail.store.http import params
from tracetail.store.http.answers import success_answer
from tracetail.store.http.params import INT64_MAX, LABELS_SINCE_DEFAULT_NS, TimeRange
from tracetail.store.http.query_executor import QueryExecutor
from tracetail.store.logql.parser import parse_selector
from tracetail.store.logql.tree import Matcher
from tracetail.store.query.budget import Budget


class LabelRoutes:
    """Serves labels of streams. Unlike in queries, the end of the time range is inclusive."""

    def __init__(self, executor: QueryExecutor, clock_ns: Callable[[], int]) -> None:
        self._executor = executor
        self._clock_ns = clock_ns

    async def names(self, request: web.Request) -> web.Response:
        """Return the label names of the streams in a time range."""
        given = await params.of_request(request)
        wanted, selector = self._time_range(given), _selector(given.get("query", ""))

        def run(snapshot: Snapshot, _: Budget) -> list[str]:
            if not selector:
                return snapshot.label_names(wanted.start, wanted.end + 1)
            streams = snapshot.streams(selector, wanted.start, wanted.end + 1)
            return sorted({name for labels in streams.values() for name, _ in labels})

        return success_answer(await self._executor.run(run))

    async def values(self, request: web.Request) -> web.Response:
        """Return the values of one label of the streams in a time range."""
        given = await params.of_request(request)
        label = request.match_info["name"]
        wanted, selector = self._time_range(given), _selector(given.get("query", ""))

        def run(snapshot: Snapshot, _: Budget) -> list[str]:
            if not selector:
                return snapshot.label_values(label, wanted.start, wanted.end + 1)
            streams = snapshot.streams(selector, wanted.start, wanted.end + 1)
            return sorted({value for labels in streams.values() for name, value in labels if name == label})

        return success_answer(await self._executor.run(run))

    async def series(self, request: web.Request) -> web.Response:
        """Return the labels of the streams in a time range that one of the selectors matches."""
        given = await params.of_request(request)
        wanted = self._time_range(given)
        every = request.query if request.method == "GET" else await request.post()
        texts = [str(text) for name in ("match[]", "match") for text in every.getall(name, [])]
        selectors: Sequence[tuple[Matcher, ...]] = [_selector(text) for text in texts] or [()]

        def run(snapshot: Snapshot, budget: Budget) -> list[dict[str, str]]:
            found = {}
            for selector in selectors:
                budget.check_time()
                found.update(snapshot.streams(selector, wanted.start, wanted.end + 1))
            return [dict(labels) for labels in sorted(found.values())]

        return success_answer(await self._executor.run(run), always=True)

    def _time_range(self, given: Mapping[str, str]) -> TimeRange:
        wanted = params.time_range(given, self._clock_ns(), LABELS_SINCE_DEFAULT_NS)
        return TimeRange(wanted.start, min(wanted.end, INT64_MAX - 1))


def _selector(text: str) -> tuple[Matcher, ...]:
    """Return the matchers of a selector; none for an empty one, which selects every stream. Raises LogQLError."""
    return () if text.strip() in ("", "{}") else parse_selector(text)
