"""The panel's HTTP server: connects routes, access checks, metrics and the Loki client, and runs them."""

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from tracetail.contract.access import listen_error
from tracetail.contract.redaction import Redactor
from tracetail.contract.request_time import limit_request_time
from tracetail.loki.client import LokiClient
from tracetail.loki.settings import LokiSettings
from tracetail.panel.auth.access import Keys
from tracetail.panel.metrics import Metrics
from tracetail.panel.pages.static_files import StaticFiles
from tracetail.panel.powerjob import PowerJob
from tracetail.panel.routes.answer import json_answer
from tracetail.panel.routes.errors import error_answer
from tracetail.panel.routes.guard import Guard, Handler
from tracetail.panel.routes.history import HistoryRoutes
from tracetail.panel.routes.ingest import IngestRoutes
from tracetail.panel.routes.launches import LaunchRoutes
from tracetail.panel.routes.log_queries import LinesRequests
from tracetail.panel.routes.logs import LogRoutes
from tracetail.panel.routes.openapi import document
from tracetail.panel.routes.overview import OverviewRoutes
from tracetail.panel.routes.request import BODY_MAX_BYTES
from tracetail.panel.routes.runs import RunRoutes
from tracetail.panel.routes.stream import StreamRoutes
from tracetail.panel.routes.tokens import TokenRoutes
from tracetail.panel.settings import PanelSettings
from tracetail.panel.trace.engine_versions import EngineVersions
from tracetail.panel.trace.feeds import Feeds
from tracetail.panel.trace.last_ready import LastReady
from tracetail.panel.trace.line_index import LineIndexes
from tracetail.panel.trace.overview import Overview
from tracetail.panel.trace.reader import Reader
from tracetail.panel.trace.search import Search
from tracetail.panel.trace.start_history import StartHistory
from tracetail.panel.trace.traces import Traces

log = logging.getLogger(__name__)

_STATIC = Path(__file__).parent / "static"
_HEADER_MAX_BYTES = 128 * 1024
"""A cursor holds a position for each of a trace's logs, and a search text may be long."""
_SHUTDOWN_SECONDS = 2.0
_LOKI_CONNECTIONS = 64


class PanelServer:
    """One panel: its Loki client, feeds and keys, and the application that serves them."""

    def __init__(
        self,
        settings: PanelSettings,
        loki_settings: LokiSettings,
        redactor: Redactor | None = None,
        shared_secret: str = "",
    ) -> None:
        """Read the key files. Raises SecretFileError.

        Args:
            settings: of the panel.
            loki_settings: where the logs are.
            redactor: masks secrets in what is posted; the common ones without it.
            shared_secret: path of the installation's secret; "" for none.

        """
        self.settings = settings
        self.keys = Keys(settings, shared_secret)
        self.loki = LokiClient(loki_settings, connections=_LOKI_CONNECTIONS)
        self._redactor = redactor or Redactor()
        self._files = StaticFiles(_STATIC)
        self._guard = Guard(self.keys, settings.origins)
        self._reader = Reader(self.loki)
        self._traces = Traces(self.loki, self._reader, settings)
        self.feeds = Feeds(self._reader, self._traces, settings)
        self._overview = Overview(self.loki, self._reader)
        self._indexes = LineIndexes(self.loki, self._reader)
        self._powerjob = PowerJob.from_settings(settings)
        self._metrics = Metrics(
            viewers=lambda: self.feeds.viewers,
            traces_followed=lambda: self.feeds.followed,
            loki_requests=lambda: self.loki.requests,
        )

    def app(self) -> web.Application:
        """Return a new application."""
        app = web.Application(middlewares=[self._middleware], client_max_size=BODY_MAX_BYTES)
        requests = LinesRequests(self._traces, keeps_metadata=self.loki.settings.structured_metadata)
        search = Search(self._reader, self._overview)
        versions = EngineVersions(self._reader)
        for routes in (
            LaunchRoutes(self._traces, LastReady(self._traces, versions)).routes(),
            HistoryRoutes(StartHistory(self._traces, versions)).routes(),
            LogRoutes(requests, self._reader, self._traces, self._indexes, search).routes(),
            StreamRoutes(requests, self._traces, self.feeds, self.settings.heartbeat_seconds).routes(),
            OverviewRoutes(requests, self._overview).routes(),
            IngestRoutes(self.loki, self._traces, self._redactor).routes(),
            RunRoutes(self._reader, self._traces, self._indexes, self._powerjob).routes(),
            TokenRoutes(self.keys, self.settings.token_seconds).routes(),
        ):
            app.add_routes(routes)
        app.add_routes(
            [
                web.get("/", self._home),
                web.get("/panel", self._page("panel.html")),
                web.get("/embed", self._page("embed.html")),
                web.get("/tracetail-panel.js", self._page("tracetail-panel.js")),
                web.get("/openapi.json", self._openapi),
                web.get("/healthz", self._healthz),
                web.get("/metrics", self._metrics_page),
                web.get("/static/{name:.+}", self._static),
            ]
        )
        app.on_response_prepare.append(self._guard.add_headers)
        app.on_response_prepare.append(self._count_response)
        app.on_shutdown.append(self._shutdown)
        return app

    def runner(self) -> web.AppRunner:
        """Return the runner of a new application; the caller adds a site, and cleans up."""
        runner = web.AppRunner(
            self.app(),
            access_log=None,
            auto_decompress=False,  # routes/request.py does, behind the access check and as far as is allowed
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            max_line_size=_HEADER_MAX_BYTES,
            max_field_size=_HEADER_MAX_BYTES,
        )
        return limit_request_time(runner)

    async def serve(self, host: str, port: int, on_listening: Callable[[str], None]) -> None:
        """Serve until SIGTERM or SIGINT. Raises OSError if the address cannot be used.

        on_listening: called with the panel's URL once connections are accepted.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        runner = self.runner()
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as error:
                raise listen_error("panel.listen", host, port, error) from error
            bound_port = runner.addresses[0][1]
            shown_host = f"[{host}]" if ":" in host else host
            on_listening(f"http://{shown_host}:{bound_port}")
            await stop.wait()
        finally:
            await runner.cleanup()

    async def _shutdown(self, _app: web.Application) -> None:
        await self.feeds.stop()
        if self._powerjob is not None:
            await self._powerjob.close()
        await self.loki.close()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Authorize the request, answer exceptions as JSON, and measure the duration."""
        route = _route(request)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            response = await self._guard.handle(request, handler)
        except (asyncio.CancelledError, ConnectionError, web.HTTPRedirection):
            raise
        except Exception as error:  # every failure is answered as JSON
            failed = error_answer(error)
            if failed is None:
                log.exception("%s %s failed", request.method, request.path)
                failed = json_answer({"error": {"code": "internal", "message": "the panel failed"}}, status=500)
            response = failed
        if not route.endswith("/stream"):
            self._metrics.request_seconds.labels(route).observe(loop.time() - began)
        return response

    async def _count_response(self, request: web.Request, response: web.StreamResponse) -> None:
        # Counted here, because the handler of a stream whose viewer disconnects never returns.
        self._metrics.requests.labels(_route(request), str(response.status)).inc()

    def _page(self, name: str) -> Handler:
        async def page(request: web.Request) -> web.StreamResponse:
            return self._files.answer(request, name)

        return page

    async def _static(self, request: web.Request) -> web.StreamResponse:
        return self._files.answer(request, request.match_info["name"])

    async def _home(self, _request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/panel")

    async def _openapi(self, _request: web.Request) -> web.StreamResponse:
        return json_answer(document())

    async def _healthz(self, _request: web.Request) -> web.StreamResponse:
        ready = await self.loki.is_ready()
        return json_answer({"status": "ok" if ready else "degraded", "loki": ready})

    async def _metrics_page(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _route(request: web.Request) -> str:
    """Return the path pattern of the request's route, for metrics."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else "none"
