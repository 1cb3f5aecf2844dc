"""Middleware: checks the access of every request, and turns exceptions into Loki's text errors."""

import logging
import sqlite3
from collections.abc import Awaitable, Callable

from aiohttp import web

from tracetail.contract.access import foreign_page, needs_secret, refusal
from tracetail.contract.http_headers import AUTHORIZATION, has_bearer
from tracetail.contract.secret_file import SecretFile
from tracetail.store.disk.block import CorruptBlockError
from tracetail.store.disk.database import MisplacedError
from tracetail.store.http.answers import text_answer
from tracetail.store.http.params import ParameterError
from tracetail.store.http.tail import TooManyTailsError
from tracetail.store.ingest.stream import BodyTooLargeError, PushError
from tracetail.store.ingest.writer import UnavailableError
from tracetail.store.logql.tree import LogQLError
from tracetail.store.query.budget import QueryLimitError, QueryTimeoutError

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """The access check: requests need the secret as bearer token; without a secret only this machine may send any."""

    def __init__(self, secret: SecretFile) -> None:
        self._secret = secret

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer the request, or refuse it."""
        reason = self._refusal(request)
        if reason is not None:
            return web.Response(status=401 if self._secret.value else 403, text=reason + "\n")
        try:
            return await handler(request)
        except Exception as error:
            response = _error_answer(request, error)
            if response is None:
                raise
            return response

    def _refusal(self, request: web.Request) -> str | None:
        headers = request.headers
        if not (secret := self._secret.value):
            page = foreign_page(headers.get("Origin"), headers.get("Sec-Fetch-Site"))
            return page or refusal(headers.get("Host"), headers)
        if request.path == "/ready" or has_bearer(headers.get(AUTHORIZATION), secret):
            return None
        return needs_secret("this store", "store.secret_file")


def _error_answer(request: web.Request, error: Exception) -> web.Response | None:
    """Return the response for an exception; None for one that aiohttp handles."""
    match error:
        case web.HTTPNotFound():
            return text_answer(404, f"the embedded store has no path {request.path}; Loki may have it")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            answer = text_answer(405, f"{request.method} is not allowed on {request.path}, only {allowed}")
            answer.headers["Allow"] = allowed
            return answer
        case LogQLError() | ParameterError() | PushError() | QueryLimitError():
            return text_answer(400, str(error))
        case BodyTooLargeError():
            return text_answer(413, str(error))
        case TooManyTailsError():
            return text_answer(429, str(error))
        case UnavailableError() | MisplacedError():
            return text_answer(503, str(error))
        case QueryTimeoutError():
            return text_answer(504, str(error))
        case sqlite3.Error():
            log.error("%s could not be answered: %s", request.path, error)
            return text_answer(503, f"the database cannot be read: {error}")
        case CorruptBlockError():
            log.error("%s could not be answered: %s", request.path, error)
            return text_answer(500, f"the database is damaged: {error}; restore a backup, or delete the file")
        case _:
            return None
