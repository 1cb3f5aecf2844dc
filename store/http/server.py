"""The store's HTTP application: Loki's paths, and pages about the store itself.

The event loop moves bytes and answers small queries. Others run in threads; pushes are decoded and stored in threads.
"""

import time
from collections.abc import Callable

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from tracetail import __version__
from tracetail.contract.secret_file import SecretFile
from tracetail.store.disk.reader import Reader
from tracetail.store.http.answers import json_answer, text_answer
from tracetail.store.http.guard import Guard, Handler
from tracetail.store.http.label_routes import LabelRoutes
from tracetail.store.http.metrics import Metrics
from tracetail.store.http.push_route import PushRoute
from tracetail.store.http.query_executor import QueryExecutor
from tracetail.store.http.query_routes import QueryRoutes
from tracetail.store.http.tail import Tails
from tracetail.store.http.tail_route import TailRoute
from tracetail.store.ingest.writer import Writer
from tracetail.store.query_priority import QueryPriority
from tracetail.store.settings import StoreSettings

MEGABYTE = 1024 * 1024
_API = "/loki/api/v1"
_UNSUPPORTED_PATHS = (
    "index/stats",
    "index/volume",
    "index/volume_range",
    "index/shards",
    "detected_fields",
    "detected_field/{name}/values",
    "detected_labels",
    "patterns",
    "format_query",
    "delete",
    "rules",
    "drilldown-limits",
)


class Server:
    """Connects Loki's HTTP API with the writer and the reader."""

    def __init__(
        self,
        settings: StoreSettings,
        writer: Writer,
        reader: Reader,
        *,
        tails: Tails,
        metrics: Metrics,
        priority: QueryPriority,
        secret: SecretFile,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._writer = writer
        self._metrics = metrics
        self._guard = Guard(secret)
        self._max_body_bytes = int(settings.max_body_mb * MEGABYTE)
        self._executor = QueryExecutor(
            reader,
            priority,
            timeout_seconds=settings.query_timeout_seconds,
            memory_bytes=int(settings.query_memory_mb * MEGABYTE),
        )
        self._push = PushRoute(writer, priority, self._max_body_bytes)
        self._queries = QueryRoutes(self._executor, clock_ns)
        self._labels = LabelRoutes(self._executor, clock_ns)
        self._tail = TailRoute(tails, self._executor, clock_ns)

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(
            middlewares=[self._measure, self._guard.middleware], client_max_size=self._max_body_bytes
        )
        app.router.add_post(f"{_API}/push", self._push.push)
        for path, handler in (
            ("query_range", self._queries.query_range),
            ("query", self._queries.query),
            ("labels", self._labels.names),
            ("label", self._labels.names),
            ("series", self._labels.series),
        ):
            app.router.add_get(f"{_API}/{path}", handler)
            app.router.add_post(f"{_API}/{path}", handler)
        app.router.add_get(f"{_API}/label/{{name}}/values", self._labels.values)
        app.router.add_get(f"{_API}/tail", self._tail.tail)
        app.router.add_get(f"{_API}/status/buildinfo", self._buildinfo)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._metrics_page)
        for path in _UNSUPPORTED_PATHS:
            app.router.add_route("*", f"{_API}/{path}", self._unsupported)
        app.on_shutdown.append(self._end_tails)
        app.on_cleanup.append(self._close)
        return app

    async def _end_tails(self, _: web.Application) -> None:
        await self._tail.close_all()

    async def _close(self, _: web.Application) -> None:
        self._executor.shutdown()
        self._push.shutdown()

    @web.middleware
    async def _measure(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Record duration and status of the request; 499 if the client has disconnected."""
        started = time.perf_counter()
        status = 499
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            resource = request.match_info.route.resource
            path = resource.canonical if resource is not None else "other"
            self._metrics.requests.labels(path, str(status)).observe(time.perf_counter() - started)
        return response

    async def _unsupported(self, request: web.Request) -> web.Response:
        return text_answer(404, f"the embedded store does not support {request.path}; Loki does")

    async def _ready(self, _: web.Request) -> web.Response:
        self._writer.check()
        return web.Response(text="ready\n")

    async def _metrics_page(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _buildinfo(self, _: web.Request) -> web.Response:
        about = {"version": __version__, "application": "tracetail store"}
        empty = dict.fromkeys(("revision", "branch", "buildUser", "buildDate", "goVersion"), "")
        return json_answer(orjson.dumps(about | empty))
