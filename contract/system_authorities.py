"""The certificate authorities that this machine trusts, read at the first request that needs them.

There are some 140: reading them takes a seventh of the CPU time of an agent's start, and 2 MB for as long as it runs.
aiohttp reads them when it is imported. A process that imports it within `left_unread` passes the `ssl` argument of
`ssl_for` with each of its requests.
"""

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

_FILE_VARIABLE = "SSL_CERT_FILE"
"""Names OpenSSL's file of authorities, see SSL_CTX_set_default_verify_paths(3)."""


@contextlib.contextmanager
def left_unread() -> Iterator[None]:
    """Let aiohttp, if it is imported within the block, make its own default contexts without authorities.

    With one of those no server is trusted. Changes the environment for the time of the block: call it before other
    threads start.
    """
    given = os.environ.get(_FILE_VARIABLE)
    os.environ[_FILE_VARIABLE] = os.devnull
    try:
        yield
    finally:
        del os.environ[_FILE_VARIABLE]
        if given is not None:
            os.environ[_FILE_VARIABLE] = given


def ssl_for(*urls: str) -> "ssl.SSLContext | bool":
    """Return the `ssl` argument of an aiohttp request. urls: the receiver's, and a proxy's."""
    return _context() if any(url.lower().startswith("https:") for url in urls) else True


@functools.cache
def _context() -> "ssl.SSLContext":
    import ssl  # noqa: PLC0415  (most processes need no TLS)

    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])  # as aiohttp's own: some servers choose HTTP/2 otherwise
    return context
