"""Following a query live: what is stored goes to those who watch, as it is committed.

As Loki's tail, this is for low latency, not the truth: who reads too slowly is told what was dropped (a range query
finds it), and after an hour the connection ends.
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
from tracetail.store.query.log_query import Entry
from tracetail.store.query.stages import Pipeline, result_labels

TAILS_MAX = 10
"""Tails at a time, as Loki's max_concurrent_tail_requests."""
WAITING_ENTRIES_MAX = 20_000
"""What may wait for a slow reader before it is dropped."""
TAIL_SECONDS = 3600.0
DROPPED_SHOWN_MAX = 100
MESSAGE_ENTRIES = 1000

Found = tuple[int, bytes, Labels]
"""An entry that came out of a query: time, line, labels."""


class TooManyTailsError(Exception):
    """No further tail is accepted now (429)."""


@dataclass(slots=True, eq=False)
class Tail:
    """One watcher: what is stored waits here until it is sent."""

    query: LogQuery
    waiting: deque[Stored] = field(default_factory=deque)
    waiting_entries: int = 0
    dropped: deque[tuple[Labels, int]] = field(default_factory=lambda: deque(maxlen=DROPPED_SHOWN_MAX))
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, stored: Stored) -> None:
        """Queue what was stored if it is of a stream that is watched; drop it if too much waits already."""
        labels = dict(stored.labels)
        if not all(compile_matcher(m)(labels.get(m.name, "")) for m in self.query.selector):
            return
        count = len(stored.entries)
        if self.waiting and self.waiting_entries + count > WAITING_ENTRIES_MAX:
            self.dropped.extend((stored.labels, time) for time in stored.entries.times[-DROPPED_SHOWN_MAX:])
        else:
            self.waiting.append(stored)
            self.waiting_entries += count
        self.arrived.set()

    async def take(self) -> tuple[list[Stored], list[tuple[Labels, int]]]:
        """Wait for something new; return it, and what was dropped meanwhile."""
        await self.arrived.wait()
        self.arrived.clear()
        stored, dropped = list(self.waiting), list(self.dropped)
        self.waiting.clear()
        self.dropped.clear()
        self.waiting_entries = 0
        return stored, dropped


class Tails:
    """All watchers; the writer's commits come in here."""

    def __init__(self) -> None:
        self._tails: set[Tail] = set()

    def __len__(self) -> int:
        return len(self._tails)

    def add(self, query: LogQuery) -> Tail:
        """Begin to collect for a query. Raises TooManyTailsError."""
        if len(self._tails) >= TAILS_MAX:
            raise TooManyTailsError(f"max concurrent tail requests limit exceeded, count > limit ({TAILS_MAX})")
        tail = Tail(query)
        self._tails.add(tail)
        return tail

    def remove(self, tail: Tail) -> None:
        """Stop collecting."""
        self._tails.discard(tail)

    def publish(self, stored: Iterable[Stored]) -> None:
        """Give what was committed to all who watch it."""
        for one in stored:
            for tail in self._tails:
                tail.offer(one)


def select(query: LogQuery, stored: Iterable[Stored]) -> list[Found]:
    """Return what comes out of a query of what was stored: time, line, labels."""
    pipeline = Pipeline(query.stages)
    found = []
    for one in stored:
        for time_ns, line, metadata in one.entries.identities():
            labels = pipeline.run(one.labels, metadata, line)
            if labels is not None:
                found.append((time_ns, line, result_labels(labels)))
    return sorted(found, key=lambda entry: entry[0])


def messages(entries: list[Found], dropped: list[tuple[Labels, int]]) -> list[bytes]:
    """Return entries as Loki's tail sends them, in messages of a bounded size."""
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
    """Return the entries of a backward query as a tail begins with them: the oldest first."""
    return [(entry.time, entry.line, entry.labels) for entry in reversed(entries)]
