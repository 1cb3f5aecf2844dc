"""POST /api/tokens: mints an access token for the test platform's backend, which authenticates with the admin key."""

import time
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from tracetail.contract.secret_file import SecretFileError
from tracetail.panel.auth.access import ADMIN, READ, Keys
from tracetail.panel.routes.answer import json_answer
from tracetail.panel.routes.errors import RequestError
from tracetail.panel.routes.request import body, grant_of


class TokenRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Traces, scopes, lifetime and origin of the token."""

    traces: Annotated[list[str], Meta(min_length=1, max_length=100)]
    scopes: Annotated[list[str], Meta(min_length=1, max_length=3)] = msgspec.field(default_factory=lambda: [READ])
    seconds: Annotated[int, Meta(ge=1, le=30 * 86400)] | None = None
    origin: Annotated[str, Meta(max_length=300)] = ""


class TokenRoutes:
    """Mints tokens."""

    def __init__(self, keys: Keys, default_seconds: int) -> None:
        self._keys = keys
        self._default_seconds = default_seconds

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post("/api/tokens", self.mint)]

    async def mint(self, request: web.Request) -> web.Response:
        """Return a new token and the time at which it expires, in seconds since the epoch."""
        grant_of(request).require(ADMIN)
        wanted = await body(request, TokenRequest)
        seconds = wanted.seconds or self._default_seconds
        now = time.time()
        try:
            token = self._keys.mint(
                wanted.traces, scopes=wanted.scopes, seconds=seconds, origin=wanted.origin or None, now=now
            )
        except SecretFileError as error:
            raise RequestError(409, "no_secret", str(error)) from error
        except ValueError as error:
            raise RequestError(400, "bad_body", str(error)) from error
        return json_answer({"token": token, "expiresAt": int(now) + seconds}, status=201)
