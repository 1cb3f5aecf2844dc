"""The access check of every request (token, origin, Host), and the security headers of every response."""

from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from tracetail.contract import access as binding
from tracetail.panel.auth.access import AccessError, Credential, Keys
from tracetail.panel.routes.request import CREDENTIAL, GRANT

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_OPEN_PATHS = ("/healthz", "/metrics", "/panel", "/embed", "/tracetail-panel.js", "/openapi.json", "/static/")
"""Served without a token: nothing under these paths contains log lines."""


class Guard:
    """Authorizes requests, and adds headers to responses."""

    def __init__(self, keys: Keys, origins: Iterable[str]) -> None:
        self._keys = keys
        self._origins = frozenset(origin.rstrip("/") for origin in origins)

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Call the handler if the request is allowed; its grant is stored in the request. Raises AccessError."""
        if not self._keys.exist:
            reason = binding.refusal(request.headers.get("Host"), request.headers)
            if reason:
                raise AccessError("local_only", reason)
        origin = request.headers.get("Origin")
        if origin is not None and request.path.startswith("/api/") and not self._is_allowed(request, origin):
            raise AccessError("origin_not_allowed", f"{origin} is not one of the configured origins (panel.origins)")
        if request.method == "OPTIONS" and origin is not None:
            return web.Response(status=204)
        if not request.path.startswith(_OPEN_PATHS) and request.path != "/":
            grant = self._keys.grant(request.headers.get("Authorization"))
            if grant.origin and origin is not None and not _is_own(request, origin) and origin != grant.origin:
                raise AccessError("origin_not_allowed", f"the token is not for pages of {origin}")
            request[GRANT] = grant
            request[CREDENTIAL] = Credential(self._keys, request.headers.get("Authorization"))
        return await handler(request)

    def _is_allowed(self, request: web.Request, origin: str) -> bool:
        return origin in self._origins or _is_own(request, origin)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the headers of every response, streams included. A signal handler of on_response_prepare."""
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
        elif origin in self._origins:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, Last-Event-ID"
            headers["Access-Control-Allow-Methods"] = "GET, POST"
            headers["Access-Control-Max-Age"] = "600"
        headers.add("Vary", "Origin")


def _is_own(request: web.Request, origin: str) -> bool:
    """Return whether the origin is the panel itself."""
    return origin.partition("://")[2] == request.headers.get("Host")
