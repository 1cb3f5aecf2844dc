"""How to reach a Loki: what agent, panel and command line need to know of it, and its paths.

Source: https://grafana.com/docs/loki/latest/reference/loki-http-api/
"""

import base64
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

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

    def headers(self) -> dict[str, str]:
        """Return the headers of every request. Reads the secret's file anew, so that a rotated one is used."""
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
        """Return what aiohttp takes as `ssl`: True for the system's defaults."""
        if not (self.ca_file or self.cert_file):
            return True
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file or None)
        except (OSError, ssl.SSLError) as error:
            raise LokiSettingsError(f"loki.ca_file, cert_file or key_file cannot be used: {error}") from error
        return context


def _secret(setting: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise LokiSettingsError(f"{setting} cannot be read: {error}") from error
