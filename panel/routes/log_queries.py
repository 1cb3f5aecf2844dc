"""Query parameters that the log routes share, and the LogQL that is built from them."""

from typing import Annotated, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from tracetail.contract import labels as names
from tracetail.contract.request_ids import request_id_pattern
from tracetail.loki import logql
from tracetail.panel.auth.access import READ
from tracetail.panel.routes.errors import RequestError
from tracetail.panel.routes.request import checked_id, parameters, trace_of
from tracetail.panel.trace.entry import FIRST_KEY, LAST_KEY, InvalidKeyError, Key
from tracetail.panel.trace.request_filter import RequestFilter
from tracetail.panel.trace.search import TextQuery
from tracetail.panel.trace.traces import Traces

RequestId = Annotated[str, Meta(max_length=500)]
"""The id of a request to the server, as its client sent it or as the engine prints it."""


class LinesQuery(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Selects the lines of a trace that pass every given filter."""

    trace_id: str = ""
    launch_id: str = ""
    instance_id: str = ""
    level: Annotated[str, Meta(max_length=100)] = ""
    process: Annotated[str, Meta(max_length=500)] = ""
    request_id: RequestId = ""
    kind: Annotated[str, Meta(max_length=100)] = ""
    q: Annotated[str, Meta(max_length=1000)] = ""
    regex: bool = False
    case: bool = False


_Q = TypeVar("_Q", bound=LinesQuery)


class LinesRequests:
    """Parses requests that select lines, and resolves the trace that they name."""

    def __init__(self, traces: Traces, *, keeps_metadata: bool) -> None:
        self._traces = traces
        self.keeps_metadata = keeps_metadata
        """Whether the Loki keeps structured metadata: levels, processes and kinds of lines."""

    def query(self, request: web.Request, kind: type[_Q]) -> _Q:
        """Return the parameters. Raises RequestError, also for a filter on metadata that this Loki does not keep."""
        query = parameters(request, kind)
        if query.level or query.process or query.kind or query.request_id:
            self.require_metadata()
        return query

    def require_metadata(self) -> None:
        """Raise RequestError (400) if the Loki does not keep what a filter is about."""
        if not self.keeps_metadata:
            kept = "levels, processes, request ids and kinds of lines"
            raise RequestError(400, "no_metadata", f"this Loki keeps no {kept} (loki.structured_metadata = false)")

    async def trace_id(self, request: web.Request, query: LinesQuery, scope: str = READ) -> str:
        """Return the traceId that the request names, after the access check of trace_of."""
        return await trace_of(
            request,
            self._traces,
            scope,
            trace_id=query.trace_id,
            launch_id=query.launch_id,
            instance_id=query.instance_id,
        )

    async def trace_start(self, request: web.Request, query: LinesQuery, scope: str = READ) -> tuple[str, Key]:
        """Return the traceId, as trace_id does, and a key before the trace's first line."""
        trace_id = await self.trace_id(request, query, scope)
        return trace_id, Key(await self._traces.start_ns(trace_id))


def log_query_of(trace_id: str, query: LinesQuery) -> str:
    """Return the LogQL of the request. trace_id: the trace for which the token was checked."""
    if searches_text(query):
        return text_query_of(trace_id, query).log_query
    metadata = {names.METADATA_PROCESS: query.process, names.METADATA_KIND: query.kind}
    return logql.log_query(
        _selector_of(trace_id, query),
        levels=_levels_of(query),
        contains=None if query.regex else query.q or None,
        matches=(query.q or None) if query.regex else None,
        ignore_case=not query.case,
        metadata={name: value for name, value in metadata.items() if value},
        metadata_patterns=(
            {names.METADATA_REQUEST_ID: request_id_pattern(query.request_id)} if query.request_id else None
        ),
    )


def searches_text(query: LinesQuery) -> bool:
    """Return whether the request searches whole lines. With `kind` it filters Loki's entries, pieces of lines too."""
    return bool(query.q) and not query.kind


def text_query_of(trace_id: str, query: LinesQuery) -> TextQuery:
    """Return the text search of the request. trace_id: the trace for which the token was checked."""
    return TextQuery(
        streams=_selector_of(trace_id, query),
        text=query.q,
        regex=query.regex,
        case=query.case,
        levels=_levels_of(query),
        process=query.process,
        request=RequestFilter(query.request_id) if query.request_id else None,
    )


def _selector_of(trace_id: str, query: LinesQuery) -> str:
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


def bounds(*, start: str = "", after: str = "", before: str = "") -> tuple[Key, Key]:
    """Return the range that these parameters give: first key included, last key excluded. Raises RequestError."""
    try:
        first = Key.parse(start) if start else FIRST_KEY
        if after:
            first = max(first, Key.parse(after).next)
        return first, Key.parse(before) if before else LAST_KEY
    except InvalidKeyError as error:
        raise RequestError(400, "bad_parameter", str(error)) from error
