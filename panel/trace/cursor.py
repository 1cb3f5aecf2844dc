"""Where a viewer of a trace stands: the last line it has of each of the trace's logs.

One position per log, because logs arrive on their own: while one machine's agent is ten seconds behind, its next line
is older than lines that were shown long ago, and still new. Within one log lines arrive in order. A log that is not
named in the cursor is one of which nothing was seen.
"""

import base64
import binascii
from collections.abc import Mapping

import orjson

from tracetail.panel.trace.entry import InvalidKeyError, Key

_LOGS_MAX = 1000
MAX_CHARACTERS = 100_000
"""So many logs need no more; the server takes heads of that size."""


class InvalidCursorError(ValueError):
    """A text is not a cursor."""


def encode(positions: Mapping[str, Key]) -> str:
    """Return the positions as one word that fits into a header and a query string."""
    body = orjson.dumps({source: str(key) for source, key in positions.items()})
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def decode(text: str) -> dict[str, Key]:
    """Return what was encoded. Raises InvalidCursorError."""
    try:
        body = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        positions = orjson.loads(body)
        if not isinstance(positions, dict) or len(positions) > _LOGS_MAX:
            raise InvalidCursorError("a cursor holds one position for each of a trace's logs")
        return {source: Key.parse(str(key)) for source, key in positions.items()}
    except (binascii.Error, ValueError, InvalidKeyError) as error:
        raise InvalidCursorError(
            f"{text[:60]!r} is not a cursor: take the one of the last answer or event"
        ) from error
