"""One stream of a push request, and the errors of decoding a request."""

from dataclasses import dataclass

from tracetail.store.disk.block import Entries, Labels


class PushError(ValueError):
    """The body is not a valid push request; nothing of it is stored (400)."""


class BodyTooLargeError(Exception):
    """The body decompresses to more than is allowed (413)."""


@dataclass(slots=True)
class PushedStream:
    """One stream as it was sent: not sorted, and not checked against the limits."""

    labels: Labels
    entries: Entries
