"""HTTP requests without the proxy of the environment, for addresses of this machine."""

import urllib.request
from http.client import HTTPResponse
from typing import cast

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""`http_proxy` is for the internet: a proxy reaches neither loopback nor, mostly, a Loki in the same network."""


def open_direct(request: urllib.request.Request | str, timeout_seconds: float) -> HTTPResponse:
    """Send a request without a proxy. Raises what urllib raises: HTTPError for a status from 400 on, else OSError."""
    return cast("HTTPResponse", _DIRECT.open(request, timeout=timeout_seconds))
