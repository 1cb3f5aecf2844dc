"""Answers metric queries: counts entries or bytes over ranges of time, then sums the series up.

A range aggregation has a value at each step t, made of the entries with t - range < time <= t (as in Loki, whose
lower bound is exclusive). Each entry therefore counts from its first step to its last: that is added at the one and
taken off after the other, and one pass over the steps gives all values.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate, pairwise

from tracetail.store.disk.block import Labels
from tracetail.store.disk.reader import Snapshot
from tracetail.store.logql.tree import (
    AllOf,
    AnyOf,
    Comparison,
    Constant,
    Grouping,
    LogQuery,
    Matcher,
    Metric,
    RangeAggregation,
    VectorAggregation,
)
from tracetail.store.query.budget import Budget, QueryLimitError
from tracetail.store.query.scan import BlockScan, Key, taken
from tracetail.store.query.stages import ERROR, LabelSet, Pipeline, result_labels

STEPS_MAX = 11_000
"""Points per series, as Loki (and Prometheus) allows."""
SERIES_MAX = 500
"""Series of a result, Loki's default max_query_series."""
SERIES_ON_THE_WAY_MAX = 100_000
"""Series before they are summed up."""
_BYTES_PER_STEP = 200
_BYTES_PER_POINT = 150
"""What a change of a sum, and a point of a result, cost in memory, about."""
_BYTES_FUNCTIONS = ("bytes_over_time", "bytes_rate")


@dataclass(frozen=True, slots=True)
class Steps:
    """The times at which a metric query has values: first, first + step, … count of them."""

    first: int
    step: int
    count: int


Series = dict[Labels, dict[int, float]]
"""The values of each series by the number of the step; steps without entries have none."""


def evaluate(snapshot: Snapshot, metric: Metric, steps: Steps, budget: Budget) -> Series:
    """Return the values of a metric query. Raises QueryLimitError and QueryTimeoutError."""
    series = _evaluate(snapshot, metric, steps, budget, None)
    if len(series) > SERIES_MAX:
        raise QueryLimitError(
            f"maximum number of series ({SERIES_MAX}) reached for a single query; consider reducing query "
            "cardinality by adding more specific stream selectors, reducing the time range, or aggregating results"
        )
    budget.check_memory(sum(map(len, series.values())) * _BYTES_PER_POINT)
    return series


def _evaluate(
    snapshot: Snapshot, metric: Metric, steps: Steps, budget: Budget, around: VectorAggregation | None
) -> Series:
    if isinstance(metric, Constant):
        return {(): dict.fromkeys(range(steps.count), sum(map(float, metric.terms)))}
    if isinstance(metric, RangeAggregation):
        return _range(snapshot, metric, steps, budget, around)
    inner = _evaluate(snapshot, metric.inner, steps, budget, metric)
    return _vector(metric, inner)


def _range(
    snapshot: Snapshot, metric: RangeAggregation, steps: Steps, budget: Budget, around: VectorAggregation | None
) -> Series:
    counting = _Counting(metric, steps)
    pipeline = Pipeline(metric.query.stages, parse=not _nobody_asks_for_labels(metric.query, around))
    # time > first - range, time <= last, in whole nanoseconds
    start = steps.first - metric.offset_ns - metric.range_ns + 1
    end = steps.first - metric.offset_ns + (steps.count - 1) * steps.step + 1
    streams = snapshot.streams(metric.query.selector, start, end)
    grouping = around.grouping or Grouping(without=False, names=()) if _is_summed(around) and around else None
    for ref in snapshot.blocks(list(streams), start, end):
        budget.check_time()
        scan = BlockScan(pipeline, streams[ref.stream], snapshot.open(ref), start, end)
        if len(scan.positions):
            counting.add(scan, grouping)
            budget.check_memory(counting.used_bytes)
    return counting.series()


def _is_summed(around: VectorAggregation | None) -> bool:
    return around is not None and around.function == "sum"


def _nobody_asks_for_labels(query: LogQuery, around: VectorAggregation | None) -> bool:
    """Say whether what parsers find is of no account: Loki then does not even run them, nor see their errors."""
    if not _is_summed(around) or around is None:
        return False
    grouped = around.grouping is not None and (around.grouping.names or around.grouping.without)
    return not grouped and not any(_asks_for_labels(stage) for stage in query.stages)


def _asks_for_labels(stage: object) -> bool:
    return isinstance(stage, Matcher | Comparison | AllOf | AnyOf)


def runs(times: Sequence[int], steps: Steps, offset_ns: int, range_ns: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield runs of entries, whose times are in order, that count in the same steps.

    Each as: from and before which entry, from and before which step. Entries that lie between the ranges,
    which count nowhere, are left out. There are never more than two runs for each step, however many entries.
    """
    first, step, count = steps.first - offset_ns, steps.step, steps.count
    reach = range_ns - 1
    low = 0
    while low < len(times):
        begin = max((times[low] - first + step - 1) // step, 0)
        end = min((times[low] + reach - first) // step + 1, count)
        last = first + begin * step
        if end < count:
            last = min(last, first + end * step - reach - 1)
        high = bisect_right(times, last, low)
        if begin < end:
            yield low, high, begin, end
        low = high


@dataclass(slots=True)
class _Tally:
    """One series on its way: what begins and what ends to count at each step."""

    entries: "Counter[int]" = field(default_factory=Counter)
    amount: "Counter[int]" = field(default_factory=Counter)


class _Counting:
    """Collects entries into series for one range aggregation."""

    def __init__(self, metric: RangeAggregation, steps: Steps) -> None:
        self._metric = metric
        self._steps = steps
        self._of_bytes = metric.function in _BYTES_FUNCTIONS
        self._tallies: dict[Labels, _Tally] = {}

    @property
    def used_bytes(self) -> int:
        """About what the series need by now."""
        return sum(len(t.entries) + len(t.amount) + 20 for t in self._tallies.values()) * _BYTES_PER_STEP

    def add(self, scan: BlockScan, grouping: Grouping | None) -> None:
        """Count the entries of a block. grouping: what the series will be summed by, if they will be."""
        positions = scan.positions
        times = taken(scan.block.index.times, positions)
        lengths = taken(scan.block.index.lengths, positions) if self._of_bytes else ()
        by = None if grouping is None or grouping.without else (*grouping.names, ERROR)
        keys, labels = scan.labels_by(by, positions)
        series: dict[Key, _Tally] = {}
        for low, high, begin, end in runs(times, self._steps, self._metric.offset_ns, self._metric.range_ns):
            for key, number in Counter(keys[low:high]).items():
                if key not in series:
                    series[key] = self._tally(self._series_labels(labels[key], grouping))
                series[key].entries[begin] += number
                series[key].entries[end] -= number
            if self._of_bytes:
                for key, length in zip(keys[low:high], lengths[low:high], strict=True):
                    series[key].amount[begin] += length
                    series[key].amount[end] -= length

    def _tally(self, labels: Labels) -> _Tally:
        tally = self._tallies.get(labels)
        if tally is None:
            if len(self._tallies) >= SERIES_ON_THE_WAY_MAX:
                raise QueryLimitError(
                    f"the query makes more than {SERIES_ON_THE_WAY_MAX} series; add more specific stream "
                    "selectors, drop labels, or use Loki"
                )
            tally = self._tallies[labels] = _Tally()
        return tally

    def _series_labels(self, labels: LabelSet, grouping: Grouping | None) -> Labels:
        if labels.get(ERROR):
            shown = ", ".join(f'{name}="{value}"' for name, value in result_labels(labels))
            raise QueryLimitError(
                f"pipeline error: '{labels[ERROR]}' for series: '{{{shown}}}'.\n"
                "Use a label filter to intentionally skip this error. "
                f'(e.g | __error__!="{labels[ERROR]}").'
            )
        every = result_labels(labels)
        return every if grouping is None else _group(every, grouping)

    def series(self) -> Series:
        """Return the values of each series."""
        divisor = self._metric.range_ns / 1e9 if self._metric.function in ("rate", "bytes_rate") else 1
        result: Series = {}
        for labels, tally in self._tallies.items():
            entries = _running(tally.entries)
            amounts = _running(tally.amount) if self._of_bytes else entries
            values: dict[int, float] = {}
            marks = sorted(tally.entries)
            for mark, following in pairwise(marks):
                if entries[mark] == 0:
                    continue
                for k in range(mark, following):
                    value = amounts[mark]
                    values[k] = value / divisor if divisor != 1 else value
            if values:
                result[labels] = values
        return result


def _running(changes: "Counter[int]") -> dict[int, int]:
    """Return the sum of all changes up to each step at which there is one."""
    marks = sorted(changes)
    return dict(zip(marks, accumulate(changes[m] for m in marks), strict=True))


# ---- vector aggregations


def _group(labels: Labels, grouping: Grouping) -> Labels:
    if grouping.without:
        return tuple(pair for pair in labels if pair[0] not in grouping.names)
    return tuple(pair for pair in labels if pair[0] in grouping.names)


def _vector(metric: VectorAggregation, inner: Series) -> Series:
    grouping = metric.grouping or Grouping(without=False, names=())
    groups: dict[Labels, list[dict[int, float]]] = {}
    for labels, values in inner.items():
        groups.setdefault(_group(labels, grouping), []).append(values)
    return {labels: _combine(metric.function, parts) for labels, parts in groups.items()}


def _combine(function: str, parts: list[dict[int, float]]) -> dict[int, float]:
    by_step: dict[int, list[float]] = {}
    for part in parts:
        for step, value in part.items():
            by_step.setdefault(step, []).append(value)
    combine = _COMBINE[function]
    return {step: combine(values) for step, values in sorted(by_step.items())}


_COMBINE: dict[str, Callable[[list[float]], float]] = {
    "sum": sum,
    "min": min,
    "max": max,
    "avg": lambda values: sum(values) / len(values),
    "count": len,
}


def number_text(value: float) -> str:
    """Return a sample as Loki writes it: the shortest text that gives the number, without an exponent."""
    if value == int(value):
        return str(int(value))
    return format(Decimal(repr(value)), "f")
