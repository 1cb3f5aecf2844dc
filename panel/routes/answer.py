"""JSON in and out of the panel's handlers."""

from typing import Any

import orjson
from aiohttp import web


def json_answer(data: Any, *, status: int = 200) -> web.Response:
    """Return data as a JSON response that no cache keeps."""
    return web.Response(
        body=orjson.dumps(data),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
