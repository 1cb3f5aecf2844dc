"""The events of a live stream, encoded as server-sent events."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from tracetail.panel.trace import cursor
from tracetail.panel.trace.entry import Entry, Key
from tracetail.panel.trace.reader import Page

_MESSAGE_LINES = 250
_MESSAGE_CHARACTERS = 512 << 10
"""Of the texts of an event, but for its last line."""


class Message:
    """One event: a name, its JSON, and for an event with lines the cursor after them as the event's id."""

    def __init__(
        self,
        name: str,
        data: Any,
        *,
        parts: Mapping[str, list[Entry]] | None = None,
        cursor_after: str = "",
        late: bool = False,
    ) -> None:
        self.parts = parts or {}
        """The event's lines by source (see entry.Stream.source), each in order; empty for an event without lines."""
        self.late = late
        """Its lines appeared in Loki after later ones: they are before the cursor."""
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
    ends = _ends([entry for entry, _ in tagged])
    for first, end in zip([0, *ends], ends, strict=False):
        chosen = tagged[first:end]
        part: dict[str, list[Entry]] = {}
        for entry, source in chosen:
            part.setdefault(source, []).append(entry)
            after[source] = entry.key
        data: dict[str, Any] = {"lines": [entry.as_json() for entry, _ in chosen]}
        if gaps and end >= len(tagged):
            data["gaps"] = gaps
        yield Message("lines", data, parts=part, cursor_after=cursor.encode(after))


def late_messages(parts: Mapping[str, list[Entry]]) -> Iterator[Message]:
    """Yield events with lines that appeared in Loki after later ones of their logs; the cursor stays where it is."""
    for source, entries in parts.items():
        ends = _ends(entries)
        for first, end in zip([0, *ends], ends, strict=False):
            chosen = entries[first:end]
            data = {"lines": [entry.as_json() for entry in chosen]}
            yield Message("lines", data, parts={source: chosen}, late=True)


def _ends(entries: Sequence[Entry]) -> list[int]:
    """Return the index behind the last entry of each event; one event if there are no entries."""
    ends = []
    lines = characters = 0
    for index, entry in enumerate(entries):
        lines += 1
        characters += len(entry.text)
        if lines == _MESSAGE_LINES or characters >= _MESSAGE_CHARACTERS:
            ends.append(index + 1)
            lines = characters = 0
    return ends if ends and ends[-1] == len(entries) else [*ends, len(entries)]


REACHABLE = Message("status", {"loki": "ok"})


def unreachable(reason: str) -> Message:
    """Return the event that Loki does not answer, and why."""
    return Message("status", {"loki": "unreachable", "message": reason})


def gaps_json(page: Page) -> list[dict[str, Any]]:
    """Return the places of a page at which Loki did not return every entry."""
    return [{"time": str(time_ns), "reason": "crowded"} for time_ns in page.crowded]
