"""The panel's HTTP server: its routes, and what holds for all of them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tracetail.contract import access as binding
from tracetail.loki.settings import LokiSettings
from tracetail.panel.auth.access import AccessError, Keys
from tracetail.panel.auth.tokens import TokenRoutes
from tracetail.panel.powerjob import PowerJob
from tracetail.panel.routes.answer import json_answer
from tracetail.panel.routes.errors import error_answer
from tracetail.panel.routes.ingest import CallbackRoutes
from tracetail.panel.routes.logs import ReadingRoutes
from tracetail.panel.routes.openapi import document
from tracetail.panel.routes.request import BODY_MAX_BYTES, GRANT
from tracetail.panel.routes.runs import PlatformRoutes
from tracetail.panel.settings import PanelSettings
from tracetail.panel.trace.feed import Feeds
from tracetail.panel.trace.line_index import LineIndexes
from tracetail.panel.trace.loki import LokiClient
from tracetail.panel.trace.overview import Overview
from tracetail.panel.trace.reader import Reader
from tracetail.panel.trace.traces import Traces

_log = logging.getLogger(__name__)
_STATIC = Path(__file__).parent / "static"
_OPEN_PATHS = ("/healthz", "/metrics", "/panel", "/embed", "/tracetail-panel.js", "/openapi.json", "/static/")
"""Without a token: nothing of a log is there."""
_HEAD_MAX_BYTES = 128 * 1024
"""A cursor holds a position for each of a trace's logs, and a search text may be long."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PanelServer:
    """Everything behind the panel's address. The application is made by app()."""

    def __init__(self, settings: PanelSettings, loki_settings: LokiSettings) -> None:
        self.settings = settings
        self.keys = Keys(settings)
        self._origins = frozenset(origin.rstrip("/") for origin in settings.origins)
        self.loki = LokiClient(loki_settings)
        self._reader = Reader(self.loki)
        self._traces = Traces(self.loki, self._reader, settings)
        self.feeds = Feeds(self._reader, self._traces, settings)
        self._overview = Overview(self.loki, self._reader)
        self._indexes = LineIndexes(self._reader, self._overview)
        self._powerjob = PowerJob.from_settings(settings)
        self._registry = CollectorRegistry()
        self._count = Counter(
            "tracetail_panel_requests", "Requests by route and status.", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "tracetail_panel_request_seconds", "Time to answer, streams left out.", ["route"], registry=self._registry
        )
        gauges: tuple[tuple[str, str, Callable[[], float]], ...] = (
            ("tracetail_panel_viewers", "Streams that are open.", lambda: self.feeds.viewers),
            ("tracetail_panel_traces_followed", "Traces that are followed.", lambda: self.feeds.watched),
            ("tracetail_panel_loki_requests", "Requests sent to Loki so far.", lambda: self.loki.requests),
        )
        for name, description, value in gauges:
            Gauge(name, description, registry=self._registry).set_function(value)

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[self._middleware], client_max_size=BODY_MAX_BYTES)
        reading = ReadingRoutes(
            self._reader,
            self._traces,
            self.feeds,
            self._indexes,
            self._overview,
            self.settings.heartbeat_seconds,
            keeps_metadata=self.loki.keeps_metadata,
        )
        platform = PlatformRoutes(self._reader, self._traces, self._indexes, self._powerjob)
        app.add_routes(reading.routes())
        app.add_routes(CallbackRoutes(self.loki, self._traces).routes())
        app.add_routes(platform.routes())
        app.add_routes(TokenRoutes(self.keys, self.settings.token_seconds).routes())
        app.add_routes(
            [
                web.get("/", self._home),
                web.get("/panel", self._page("panel.html")),
                web.get("/embed", self._page("embed.html")),
                web.get("/tracetail-panel.js", self._module),
                web.get("/openapi.json", self._openapi),
                web.get("/healthz", self._healthz),
                web.get("/metrics", self._metrics),
                web.static("/static", _STATIC),
            ]
        )
        app.on_response_prepare.append(self._add_headers)
        app.on_response_prepare.append(self._count_answer)
        app.on_shutdown.append(self._shutdown)
        return app

    def runner(self) -> web.AppRunner:
        """Return what serves the application; the caller adds a site, and cleans up."""
        return web.AppRunner(
            self.app(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=2.0,
            max_line_size=_HEAD_MAX_BYTES,
            max_field_size=_HEAD_MAX_BYTES,
        )

    async def _shutdown(self, _app: web.Application) -> None:
        await self.feeds.stop()
        await self._indexes.stop()
        if self._powerjob is not None:
            await self._powerjob.close()
        await self.loki.close()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        route = _route(request)
        began = asyncio.get_running_loop().time()
        try:
            response = await self._handled(request, handler)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001  (every failure is answered as JSON)
            failed = error_answer(error)
            if failed is None:
                _log.exception("%s %s failed", request.method, request.path)
                failed = json_answer({"error": {"code": "internal", "message": "the panel failed"}}, status=500)
            response = failed
        if not route.endswith("/stream"):
            self._seconds.labels(route).observe(asyncio.get_running_loop().time() - began)
        return response

    async def _handled(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self.keys.exist:
            reason = binding.refusal(request.headers.get("Host"), request.headers)
            if reason:
                raise AccessError("local_only", reason)
        origin = request.headers.get("Origin")
        if origin is not None and request.path.startswith("/api/") and not self._is_allowed(request, origin):
            raise AccessError("origin_not_allowed", f"{origin} is not one of the origins configured (panel.origins)")
        if request.method == "OPTIONS" and origin is not None:
            return web.Response(status=204)
        if not request.path.startswith(_OPEN_PATHS) and request.path != "/":
            grant = self.keys.grant(request.headers.get("Authorization"))
            if grant.origin and origin is not None and not self._is_own(request, origin) and origin != grant.origin:
                raise AccessError("origin_not_allowed", f"the token is not for pages of {origin}")
            request[GRANT] = grant
        return await handler(request)

    def _is_allowed(self, request: web.Request, origin: str) -> bool:
        return origin in self._origins or self._is_own(request, origin)

    def _is_own(self, request: web.Request, origin: str) -> bool:
        return origin.partition("://")[2] == request.headers.get("Host")

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add what every response has, right before its head is sent, also those that handlers send by themselves."""
        headers = response.headers
        ancestors = " ".join(["'self'", *sorted(self._origins)])
        headers["Content-Security-Policy"] = (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
            f"base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
        )
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        origin = request.headers.get("Origin")
        if request.path.startswith(("/static/", "/tracetail-panel.js")):
            headers["Access-Control-Allow-Origin"] = "*"
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            headers.setdefault("Cache-Control", "no-cache")
        elif origin in self._origins:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, Last-Event-ID"
            headers["Access-Control-Allow-Methods"] = "GET, POST"
            headers["Access-Control-Max-Age"] = "600"
        headers.add("Vary", "Origin")

    async def _count_answer(self, request: web.Request, response: web.StreamResponse) -> None:
        # Here, since a stream that its viewer leaves never comes back from its handler.
        self._count.labels(_route(request), str(response.status)).inc()

    def _page(self, name: str) -> Handler:
        async def page(_request: web.Request) -> web.StreamResponse:
            return web.FileResponse(_STATIC / name, headers={"Cache-Control": "no-cache"})

        return page

    async def _home(self, _request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/panel")

    async def _module(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(_STATIC / "tracetail-panel.js")

    async def _openapi(self, _request: web.Request) -> web.StreamResponse:
        return json_answer(document())

    async def _healthz(self, _request: web.Request) -> web.StreamResponse:
        ready = await self.loki.ready()
        return json_answer({"status": "ok" if ready else "degraded", "loki": ready})

    async def _metrics(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else "none"
