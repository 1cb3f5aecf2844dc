"""Routes for the lines of a trace: pages, line numbers, text search, download."""

from typing import Annotated, Any, Literal

from aiohttp import web
from msgspec import Meta

from tracetail.panel.auth.access import DOWNLOAD
from tracetail.panel.routes.answer import json_answer
from tracetail.panel.routes.log_queries import (
    LinesQuery,
    LinesRequests,
    bounds,
    log_query_of,
    searches_text,
    text_query_of,
)
from tracetail.panel.trace import cursor, download
from tracetail.panel.trace.entry import Key
from tracetail.panel.trace.line_index import LineIndexes
from tracetail.panel.trace.reader import Page, Reader
from tracetail.panel.trace.search import Search
from tracetail.panel.trace.stream_messages import gaps_json
from tracetail.panel.trace.traces import Traces, earliest, positions, source_labels

PAGE_LINES = 500
PAGE_LINES_MAX = 5000
_INDEX_SECONDS = 5.0
"""How long a request waits for line numbers before it is answered as incomplete."""


class LogsQuery(LinesQuery):
    """Selects a page of lines."""

    start: str = ""
    after: str = ""
    before: str = ""
    direction: Literal["", "forward", "backward"] = ""
    limit: Annotated[int, Meta(ge=1, le=PAGE_LINES_MAX)] = PAGE_LINES


class IndexQuery(LinesQuery):
    """Gives the key up to which lines are counted."""

    before: str = ""


class SearchQuery(LinesQuery):
    """Gives the key from which the next match is searched, forward (`after`) or backward (`before`)."""

    after: str = ""
    before: str = ""


class DownloadQuery(LinesQuery):
    """Gives the range of lines to download, and the format."""

    start: str = ""
    before: str = ""
    format: Literal["text", "jsonl"] = "text"


class LogRoutes:
    """Serves the lines of a trace."""

    def __init__(
        self, requests: LinesRequests, reader: Reader, traces: Traces, indexes: LineIndexes, search: Search
    ) -> None:
        self._requests = requests
        self._reader = reader
        self._traces = traces
        self._indexes = indexes
        self._search = search

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/api/logs", self.logs),
            web.get("/api/logs/index", self.index),
            web.get("/api/logs/search", self.search),
            web.get("/api/logs/download", self.download),
        ]

    async def logs(self, request: web.Request) -> web.Response:
        """Return one page of lines; the newest lines unless a start or end is given."""
        query = self._requests.query(request, LogsQuery)
        trace_id = await self._requests.trace_id(request, query)
        start, end = bounds(start=query.start, after=query.after, before=query.before)
        backward = query.direction == "backward" or (not query.direction and not (query.start or query.after))
        newest = backward and not query.before
        series = await self._traces.streams(trace_id) if newest else []
        start = max(start, Key(earliest(series, self._traces.range()[0])))
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
        if not self._requests.keeps_metadata:
            answer["metadata"] = False
        if page.crowded:
            answer["gaps"] = gaps_json(page)
        if newest:
            answer["cursor"] = cursor.encode(positions(series, page.entries))
        return json_answer(answer)

    async def index(self, request: web.Request) -> web.Response:
        """Return how many lines each log has before a key and before each checkpoint; incomplete while counting."""
        query = self._requests.query(request, IndexQuery)
        trace_id = await self._requests.trace_id(request, query)
        end = bounds(before=query.before)[1]
        series = await self._traces.streams(trace_id)
        start = Key(earliest(series, self._traces.range()[0]))
        log_query = log_query_of(trace_id, query)
        index = await self._indexes.of(log_query, start, source_labels(series), wait=_INDEX_SECONDS)
        if index is None:
            return json_answer({"complete": False})
        before = await self._indexes.before(index, end)
        checkpoints = [
            {"time": str(checkpoint.time_ns), "counts": checkpoint.counts}
            for checkpoint in index.checkpoints[1:]
            if checkpoint.time_ns < end.time_ns
        ]
        last = {source: str(key) for source, key in before.last.items()}
        return json_answer({"complete": True, "checkpoints": checkpoints, "counts": before.counts, "last": last})

    async def search(self, request: web.Request) -> web.Response:
        """Return the next match behind `after` or before `before`, its number, and the number of all matches."""
        query = self._requests.query(request, SearchQuery)
        trace_id, first = await self._requests.trace_start(request, query)
        text_query = text_query_of(trace_id, query)
        after, before = bounds(after=query.after, before=query.before)
        if query.before and not query.after:
            match = await self._search.previous_match(text_query, first, before)
        else:
            match = await self._search.next_match(text_query, first, max(after, first), before)
        line = match.line.as_json() if match.line else None
        return json_answer({"count": match.count, "number": match.number, "line": line})

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Send the selected lines as a file."""
        query = self._requests.query(request, DownloadQuery)
        trace_id, first = await self._requests.trace_start(request, query, DOWNLOAD)
        start, end = bounds(start=query.start, before=query.before)

        async def read(position: Key, limit: int) -> Page:
            if searches_text(query):
                text_query = text_query_of(trace_id, query)
                return await self._search.page(text_query, first, position, end, limit=limit, backward=False)
            return await self._reader.forward(log_query_of(trace_id, query), position, end, limit=limit)

        chunks = download.chunks(read, max(start, first), query.format)
        name = f"{query.launch_id or trace_id}.{'log' if query.format == 'text' else 'jsonl'}"
        content_type = "text/plain; charset=utf-8" if query.format == "text" else "application/x-ndjson"
        response = web.StreamResponse(
            headers={
                "Content-Type": content_type,
                "Content-Disposition": f'attachment; filename="{name.replace(":", "_")}"',
                "Cache-Control": "no-store",
            }
        )
        async for chunk in chunks:
            if not response.prepared:
                await response.prepare(request)  # after the first read, so that an error still gets its own status
            await response.write(chunk)
        return response
