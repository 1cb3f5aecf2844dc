"""Reads the entries of a time range with as many queries as it takes, without losing or repeating an entry.

Loki has no paging: a query has a time range and a limit. An answer that is as long as its limit may hold the last
nanosecond it reaches only in part, and in any order. So that nanosecond's entries are dropped from the answer, and
the next query begins with it. Only where an answer holds a single nanosecond is that one queried alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from tracetail.loki.limits import ENTRIES_PER_QUERY_MAX


class Timed(Protocol):
    """An entry of a query's answer."""

    @property
    def time_ns(self) -> int:
        """Nanoseconds since the epoch."""


E = TypeVar("E", bound=Timed)
E_co = TypeVar("E_co", bound=Timed, covariant=True)


@dataclass(frozen=True, slots=True)
class Answer(Generic[E_co]):
    """What a query returned, and what it asked for: Loki may allow less than the caller wanted."""

    entries: Sequence[E_co]
    start_ns: int
    end_ns: int
    limit: int


class Query(Protocol[E_co]):
    """A log query that can be run for any time range."""

    async def __call__(self, start_ns: int, end_ns: int, *, limit: int, backward: bool) -> Answer[E_co]:
        """Return at most limit entries in [start_ns, end_ns): the first ones, or the last ones if backward.

        The answer may be about fewer entries, and about the beginning (backward: the end) of the range.
        """


class TimeRange(Generic[E]):
    """The entries in [start_ns, end_ns), read in batches of complete nanoseconds, forward or backward in time.

    The entries of a batch are in no particular order. One that Loki stores twice (a batch that was sent again after
    its block was cut) may appear twice within a batch, never in two batches.
    """

    def __init__(self, query: Query[E], start_ns: int, end_ns: int, *, backward: bool = False) -> None:
        self._query = query
        self._start_ns = start_ns
        self._end_ns = end_ns
        self._backward = backward
        self.crowded: list[int] = []
        """Nanoseconds with more entries than Loki returns for one query: some of these cannot be read."""

    @property
    def ended(self) -> bool:
        """Whether the whole range has been read."""
        return self._start_ns >= self._end_ns

    async def next(self, limit: int = ENTRIES_PER_QUERY_MAX) -> list[E]:
        """Return the next batch; it may be empty. limit: for the query. Raises what the query raises."""
        limit = max(1, min(limit, ENTRIES_PER_QUERY_MAX))
        answer = await self._query(self._start_ns, self._end_ns, limit=limit, backward=self._backward)
        batch = [entry for entry in answer.entries if answer.start_ns <= entry.time_ns < answer.end_ns]
        if len(answer.entries) < answer.limit or not batch:
            if self._backward:
                self._end_ns = answer.start_ns
            else:
                self._start_ns = answer.end_ns
            return batch
        times = [entry.time_ns for entry in batch]
        cut_ns = min(times) if self._backward else max(times)
        complete = [entry for entry in batch if entry.time_ns != cut_ns]
        if complete:
            self._continue_with(cut_ns)
            return complete
        return await self._nanosecond(cut_ns)

    async def _nanosecond(self, time_ns: int) -> list[E]:
        answer = await self._query(time_ns, time_ns + 1, limit=ENTRIES_PER_QUERY_MAX, backward=self._backward)
        if len(answer.entries) >= answer.limit:
            self.crowded.append(time_ns)
        self._continue_with(time_ns - 1 if self._backward else time_ns + 1)
        return [entry for entry in answer.entries if entry.time_ns == time_ns]

    def _continue_with(self, time_ns: int) -> None:
        """Make this nanosecond the first to read."""
        if self._backward:
            self._end_ns = time_ns + 1
        else:
            self._start_ns = time_ns
