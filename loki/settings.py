"""How to reach a Loki: what agent, panel and command line need to know of it, and its paths.

Source: https://grafana.com/docs/loki/latest/reference/loki-http-api/
"""

import base64
import functools
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from tracetail.contract.secret_file import SecretFileError, read_secret

PUSH_PATH = "/loki/api/v1/push"
QUERY_RANGE_PATH = "/loki/api/v1/query_range"
QUERY_PATH = "/loki/api/v1/query"
SERIES_PATH = "/loki/api/v1/series"
LABELS_PATH = "/loki/api/v1/labels"
READY_PATH = "/ready"
ENTRIES_PER_QUERY_MAX = 5000
"""Loki's default max_entries_limit_per_query; one more is a 400."""


class LokiSettingsError(ValueError):
    """The settings of `[loki]` cannot be used; the message names the setting."""


@dataclass(frozen=True, slots=True)
class LokiSettings:
    """The Loki that agent, panel and `tracetail logs` talk to."""

    url: Annotated[str, "base URL of Loki; empty: the embedded store's address"] = ""
    tenant: Annotated[str, "tenant, sent as X-Scope-OrgID; empty for a Loki without tenants"] = ""
    username: Annotated[str, "user of HTTP basic auth"] = ""
    password_file: Annotated[str, "file that holds the password of HTTP basic auth"] = ""
    bearer_token_file: Annotated[str, "file that holds a bearer token"] = ""
    ca_file: Annotated[str, "certificate authority to trust instead of the system's, PEM"] = ""
    cert_file: Annotated[str, "client certificate, PEM"] = ""
    key_file: Annotated[str, "key of the client certificate, PEM"] = ""
    proxy: Annotated[str, "HTTP proxy to go through"] = ""
    structured_metadata: Annotated[bool, "false for a Loki that has no structured metadata"] = True
    timeout_seconds: Annotated[float, "how long one request may take"] = 30.0

    def check(self) -> None:
        """Raise LokiSettingsError if these settings contradict each other or name a file that cannot be used."""
        if self.bearer_token_file and self.username:
            raise LokiSettingsError("loki.bearer_token_file and loki.username are both set; keep one of them")
        if self.password_file and not self.username:
            raise LokiSettingsError("loki.password_file is set and loki.username is not: whose password is it?")
        if self.key_file and not self.cert_file:
            raise LokiSettingsError("loki.key_file is set and loki.cert_file is not: the key of which certificate?")
        if self.proxy:
            # The proxy's own address is not repeated: a password may stand in it.
            _check_proxy(self.proxy)
        self.headers()
        self.ssl_context()

    def headers(self) -> dict[str, str]:
        """Return the headers of every request. Reads the secret's file anew, so that a rotated one is used.

        Raises LokiSettingsError.
        """
        headers = {}
        if self.tenant:
            headers["X-Scope-OrgID"] = self.tenant
        if self.bearer_token_file:
            headers["Authorization"] = "Bearer " + _secret("loki.bearer_token_file", self.bearer_token_file)
        elif self.username:
            password = _secret("loki.password_file", self.password_file) if self.password_file else ""
            pair = base64.b64encode(f"{self.username}:{password}".encode()).decode()
            headers["Authorization"] = "Basic " + pair
        return headers

    def ssl_context(self) -> ssl.SSLContext | bool:
        """Return what aiohttp takes as `ssl`: True for the system's defaults.

        The same context is returned until one of its files is replaced: a renewed certificate is used from then on.
        Raises LokiSettingsError.
        """
        if not (self.ca_file or self.cert_file):
            return True
        changed = tuple(_changed_at(path) for path in (self.ca_file, self.cert_file, self.key_file))
        return _ssl_context(self.ca_file, self.cert_file, self.key_file, changed)

    def why(self, error: BaseException) -> str:
        """Return in one line why a request was not answered, with the setting to look at where that can be told.

        error: what aiohttp, asyncio or ssl raised.
        """
        said = str(error) or type(error).__name__
        for cause in _causes(error):
            if isinstance(cause, LokiSettingsError):
                return said
            if "Proxy" in type(cause).__name__:
                status = getattr(cause, "status", None)
                said = f"the proxy answers {status}" if status else f"the proxy cannot be reached ({said})"
                return f"{said}; look at loki.proxy"
            # aiohttp's own exceptions are ssl's too, but without what ssl tells.
            if isinstance(cause, ssl.SSLCertVerificationError) and hasattr(cause, "verify_code"):
                about = "loki.url" if cause.verify_code in _ABOUT_THE_NAME else "loki.ca_file"
                return f"its certificate is not accepted: {cause.verify_message.rstrip('.')}; look at {about}"
            if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None):
                reason = cause.reason.replace("_", " ").lower()
                if "alert" in reason:
                    return f"it does not accept the client certificate ({reason}); look at loki.cert_file"
                return f"there is no TLS with it ({reason}); look at loki.url"
            if isinstance(cause, TimeoutError) and not cause.errno:
                return f"no answer within {self.timeout_seconds:g} s"
            if isinstance(cause, OSError) and cause.errno:
                said = (os.strerror(cause.errno) if cause.errno > 0 else cause.strerror) or said
            hung_up = isinstance(cause, ConnectionResetError) or type(cause).__name__ == "ServerDisconnectedError"
            if hung_up and self.url.startswith("https:"):
                # TLS 1.3 asks for a client's certificate when the client believes itself connected already.
                return f"{said}; if it wants a client certificate, or another one, look at loki.cert_file"
        return said


_ABOUT_THE_NAME = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH (OpenSSL, x509_vfy.h)."""


def _secret(setting: str, path: str) -> str:
    try:
        return read_secret(setting, path)
    except SecretFileError as error:
        raise LokiSettingsError(str(error)) from error


def _check_proxy(proxy: str) -> None:
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise LokiSettingsError("loki.proxy is not usable; expected a URL, for instance http://proxy.example:3128")


def _changed_at(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns if path else 0
    except OSError:
        return 0


@functools.lru_cache(maxsize=4)
def _ssl_context(ca_file: str, cert_file: str, key_file: str, changed: tuple[int, ...]) -> ssl.SSLContext:
    """changed: when the files were changed last, so that what is cached is what they hold."""
    del changed
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # ssl.SSLError is one
        raise LokiSettingsError(f"loki.ca_file cannot be used: {ca_file}: {_reason(error)}") from error
    if cert_file:
        try:
            # Without a password, or OpenSSL would ask for that of an encrypted key on the terminal.
            context.load_cert_chain(cert_file, key_file or None, password="")
        except OSError as error:
            named = f"loki.cert_file {cert_file}" + (f" and loki.key_file {key_file}" if key_file else "")
            raise LokiSettingsError(f"{named} cannot be used: {_reason(error)}") from error
    return context


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is not in PEM format").replace("_", " ").lower()
    return error.strerror or str(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from; aiohttp keeps the system's error as an attribute."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = (getattr(cause, name, None) for name in ("certificate_error", "os_error"))
        waiting += [one for one in inner if isinstance(one, BaseException)]
        waiting += [cause.__cause__, cause.__context__]
