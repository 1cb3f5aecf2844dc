"""Counts of a block's entries by time and metadata: what a histogram needs, without the block itself.

Time is divided into buckets; bucket n has the times in (n - 1) * resolution < time <= n * resolution, as a step of a
metric query has. Metadata names with few values are counted by; a query that needs another name reads the block.

Stored as zstd of a JSON array with the fields of BlockCounts.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import sub

import cramjam
import orjson

from tracetail.store.disk.block import ZSTD_LEVEL, CorruptBlockError, Entries, SetColumn

_MS = 1_000_000
RESOLUTIONS_NS = tuple(
    ms * _MS for ms in (1, 10, 100, 1_000, 5_000, 60_000, 600_000, 3_600_000, 86_400_000, 864_000_000)
)
"""Each divides the next ones, and the steps that panels use are multiples of many of them."""
BUCKETS_MAX = 128
COLUMN_VALUES_MAX = 16
COMBINATIONS_MAX = 64


@dataclass(frozen=True, slots=True)
class BlockCounts:
    """The number of entries in each cell: a bucket and a combination of metadata values."""

    resolution_ns: int
    columns: Sequence[tuple[str, Sequence[str]]]
    """The names that are counted by, each with its values."""
    other_names: Sequence[str]
    """The names of the block that are not counted by."""
    combinations: Sequence[Sequence[int]]
    """For each combination its value in each column: 0 for none, n for the nth."""
    buckets: Sequence[int]
    """The bucket of each cell, in order."""
    cell_combinations: Sequence[int]
    numbers: Sequence[int]

    def end_times(self) -> list[int]:
        """Return for each cell the last time that belongs to its bucket, in nanoseconds."""
        return [bucket * self.resolution_ns for bucket in self.buckets]

    def sums(self, low: int, high: int) -> dict[int, int]:
        """Return the number of entries in the cells from low to high (exclusive), by combination."""
        sums: dict[int, int] = {}
        for combination, number in zip(self.cell_combinations[low:high], self.numbers[low:high], strict=True):
            sums[combination] = sums.get(combination, 0) + number
        return sums


def encode_counts(entries: Entries, sets: Mapping[str, SetColumn]) -> bytes | None:
    """Return the counts of entries; None if they span too much time. sets: the columns of their metadata sets."""
    times = entries.times
    resolution = next((r for r in RESOLUTIONS_NS if (times[-1] - times[0]) // r < BUCKETS_MAX), None)
    if resolution is None:
        return None
    names, combinations, of_sets = _combinations(sets, len(entries.metadata_sets))
    keys = bytes(map(of_sets.__getitem__, entries.metadata))
    buckets, cell_combinations, numbers = [], [], []
    low = 0
    while low < len(times):
        bucket = -(-times[low] // resolution)
        high = bisect_right(times, bucket * resolution, low)
        for key in set(keys[low:high]):
            buckets.append(bucket)
            cell_combinations.append(key)
            numbers.append(keys.count(key, low, high))
        low = high
    fields = (
        resolution,
        [(name, sets[name].values) for name in names],
        [name for name in sets if name not in names],
        combinations,
        [buckets[0], *map(sub, buckets[1:], buckets)],
        cell_combinations,
        numbers,
    )
    return bytes(cramjam.zstd.compress(orjson.dumps(fields), ZSTD_LEVEL))


def _combinations(
    sets: Mapping[str, SetColumn], set_count: int
) -> tuple[list[str], list[tuple[int, ...]], list[int]]:
    """Return the names to count by, the combinations of their values, and the combination of each metadata set."""
    by_size = sorted((len(column.values), name) for name, column in sets.items())
    names = [name for size, name in by_size if size <= COLUMN_VALUES_MAX]
    while names:
        known: dict[tuple[int, ...], int] = {}
        values = zip(*(sets[name].of_sets for name in names), strict=True)
        of_sets = [known.setdefault(combination, len(known)) for combination in values]
        if len(known) <= COMBINATIONS_MAX:
            return names, list(known), of_sets
        names.pop()
    return [], [()], [0] * set_count


def decode_counts(data: bytes) -> BlockCounts:
    """Return encoded counts. Raises CorruptBlockError."""
    try:
        resolution, columns, others, combinations, buckets, cell_combinations, numbers = orjson.loads(
            bytes(cramjam.zstd.decompress(data))
        )
    except (cramjam.DecompressionError, ValueError, TypeError) as error:
        raise CorruptBlockError(f"a block's counts cannot be read: {error}") from error
    return BlockCounts(
        resolution, columns, others, combinations, list(accumulate(buckets)), cell_combinations, numbers
    )
