"""Runs queries in threads of their own, with limits on time, memory and the number of waiting queries."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from tracetail.store.disk.reader import Reader, Snapshot
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

    async def run(self, function: Callable[[Snapshot, Budget], _T], *, is_metric: bool = False) -> _T:
        """Call the function with a snapshot in a thread, and return its result.

        If the caller is cancelled, because its client has disconnected, so is the query. Raises HTTPTooManyRequests
        if too many queries wait, and what the function raises.
        """
        budget = Budget(self._timeout_seconds, self._memory_bytes)

        def run() -> _T:
            budget.check_time()
            with self._priority, self._reader.snapshot() as snapshot:
                return function(snapshot, budget)

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
