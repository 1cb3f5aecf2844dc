"""Runs queries in threads of their own, with limits on time, memory and the number of waiting queries.

Small ones run in the event loop: to change to a thread and back takes as long as they do.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from tracetail.store.disk.reader import SMALL_ENTRIES, NotSmallError, Reader, Snapshot
from tracetail.store.http.threads import Threads
from tracetail.store.logql.parser import parse
from tracetail.store.logql.tree import Query
from tracetail.store.query.budget import Budget
from tracetail.store.query_priority import QueryPriority

QUERY_THREADS = 4
METRIC_THREADS = 2
"""Metric queries read whole logs; with threads of their own they never delay a page of lines."""
QUERIES_WAITING_MAX = 64
PARSE_INLINE_CHARACTERS = 4096
"""Longer queries are parsed in a thread, because parsing takes more than about 30 ms."""
SMALL_METRIC_ENTRIES = 256
"""Of the blocks that a small metric query opens: each may be a series. Larger blocks have counts."""
SLOW_SECONDS = 0.05
"""A query that takes longer in the event loop waits for the disk, or for other threads."""
SLOW_FOR_SECONDS = 10.0
"""How long all queries run in threads after that."""

_T = TypeVar("_T")


class _Pool:
    """The threads for one kind of query, and a limit on the queries that run and wait."""

    def __init__(self, threads: int, name: str) -> None:
        self.threads = Threads(threads, name)
        self._pending = 0

    async def run(self, function: Callable[[], _T]) -> _T:
        if self._pending >= QUERIES_WAITING_MAX:
            raise web.HTTPTooManyRequests(text="too many outstanding requests\n")
        self._pending += 1
        try:
            return await self.threads.run(function)
        finally:
            self._pending -= 1

    def shutdown(self) -> None:
        self.threads.shutdown()


class QueryExecutor:
    """Parses and runs queries."""

    def __init__(self, reader: Reader, priority: QueryPriority, *, timeout_seconds: float, memory_bytes: int) -> None:
        self._reader = reader
        self._priority = priority
        self._timeout_seconds = timeout_seconds
        self._memory_bytes = memory_bytes
        self._lines = _Pool(QUERY_THREADS, "store-query")
        self._metrics = _Pool(METRIC_THREADS, "store-metric")
        self._slow_until = 0.0

    async def run(
        self, function: Callable[[Snapshot, Budget], _T], *, is_metric: bool = False, may_be_small: bool = False
    ) -> _T:
        """Call the function with a snapshot in a thread, and return its result.

        may_be_small: call it at once, with a SmallSnapshot, and in a thread if it needs more. It must not take long
        for the entries that a SmallSnapshot has.

        If the caller is cancelled, because its client has disconnected, so is the query. Raises HTTPTooManyRequests
        if too many queries wait, and what the function raises.
        """
        budget = Budget(self._timeout_seconds, self._memory_bytes)

        def run() -> _T:
            budget.check_time()
            with self._priority, self._reader.snapshot() as snapshot:
                return function(snapshot, budget)

        if may_be_small and (started := time.monotonic()) >= self._slow_until:
            entries_max = SMALL_METRIC_ENTRIES if is_metric else SMALL_ENTRIES
            try:
                with self._priority, self._reader.small_snapshot(entries_max) as small:
                    return function(small, budget)
            except (NotSmallError, sqlite3.OperationalError):
                pass  # a thread may wait for a database that is locked
            finally:
                if (ended := time.monotonic()) - started > SLOW_SECONDS:
                    self._slow_until = ended + SLOW_FOR_SECONDS
        try:
            return await (self._metrics if is_metric else self._lines).run(run)
        except asyncio.CancelledError:
            budget.cancelled = True
            raise

    async def run_without_snapshot(self, function: Callable[[], _T]) -> _T:
        """Call the function in a query thread, and return its result."""
        return await self._lines.threads.run(function)

    async def parse(self, text: str) -> Query:
        """Return the syntax tree of a query. Raises LogQLError."""
        if len(text) <= PARSE_INLINE_CHARACTERS:
            return parse(text)
        return await self.run_without_snapshot(lambda: parse(text))

    def shutdown(self) -> None:
        """Wait for the queries that run, and cancel those that wait."""
        self._lines.shutdown()
        self._metrics.shutdown()
