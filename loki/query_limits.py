"""The limits of a Loki for queries, learned from its refusals: entries and time range of a query, size of an answer.

They differ from Loki to Loki (max_entries_limit_per_query, max_query_length), and by tenant; what a query may read or
answer is limited in bytes, too, and there the number of entries that fit depends on their length.

Source of the texts: Loki's pkg/util/validation/validate.go, pkg/querier/queryrange/limits.go; gRPC's message size.
"""

import re
from collections.abc import Iterator

from tracetail.loki.limits import ENTRIES_PER_QUERY_MAX, STEPS_PER_QUERY_MAX

_ENTRIES = re.compile(r"max entries limit per query exceeded.*?\((\d+) > (\d+)\)", re.DOTALL)
_LENGTH = re.compile(r"query time range exceeds the limit \(query length: (\w+), limit: (\w+)\)")
_TOO_OLD = re.compile(r"data is no longer available, it is past now - max_query_lookback")
_BYTES_READ = re.compile(r"would read too many bytes", re.IGNORECASE)
_SIZE = re.compile(
    r"larger than max|more than \d+ Mi?B|too large|memory limit|out of memory|ResourceExhausted",
    re.IGNORECASE,
)
_SIZES = re.compile(r"larger than max \((\d+) vs\.? (\d+)\)")
_DURATION = re.compile(r"(\d+)(ms|y|w|d|h|m|s)")
_MS = 1_000_000
_UNIT_MS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 7 * 86_400_000,
    "y": 365 * 86_400_000,
}


class QueryLimits:
    """What one query may ask for, as far as it is known."""

    def __init__(self) -> None:
        self.entries = ENTRIES_PER_QUERY_MAX
        self.length_ns = 0
        """The longest time range; 0 if none is known."""

    def learn(self, refusal: str) -> bool:
        """Take a limit from the text of a refusal; return whether it is a new one, so that another query may pass."""
        if match := _ENTRIES.search(refusal):
            entries = int(match[2])
            known, self.entries = self.entries, max(1, min(self.entries, entries))
            return self.entries < known
        if match := _LENGTH.search(refusal):
            asked_ns, limit_ns = _duration_ns(match[1]), _duration_ns(match[2])
            if limit_ns and (not self.length_ns or limit_ns < self.length_ns):
                self.length_ns = limit_ns
                return True
            # Loki rounds the ends of a range outward to its steps and shards' intervals: a query as long as the limit
            # was refused as one of 1h0m28s.
            beyond_ns = asked_ns - limit_ns
            if 0 < beyond_ns < self.length_ns // 4:
                self.length_ns -= max(beyond_ns, self.length_ns // 64)
                return True
        return False

    def range(self, start_ns: int, end_ns: int, *, backward: bool = False) -> tuple[int, int]:
        """Return the beginning (backward: the end) of a time range, as long as one query may cover."""
        if not self.length_ns or end_ns - start_ns <= self.length_ns:
            return start_ns, end_ns
        return (end_ns - self.length_ns, end_ns) if backward else (start_ns, start_ns + self.length_ns)

    def window(self, step_ns: int) -> int:
        """Return the longest part of a step that a metric query may have as its range; both in whole milliseconds."""
        step_ms, longest_ms = step_ns // _MS, max(1, self.length_ns // _MS - 1)
        if not self.length_ns or step_ms <= longest_ms:
            return step_ns
        parts = next(parts for parts in range(-(-step_ms // longest_ms), step_ms + 1) if step_ms % parts == 0)
        return step_ns // parts

    def points(self, window_ns: int) -> int:
        """Return how many steps of this length a metric query with this range may have.

        Loki adds the range of the query to the time between its first and its last step.
        """
        if not self.length_ns:
            return STEPS_PER_QUERY_MAX
        return min(STEPS_PER_QUERY_MAX, max(1, (self.length_ns - _MS) // window_ns))

    def ranges(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, int]]:
        """Yield the time ranges, oldest first, that one query each may cover, and that together are the given one."""
        while True:
            start, end = self.range(start_ns, end_ns)
            yield start, end
            if end >= end_ns:
                return
            start_ns = end


def is_about_size(refusal: str) -> bool:
    """Return whether a refusal is about the bytes of an answer: a query for fewer entries may pass."""
    return _SIZE.search(refusal) is not None


def share_that_fits(refusal: str) -> float:
    """Return for which share of the entries, at most half, a query may pass whose answer was refused for its size."""
    sizes = _SIZES.search(refusal)
    return 0.5 if sizes is None else min(0.5, 0.8 * int(sizes[2]) / max(1, int(sizes[1])))


def is_about_bytes_read(refusal: str) -> bool:
    """Return whether a query would read too much of the store: one for a shorter time range may pass."""
    return _BYTES_READ.search(refusal) is not None


def is_beyond_lookback(refusal: str) -> bool:
    """Return whether Loki keeps, or shows, nothing of the time range of a query any more."""
    return _TOO_OLD.search(refusal) is not None


def _duration_ns(text: str) -> int:
    """Parse a duration as Prometheus prints it: `1d`, `30d1h`."""
    return sum(int(number) * _UNIT_MS[unit] for number, unit in _DURATION.findall(text)) * _MS
