"""The one writer: takes pushed streams, stores each entry once, and keeps the database tidy.

    push → queue → [ group of pushes → one transaction → commit ] → answer

It runs in a thread of its own, so that neither a commit nor tidying ever blocks the server's loop. Between groups
it does one small piece of tidying at a time (merging small blocks, retention, giving pages back), so that a push
waits for at most one such piece.
"""

import logging
import queue
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import groupby

import orjson

from tracetail.store.disk import block
from tracetail.store.disk.block import Entries, Labels, Metadata
from tracetail.store.disk.database import LEVEL_FULL, Database
from tracetail.store.ingest.limits import Refusals, TimeWindow, check_entries, check_labels, check_order
from tracetail.store.ingest.push import PushedStream, with_service_name
from tracetail.store.query_priority import QueryPriority

BLOCK_BYTES = 1024 * 1024
"""Larger pushes are stored in several blocks: what a page has to unpack at most."""
BLOCK_FULL_BYTES = 512 * 1024
"""Blocks of this size are not merged any more."""
MERGE_COUNT = 16
"""So many blocks of one level are merged into one of the next."""
IDLE_MERGE_SECONDS = 120.0
"""A stream that got nothing for so long has all its small blocks merged."""
GROUP_BYTES = 16 * 1024 * 1024
"""Pushes are committed together until they are so large."""
STREAMS_CACHED = 2048
RETENTION_SECONDS = 30.0
"""How often age and size are looked at."""
RETENTION_BLOCKS = 16
"""How many blocks one piece of tidying deletes."""
VACUUM_PAGES = 256
"""How many pages of the file one piece of tidying gives back."""
TIDY_AGAIN_SECONDS = 10.0
"""How long tidying rests after it failed (a full disk, say)."""
TIDY_SECONDS = 0.25
"""How long the writer waits for a push before it looks for something to tidy."""

_log = logging.getLogger(__name__)


class UnavailableError(Exception):
    """The push could not be stored now and may be sent again (503); the message says why."""


@dataclass(slots=True)
class StreamState:
    """What the writer remembers of a stream that is being written."""

    id: int
    newest: int
    """The time of its newest entry."""
    small_blocks: dict[int, int] = field(default_factory=dict)
    """How many blocks of each level below LEVEL_FULL it has."""
    pushed_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Stored:
    """What one push added to a stream, for those who follow it."""

    labels: Labels
    entries: Entries


@dataclass(frozen=True, slots=True)
class _Job:
    streams: list[PushedStream]
    size: int
    done: "Future[Refusals]"


@dataclass(slots=True)
class Counts:
    """What the writer did, for /metrics."""

    entries: int = 0
    text_bytes: int = 0
    duplicates: int = 0
    refused: int = 0
    pushes: int = 0
    commits: int = 0
    failed_commits: int = 0
    merges: int = 0
    deleted_blocks: int = 0


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept: None is no limit."""

    age_ns: int | None
    size_bytes: int | None


class Writer:
    """Connects the queue of pushes with the database."""

    def __init__(
        self,
        database: Database,
        window: TimeWindow,
        retention: Retention,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        on_stored: Callable[[list[Stored]], None] = lambda _: None,
        priority: QueryPriority | None = None,
    ) -> None:
        self.counts = Counts()
        self._database = database
        self._window = window
        self._retention = retention
        self._clock_ns = clock_ns
        self._on_stored = on_stored
        self._priority = priority or QueryPriority()
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._streams: OrderedDict[Labels, StreamState] = OrderedDict()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._retention_due = 0.0
        self._tidy_due = False
        self._tidy_after = 0.0

    @property
    def is_alive(self) -> bool:
        """Say whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Store what is queued, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def push(self, streams: list[PushedStream], size: int) -> "Future[Refusals]":
        """Queue the streams of one request of `size` bytes; the future is done when they are committed.

        It raises UnavailableError if they could not be stored.
        """
        done: Future[Refusals] = Future()
        if not self._thread.is_alive():
            done.set_exception(UnavailableError("the writer has ended; restart the store and see its log"))
            return done
        self._queue.put(_Job(streams, size, done))
        return done

    # ---- the thread

    def _run(self) -> None:
        self._connection = self._database.writer()
        try:
            while (jobs := self._take()) is not None:
                if jobs:
                    self._store_group(jobs)
                self._priority.give_way()
                if time.monotonic() >= self._tidy_after:
                    self._tidy()
        finally:
            self._connection.close()

    def _take(self) -> list[_Job] | None:
        """Return the next group; empty after a while without pushes, None when there will be no more."""
        jobs: list[_Job] = []
        try:
            job = self._queue.get(timeout=0.001 if self._tidy_due else TIDY_SECONDS)
            size = 0
            while job is not None:
                # From here on it cannot be cancelled; who went away before needs nothing stored.
                if job.done.set_running_or_notify_cancel():
                    jobs.append(job)
                    size += job.size
                if size >= GROUP_BYTES:
                    return jobs
                job = self._queue.get_nowait()
        except queue.Empty:
            return jobs
        if jobs:
            self._queue.put(None)
            return jobs
        return None

    def _store_group(self, jobs: list[_Job]) -> None:
        """Store jobs in one transaction; if that fails, each by itself, so that one cannot spoil the others."""
        try:
            results = self._transaction(jobs)
        except Exception as error:  # noqa: BLE001  (whoever waits for the push must get an answer)
            if len(jobs) > 1:
                for job in jobs:
                    self._store_group([job])
                return
            self.counts.failed_commits += 1
            if isinstance(error, sqlite3.Error):
                _log.error("a push could not be stored: %s", error)
                jobs[0].done.set_exception(UnavailableError(f"the push could not be stored: {error}"))
            else:
                _log.exception("a push could not be stored")
                jobs[0].done.set_exception(error)
            return
        for job, (refusals, _) in zip(jobs, results, strict=True):
            job.done.set_result(refusals)
        self._on_stored([stored for _, all_stored in results for stored in all_stored])

    def _transaction(self, jobs: list[_Job]) -> list[tuple[Refusals, list[Stored]]]:
        before = Counts(**{name: getattr(self.counts, name) for name in Counts.__slots__})
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            results = []
            for job in jobs:
                self._priority.give_way()
                results.append(self._store(job.streams))
            self._connection.execute("COMMIT")
        except BaseException:
            self.counts = before
            self._streams.clear()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self.counts.pushes += len(jobs)
        self.counts.commits += 1
        return results

    def _store(self, streams: Sequence[PushedStream]) -> tuple[Refusals, list[Stored]]:
        refusals = Refusals()
        stored = []
        now_ns = self._clock_ns()
        for stream in streams:
            if not len(stream.entries):
                continue
            labels = with_service_name(stream.labels)
            reason = check_labels(labels)
            if reason is not None:
                refusals.add(reason, len(stream.entries))
                continue
            entries = check_entries(labels, stream.entries, self._window, now_ns, refusals)
            if not len(entries):
                continue
            entries = self._append(labels, entries, refusals)
            if len(entries):
                stored.append(Stored(labels, entries))
        self.counts.refused += refusals.count
        return refusals, stored

    def _append(self, labels: Labels, entries: Entries, refusals: Refusals) -> Entries:
        """Store what is new of entries; return it."""
        state = self._state(labels, entries)
        entries = check_order(labels, entries, state.newest, refusals)
        count = len(entries)
        if not block.is_increasing(entries.times):
            entries = _without_repeats(block.sort(entries))
        if entries.times[0] <= state.newest:
            entries = self._without_known(state, entries)
        self.counts.duplicates += count - len(entries)
        if not len(entries):
            return entries
        for part in _parts(entries):
            level = self._insert(state.id, part, level=0)
            state.small_blocks[level] = state.small_blocks.get(level, 0) + 1
        state.newest = max(state.newest, entries.times[-1])
        state.pushed_at = time.monotonic()
        self._tidy_due = self._tidy_due or state.small_blocks.get(0, 0) >= MERGE_COUNT
        self._connection.execute(
            "UPDATE stream SET first = min(first, ?), last = max(last, ?) WHERE id = ?",
            (entries.times[0], entries.times[-1], state.id),
        )
        self.counts.entries += len(entries)
        self.counts.text_bytes += entries.text_bytes()
        return entries

    def _state(self, labels: Labels, entries: Entries) -> StreamState:
        state = self._streams.get(labels)
        if state is not None:
            self._streams.move_to_end(labels)
            return state
        text = orjson.dumps(labels).decode()
        row = self._connection.execute("SELECT id, last FROM stream WHERE labels = ?", (text,)).fetchone()
        if row is None:
            first = min(entries.times)
            cursor = self._connection.execute(
                "INSERT INTO stream (labels, first, last) VALUES (?, ?, ?)", (text, first, first)
            )
            assert cursor.lastrowid is not None
            state = StreamState(cursor.lastrowid, newest=-1)
            self._connection.executemany(
                "INSERT INTO label (name, value, stream) VALUES (?, ?, ?)",
                [(name, value, state.id) for name, value in labels],
            )
        else:
            state = StreamState(row[0], newest=row[1])
            state.small_blocks = self._small_blocks(state.id)
        self._streams[labels] = state
        if len(self._streams) > STREAMS_CACHED:
            self._streams.popitem(last=False)
        return state

    def _without_known(self, state: StreamState, entries: Entries) -> Entries:
        """Return the entries that the stream does not have yet."""
        times = set(entries.times)
        known: set[tuple[int, bytes, Metadata]] = set()
        rows = self._connection.execute(
            "SELECT entries_index, entries_text, text_bytes FROM block WHERE stream = ? AND first <= ? AND last >= ?",
            (state.id, entries.times[-1], entries.times[0]),
        )
        for index, text, text_bytes in rows:
            stored = block.decode(index, text, text_bytes)
            if not times.isdisjoint(stored.times):
                known.update(key for key in stored.identities() if key[0] in times)
        if not known:
            return entries
        return entries.take([i for i, key in enumerate(entries.identities()) if key not in known])

    def _insert(self, stream: int, entries: Entries, level: int, block_id: int | None = None) -> int:
        """Insert entries as one block of this level, or of LEVEL_FULL if it is large; return the level.

        block_id: where among the stream's blocks it stands; by default it is the last.
        """
        encoded = block.encode(entries)
        level = LEVEL_FULL if entries.size() >= BLOCK_FULL_BYTES else level
        self._connection.execute(
            "INSERT INTO block (id, stream, first, last, level, count, text_bytes, entries_index, entries_text) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                block_id,
                stream,
                encoded.first,
                encoded.last,
                level,
                encoded.count,
                encoded.text_bytes,
                encoded.index,
                encoded.text,
            ),
        )
        return level

    # ---- tidying

    def _tidy(self) -> None:
        """Do one small piece of tidying. An error here is logged and tried again; it must not stop the pushes."""
        try:
            self._tidy_due = self._merge_one() or self._retain()
        except Exception:  # noqa: BLE001  (whatever it is, it must not end the thread)
            _log.exception("tidying the database failed; it will be tried again in %g s", TIDY_AGAIN_SECONDS)
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._streams.clear()
            self._tidy_due = False
            self._tidy_after = time.monotonic() + TIDY_AGAIN_SECONDS

    def _merge_one(self) -> bool:
        """Merge small blocks of one stream that has enough of them; say whether there may be more to do."""
        now = time.monotonic()
        for state in self._streams.values():
            small = {level: count for level, count in state.small_blocks.items() if level < LEVEL_FULL}
            enough = [level for level, count in small.items() if count >= MERGE_COUNT]
            if enough:
                self._merge(state, {min(enough)})
                return True
            if sum(small.values()) > 1 and now - state.pushed_at > IDLE_MERGE_SECONDS:
                self._merge(state, set(small))
                return True
        return False

    def _merge(self, state: StreamState, levels: set[int]) -> None:
        """Merge neighbouring blocks of these levels into larger ones.

        Only neighbours, and the result takes their place: the order of blocks stays that of arrival, which decides
        between entries of the same time.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        every = self._connection.execute(
            "SELECT id, level FROM block WHERE stream = ? AND id >= "
            "(SELECT min(id) FROM block WHERE stream = ? AND level < ?) ORDER BY id",
            (state.id, state.id, LEVEL_FULL),
        ).fetchall()
        for may_merge, run in groupby(every, key=lambda row: row[1] in levels):
            ids = [row[0] for row in run]
            if may_merge and len(ids) > 1:
                self._merge_run(state.id, ids, min(max(levels) + 1, LEVEL_FULL - 1))
        self._connection.execute("COMMIT")
        state.small_blocks = self._small_blocks(state.id)
        for level in levels:
            # What is left of these levels has no neighbours; it waits for new ones.
            state.small_blocks.pop(level, None)
        self.counts.merges += 1

    def _merge_run(self, stream: int, ids: list[int], level: int) -> None:
        parts = []
        for block_id in ids:
            row = self._connection.execute(
                "SELECT entries_index, entries_text, text_bytes FROM block WHERE id = ?", (block_id,)
            ).fetchone()
            parts.append(block.decode(*row))
        self._connection.executemany("DELETE FROM block WHERE id = ?", [(block_id,) for block_id in ids])
        for block_id, part in zip(ids, _parts(block.merge(parts)), strict=False):
            self._insert(stream, part, level, block_id)

    def _small_blocks(self, stream: int) -> dict[int, int]:
        return dict(
            self._connection.execute(
                "SELECT level, count(*) FROM block WHERE stream = ? AND level < ? GROUP BY level",
                (stream, LEVEL_FULL),
            ).fetchall()
        )

    def _retain(self) -> bool:
        """Delete some blocks that are too old or too much; say whether there is more to do."""
        now = time.monotonic()
        if now < self._retention_due:
            return False
        if self._delete_some():
            return True
        if self._give_pages_back():
            return True
        self._retention_due = now + RETENTION_SECONDS
        return False

    def _delete_some(self) -> bool:
        rows = self._too_old() or self._too_much()
        if not rows:
            return False
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("DELETE FROM block WHERE id = ?", [(row[0],) for row in rows])
        for stream in {row[1] for row in rows}:
            oldest = self._connection.execute("SELECT min(first) FROM block WHERE stream = ?", (stream,)).fetchone()[
                0
            ]
            if oldest is None:
                self._connection.execute("DELETE FROM label WHERE stream = ?", (stream,))
                self._connection.execute("DELETE FROM stream WHERE id = ?", (stream,))
            else:
                self._connection.execute("UPDATE stream SET first = ? WHERE id = ?", (oldest, stream))
        self._connection.execute("COMMIT")
        self._streams.clear()
        self.counts.deleted_blocks += len(rows)
        return True

    def _too_old(self) -> list[tuple[int, int]]:
        """Return id and stream of some blocks all of whose entries are too old."""
        if self._retention.age_ns is None:
            return []
        return self._connection.execute(
            "SELECT id, stream FROM block WHERE last < ? ORDER BY last LIMIT ?",
            (self._clock_ns() - self._retention.age_ns, RETENTION_BLOCKS),
        ).fetchall()

    def _too_much(self) -> list[tuple[int, int]]:
        """Return id and stream of the oldest blocks, as many as must go for the size, but only some at a time."""
        if self._retention.size_bytes is None:
            return []
        pages, free = (self._pragma(name) for name in ("page_count", "freelist_count"))
        excess = (pages - free) * self._pragma("page_size") - self._retention.size_bytes
        rows = self._connection.execute(
            "SELECT id, stream, length(entries_index) + length(entries_text) FROM block ORDER BY last LIMIT ?",
            (RETENTION_BLOCKS,),
        ).fetchall()
        chosen = []
        for block_id, stream, size in rows:
            if excess <= 0:
                break
            chosen.append((block_id, stream))
            excess -= size
        return chosen

    def _give_pages_back(self) -> bool:
        if self._pragma("freelist_count") < VACUUM_PAGES:
            return False
        self._connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
        return True

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])


def _without_repeats(entries: Entries) -> Entries:
    """Return entries, which are sorted, with each entry once: the first of equal ones."""
    if block.is_increasing(entries.times):
        return entries
    seen = set()
    kept = []
    for i, key in enumerate(entries.identities()):
        if key not in seen:
            seen.add(key)
            kept.append(i)
    return entries.take(kept)


def _parts(entries: Entries) -> list[Entries]:
    """Return entries in pieces of at most about BLOCK_BYTES."""
    if entries.size() <= BLOCK_BYTES + BLOCK_FULL_BYTES:
        return [entries]
    parts, start, size = [], 0, 0
    for i, line in enumerate(entries.lines):
        size += len(line) + block.ENTRY_BYTES
        if size >= BLOCK_BYTES:
            parts.append(entries.slice(start, i + 1))
            start, size = i + 1, 0
    if start < len(entries):
        parts.append(entries.slice(start, len(entries)))
    return parts
