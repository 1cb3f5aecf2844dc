"""The table `[store]` of the configuration."""

from typing import Annotated

import msgspec
from msgspec import Meta


class StoreSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The embedded store."""

    listen: Annotated[str, Meta(description="host:port of the Loki paths")] = "127.0.0.1:3100"
    path: Annotated[str, Meta(description="the database file; empty: store/store.db in the state directory")] = ""
    secret_file: Annotated[
        str,
        Meta(description="file with the bearer token that clients must send; needed to listen beyond loopback"),
    ] = ""
    retention_days: Annotated[float, Meta(description="older entries are deleted; 0 keeps all", ge=0)] = 30.0
    retention_gb: Annotated[
        float, Meta(description="the oldest entries go when the file is larger; 0: no limit", ge=0)
    ] = 10.0
