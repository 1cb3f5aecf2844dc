"""Answers log queries from blocks: the first or last entries, by time, that come out of a pipeline."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tracetail.store.disk.block import Labels
from tracetail.store.disk.reader import BlockRef, Snapshot
from tracetail.store.logql.tree import LogQuery
from tracetail.store.query.scan import BlockScan, taken
from tracetail.store.query.stages import Pipeline, result_labels

ENTRY_OVERHEAD_BYTES = 200
"""What an entry of a result costs beside its line, about."""


class QueryLimitError(Exception):
    """A query needs more than is allowed (400); the message says of what."""


class QueryTimeoutError(Exception):
    """A query took too long or nobody waits for it any more (504)."""


class Budget:
    """What one query may use: time and memory. Checked between blocks."""

    def __init__(self, seconds: float, memory_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._deadline = clock() + seconds
        self._memory_bytes = memory_bytes
        self.cancelled = False

    def check_time(self) -> None:
        """Raise QueryTimeoutError if the time is over or the query was cancelled."""
        if self.cancelled:
            raise QueryTimeoutError("the query was cancelled")
        if self._clock() > self._deadline:
            raise QueryTimeoutError(
                f"the query took longer than {self._seconds:g} s (query_timeout_seconds); ask for less time or "
                "fewer streams, or use Loki, which runs a query on many machines"
            )

    def check_memory(self, used_bytes: int) -> None:
        """Raise QueryLimitError if used_bytes is too much."""
        if used_bytes > self._memory_bytes:
            raise QueryLimitError(
                f"the query needs more than {self._memory_bytes // (1024 * 1024)} MB of memory (query_memory_mb); "
                "ask for fewer entries or less time, or use Loki"
            )


class Entry(NamedTuple):
    """One entry of a result. The order of these tuples is the order of time, then of arrival."""

    time: int
    stream: int
    block: int
    position: int
    line: bytes
    labels: Labels


@dataclass(frozen=True, slots=True)
class LogRequest:
    """A log query with its bounds: start <= time < end."""

    query: LogQuery
    start: int
    end: int
    limit: int
    backward: bool


def run_log_query(snapshot: Snapshot, request: LogRequest, budget: Budget) -> list[Entry]:
    """Return at most `limit` entries in the order asked for.

    Blocks are looked at in the order of time; as soon as enough entries are older (or newer) than all that is left,
    the rest is not even read.
    """
    pipeline = Pipeline(request.query.stages)
    streams = snapshot.streams(request.query.selector, request.start, request.end)
    blocks = snapshot.blocks(list(streams), request.start, request.end)
    if request.backward:
        blocks.sort(key=lambda ref: (-ref.last, -ref.id))
    else:
        blocks.sort(key=lambda ref: (ref.first, ref.id))
    kept: list[Entry] = []
    for ref in blocks:
        budget.check_time()
        if len(kept) == request.limit and _is_beyond(ref, kept[-1].time, backward=request.backward):
            break
        start, end = request.start, request.end
        if len(kept) == request.limit:
            last = kept[-1].time
            start, end = (max(start, last), end) if request.backward else (start, min(end, last + 1))
        scan = BlockScan(pipeline, streams[ref.stream], snapshot.open(ref), start, end)
        found = _entries(scan, ref, request)
        if found:
            kept = sorted(kept + found, reverse=request.backward)[: request.limit]
            budget.check_memory(sum(len(entry.line) for entry in kept) + ENTRY_OVERHEAD_BYTES * len(kept))
    return kept


def _is_beyond(ref: BlockRef, last_kept: int, *, backward: bool) -> bool:
    return ref.last < last_kept if backward else ref.first > last_kept


def _entries(scan: BlockScan, ref: BlockRef, request: LogRequest) -> list[Entry]:
    """Return those entries of a block that may be among the first `limit`."""
    positions = scan.positions[-request.limit :] if request.backward else scan.positions[: request.limit]
    keys, labels = scan.labels_by(None, positions)
    shown = {key: result_labels(labels[key]) for key in set(keys)}
    times = taken(scan.block.index.times, positions)
    lines = map(scan.block.line, positions)
    return [
        Entry(time_ns, ref.stream, ref.id, i, line, shown[key])
        for time_ns, i, line, key in zip(times, positions, lines, keys, strict=True)
    ]
