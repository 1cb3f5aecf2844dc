"""HTTP requests without the proxy of the environment and without redirects, for addresses of this machine."""

import urllib.request
from http.client import HTTPResponse
from typing import cast


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Treats a redirect as a failure: the headers of a request are for the host that was named."""

    def redirect_request(self, *_: object) -> None:
        """Return None: urllib then raises the redirect as an HTTPError."""


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())
"""`http_proxy` is for the internet: a proxy reaches neither loopback nor, mostly, a Loki in the same network."""


def open_direct(request: urllib.request.Request | str, timeout_seconds: float) -> HTTPResponse:
    """Send a request without a proxy. Raises what urllib raises: HTTPError for a status from 300 on, else OSError."""
    return cast("HTTPResponse", _DIRECT.open(request, timeout=timeout_seconds))
