"""The events of a live stream, encoded as server-sent events."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from tracetail.panel.trace import cursor
from tracetail.panel.trace.entry import Entry, Key
from tracetail.panel.trace.reader import Page

_MESSAGE_LINES = 250


class Message:
    """One event: a name, its JSON, and for an event with lines the cursor after them as the event's id."""

    def __init__(
        self, name: str, data: Any, *, parts: Mapping[str, list[Entry]] | None = None, cursor_after: str = ""
    ) -> None:
        self.parts = parts or {}
        """The event's lines by source (see entry.Stream.source), each in order; empty for an event without lines."""
        head = f"id: {cursor_after}\n" if cursor_after else ""
        self.encoded = f"{head}event: {name}\ndata: ".encode() + orjson.dumps(data) + b"\n\n"


def lines_messages(
    parts: Mapping[str, list[Entry]], positions: Mapping[str, Key], gaps: list[dict[str, Any]]
) -> Iterator[Message]:
    """Yield events with these lines, merged by time. positions: the position in each log before the lines.

    Events are small, so that a viewer whose connection breaks again and again still makes progress.
    """
    after = dict(positions)
    tagged = sorted(
        ((entry, source) for source, entries in parts.items() for entry in entries), key=lambda pair: pair[0].key
    )
    for first in range(0, max(len(tagged), 1), _MESSAGE_LINES):
        chosen = tagged[first : first + _MESSAGE_LINES]
        part: dict[str, list[Entry]] = {}
        for entry, source in chosen:
            part.setdefault(source, []).append(entry)
            after[source] = entry.key
        data: dict[str, Any] = {"lines": [entry.as_json() for entry, _ in chosen]}
        if gaps and first + _MESSAGE_LINES >= len(tagged):
            data["gaps"] = gaps
        yield Message("lines", data, parts=part, cursor_after=cursor.encode(after))


def gaps_json(page: Page) -> list[dict[str, Any]]:
    """Return the places of a page at which Loki did not return every entry."""
    return [{"time": str(time_ns), "reason": "crowded"} for time_ns in page.crowded]
