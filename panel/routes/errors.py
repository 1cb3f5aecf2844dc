"""The errors of the API and their JSON form: `{"error": {"code": "…", "message": "…"}}`."""

from aiohttp import web

from tracetail.loki.errors import LokiRefusedError, LokiUnavailableError
from tracetail.panel.auth.access import AccessError
from tracetail.panel.powerjob import PowerJobUnavailableError, UnknownInstanceError
from tracetail.panel.routes.answer import json_answer
from tracetail.panel.trace.search import InvalidPatternError, SearchTooExpensiveError


class RequestError(Exception):
    """A request that cannot be served: an HTTP status, a code for programs, a message for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class NotFoundError(RequestError):
    """The object does not exist, or the token does not give access to it (404)."""

    def __init__(self, what: str) -> None:
        super().__init__(404, "not_found", f"{what} is not known, or the token is not for it")


def error_answer(error: Exception) -> web.Response | None:
    """Return the response for an exception of a handler; None for an unexpected one, a fault of the panel."""
    match error:
        case RequestError():
            return _answer(error.status, error.code, str(error))
        case AccessError():
            response = _answer(error.status, error.code, str(error))
            if error.status == 401:
                response.headers["WWW-Authenticate"] = "Bearer"
            return response
        case InvalidPatternError():
            return _answer(400, "bad_parameter", str(error))
        case SearchTooExpensiveError():
            return _answer(400, "search_too_expensive", str(error))
        case LokiRefusedError():
            return _answer(400, "loki_refused", str(error))
        case LokiUnavailableError():
            return _answer(502, "loki_unavailable", str(error))
        case UnknownInstanceError():
            return _answer(404, "not_found", str(error))
        case PowerJobUnavailableError():
            return _answer(502, "powerjob_unavailable", str(error))
        case web.HTTPException() if error.status >= 400:
            return _answer(error.status, error.reason.lower().replace(" ", "_"), error.text or error.reason)
        case _:
            return None


def _answer(status: int, code: str, message: str) -> web.Response:
    return json_answer({"error": {"code": code, "message": message}}, status=status)
