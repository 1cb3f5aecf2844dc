"""Evaluates log queries: returns the first or last entries, by time, that pass a pipeline."""

from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple

from tracetail.store.disk.block import Labels, taken
from tracetail.store.disk.reader import BlockRef, Snapshot
from tracetail.store.logql.tree import LogQuery
from tracetail.store.query.budget import Budget
from tracetail.store.query.pipeline import Pipeline
from tracetail.store.query.scan import BlockScan, is_excluded

ENTRY_OVERHEAD_BYTES = 200
"""The approximate memory of a result's entry, in addition to its line."""


class Entry(NamedTuple):
    """One entry of a result. Tuples are ordered by time, then by arrival."""

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
    """Return at most `limit` entries in the requested order. Raises QueryLimitError or QueryTimeoutError.

    Blocks are scanned in order of time; once `limit` entries are found that precede all remaining blocks, those are
    not read.
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
        if is_excluded(snapshot, ref, pipeline):
            continue
        scan = BlockScan(snapshot, pipeline, streams[ref.stream], ref, start, end)
        all_precede = bool(kept) and _is_beyond(ref, kept[-1].time, backward=request.backward)
        limit = request.limit - len(kept) if all_precede else request.limit
        found = _entries(scan, ref, limit, backward=request.backward)
        if found:
            kept = sorted(kept + found, reverse=request.backward)[: request.limit]
            budget.check_memory(sum(len(entry.line) for entry in kept) + ENTRY_OVERHEAD_BYTES * len(kept))
    return kept


def _is_beyond(ref: BlockRef, last_kept: int, *, backward: bool) -> bool:
    return ref.last < last_kept if backward else ref.first > last_kept


def _entries(scan: BlockScan, ref: BlockRef, limit: int, *, backward: bool) -> list[Entry]:
    """Return the entries of a block that may be among the first `limit`."""
    positions = scan.positions[-limit:] if backward else scan.positions[:limit]
    if not positions:
        return []
    keys, labels = scan.result_labels_by(positions)
    times = taken(scan.block.index.times, positions)
    lines = scan.block.lines(positions)
    fields = zip(times, repeat(ref.stream), repeat(ref.id), positions, lines, map(labels.__getitem__, keys))
    return list(map(tuple.__new__, repeat(Entry), fields))  # Entry(…) takes five times as long
