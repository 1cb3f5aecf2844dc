"""The table `[store]` of the configuration."""

from typing import Annotated

import msgspec
from msgspec import Meta

DAYS_MAX = 36_500
"""A century. Nanoseconds since the epoch, in which entries are kept, end 292 years before 1970."""
GB_MAX = 1_000_000


class StoreSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The embedded store."""

    listen: Annotated[str, Meta(description="host:port of the Loki paths")] = "127.0.0.1:3100"
    path: Annotated[str, Meta(description="the database file; empty: store/store.db in the state directory")] = ""
    secret_file: Annotated[
        str,
        Meta(description="file with the bearer token that clients must send; required to listen beyond loopback"),
    ] = ""
    open: Annotated[
        bool,
        Meta(description="true: every program of this machine may use it, without the secret of the state directory"),
    ] = False
    retention_days: Annotated[
        float, Meta(description="older entries are deleted; 0 keeps all", ge=0, le=DAYS_MAX)
    ] = 30.0
    retention_gb: Annotated[
        float,
        Meta(description="the oldest entries are deleted when the file is larger; 0: no limit", ge=0, le=GB_MAX),
    ] = 10.0
    reject_older_than_days: Annotated[
        float, Meta(description="older entries are refused, as in Loki; 0 accepts any", ge=0, le=DAYS_MAX)
    ] = 7.0
    reject_newer_than_minutes: Annotated[
        float,
        Meta(
            description="entries further ahead of the clock are refused, as in Loki; 0 accepts any",
            ge=0,
            le=DAYS_MAX * 1440,
        ),
    ] = 10.0
    max_body_mb: Annotated[
        float, Meta(description="larger push requests are refused (413), compressed or decompressed", gt=0, le=1000)
    ] = 100.0
    query_timeout_seconds: Annotated[
        float, Meta(description="a query that takes longer fails (504)", gt=0, le=86_400)
    ] = 60.0
    query_memory_mb: Annotated[
        float, Meta(description="a query whose result needs more memory is refused", gt=0, le=1_000_000)
    ] = 64.0
