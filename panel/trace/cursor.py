"""The cursor of a live stream: the last line that a viewer has of each of the trace's logs.

It holds one position per log because logs arrive independently: while the agent of one machine is ten seconds behind,
its next line is older than lines of other logs that were sent long ago, and still new. Within one log lines arrive in
order. Of a log that the cursor does not name, the viewer has no line.
"""

import base64
import binascii
from collections.abc import Mapping

import orjson

from tracetail.panel.trace.entry import InvalidKeyError, Key

_LOGS_MAX = 1000
MAX_CHARACTERS = 100_000
"""Enough for _LOGS_MAX logs; the server accepts headers of this size."""
_BODY_MAX_BYTES = MAX_CHARACTERS // 4 * 3


class InvalidCursorError(ValueError):
    """A text is not a cursor."""


def encode(positions: Mapping[str, Key]) -> str:
    """Return the positions as base64url, which is valid in a header and in a query string.

    Of more logs than decode accepts those with the newest lines are named; of the others the viewer gets lines again,
    which it knows by their keys.
    """
    shown = {source: str(key) for source, key in positions.items()}
    body = orjson.dumps(shown)
    if len(shown) > _LOGS_MAX or len(body) > _BODY_MAX_BYTES:
        shown = {}
        size = 2
        for source, key in sorted(positions.items(), key=lambda item: item[1], reverse=True)[:_LOGS_MAX]:
            size += len(orjson.dumps({source: str(key)}))
            if size > _BODY_MAX_BYTES:
                break
            shown[source] = str(key)
        body = orjson.dumps(shown)
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def decode(text: str) -> dict[str, Key]:
    """Return the positions that encode was given. Raises InvalidCursorError."""
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
