"""The table `[loki]` of the configuration: the address of a Loki, TLS, proxy, credentials and tenant."""

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from tracetail.contract import http_settings

if TYPE_CHECKING:
    import ssl

_TABLE = "loki"


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
    timeout_seconds: Annotated[float, Meta(description="how long one request may take", gt=0, le=86_400)] = 30.0

    def check(self) -> None:
        """Raise HttpSettingsError if these settings contradict each other or name a file that cannot be used."""
        http_settings.check(_TABLE, self)

    def headers(self) -> dict[str, str]:
        """Return the headers of every request: tenant and Authorization. Raises HttpSettingsError."""
        tenant = {"X-Scope-OrgID": self.tenant} if self.tenant else {}
        return http_settings.credentials(_TABLE, self) | tenant

    def ssl_context(self) -> "ssl.SSLContext | bool":
        """Return the `ssl` argument of an aiohttp request. Raises HttpSettingsError."""
        return http_settings.ssl_context(_TABLE, self)


class LocalLokiSettings(LokiSettings, frozen=True, kw_only=True):
    """A Loki at an address of this machine: it gets the installation's secret, unless a stranger listens there."""

    is_store: bool
    """Whether the embedded store should be there: then nothing at all is sent to a stranger."""
