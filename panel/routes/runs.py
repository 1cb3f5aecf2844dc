"""GET /llm/logs: the lines of a scheduler's run by line number, as the original design's test platform polls them."""

from collections import OrderedDict
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from tracetail.contract import labels as names
from tracetail.contract.record import ENDED_STATES
from tracetail.loki import logql
from tracetail.panel.auth.access import READ
from tracetail.panel.powerjob import PowerJob
from tracetail.panel.routes.answer import json_answer
from tracetail.panel.routes.errors import NotFoundError, RequestError
from tracetail.panel.routes.request import checked_id, grant_of, parameters, trace_of
from tracetail.panel.trace.entry import Key
from tracetail.panel.trace.line_index import LineIndexes
from tracetail.panel.trace.reader import Page, Reader
from tracetail.panel.trace.traces import Traces

_POSITIONS_CACHED = 2000
_INDEX_SECONDS = 20.0
_PAGE = 4900


class RunQuery(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Selects a run, and the number of the first line."""

    instance_id: Annotated[str, Meta(min_length=1)]
    from_line: Annotated[int, Meta(ge=0, le=1 << 40)] = 0
    limit: Annotated[int, Meta(ge=1, le=_PAGE)] = 1000
    trace_id: str = ""


class RunRoutes:
    """Serves lines by number. Only lines that the server printed are counted, not the keeper's events."""

    def __init__(self, reader: Reader, traces: Traces, indexes: LineIndexes, powerjob: PowerJob | None) -> None:
        self._reader = reader
        self._traces = traces
        self._indexes = indexes
        self._powerjob = powerjob
        self._positions: OrderedDict[tuple[str, int], Key] = OrderedDict()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/llm/logs", self.run)]

    async def run(self, request: web.Request) -> web.Response:
        """Return the lines from fromLine on, and the line number to continue from."""
        query = parameters(request, RunQuery)
        try:
            trace_id = await trace_of(
                request, self._traces, READ, trace_id=query.trace_id, instance_id=query.instance_id
            )
        except NotFoundError:
            # PowerJob has no traces, so only a token for every trace may read from it.
            if self._powerjob is None or grant_of(request).traces is not None:
                raise
            return json_answer(await self._from_powerjob(self._powerjob, query))
        instance_id = checked_id("instanceId", query.instance_id)
        page, number = await self._lines(trace_id, instance_id, query)
        if not page.entries and self._powerjob is not None and grant_of(request).traces is None:
            known = await self._traces.trace_ids(names.INSTANCE_ID, instance_id)
            if not known:
                return json_answer(await self._from_powerjob(self._powerjob, query))
        states = [
            launch["state"] for launch in await self._traces.launches(trace_id) if launch["instanceId"] == instance_id
        ]
        return json_answer(
            {
                "instanceId": instance_id,
                "traceId": trace_id,
                "fromLine": number,
                "nextLine": number + len(page.entries),
                "lines": [entry.text for entry in page.entries],
                "more": page.more,
                "state": states[-1] if states else None,
                "finished": bool(states) and not page.more and all(state in ENDED_STATES for state in states),
                "source": "loki",
            }
        )

    async def _lines(self, trace_id: str, instance_id: str, query: RunQuery) -> tuple[Page, int]:
        """Return the page of lines from fromLine on, and the number of its first line."""
        log_query = logql.log_query(
            logql.selector({names.TRACE_ID: trace_id, names.INSTANCE_ID: instance_id}),
            without={names.METADATA_KIND: "event"},
        )
        start = await self._key_of_line(log_query, trace_id, query.from_line)
        if start is None:
            return Page([], more=False, crowded=[]), query.from_line
        page = await self._reader.forward(log_query, start, limit=query.limit)
        if page.entries:
            self._cache(log_query, query.from_line + len(page.entries), page.entries[-1].key.next)
        return page, query.from_line

    async def _key_of_line(self, log_query: str, trace_id: str, line: int) -> Key | None:
        """Return a key right before the line with this number (from 0); None if there are not that many lines."""
        known = self._positions.get((log_query, line))
        if known is not None:
            return known
        start = Key(await self._traces.start_ns(trace_id))
        if line == 0:
            return start
        index = await self._indexes.of(log_query, start, (names.LAUNCH_ID,), wait=_INDEX_SECONDS)
        if index is None:
            raise RequestError(
                503, "counting", "the lines of this run are being counted; repeat the request in a few seconds"
            )
        checkpoint = index.at_line(line)
        position, number = Key(checkpoint.time_ns), checkpoint.total
        while number < line:
            page = await self._reader.forward(log_query, position, limit=min(_PAGE, line - number))
            number += len(page.entries)
            if page.entries:
                position = page.entries[-1].key.next
            if not page.more and number < line:
                return None
        self._cache(log_query, line, position)
        return position

    def _cache(self, log_query: str, line: int, position: Key) -> None:
        """Cache the key of a line number, from which the next poll continues."""
        self._positions[log_query, line] = position
        self._positions.move_to_end((log_query, line))
        while len(self._positions) > _POSITIONS_CACHED:
            self._positions.popitem(last=False)

    async def _from_powerjob(self, powerjob: PowerJob, query: RunQuery) -> dict[str, Any]:
        """Return the answer from PowerJob's online log. Raises UnknownInstanceError or PowerJobUnavailableError."""
        online = await powerjob.lines(checked_id("instanceId", query.instance_id), query.from_line, query.limit)
        return {
            "instanceId": query.instance_id,
            "traceId": None,
            "fromLine": query.from_line,
            "nextLine": query.from_line + len(online.lines),
            "lines": online.lines,
            "more": online.more,
            "state": online.state,
            "finished": online.finished and not online.more,
            "source": "powerjob",
        }
