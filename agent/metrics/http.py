"""The agent's HTTP server: /metrics, /healthz, /status."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from tracetail.agent.metrics.counters import Metrics
from tracetail.contract import access
from tracetail.contract.http_headers import AUTHORIZATION, has_bearer
from tracetail.contract.secret_file import SecretFileError, read_secret

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Any]


def make_app(metrics: Metrics | None, status: Callable[[], dict[str, Any]], secret_file: str) -> web.Application:
    """Return the application.

    metrics: None for no /metrics. status: returns the content of /status; its field `healthy` determines /healthz.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if secret_file:
            try:
                secret = read_secret("agent.secret_file", secret_file)
            except SecretFileError as error:
                log.error("%s", error)  # noqa: TRY400  (a traceback would add nothing)
                return _error(503, "secret_unreadable", "the agent cannot read its own secret: see its log")
            if not has_bearer(request.headers.get(AUTHORIZATION), secret):
                return _error(401, "unauthorized", access.needs_secret("the agent", "agent.secret_file"))
        elif reason := access.refusal(request.headers.get("Host"), request.headers.keys()):
            return _error(403, "forbidden", reason)
        response = await handler(request)
        assert isinstance(response, web.StreamResponse)
        return response

    async def show_metrics(request: web.Request) -> web.Response:
        del request
        assert metrics is not None
        # Reading every process of the machine takes a while: not in the event loop, which ships lines.
        body = await asyncio.to_thread(metrics.render)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def show_health(request: web.Request) -> web.Response:
        del request
        content = status()
        return _json(200 if content["healthy"] else 503, {"healthy": content["healthy"], "error": content["error"]})

    async def show_status(request: web.Request) -> web.Response:
        del request
        return _json(200, status())

    app = web.Application(middlewares=[guard])
    if metrics is not None:
        app.router.add_get("/metrics", show_metrics)
    app.router.add_get("/healthz", show_health)
    app.router.add_get("/status", show_status)
    return app


def _json(code: int, content: Any) -> web.Response:
    return web.Response(status=code, body=orjson.dumps(content), content_type="application/json")


def _error(code: int, name: str, message: str) -> web.Response:
    return _json(code, {"error": {"code": name, "message": message}})
