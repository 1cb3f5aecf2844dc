"""The operations of the API: method, path, parameters, body and answer of each."""

from typing import Any, NamedTuple

from tracetail.panel.routes.history import HistoryQuery
from tracetail.panel.routes.ingest import Lines, Report
from tracetail.panel.routes.launches import ComparisonQuery, LastReadyQuery, LaunchesQuery
from tracetail.panel.routes.log_queries import LinesQuery
from tracetail.panel.routes.logs import DownloadQuery, IndexQuery, LogsQuery, SearchQuery
from tracetail.panel.routes.overview import HistogramQuery
from tracetail.panel.routes.runs import RunQuery
from tracetail.panel.routes.schemas import list_of, object_with, reference
from tracetail.panel.routes.stream import StreamQuery
from tracetail.panel.routes.tokens import TokenRequest

_STRING = {"type": "string"}
_INTEGER = {"type": "integer"}
_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "enum": ["lines", "launches", "status", "token-expired"]},
        "data": {
            "type": "string",
            "description": "JSON: a LinesMessage, LaunchesMessage or StatusMessage; {} for token-expired",
        },
        "id": {"type": "string", "description": "for lines: the cursor after them, for Last-Event-ID"},
    },
}


class Operation(NamedTuple):
    """One operation; query and body are structs, answer is a schema."""

    method: str
    path: str
    summary: str
    answer: Any
    query: Any = None
    body: Any = None
    status: str = "200"
    media: str = "application/json"


OPERATIONS = (
    Operation(
        "get",
        "/api/launches",
        "Launches of a trace, or the most recent ones: filtered, and page by page.",
        reference("LaunchesPage"),
        LaunchesQuery,
    ),
    Operation(
        "get",
        "/api/launches/last-ready",
        "For several launches, by launchId: the last one of the same service before it that became ready.",
        reference("LastReady"),
        LastReadyQuery,
    ),
    Operation("get", "/api/launches/{launchId}", "One launch.", reference("Launch")),
    Operation(
        "get",
        "/api/launches/{launchId}/comparison",
        "What differs between a launch and the last one of its model that became ready, or another one.",
        reference("Comparison"),
        ComparisonQuery,
    ),
    Operation(
        "get",
        "/api/history",
        "The last starts of a model, newest first: phases, versions, and how long each took.",
        reference("StartHistory"),
        HistoryQuery,
    ),
    Operation(
        "get",
        "/api/logs",
        "One page of lines.",
        reference("LogPage"),
        LogsQuery,
    ),
    Operation(
        "get",
        "/api/logs/stream",
        "Follow a trace: server-sent events (each as described here) named lines, launches, status, token-expired.",
        _EVENT,
        StreamQuery,
        media="text/event-stream",
    ),
    Operation(
        "get",
        "/api/logs/index",
        "Numbers of lines before a position, for line numbers.",
        reference("LineIndex"),
        IndexQuery,
    ),
    Operation(
        "get",
        "/api/logs/search",
        "The next match, its number, and the number of all matches.",
        reference("SearchResult"),
        SearchQuery,
    ),
    Operation(
        "get",
        "/api/logs/histogram",
        "Lines by level over time.",
        reference("Histogram"),
        HistogramQuery,
    ),
    Operation(
        "get",
        "/api/logs/facets",
        "Processes and levels that occur, with their numbers of lines.",
        reference("Facets"),
        LinesQuery,
    ),
    Operation(
        "get",
        "/api/logs/stats",
        "Throughput, queue and cache from the engine's stats lines.",
        object_with(points=list_of(reference("StatsPoint"))),
        LinesQuery,
    ),
    Operation("get", "/api/logs/download", "The log as a file.", _STRING, DownloadQuery, media="text/plain"),
    Operation(
        "post",
        "/api/tokens",
        "Mint a token (needs the admin key).",
        object_with(token=_STRING, expiresAt=_INTEGER),
        body=TokenRequest,
        status="201",
    ),
    Operation(
        "post",
        "/api/report/llm-start",
        "Report a callback of a launch.",
        object_with(received={"type": "boolean"}, traceId=_STRING),
        body=Report,
    ),
    Operation(
        "post",
        "/api/log/append",
        "Append lines of a run that no agent follows.",
        object_with(appended=_INTEGER, traceId=_STRING),
        body=Lines,
    ),
    Operation(
        "get",
        "/llm/logs",
        "Lines of a run by line number.",
        object_with(nextLine=_INTEGER, lines=list_of(_STRING)),
        RunQuery,
    ),
    Operation("get", "/healthz", "Whether the panel and its Loki are ready.", object_with(status=_STRING)),
)
