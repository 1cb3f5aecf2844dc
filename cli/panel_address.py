"""Addresses of the panel that a person opens: with a short-lived token behind the #, which no browser sends on."""

import contextlib
import os
import socket
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from tracetail.cli.configuration import Configuration, local_url, secret_file
from tracetail.contract.port_owner import check_connection
from tracetail.contract.secret_file import SecretFileError

TOKEN_SECONDS = 3600
_CONNECT_SECONDS = 0.3


def with_token(url: str, settings: Configuration, trace_id: str = "", environ: Mapping[str, str] = os.environ) -> str:
    """Return the address of a page of the panel with a token for a trace ("": for all), if the panel needs one."""
    from tracetail.panel.auth.access import DOWNLOAD, EVERY_TRACE, READ, Keys

    path = secret_file("panel", settings, environ)
    if not path and not settings.panel.secret_file:
        return url
    try:
        token = Keys(settings.panel, path).mint(
            [trace_id or EVERY_TRACE], scopes=(READ, DOWNLOAD), seconds=TOKEN_SECONDS
        )
    except SecretFileError:
        return url
    return f"{url}#token={token}"


def page(settings: Configuration, **shown: str) -> str:
    """Return the address of the panel's page for a launch or trace. shown: its parameters, as launchId or traceId."""
    base = settings.panel.url.rstrip("/") or local_url("panel.listen", settings.panel.listen)
    return f"{base}/panel" + (f"?{urlencode(shown)}" if shown else "")


def add_token(address: str, settings: Configuration, trace_id: str = "") -> str:
    """Return the address of such a page with a token for a trace ("": for all).

    Without one if this machine has not the secret of that panel. Raises StrangerError: whoever else listens in the
    panel's place would make the page, and so read the token.
    """
    if settings.panel.url and not settings.panel.secret_file:
        return address  # the secret of this machine's state directory is not that of a panel elsewhere
    path = settings.panel.secret_file or secret_file("panel", settings)
    if path and not settings.panel.url:
        with (
            contextlib.suppress(ConnectionRefusedError, TimeoutError),
            _connected("panel.listen", settings.panel.listen) as one,
        ):
            check_connection(one.getsockname()[:2], one.getpeername()[:2], path)
    return with_token(address, settings, trace_id)


def answers(settings: Configuration) -> bool:
    """Return whether people can open the panel: its address is configured, or a program listens at this machine's."""
    return bool(settings.panel.url) or listens("panel.listen", settings.panel.listen)


def listens(key: str, listen: str) -> bool:
    """Return whether a program of this machine listens at an address. key: the setting's name. Raises ValueError."""
    try:
        _connected(key, listen).close()
    except OSError:
        return False
    return True


def _connected(key: str, listen: str) -> socket.socket:
    address = urlsplit(local_url(key, listen))
    return socket.create_connection((address.hostname, address.port or 0), timeout=_CONNECT_SECONDS)
