"""The only writer of the database: stores pushed streams, and maintains the database between pushes.

    push → queue → [ group of pushes → one transaction → commit ] → answer

It runs in a thread of its own, so that neither a commit nor maintenance blocks the server's event loop. Between
groups it does one small step of maintenance (compaction, retention, vacuum, truncation of the log), so that a push
never waits for more than one step.
"""

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from tracetail.store.disk.block import Entries, Labels
from tracetail.store.disk.database import Database, MisplacedError
from tracetail.store.ingest.compaction import Compaction
from tracetail.store.ingest.counts import Counts
from tracetail.store.ingest.labels import with_service_name
from tracetail.store.ingest.limits import Refusals, TimeWindow, check_entries, check_labels
from tracetail.store.ingest.log_truncation import LogTruncation
from tracetail.store.ingest.retention import Retention, RetentionCleanup
from tracetail.store.ingest.stream import PushedStream
from tracetail.store.ingest.streams import Streams
from tracetail.store.query_priority import QueryPriority

GROUP_BYTES = 16 * 1024 * 1024
"""Limit of the size of the pushes that are committed together."""
MAINTENANCE_SECONDS = 0.25
"""How long the writer waits for a push before it does maintenance."""
MAINTENANCE_RETRY_SECONDS = 10.0
"""The pause of maintenance after a failure, such as a full disk."""

log = logging.getLogger(__name__)


class UnavailableError(Exception):
    """The push could not be stored, and may be sent again (503); the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The new entries that one push added to a stream, for tails."""

    labels: Labels
    entries: Entries


@dataclass(frozen=True, slots=True)
class _Job:
    streams: list[PushedStream]
    size: int
    done: "Future[Refusals]"


class Writer:
    """The thread that writes."""

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
        """Create the writer.

        window: the times that entries may have.
        on_stored: called in the writer's thread after each commit.
        """
        self.counts = Counts()
        self._database = database
        self._window = window
        self._retention = retention
        self._clock_ns = clock_ns
        self._on_stored = on_stored
        self._priority = priority or QueryPriority()
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._has_maintenance = False
        self._maintenance_after = 0.0

    def check(self) -> None:
        """Raise UnavailableError or MisplacedError if no push can be stored until the store is started again."""
        if not self._thread.is_alive():
            raise UnavailableError("the writer has ended; restart the store and see its log")
        self._database.check_in_place()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Store the queued pushes, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def push(self, streams: list[PushedStream], size: int) -> "Future[Refusals]":
        """Queue the streams of a request of `size` bytes; the future is done when they are committed.

        The future raises UnavailableError or MisplacedError if they could not be stored.
        """
        done: Future[Refusals] = Future()
        try:
            self.check()
        except (UnavailableError, MisplacedError) as error:
            done.set_exception(error)
            return done
        self._queue.put(_Job(streams, size, done))
        return done

    # ---- the thread

    def _run(self) -> None:
        self._connection = self._database.writer()
        try:
            self._streams = Streams(self._connection, self.counts)
            self._compaction = Compaction(self._connection, self._streams, self.counts)
            self._cleanup = RetentionCleanup(
                self._connection, self._retention, self._streams, self.counts, self._clock_ns
            )
            self._truncation = LogTruncation(self._connection)
            while (jobs := self._next_group()) is not None:
                if jobs:
                    self._store_group(jobs)
                self._priority.wait_for_queries()
                if time.monotonic() >= self._maintenance_after:
                    self._maintain()
        finally:
            self._connection.close()

    def _next_group(self) -> list[_Job] | None:
        """Return the next group of pushes; an empty one after a while without pushes, None after stop()."""
        jobs: list[_Job] = []
        try:
            job = self._queue.get(timeout=0.001 if self._has_maintenance else MAINTENANCE_SECONDS)
            size = 0
            while job is not None:
                # From here on the push cannot be cancelled. One that its client has cancelled before is skipped.
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
        """Store the pushes in one transaction; if it fails, each in its own, so that a bad one fails alone."""
        try:
            results = self._transaction(jobs)
        except Exception as error:  # every push must get an answer
            if len(jobs) > 1:
                for job in jobs:
                    self._store_group([job])
                return
            self.counts.failed_commits += 1
            if isinstance(error, sqlite3.Error):
                log.error("a push could not be stored: %s", error)  # noqa: TRY400  (a traceback adds nothing)
                jobs[0].done.set_exception(UnavailableError(f"the push could not be stored: {error}"))
            else:
                log.exception("a push could not be stored")
                jobs[0].done.set_exception(error)
            return
        for job, (refusals, _) in zip(jobs, results, strict=True):
            job.done.set_result(refusals)
        self._on_stored([stored for _, all_stored in results for stored in all_stored])

    def _transaction(self, jobs: list[_Job]) -> list[tuple[Refusals, list[Stored]]]:
        before = self.counts.copy()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            results = []
            for job in jobs:
                self._priority.wait_for_queries()
                results.append(self._store(job.streams))
            self._connection.execute("COMMIT")
        except BaseException:
            self.counts.restore(before)
            self._streams.clear()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self.counts.pushes += len(jobs)
        self.counts.commits += 1
        return results

    def _store(self, streams: Sequence[PushedStream]) -> tuple[Refusals, list[Stored]]:
        """Store the acceptable entries of one push; return the refusals and the new entries."""
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
            entries = self._streams.append(labels, entries, refusals)
            if len(entries):
                stored.append(Stored(labels, entries))
        self.counts.refused += refusals.count
        return refusals, stored

    def _maintain(self) -> None:
        """Do one step of maintenance. An error is logged and must not stop the pushes; the step is repeated later."""
        try:
            if self._database.is_in_place():
                self._has_maintenance = self._compaction.step() or self._cleanup.step() or self._truncation.step()
            else:
                # If the store is killed, SQLite replays the log over whatever file has the database's name.
                self._has_maintenance = False
                self._truncation.empty()
        except Exception:
            log.exception(
                "maintenance of the database failed; it will be repeated in %g s", MAINTENANCE_RETRY_SECONDS
            )
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._streams.clear()
            self._has_maintenance = False
            self._maintenance_after = time.monotonic() + MAINTENANCE_RETRY_SECONDS
