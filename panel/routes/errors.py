"""What went wrong, as the API says it: `{"error": {"code": "…", "message": "…"}}`."""

from aiohttp import web

from tracetail.panel.auth.access import AccessError
from tracetail.panel.routes.answer import json_answer
from tracetail.panel.trace.loki import LokiRefusedError, LokiUnavailableError


class RequestError(Exception):
    """A request that cannot be served as it is: a status, a code for programs, a message for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class NotFoundError(RequestError):
    """What was asked for is not there, or not for this token."""

    def __init__(self, what: str) -> None:
        super().__init__(404, "not_found", f"{what} is not known, or the token is not for it")


def error_answer(error: Exception) -> web.Response | None:
    """Return the answer for an exception of a handler; None if it is nobody's fault but the panel's own."""
    match error:
        case RequestError():
            return _answer(error.status, error.code, str(error))
        case AccessError():
            response = _answer(error.status, error.code, str(error))
            if error.status == 401:
                response.headers["WWW-Authenticate"] = "Bearer"
            return response
        case LokiRefusedError():
            return _answer(400, "loki_refused", str(error))
        case LokiUnavailableError():
            return _answer(502, "loki_unavailable", str(error))
        case web.HTTPException() if error.status >= 400:
            return _answer(error.status, error.reason.lower().replace(" ", "_"), error.text or error.reason)
        case _:
            return None


def _answer(status: int, code: str, message: str) -> web.Response:
    return json_answer({"error": {"code": code, "message": message}}, status=status)
