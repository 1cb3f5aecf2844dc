"""The table `[otlp]` of the configuration: an OTLP receiver that the agent sends every line to, beside Loki.

Source: https://opentelemetry.io/docs/specs/otlp/ (OTLP/HTTP, binary protobuf)
"""

import re
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from tracetail.contract import http_settings
from tracetail.contract.http_settings import HttpSettingsError
from tracetail.contract.secret_file import SecretFileError, read_secret

if TYPE_CHECKING:
    import ssl

_TABLE = "otlp"
LOGS_PATH = "/v1/logs"
_OWN_HEADERS = frozenset({"content-encoding", "content-length", "content-type", "host", "transfer-encoding"})
_SECRET_HEADER = re.compile(r"authorization|cookie|password|secret|token|api-?key", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class OtlpSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The receiver that lines are sent to, and how it is reached."""

    endpoint: Annotated[
        str,
        Meta(description="base URL of an OTLP/HTTP receiver, to which /v1/logs is added; empty: nothing is sent"),
    ] = ""
    headers: Annotated[dict[str, str], Meta(description="further headers of each request")] = {}
    header_files: Annotated[
        dict[str, str], Meta(description="headers whose values are secrets, each with the file that holds it")
    ] = {}
    username: Annotated[str, Meta(description="user of HTTP basic auth")] = ""
    password_file: Annotated[str, Meta(description="file that holds the password of HTTP basic auth")] = ""
    bearer_token_file: Annotated[str, Meta(description="file that holds a bearer token")] = ""
    ca_file: Annotated[str, Meta(description="certificate authority to trust instead of the system's, PEM")] = ""
    cert_file: Annotated[str, Meta(description="client certificate, PEM")] = ""
    key_file: Annotated[str, Meta(description="key of the client certificate, PEM")] = ""
    proxy: Annotated[str, Meta(description="HTTP proxy to go through")] = ""
    compression: Annotated[Literal["gzip", "none"], Meta(description="of requests: gzip or none")] = "gzip"
    timeout_seconds: Annotated[float, Meta(description="how long one request may take", gt=0, le=86_400)] = 30.0

    @property
    def is_set(self) -> bool:
        """Lines are sent to an OTLP receiver."""
        return bool(self.endpoint)

    @property
    def url(self) -> str:
        """Where requests with logs are posted to."""
        base = self.endpoint.rstrip("/")
        return base if base.endswith(LOGS_PATH) else base + LOGS_PATH

    def check(self) -> None:
        """Raise HttpSettingsError if a setting cannot be used. Reads no file."""
        if not self.is_set:
            return
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise HttpSettingsError(
                f"otlp.endpoint is {self.endpoint!r}; expected a URL, for instance http://collector.example:4318"
            )
        if parts.username is not None:
            # The address is shown in messages and on status pages.
            raise HttpSettingsError(
                "otlp.endpoint holds a user or password; put them into otlp.username and otlp.password_file"
            )
        for name in (*self.headers, *self.header_files):
            if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
                raise HttpSettingsError(f"otlp.headers: {name!r} cannot be set")
        for name, value in self.headers.items():
            if _SECRET_HEADER.search(name):
                # The message does not repeat the value.
                raise HttpSettingsError(
                    f"otlp.headers: {name} is a secret; write it into a file of its own, and name the file in "
                    f"otlp.header_files"
                )
            if not value.isprintable():
                raise HttpSettingsError(f"otlp.headers: the value of {name} holds unprintable characters")

    def check_client(self) -> None:
        """Raise HttpSettingsError if a setting, a file that it names, or the package with the messages is missing."""
        self.check()
        http_settings.check(_TABLE, self)
        self.request_headers()
        try:
            import opentelemetry.proto.collector.logs.v1.logs_service_pb2  # noqa: F401, PLC0415  (an extra)
        except ImportError as error:
            raise HttpSettingsError(
                "otlp.endpoint is set, and the package opentelemetry-proto is missing: pip install 'tracetail[otlp]'"
            ) from error

    def request_headers(self) -> dict[str, str]:
        """Return the configured headers of every request. Reads the files of secrets. Raises HttpSettingsError."""
        try:
            secrets = {
                name: read_secret(f"otlp.header_files: the file of {name}", path)
                for name, path in self.header_files.items()
            }
        except SecretFileError as error:
            raise HttpSettingsError(str(error)) from error
        return {**self.headers, **http_settings.credentials(_TABLE, self), **secrets}

    def ssl_context(self) -> "ssl.SSLContext | bool":
        """Return the `ssl` argument of an aiohttp request. Raises HttpSettingsError."""
        return http_settings.ssl_context(_TABLE, self)
