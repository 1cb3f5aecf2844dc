"""The panel's reading routes: launches, logs, the live stream."""

import asyncio
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from tracetail.contract import labels as names
from tracetail.contract.identity import is_launch_id
from tracetail.loki import logql
from tracetail.panel.auth.access import DOWNLOAD, READ
from tracetail.panel.routes.answer import json_answer
from tracetail.panel.routes.errors import NotFoundError, RequestError
from tracetail.panel.routes.request import checked_id, grant_of, parameters, trace_of
from tracetail.panel.trace import cursor, download, traces
from tracetail.panel.trace.entry import FIRST_KEY, LAST_KEY, InvalidKeyError, Key
from tracetail.panel.trace.feed import Feeds, Message, TooManyViewersError, gaps_of
from tracetail.panel.trace.line_index import LineIndexes
from tracetail.panel.trace.overview import STATS_FILTER, Overview
from tracetail.panel.trace.reader import Page, Reader
from tracetail.panel.trace.search import Search, TextQuery
from tracetail.panel.trace.shared_answers import SharedAnswers
from tracetail.panel.trace.traces import Traces

PAGE_LINES = 500
PAGE_LINES_MAX = 5000
_WRITE_SECONDS = 60.0
"""A viewer that takes nothing for this long has gone."""
_OVERVIEW_SECONDS = 2.0
"""A view from afar may be this old: all who look at a trace share it."""


class LaunchesQuery(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Which launches: those of a trace, or else the recent ones."""

    trace_id: str = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class LinesQuery(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Which lines: all of a trace, or those that every given filter lets through."""

    trace_id: str = ""
    launch_id: str = ""
    instance_id: str = ""
    level: Annotated[str, Meta(max_length=100)] = ""
    process: Annotated[str, Meta(max_length=500)] = ""
    kind: Annotated[str, Meta(max_length=100)] = ""
    q: Annotated[str, Meta(max_length=1000)] = ""
    regex: bool = False
    case: bool = False


class LogsQuery(LinesQuery):
    """Which lines, and which page of them."""

    start: str = ""
    after: str = ""
    before: str = ""
    direction: Literal["", "forward", "backward"] = ""
    limit: Annotated[int, Meta(ge=1, le=PAGE_LINES_MAX)] = PAGE_LINES


class IndexQuery(LinesQuery):
    """Up to where lines are counted."""

    before: str = ""


class SearchQuery(LinesQuery):
    """From where the next match is looked for, and in which direction."""

    after: str = ""
    before: str = ""


class HistogramQuery(LinesQuery):
    """How many slices of time."""

    buckets: Annotated[int, Meta(ge=1, le=500)] = 120


class DownloadQuery(LinesQuery):
    """Which lines, and in which form."""

    start: str = ""
    before: str = ""
    format: Literal["text", "jsonl"] = "text"


_Cursor = Annotated[str, Meta(max_length=cursor.MAX_CHARACTERS, pattern="^[A-Za-z0-9_-]*$")]


class StreamQuery(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Which trace to follow, and from where."""

    trace_id: str = ""
    launch_id: str = ""
    instance_id: str = ""
    cursor: _Cursor = ""


_Q = TypeVar("_Q", bound=LinesQuery)


class ReadingRoutes:
    """Answers from what is in Loki."""

    def __init__(
        self,
        reader: Reader,
        found: Traces,
        feeds: Feeds,
        indexes: LineIndexes,
        overview: Overview,
        heartbeat_seconds: float,
        *,
        keeps_metadata: bool,
    ) -> None:
        self._reader = reader
        self._traces = found
        self._feeds = feeds
        self._indexes = indexes
        self._overview = overview
        self._search = Search(reader, overview)
        self._keeps_metadata = keeps_metadata
        self._heartbeat_seconds = heartbeat_seconds
        self._shared = SharedAnswers(_OVERVIEW_SECONDS)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/api/launches", self.launches),
            web.get("/api/launches/{launchId}", self.launch),
            web.get("/api/logs", self.logs),
            web.get("/api/logs/stream", self.stream),
            web.get("/api/logs/index", self.index),
            web.get("/api/logs/search", self.search),
            web.get("/api/logs/histogram", self.histogram),
            web.get("/api/logs/facets", self.facets),
            web.get("/api/logs/stats", self.stats),
            web.get("/api/logs/download", self.download),
        ]

    async def launches(self, request: web.Request) -> web.Response:
        """List the launches of a trace (the oldest first), or the recent ones that the token opens (the newest)."""
        query = parameters(request, LaunchesQuery)
        grant = grant_of(request)
        grant.require(READ)
        if query.trace_id:
            trace_id = await trace_of(request, self._traces, READ, trace_id=query.trace_id)
            return json_answer({"launches": await self._traces.launches(trace_id)})
        if grant.traces is None:
            return json_answer({"launches": await self._traces.recent(query.limit)})
        found: list[dict[str, Any]] = []
        for trace_id in sorted(grant.traces):
            found += await self._traces.launches(trace_id)
        found.sort(key=lambda launch: str(launch["launchId"]), reverse=True)
        return json_answer({"launches": found[: query.limit]})

    async def launch(self, request: web.Request) -> web.Response:
        """Tell all that is known of one launch."""
        launch_id = request.match_info["launchId"]
        if not is_launch_id(launch_id):
            raise NotFoundError("this launch")
        trace_id = await trace_of(request, self._traces, READ, launch_id=launch_id)
        found = await self._traces.launches(trace_id, launch_id)
        if not found:
            raise NotFoundError(f"launchId {launch_id}")
        return json_answer(found[0])

    def _lines_query(self, request: web.Request, kind: type[_Q]) -> _Q:
        """Return the parameters. Raises RequestError, also for a filter that this Loki cannot answer."""
        query = parameters(request, kind)
        if not self._keeps_metadata and (query.level or query.process or query.kind):
            raise RequestError(
                400,
                "no_metadata",
                "this Loki keeps no levels, processes and kinds of lines (loki.structured_metadata = false)",
            )
        return query

    async def _scope(self, request: web.Request, query: LinesQuery, scope: str = READ) -> tuple[str, Key]:
        """Return the traceId that the request may read, and a place before its first line."""
        trace_id = await trace_of(
            request,
            self._traces,
            scope,
            trace_id=query.trace_id,
            launch_id=query.launch_id,
            instance_id=query.instance_id,
        )
        return trace_id, Key(await self._traces.start_ns(trace_id))

    async def logs(self, request: web.Request) -> web.Response:
        """Return one page of lines, the newest ones unless a place is given."""
        query = self._lines_query(request, LogsQuery)
        trace_id = await trace_of(
            request,
            self._traces,
            READ,
            trace_id=query.trace_id,
            launch_id=query.launch_id,
            instance_id=query.instance_id,
        )
        start, end = _bounds(query.start, query.after, query.before)
        backward = query.direction == "backward" or (not query.direction and not (query.start or query.after))
        newest = backward and not query.before
        series = await self._traces.streams(trace_id) if newest else []
        start = max(start, Key(traces.earliest(series, self._traces.range()[0])))
        log_query = log_query_of(trace_id, query)
        if searches_text(query):
            text_query = text_query_of(trace_id, query)
            first = Key(await self._traces.start_ns(trace_id))
            page = await self._search.page(text_query, first, start, end, limit=query.limit, backward=backward)
        elif backward:
            page = await self._reader.backward(log_query, end, start, limit=query.limit)
        else:
            page = await self._reader.forward(log_query, start, end, limit=query.limit)
        answer: dict[str, Any] = {
            "traceId": trace_id,
            "lines": [entry.as_json() for entry in page.entries],
            "more": page.more,
        }
        if not self._keeps_metadata:
            answer["metadata"] = False
        if page.crowded:
            answer["gaps"] = gaps_of(page)
        if newest:
            answer["cursor"] = cursor.encode(traces.positions(series, page.entries))
        return json_answer(answer)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Follow a trace as server-sent events, from behind the cursor (or Last-Event-ID) on, else from its start."""
        query = parameters(request, StreamQuery)
        trace_id = await trace_of(
            request,
            self._traces,
            READ,
            trace_id=query.trace_id,
            launch_id=query.launch_id,
            instance_id=query.instance_id,
        )
        word = request.headers.get("Last-Event-ID") or query.cursor
        try:
            positions = cursor.decode(word) if word else {}
        except cursor.InvalidCursorError as error:
            raise RequestError(400, "bad_cursor", str(error)) from error
        try:
            feed, viewer, leave = self._feeds.watch(trace_id, positions)
        except TooManyViewersError as error:
            raise RequestError(503, "too_many_viewers", str(error)) from error
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store, no-transform",
                "X-Accel-Buffering": "no",  # nginx would collect the events
            }
        )
        try:
            await response.prepare(request)
            await response.write(b"retry: 1000\n\n")
            deadline = _deadline(grant_of(request).seconds_left())
            messages = feed.messages(viewer, self._heartbeat_seconds)
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        message = await anext(messages)
                except TimeoutError:
                    await response.write(Message("token-expired", {}).encoded)
                    break
                data = message.encoded if message is not None else b": alive\n\n"
                async with asyncio.timeout(_WRITE_SECONDS):
                    await response.write(data)
        except (ConnectionError, TimeoutError):
            pass  # the viewer has gone
        finally:
            leave()
        return response

    async def index(self, request: web.Request) -> web.Response:
        """Return how many lines lie before a place, and before each checkpoint on the way, once they are counted."""
        query = self._lines_query(request, IndexQuery)
        trace_id, start = await self._scope(request, query)
        end = _bounds("", "", query.before)[1]
        index = await self._indexes.up_to(log_query_of(trace_id, query), start, end)
        if index is None:
            return json_answer({"complete": False})
        before = await self._indexes.before(index, end)
        shown = [
            {"time": str(checkpoint.time_ns), "counts": checkpoint.counts}
            for checkpoint in index.checkpoints[1:]
            if checkpoint.time_ns < end.time_ns
        ]
        last = {source: str(key) for source, key in before.last.items()}
        return json_answer({"complete": True, "checkpoints": shown, "counts": before.counts, "last": last})

    async def search(self, request: web.Request) -> web.Response:
        """Return the next match behind `after` or before `before`, its number, and how many there are."""
        query = self._lines_query(request, SearchQuery)
        trace_id, first = await self._scope(request, query)
        text_query = text_query_of(trace_id, query)
        after, before = _bounds("", query.after, query.before)
        if query.before and not query.after:
            found = await self._search.previous_match(text_query, first, before)
        else:
            found = await self._search.next_match(text_query, first, max(after, first), before)
        line = found.line.as_json() if found.line else None
        return json_answer({"count": found.count, "number": found.number, "line": line})

    async def histogram(self, request: web.Request) -> web.Response:
        """Return the lines by level over time."""
        query = self._lines_query(request, HistogramQuery)
        trace_id, start = await self._scope(request, query)
        log_query = log_query_of(trace_id, query)
        question = ("histogram", log_query, query.buckets)
        return json_answer(
            await self._shared.get(question, lambda: self._overview.histogram(log_query, start, query.buckets))
        )

    async def facets(self, request: web.Request) -> web.Response:
        """Return which processes and levels speak in the log, and how many lines each has."""
        query = self._lines_query(request, LinesQuery)
        trace_id, start = await self._scope(request, query)
        log_query = log_query_of(trace_id, query)
        return json_answer(await self._shared.get(("facets", log_query), lambda: self._facets(log_query, start)))

    async def _facets(self, log_query: str, start: Key) -> dict[str, Any]:
        processes, levels = await asyncio.gather(
            self._overview.count(log_query, start, by=(names.METADATA_PROCESS,)),
            self._overview.count(log_query, start, by=(names.METADATA_LEVEL,)),
        )
        return {"processes": processes, "levels": levels}

    async def stats(self, request: web.Request) -> web.Response:
        """Return throughput, queue and cache over time, from the engine's own stats lines."""
        query = self._lines_query(request, LinesQuery)
        trace_id, start = await self._scope(request, query)
        stats_query = f"{log_query_of(trace_id, query)} {STATS_FILTER}"
        points = await self._shared.get(("stats", stats_query), lambda: self._overview.stats(stats_query, start))
        return json_answer({"points": points})

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Send the whole log, or a part of it, as a file."""
        query = self._lines_query(request, DownloadQuery)
        trace_id, first = await self._scope(request, query, DOWNLOAD)
        start, end = _bounds(query.start, "", query.before)
        start = max(start, first)

        async def read(position: Key, limit: int) -> Page:
            if searches_text(query):
                text_query = text_query_of(trace_id, query)
                return await self._search.page(text_query, first, position, end, limit=limit, backward=False)
            return await self._reader.forward(log_query_of(trace_id, query), position, end, limit=limit)

        pieces = download.pages(read, start, query.format)
        name = f"{query.launch_id or trace_id}.{'log' if query.format == download.TEXT else 'jsonl'}"
        kind = "text/plain; charset=utf-8" if query.format == download.TEXT else "application/x-ndjson"
        response = web.StreamResponse(
            headers={
                "Content-Type": kind,
                "Content-Disposition": f'attachment; filename="{name.replace(":", "_")}"',
                "Cache-Control": "no-store",
            }
        )
        async for piece in pieces:
            if not response.prepared:
                await response.prepare(request)
            await response.write(piece)
        return response


def log_query_of(trace_id: str, query: LinesQuery) -> str:
    """Return the LogQL of the lines that the request wants. The traceId is the one that the token was checked for."""
    if searches_text(query):
        return text_query_of(trace_id, query).log_query
    metadata = {names.METADATA_PROCESS: query.process, names.METADATA_KIND: query.kind}
    return logql.filtered(
        _streams_of(trace_id, query),
        levels=_levels_of(query),
        contains=None if query.regex else query.q or None,
        matches=(query.q or None) if query.regex else None,
        ignore_case=not query.case,
        metadata={name: value for name, value in metadata.items() if value},
    )


def searches_text(query: LinesQuery) -> bool:
    """Say whether lines are wanted by their text, and not pieces of a certain kind."""
    return bool(query.q) and not query.kind


def text_query_of(trace_id: str, query: LinesQuery) -> TextQuery:
    """Return the request's search. The traceId is the one that the token was checked for."""
    return TextQuery(
        streams=_streams_of(trace_id, query),
        text=query.q,
        regex=query.regex,
        case=query.case,
        levels=_levels_of(query),
        process=query.process,
    )


def _streams_of(trace_id: str, query: LinesQuery) -> str:
    selected = {names.TRACE_ID: trace_id}
    if query.launch_id:
        selected[names.LAUNCH_ID] = query.launch_id
    if query.instance_id:
        selected[names.INSTANCE_ID] = checked_id("instanceId", query.instance_id)
    return logql.selector(selected)


def _levels_of(query: LinesQuery) -> tuple[str, ...]:
    levels = tuple(word for word in query.level.split(",") if word)
    for level in levels:
        if level not in logql.LEVELS:
            raise RequestError(400, "bad_parameter", f"level {level!r} is not one of {', '.join(logql.LEVELS)}")
    return levels


def _bounds(start_text: str, after_text: str, before_text: str) -> tuple[Key, Key]:
    try:
        start = Key.parse(start_text) if start_text else FIRST_KEY
        if after_text:
            start = max(start, Key.parse(after_text).next)
        return start, Key.parse(before_text) if before_text else LAST_KEY
    except InvalidKeyError as error:
        raise RequestError(400, "bad_parameter", str(error)) from error


def _deadline(seconds_left: float | None) -> float | None:
    return None if seconds_left is None else asyncio.get_running_loop().time() + seconds_left
