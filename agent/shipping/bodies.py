"""Makes new bodies from the entries of an intent: parts of it, and entries that are sent again with a later time."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from tracetail.agent.model import Intent
from tracetail.loki import original_time
from tracetail.loki.entries import Entry, decode_request
from tracetail.loki.push import Body, rows_from, rows_of, single_body


def times(intent: Intent) -> list[int]:
    """Return the times of an intent's entries."""
    return [entry.time_ns for entry in decode_request(intent.body)[1]]


def part(intent: Intent, entries: Sequence[Entry], indexes: Sequence[int]) -> Body:
    """Return the body with the entries of an intent that have these indexes, of which there is at least one."""
    return single_body(intent.labels, [entries[index] for index in indexes], rows_of(intent.rows, indexes))


def parts(intent: Intent, max_bytes: int = 0) -> list[Body]:
    """Return the bodies, unchanged entry by entry, that an intent is split into: at least one.

    max_bytes: of a body's texts and metadata, as Loki's rate limits count them; 0: two halves.
    """
    _, entries = decode_request(intent.body)
    if not max_bytes:
        half = len(entries) // 2
        groups = [range(half), range(half, len(entries))]
    else:
        groups, start, size = [], 0, 0
        for index, entry in enumerate(entries):
            size += len(entry.text) + len(entry.meta)
            if size > max_bytes and index > start:
                groups.append(range(start, index))
                start, size = index, len(entry.text) + len(entry.meta)
        groups.append(range(start, len(entries)))
    return [part(intent, entries, group) for group in groups if group]


def retimed(
    intent: Intent, entries: Sequence[Entry], chosen: AbstractSet[int], time_ns: int, *, structured: bool
) -> Body:
    """Return the body with the entries at the chosen times, which get times from time_ns on.

    The original time is kept beside the text; structured: as metadata.
    """
    indexes = [index for index, entry in enumerate(entries) if entry.time_ns in chosen]
    changed = [
        original_time.retimed(entries[index], time_ns + place, structured_metadata=structured)
        for place, index in enumerate(indexes)
    ]
    return single_body(intent.labels, changed, rows_of(intent.rows, indexes))


def with_lines(intent: Intent, entries: Sequence[Entry], chosen: AbstractSet[int]) -> list[tuple[int | None, Entry]]:
    """Return the entries at these times, each with the index of its line in the batch, if it is known."""
    return [
        (rows[0][1] if (rows := rows_from(intent.rows, index)) else None, entry)
        for index, entry in enumerate(entries)
        if entry.time_ns in chosen
    ]
