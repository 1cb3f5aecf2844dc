"""Live tails: new entries are passed to the tails that match them as soon as they are committed.

As in Loki, a tail has low latency but may lose entries: a client that reads too slowly gets a list of the dropped
entries (a range query returns them), and the connection ends after an hour.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson

from tracetail.store.disk.block import Labels
from tracetail.store.ingest.writer import Stored
from tracetail.store.logql.matching import compile_matcher
from tracetail.store.logql.tree import LogQuery
from tracetail.store.query.labels import result_labels
from tracetail.store.query.log_query import Entry
from tracetail.store.query.pipeline import Pipeline

TAILS_MAX = 10
"""Limit of concurrent tails; Loki's default max_concurrent_tail_requests."""
WAITING_ENTRIES_MAX = 20_000
"""Limit of the entries queued for a slow client; further ones are dropped."""
TAIL_SECONDS = 3600.0
DROPPED_SHOWN_MAX = 100
MESSAGE_ENTRIES = 1000

Found = tuple[int, bytes, Labels]
"""An entry in the result of a query: time, line, labels."""


class TooManyTailsError(Exception):
    """The limit of concurrent tails is reached (429)."""


@dataclass(slots=True, eq=False)
class Tail:
    """One tail, and the queue of entries that wait to be sent."""

    query: LogQuery
    queue: deque[Stored] = field(default_factory=deque)
    queued_entries: int = 0
    dropped: deque[tuple[Labels, int]] = field(default_factory=lambda: deque(maxlen=DROPPED_SHOWN_MAX))
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def enqueue(self, stored: Stored) -> None:
        """Queue stored entries if the selector matches their stream; drop them if the queue is full."""
        labels = dict(stored.labels)
        if not all(compile_matcher(m)(labels.get(m.name, "")) for m in self.query.selector):
            return
        count = len(stored.entries)
        if self.queue and self.queued_entries + count > WAITING_ENTRIES_MAX:
            self.dropped.extend((stored.labels, time) for time in stored.entries.times[-DROPPED_SHOWN_MAX:])
        else:
            self.queue.append(stored)
            self.queued_entries += count
        self.changed.set()

    async def next_batch(self) -> tuple[list[Stored], list[tuple[Labels, int]]]:
        """Wait for entries; return the queued ones, and labels and times of those that were dropped."""
        await self.changed.wait()
        self.changed.clear()
        stored, dropped = list(self.queue), list(self.dropped)
        self.queue.clear()
        self.dropped.clear()
        self.queued_entries = 0
        return stored, dropped


class Tails:
    """All open tails."""

    def __init__(self) -> None:
        self._tails: set[Tail] = set()

    def __len__(self) -> int:
        return len(self._tails)

    def add(self, query: LogQuery) -> Tail:
        """Register a tail for the query. Raises TooManyTailsError."""
        if len(self._tails) >= TAILS_MAX:
            raise TooManyTailsError(f"max concurrent tail requests limit exceeded, count > limit ({TAILS_MAX})")
        tail = Tail(query)
        self._tails.add(tail)
        return tail

    def remove(self, tail: Tail) -> None:
        """Remove a tail."""
        self._tails.discard(tail)

    def publish(self, stored: Iterable[Stored]) -> None:
        """Pass committed entries to all tails."""
        for one in stored:
            for tail in self._tails:
                tail.enqueue(one)


def select(query: LogQuery, stored: Iterable[Stored]) -> list[Found]:
    """Return the result of the query on the stored entries, in order of time."""
    pipeline = Pipeline(query.stages)
    found = []
    for one in stored:
        for time_ns, line, metadata in one.entries.identities():
            labels = pipeline.run(one.labels, metadata, line)
            if labels is not None:
                found.append((time_ns, line, result_labels(labels)))
    return sorted(found, key=lambda entry: entry[0])


def messages(entries: list[Found], dropped: list[tuple[Labels, int]]) -> list[bytes]:
    """Return entries as messages of Loki's tail, of at most MESSAGE_ENTRIES each."""
    result = []
    for at in range(0, max(len(entries), 1), MESSAGE_ENTRIES):
        streams: dict[Labels, list[tuple[str, str]]] = {}
        for time_ns, line, labels in entries[at : at + MESSAGE_ENTRIES]:
            streams.setdefault(labels, []).append((str(time_ns), line.decode("utf-8", "replace")))
        shown = [{"stream": dict(labels), "values": values} for labels, values in streams.items()]
        lost = [{"labels": dict(labels), "timestamp": str(time_ns)} for labels, time_ns in dropped]
        if shown or lost:
            result.append(orjson.dumps({"streams": shown, "dropped_entries": lost or None}))
        dropped = []
    return result


def history(entries: list[Entry]) -> list[Found]:
    """Return the entries of a backward query as a tail sends them: oldest first."""
    return [(entry.time, entry.line, entry.labels) for entry in reversed(entries)]
