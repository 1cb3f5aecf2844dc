"""Recognises the lines that a keeper wrote, and the level of its events."""

import re

from tracetail.contract import events
from tracetail.contract.logline import LINE_PATTERN, parse_event, parse_stamp
from tracetail.loki.entries import NS_PER_SECOND

_KEEPER_LINE = re.compile(LINE_PATTERN, re.DOTALL)
_NS_MAX = 2**63 - 1
"""The latest time that Loki can store, in nanoseconds since the epoch: in the year 2262."""
_EVENT_LEVELS = {
    events.FAILED: "error",
    events.REFUSED: "error",
    events.UNHEALTHY: "error",
    events.DROPPED: "warning",
    events.GAP: "warning",
}


def match_keeper_line(line: bytes) -> re.Match[bytes] | None:
    """Return the match of LINE_PATTERN for a line that a keeper wrote; None for any other."""
    if not line[:1].isdigit():
        return None
    found = _KEEPER_LINE.fullmatch(line)
    if found is not None:
        try:
            if not 0 <= parse_stamp(found[1]) <= _NS_MAX - NS_PER_SECOND:
                return None
        except ValueError:
            return None
    return found


def event_level(text: bytes) -> str:
    """Return the level of an event, given as the text of its line."""
    event = parse_event(text.decode(errors="replace"))
    if event.name == events.EXITED and event.fields.get("state") in ("crashed", "failed"):
        return "error"
    return _EVENT_LEVELS.get(event.name, "info")
