"""Who may talk to a tracetail server: the rule of binding, and the rule of requests without a secret.

A server without a secret is for this machine alone. It therefore binds to loopback only, and answers only
requests that come straight from this machine's own programs: a Host that is loopback (so that no web page can
reach it through a name that it controls: DNS rebinding) and no sign of a proxy in front.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit


class UnsafeBindError(ValueError):
    """A server was told to bind beyond loopback without a secret; the message says what to set."""


def parse_listen(key: str, listen: str) -> tuple[str, int]:
    """Split `host:port` (or `[v6]:port`). key is the setting's name; ValueError says what was expected."""
    host, colon, port_text = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port_text.isascii() or not port_text.isdigit() or int(port_text) > 65535:
        raise ValueError(f"{key} is {listen!r}; expected host:port, for instance 127.0.0.1:3100")
    return host, int(port_text)


def is_loopback(host: str) -> bool:
    """Say whether host (a name or address, without port) is this machine's loopback."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_bind(part: str, host: str, *, has_secret: bool, secret_setting: str) -> None:
    """Raise UnsafeBindError if part would bind to host, beyond loopback, without a secret."""
    if not has_secret and not is_loopback(host):
        raise UnsafeBindError(
            f"{part} does not listen on {host} without a secret, because anyone could then read the logs: "
            f"set {secret_setting}, or listen on 127.0.0.1"
        )


def refusal(host_header: str | None, header_names: Iterable[str]) -> str | None:
    """Return why a request to a server without a secret is refused, or None if it may pass.

    Args:
        host_header: the request's Host header.
        header_names: the names of all its headers.

    """
    if any(name.lower().startswith("x-forwarded-") or name.lower() == "forwarded" for name in header_names):
        return "this server has no secret configured and does not answer through a proxy"
    if host_header is None or not is_loopback(_host_of(host_header)):
        return f"this server has no secret configured and answers only to localhost, not to {host_header!r}"
    return None


def foreign_page(origin: str | None, fetch_site: str | None) -> str | None:
    """Return why a request that a browser makes for another site's page is refused, or None if it is none.

    For servers without a secret: a web page may make the browser post to localhost and open WebSockets there.

    Args:
        origin: the request's Origin header.
        fetch_site: its Sec-Fetch-Site header.

    """
    if fetch_site in ("cross-site", "same-site") or (origin is not None and not _is_loopback_origin(origin)):
        return f"this server has no secret configured and does not answer to the page of {origin or 'another site'}"
    return None


def _is_loopback_origin(origin: str) -> bool:
    try:
        host = urlsplit(origin).hostname
    except ValueError:
        return False
    return host is not None and is_loopback(host)


def _host_of(host_header: str) -> str:
    if host_header.startswith("["):
        return host_header[1:].partition("]")[0]
    return host_header.partition(":")[0]
