"""Selects the lines of one request to the server: those whose structured metadata `request_id` is its id."""

import re2

from tracetail.contract import labels as names
from tracetail.contract.request_ids import request_id_pattern
from tracetail.panel.trace.entry import Entry


class RequestFilter:
    """Selects the lines of one request, within Loki (`pattern`) or here (`matches`)."""

    def __init__(self, request_id: str) -> None:
        """request_id: as the client sent it, or as the engine prints it."""
        self.pattern = request_id_pattern(request_id)
        """The RE2 expression that the whole request id of a line matches."""
        self._compiled = re2.compile(self.pattern)

    def matches(self, entry: Entry) -> bool:
        """Return whether a line is about the request."""
        return self._compiled.fullmatch(entry.stream.fields.get(names.METADATA_REQUEST_ID, "")) is not None
