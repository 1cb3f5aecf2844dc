"""The table `[panel]` of the configuration."""

from typing import Annotated

import msgspec
from msgspec import Meta


class PanelSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The log panel and its API."""

    listen: Annotated[str, Meta(description="host:port of the panel")] = "127.0.0.1:8900"
    secret_file: Annotated[
        str, Meta(description="file with the secret that signs tokens; needed to listen beyond loopback")
    ] = ""
    origins: Annotated[
        list[str], Meta(description="origins of pages that may embed the panel, as https://platform.example")
    ] = []
