"""Addresses of the panel that a person opens: with a short-lived token behind the #, which no browser sends on."""

import os
from collections.abc import Mapping

from tracetail.cli.configuration import Configuration, secret_file
from tracetail.contract.secret_file import SecretFileError
from tracetail.panel.auth.access import DOWNLOAD, EVERY_TRACE, READ, Keys

TOKEN_SECONDS = 3600


def with_token(
    url: str, settings: Configuration, trace_id: str = EVERY_TRACE, environ: Mapping[str, str] = os.environ
) -> str:
    """Return the address of a page of the panel with a token for a trace; without one if the panel needs none."""
    path = secret_file("panel", settings, environ)
    if not path and not settings.panel.secret_file:
        return url
    try:
        token = Keys(settings.panel, path).mint([trace_id], scopes=(READ, DOWNLOAD), seconds=TOKEN_SECONDS)
    except SecretFileError:
        return url
    return f"{url}#token={token}"
