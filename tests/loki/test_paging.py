"""Paging by time: every entry once, whatever the limit and however Loki orders a nanosecond's entries."""

import itertools
import random
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetail.loki.limits import ENTRIES_PER_QUERY_MAX
from tracetail.loki.paging import Answer, TimeRange


class Line(NamedTuple):
    time_ns: int
    number: int


class Loki:
    """Answers queries about some lines; those of one nanosecond come in another order each time."""

    def __init__(
        self, times: Sequence[int], entries_max: int = ENTRIES_PER_QUERY_MAX, span_ns: int = 1 << 62
    ) -> None:
        """entries_max, span_ns: how many entries, and how long a time range, it allows a query."""
        self.entries_max = entries_max
        self.span_ns = span_ns
        self.lines = [Line(time_ns, number) for number, time_ns in enumerate(times)]
        self.queries = 0
        self._random = random.Random(7)

    async def query(self, start_ns: int, end_ns: int, *, limit: int, backward: bool) -> Answer[Line]:
        assert start_ns < end_ns, "Loki refuses an empty range"
        assert limit <= ENTRIES_PER_QUERY_MAX, "Loki refuses a limit over its own"
        self.queries += 1
        limit = min(limit, self.entries_max)
        if end_ns - start_ns > self.span_ns:
            start_ns, end_ns = (end_ns - self.span_ns, end_ns) if backward else (start_ns, start_ns + self.span_ns)
        found = [line for line in self.lines if start_ns <= line.time_ns < end_ns]
        self._random.shuffle(found)
        found.sort(key=lambda line: line.time_ns, reverse=backward)
        found = found[:limit]
        self._random.shuffle(found)
        return Answer(found, start_ns, end_ns, limit)


async def batches(loki: Loki, start_ns: int, end_ns: int, limit: int, *, backward: bool = False) -> list[list[Line]]:
    reading = TimeRange(loki.query, start_ns, end_ns, backward=backward)
    found = []
    while not reading.ended:
        found.append(await reading.next(limit))
    return found


nanoseconds = st.integers(0, 12)


@given(
    st.lists(nanoseconds, max_size=60),
    nanoseconds,
    nanoseconds,
    st.integers(1, 20),
    st.integers(1, 20),
    st.booleans(),
)
async def test_every_entry_of_the_range_is_read_once_in_batches_of_whole_nanoseconds(
    times: list[int], start_ns: int, end_ns: int, limit: int, span_ns: int, backward: bool
) -> None:
    loki = Loki(times, span_ns=span_ns)
    read = await batches(loki, start_ns, end_ns, limit, backward=backward)
    assert sorted(itertools.chain(*read)) == sorted(line for line in loki.lines if start_ns <= line.time_ns < end_ns)
    covered = [{line.time_ns for line in batch} for batch in read if batch]
    for earlier, later in itertools.pairwise(covered):
        assert min(earlier) > max(later) if backward else max(earlier) < min(later)


@pytest.mark.parametrize("backward", [False, True])
async def test_a_nanosecond_with_more_entries_than_an_answer_is_reported_and_passed(backward: bool) -> None:
    loki = Loki([1, 2, *[3] * (ENTRIES_PER_QUERY_MAX + 7), 4, 5])
    reading = TimeRange(loki.query, 0, 10, backward=backward)
    found: list[Line] = []
    while not reading.ended:
        found += await reading.next()
    assert reading.crowded == [3]
    assert len(found) == ENTRIES_PER_QUERY_MAX + 4
    assert {line.time_ns for line in found} == {1, 2, 3, 4, 5}


async def test_an_answer_shorter_than_its_limit_ends_the_range() -> None:
    loki = Loki([1, 2, 3])
    [batch] = await batches(loki, 0, 10, 100)
    assert sorted(batch) == loki.lines
    assert loki.queries == 1


async def test_a_server_that_ignores_the_range_does_not_keep_the_reader_for_ever() -> None:
    async def everything(start_ns: int, end_ns: int, *, limit: int, backward: bool) -> Answer[Line]:
        return Answer([Line(number, number) for number in range(limit)], start_ns, end_ns, limit)

    reading = TimeRange(everything, 3, 9)
    found: list[Line] = []
    while not reading.ended:
        found += await reading.next(5)
    assert {line.time_ns for line in found} == {3, 4}


@given(
    st.lists(st.integers(0, 1000), unique=True, max_size=60), st.integers(1, 20), st.integers(1, 300), st.booleans()
)
async def test_a_loki_that_allows_less_than_it_is_asked_for_is_read_to_the_end(
    times: list[int], entries_max: int, span_ns: int, backward: bool
) -> None:
    loki = Loki(times, entries_max, span_ns)
    read = await batches(loki, 0, 1001, ENTRIES_PER_QUERY_MAX, backward=backward)
    assert sorted(itertools.chain(*read)) == sorted(loki.lines)
