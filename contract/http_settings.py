"""What every table with an HTTP client is configured by: credentials, TLS and a proxy."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from tracetail.contract import system_authorities
from tracetail.contract.http_headers import authorization
from tracetail.contract.secret_file import SecretFileError

if TYPE_CHECKING:
    import ssl  # every command reads the settings, few use TLS: a twentieth of the time that they take to start


class HttpSettingsError(ValueError):
    """The settings of an HTTP client cannot be used; the message names the setting."""


class HttpSettings(Protocol):
    """The options that such a table has."""

    @property
    def url(self) -> str:
        """Where requests go."""

    @property
    def username(self) -> str:
        """User of HTTP basic auth."""

    @property
    def password_file(self) -> str:
        """File with that user's password."""

    @property
    def bearer_token_file(self) -> str:
        """File with a bearer token."""

    @property
    def ca_file(self) -> str:
        """Certificate authority to trust instead of the system's, PEM."""

    @property
    def cert_file(self) -> str:
        """Client certificate, PEM."""

    @property
    def key_file(self) -> str:
        """Key of the client certificate, PEM."""

    @property
    def proxy(self) -> str:
        """HTTP proxy to go through."""


def is_http_url(text: str) -> bool:
    """Return whether a text is a URL of HTTP with a host."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def check(table: str, settings: HttpSettings) -> None:
    """Raise HttpSettingsError if settings contradict each other or name a file that cannot be used."""
    if settings.bearer_token_file and settings.username:
        raise HttpSettingsError(f"{table}.bearer_token_file and {table}.username are both set; keep one of them")
    if settings.password_file and not settings.username:
        raise HttpSettingsError(f"{table}.password_file is set and {table}.username is not: whose password is it?")
    if settings.key_file and not settings.cert_file:
        raise HttpSettingsError(
            f"{table}.key_file is set and {table}.cert_file is not: the key of which certificate?"
        )
    if settings.proxy:
        # The message does not repeat the address: it may hold a password.
        _check_proxy(table, settings.proxy)
    credentials(table, settings)
    ssl_context(table, settings)


def credentials(table: str, settings: HttpSettings) -> dict[str, str]:
    """Return the Authorization header; empty without credentials.

    Reads the secret's file at each call, so that a rotated secret is used. Raises HttpSettingsError.
    """
    try:
        return authorization(
            f"{table}.",
            username=settings.username,
            password_file=settings.password_file,
            bearer_token_file=settings.bearer_token_file,
        )
    except SecretFileError as error:
        raise HttpSettingsError(str(error)) from error


def ssl_context(table: str, settings: HttpSettings) -> "ssl.SSLContext | bool":
    """Return the `ssl` argument of an aiohttp request: True where it needs no TLS.

    Returns the same context until one of its files is replaced: a renewed certificate is used from then on.
    Raises HttpSettingsError.
    """
    files = (settings.ca_file, settings.cert_file, settings.key_file)
    if not (settings.ca_file or settings.cert_file):
        return system_authorities.ssl_for(settings.url, settings.proxy)
    return _ssl_context(table, *files, tuple(map(_version, files)))


def _check_proxy(table: str, proxy: str) -> None:
    if not is_http_url(proxy):
        raise HttpSettingsError(
            f"{table}.proxy is not usable; expected a URL, for instance http://proxy.example:3128"
        )


_Version = tuple[int, int, int]


def _version(path: str) -> _Version:
    """Return what changes when a file is replaced; the same for every file that cannot be read."""
    try:
        found = Path(path).stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino


@functools.lru_cache(maxsize=8)
def _ssl_context(
    table: str, ca_file: str, cert_file: str, key_file: str, versions: tuple[_Version, ...]
) -> "ssl.SSLContext":
    """versions: of the files, so that a cached context is that of their current content."""
    import ssl  # noqa: PLC0415

    del versions
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # ssl.SSLError is one
        raise HttpSettingsError(f"{table}.ca_file cannot be used: {ca_file}: {_reason(error)}") from error
    if cert_file:
        try:
            # Without a password OpenSSL would ask for that of an encrypted key on the terminal.
            context.load_cert_chain(cert_file, key_file or None, password="")
        except OSError as error:
            named = f"{table}.cert_file {cert_file}" + (f" and {table}.key_file {key_file}" if key_file else "")
            raise HttpSettingsError(f"{named} cannot be used: {_reason(error)}") from error
    return context


def _reason(error: OSError) -> str:
    import ssl  # noqa: PLC0415

    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is not in PEM format").replace("_", " ").lower()
    return error.strerror or str(error)
