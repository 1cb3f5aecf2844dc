"""Why a request to Loki failed: it was not answered, or refused, and whether the same request may succeed later."""

from tracetail.loki.answers import is_about_tenant
from tracetail.loki.query_limits import is_about_size

_SHOWN_CHARACTERS = 300
_TEMPORARY_STATUSES = frozenset({401, 403, 407, 408, 429})
"""Beside 3xx and 5xx: a credential or a limit may change, so that the same query succeeds later."""


class LokiError(Exception):
    """A request to Loki failed. The message is one line for people, with Loki's address or its answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status of the answer; None if there was no complete answer: the request may have been carried out."""
        self.is_about_size = is_about_size(message)
        """A query for fewer entries may be answered."""


class LokiUnavailableError(LokiError):
    """Loki did not answer, or answered that it cannot serve now: the same request may succeed later."""

    def __init__(self, message: str, status: int | None = None, *, sent: bool = True) -> None:
        super().__init__(message, status)
        self.sent = sent
        """Whether Loki may have received the request: False if there was no connection."""


class LokiRefusedError(LokiError):
    """Loki refuses this request and would refuse it again."""


def error_of(status: int, text: str) -> LokiError:
    """Return the error for an answer that is not a success."""
    message = f"Loki answered {status}: {' '.join(text.split())[:_SHOWN_CHARACTERS]}"
    if is_about_tenant(text):
        message += "; set loki.tenant"
    if status // 100 in (3, 5) or status in _TEMPORARY_STATUSES:
        return LokiUnavailableError(message, status)
    return LokiRefusedError(message, status)
