"""The table `[loki]` of the configuration: the address of a Loki, TLS, proxy, credentials and tenant."""

import functools
import ssl
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from tracetail.contract.http_headers import authorization
from tracetail.contract.secret_file import SecretFileError


class LokiSettingsError(ValueError):
    """The settings of `[loki]` cannot be used; the message names the setting."""


class LokiSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The Loki that agent, panel and `tracetail logs` talk to."""

    url: Annotated[str, Meta(description="base URL of Loki; empty: the embedded store's address")] = ""
    allowed_hosts: Annotated[
        list[str],
        Meta(description="hosts that url may name, as loki.example or *.example; empty: any"),
    ] = []
    tenant: Annotated[str, Meta(description="tenant, sent as X-Scope-OrgID; empty for a Loki without tenants")] = ""
    username: Annotated[str, Meta(description="user of HTTP basic auth")] = ""
    password_file: Annotated[str, Meta(description="file that holds the password of HTTP basic auth")] = ""
    bearer_token_file: Annotated[str, Meta(description="file that holds a bearer token")] = ""
    ca_file: Annotated[str, Meta(description="certificate authority to trust instead of the system's, PEM")] = ""
    cert_file: Annotated[str, Meta(description="client certificate, PEM")] = ""
    key_file: Annotated[str, Meta(description="key of the client certificate, PEM")] = ""
    proxy: Annotated[str, Meta(description="HTTP proxy to go through")] = ""
    structured_metadata: Annotated[bool, Meta(description="false for a Loki that has no structured metadata")] = True
    timeout_seconds: Annotated[float, Meta(description="how long one request may take")] = 30.0

    def check(self) -> None:
        """Raise LokiSettingsError if these settings contradict each other or name a file that cannot be used."""
        if self.bearer_token_file and self.username:
            raise LokiSettingsError("loki.bearer_token_file and loki.username are both set; keep one of them")
        if self.password_file and not self.username:
            raise LokiSettingsError("loki.password_file is set and loki.username is not: whose password is it?")
        if self.key_file and not self.cert_file:
            raise LokiSettingsError("loki.key_file is set and loki.cert_file is not: the key of which certificate?")
        if self.proxy:
            # The message does not repeat the address: it may hold a password.
            _check_proxy(self.proxy)
        self.headers()
        self.ssl_context()

    def headers(self) -> dict[str, str]:
        """Return the headers of every request: tenant and Authorization.

        Reads the secret's file at each call, so that a rotated secret is used. Raises LokiSettingsError.
        """
        try:
            headers = authorization(
                "loki.",
                username=self.username,
                password_file=self.password_file,
                bearer_token_file=self.bearer_token_file,
            )
        except SecretFileError as error:
            raise LokiSettingsError(str(error)) from error
        return headers | ({"X-Scope-OrgID": self.tenant} if self.tenant else {})

    def ssl_context(self) -> ssl.SSLContext | bool:
        """Return the `ssl` argument of an aiohttp request: True for the system's defaults.

        Returns the same context until one of its files is replaced: a renewed certificate is used from then on.
        Raises LokiSettingsError.
        """
        if not (self.ca_file or self.cert_file):
            return True
        versions = tuple(_version(path) for path in (self.ca_file, self.cert_file, self.key_file))
        return _ssl_context(self.ca_file, self.cert_file, self.key_file, versions)


def _check_proxy(proxy: str) -> None:
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise LokiSettingsError("loki.proxy is not usable; expected a URL, for instance http://proxy.example:3128")


_Version = tuple[int, int, int]


def _version(path: str) -> _Version:
    """Return what changes when a file is replaced; the same for every file that cannot be read."""
    try:
        found = Path(path).stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino


@functools.lru_cache(maxsize=4)
def _ssl_context(ca_file: str, cert_file: str, key_file: str, versions: tuple[_Version, ...]) -> ssl.SSLContext:
    """versions: of the files, so that a cached context is that of their current content."""
    del versions
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # ssl.SSLError is one
        raise LokiSettingsError(f"loki.ca_file cannot be used: {ca_file}: {_reason(error)}") from error
    if cert_file:
        try:
            # Without a password OpenSSL would ask for that of an encrypted key on the terminal.
            context.load_cert_chain(cert_file, key_file or None, password="")
        except OSError as error:
            named = f"loki.cert_file {cert_file}" + (f" and loki.key_file {key_file}" if key_file else "")
            raise LokiSettingsError(f"{named} cannot be used: {_reason(error)}") from error
    return context


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is not in PEM format").replace("_", " ").lower()
    return error.strerror or str(error)
