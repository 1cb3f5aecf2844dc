"""A callback that waits in `<launchDir>/outbox/` until it is delivered, one JSON file per callback.

The keeper writes it before it tries, and deletes it when the receiver has answered with a 2xx. What is left when the
keeper ends, the agent delivers. A file is replaced atomically; a name that begins with a dot is not a callback.
"""

from typing import Any, TypedDict

GIVE_UP_AFTER_SECONDS = 24 * 3600
"""A callback that could not be delivered for so long after createdAt is deleted."""


class PendingCallback(TypedDict):
    """The content of `outbox/<eventId>.json`."""

    url: str
    tokenFile: str
    """File with the bearer token to send, read anew for each attempt; empty for none."""
    createdAt: float
    """Seconds since the epoch."""
    payload: dict[str, Any]
    """The body to post, as JSON."""
