"""Which addresses a tracetail server may bind, and which requests it accepts without a secret.

A server without a secret is for this machine only. It therefore binds to loopback only, and accepts only requests
that come directly from programs of this machine: with a loopback Host (so that no web page can reach it through a
name that it controls, by DNS rebinding) and without headers of a proxy.
"""

import functools
import ipaddress
import os
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit


class UnsafeBindError(ValueError):
    """A server would bind to more than loopback without a secret; the message says what to set."""


class ListenError(OSError):
    """A server cannot listen at its address; the message says why, and what to set."""


def listen_error(key: str, host: str, port: int, error: OSError) -> ListenError:
    """Return the error for what the system, or asyncio in other words, says. key: the setting's name."""
    number = error.errno or 0
    reason = os.strerror(number) if number > 0 else error.strerror or error  # below 0: of getaddrinfo(3)
    return ListenError(f"cannot listen on {host}:{port}: {reason}; set {key} to another address")


def parse_listen(key: str, listen: str) -> tuple[str, int]:
    """Return host and port of `host:port` or `[v6]:port`. key: the setting's name. Raises ValueError."""
    host, colon, port_text = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port_text.isascii() or not port_text.isdigit() or int(port_text) > 65535:
        raise ValueError(f"{key} is {listen!r}; expected host:port, for instance 127.0.0.1:3100")
    return host, int(port_text)


def host_refusal(setting: str, url: str, allowed: Sequence[str]) -> str | None:
    """Return why a URL may not be used; None if it may.

    Args:
        setting: the name of the list, for the message.
        url: the URL.
        allowed: its hosts, without ports; `*.example.com` stands for every host below example.com. Empty: any host.

    """
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        host = ""
    names = [name.lower().rstrip(".") for name in allowed]
    if not names or host in names or any(name.startswith("*.") and host.endswith(name[1:]) for name in names):
        return None
    return f"the host {host!r} is not one of {setting}: {', '.join(allowed)}"


@functools.lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Return whether host (a name or address, without port) is loopback."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_bind(part: str, host: str, *, has_secret: bool, secret_setting: str) -> None:
    """Raise UnsafeBindError if host is not loopback and there is no secret. part: the server, for the message."""
    if not has_secret and not is_loopback(host):
        raise UnsafeBindError(
            f"{part} does not listen on {host} without a secret, because anyone could then read the logs: "
            f"set {secret_setting}, or listen on 127.0.0.1"
        )


def needs_secret(server: str, setting: str) -> str:
    """Return why a request without the secret is refused (401). It names no path of the machine: anyone may ask.

    Args:
        server: its subject.
        setting: the setting that names the secret's file.

    """
    return (
        f"{server} requires its secret: send Authorization: Bearer <secret>, the line in the file of {setting}; "
        "where that is not set, in the file `secret` of the state directory"
    )


def refusal(host_header: str | None, header_names: Iterable[str]) -> str | None:
    """Return why a request to a server without a secret is refused; None if it is accepted.

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
    """Return why a request that a browser sends for a page of another site is refused; None if it is not one.

    For servers without a secret: any web page can make the browser post to localhost and open WebSockets there.

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
