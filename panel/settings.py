"""The table `[panel]` of the configuration."""

from typing import Annotated

import msgspec
from msgspec import Meta


class PanelSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The log panel and its API."""

    listen: Annotated[str, Meta(description="host:port of the panel")] = "127.0.0.1:8900"
    url: Annotated[
        str,
        Meta(
            description="address at which people open it, for links that commands print, as https://logs.example; "
            "empty: that of listen",
            pattern=r"^(https?://[^\s?#]+)?$",
        ),
    ] = ""
    secret_file: Annotated[
        str,
        Meta(description="file with the secret (32 bytes or more) that signs tokens; or public_key_file"),
    ] = ""
    public_key_file: Annotated[
        str,
        Meta(description="file with the Ed25519 public key, PEM, of a platform that signs tokens by itself (EdDSA)"),
    ] = ""
    admin_key_file: Annotated[
        str, Meta(description="file with the key that may do everything, POST /api/tokens included")
    ] = ""
    open: Annotated[
        bool,
        Meta(description="true: every program of this machine may use it, without the secret of the state directory"),
    ] = False
    token_seconds: Annotated[
        int, Meta(description="lifetime of a token of POST /api/tokens that names none", ge=10, le=30 * 86400)
    ] = 900
    origins: Annotated[
        list[str], Meta(description="origins of pages that may embed the panel, as https://platform.example")
    ] = []
    lookback_days: Annotated[
        float, Meta(description="how far back launches are searched; Loki's own limit is 30", gt=0, le=30)
    ] = 30.0
    recent_hours: Annotated[
        float, Meta(description="how far back the list of recent launches goes", gt=0, le=720)
    ] = 48.0
    tick_seconds: Annotated[
        float, Meta(description="interval of queries for new lines of a trace that has viewers", ge=0.05, le=10)
    ] = 0.2
    heartbeat_seconds: Annotated[
        float, Meta(description="interval of heartbeats on an idle stream", ge=0.1, le=60)
    ] = 10.0
    viewers: Annotated[int, Meta(description="streams that may be open at the same time", ge=1)] = 1000
    viewers_per_token: Annotated[
        int, Meta(description="of them, streams of one token; a trace may have half of them all", ge=1)
    ] = 50
    powerjob_url: Annotated[
        str,
        Meta(description="PowerJob server whose online log GET /llm/logs falls back to; empty: no fallback"),
    ] = ""
    powerjob_app_id: Annotated[
        int, Meta(description="appId at that server, unless powerjob_app_name is set", ge=0)
    ] = 0
    powerjob_app_name: Annotated[
        str, Meta(description="app that logs in to that server's OpenAPI, where it asks for a login")
    ] = ""
    powerjob_app_password_file: Annotated[str, Meta(description="file with the password of the app")] = ""
    powerjob_user: Annotated[
        str, Meta(description="user that logs in to that server's console, which PowerJob 5 always asks for")
    ] = ""
    powerjob_password_file: Annotated[str, Meta(description="file with the password of the user")] = ""
