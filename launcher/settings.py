"""The table `[launcher]` of the configuration."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta


class LauncherSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Settings of all launches, and defaults for single services."""

    min_free_disk_mb: Annotated[
        int,
        Meta(
            ge=0,
            description="MiB to keep free on the disks of state and logs: with less no server is started, and the "
            "oldest closed segments go, shipped or not",
        ),
    ] = 64

    allowed_hosts: Annotated[
        list[str],
        Meta(description="hosts that callbackUrl may name, as platform.example or *.example; empty: any"),
    ] = []

    services: Annotated[
        dict[str, dict[str, Any]],
        Meta(description="named tables of default parameters: [launcher.services.<name>], used by `service`"),
    ] = {}

    @property
    def min_free_bytes(self) -> int:
        """min_free_disk_mb in bytes."""
        return self.min_free_disk_mb * 1024 * 1024
