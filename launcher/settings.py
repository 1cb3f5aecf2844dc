"""The table `[launcher]` of the configuration."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta


class LauncherSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Defaults of launches."""

    services: Annotated[
        dict[str, dict[str, Any]],
        Meta(description="named tables of default parameters: [launcher.services.<name>], used by `service`"),
    ] = {}
