"""Evaluates metric queries: counts entries or bytes over time ranges, and aggregates the series.

The value of a range aggregation at step t covers the entries with t - range < time <= t (as in Loki, the lower bound
is exclusive). So each entry counts in a run of consecutive steps: it is added at the first and subtracted after the
last, and the running sum over the steps gives all values.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate, pairwise

from tracetail.store.disk.block import Labels, taken
from tracetail.store.disk.counts import BlockCounts
from tracetail.store.disk.reader import BlockRef, Snapshot
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
from tracetail.store.query.counted_block import labels_of_combinations
from tracetail.store.query.labels import ERROR, LabelSet, result_labels
from tracetail.store.query.pipeline import Pipeline
from tracetail.store.query.scan import BlockScan, Key, is_excluded

STEPS_MAX = 11_000
"""Limit of points per series, as in Loki and Prometheus."""
SERIES_MAX = 500
"""Limit of series in a result; Loki's default max_query_series."""
SERIES_INTERMEDIATE_MAX = 100_000
"""Limit of series before they are aggregated."""
_BYTES_PER_STEP = 200
_BYTES_PER_POINT = 150
"""The approximate memory of a change of a running sum, and of a point of a result."""
_BYTES_FUNCTIONS = ("bytes_over_time", "bytes_rate")


@dataclass(frozen=True, slots=True)
class Steps:
    """The evaluation times of a metric query, in nanoseconds: first, first + step, …; count of them."""

    first: int
    step: int
    count: int


Series = dict[Labels, dict[int, float]]
"""The values of each series by step number; steps without entries have no value."""


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
    snapshot: Snapshot, metric: Metric, steps: Steps, budget: Budget, outer: VectorAggregation | None
) -> Series:
    if isinstance(metric, Constant):
        return {(): dict.fromkeys(range(steps.count), sum(map(float, metric.terms)))}
    if isinstance(metric, RangeAggregation):
        return _range(snapshot, metric, steps, budget, outer)
    inner = _evaluate(snapshot, metric.inner, steps, budget, metric)
    return _vector(metric, inner)


def _range(
    snapshot: Snapshot, metric: RangeAggregation, steps: Steps, budget: Budget, outer: VectorAggregation | None
) -> Series:
    counter = _RangeCounter(metric, steps)
    pipeline = Pipeline(metric.query.stages, parse=not _ignores_extracted_labels(metric.query, outer))
    # time > first - range, time <= last, in whole nanoseconds
    start = steps.first - metric.offset_ns - metric.range_ns + 1
    end = steps.first - metric.offset_ns + (steps.count - 1) * steps.step + 1
    streams = snapshot.streams(metric.query.selector, start, end)
    grouping = outer.grouping or Grouping(without=False, names=()) if _is_summed(outer) and outer else None
    needs_lines = bool(pipeline.line_tests) or pipeline.parses or metric.function in _BYTES_FUNCTIONS
    for ref in snapshot.blocks(list(streams), start, end):
        budget.check_time()
        stream = streams[ref.stream]
        if pipeline.passes_all and not needs_lines and counter.add_whole(ref, stream, grouping):
            continue
        counts = None if needs_lines else snapshot.counts(ref)
        if counts is not None and counter.add_counted(ref, counts, stream, pipeline, grouping):
            budget.check_memory(counter.used_bytes)
            continue
        if is_excluded(snapshot, ref, pipeline):
            continue
        scan = BlockScan(snapshot, pipeline, stream, ref, start, end)
        if len(scan.positions):
            counter.add(scan, grouping)
            budget.check_memory(counter.used_bytes)
    return counter.series()


def _needed(grouping: Grouping | None) -> tuple[str, ...] | None:
    """Return the labels that determine the series of a sum, None for all. grouping: None if it is not a sum."""
    return None if grouping is None or grouping.without else (*grouping.names, ERROR)


def _is_summed(outer: VectorAggregation | None) -> bool:
    return outer is not None and outer.function == "sum"


def _ignores_extracted_labels(query: LogQuery, outer: VectorAggregation | None) -> bool:
    """Return whether the labels that parsers extract are not used. Loki then does not run them, nor report errors."""
    if not _is_summed(outer) or outer is None:
        return False
    grouped = outer.grouping is not None and (outer.grouping.names or outer.grouping.without)
    return not grouped and not any(_uses_labels(stage) for stage in query.stages)


def _uses_labels(stage: object) -> bool:
    return isinstance(stage, Matcher | Comparison | AllOf | AnyOf)


def runs(times: Sequence[int], steps: Steps, offset_ns: int, range_ns: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield runs of entries that count in the same steps, as (first entry, end entry, first step, end step).

    times: of the entries, in order. End indices are exclusive. Entries that count in no step are skipped. There are
    at most two runs per step, whatever the number of entries.
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
class _Changes:
    """The changes of one series at each step: of the number of entries, and of their bytes."""

    entries: "Counter[int]" = field(default_factory=Counter)
    size: "Counter[int]" = field(default_factory=Counter)

    def add(self, number: int, begin: int, end: int) -> None:
        """Count entries in the steps from begin to end (exclusive)."""
        self.entries[begin] += number
        self.entries[end] -= number


class _RangeCounter:
    """Counts entries into the series of one range aggregation."""

    def __init__(self, metric: RangeAggregation, steps: Steps) -> None:
        self._metric = metric
        self._steps = steps
        self._of_bytes = metric.function in _BYTES_FUNCTIONS
        interval = steps.step if steps.count > 1 else 0
        self._boundaries = (steps.first - metric.offset_ns, interval, metric.range_ns)
        """If these are multiples of a time, so are the ends of all ranges."""
        self._changes_by_labels: dict[Labels, _Changes] = {}

    @property
    def used_bytes(self) -> int:
        """The approximate memory of the series."""
        return sum(len(c.entries) + len(c.size) + 20 for c in self._changes_by_labels.values()) * _BYTES_PER_STEP

    def add(self, scan: BlockScan, grouping: Grouping | None) -> None:
        """Count the entries of a block. grouping: of the sum over the series, None if they are not summed."""
        positions = scan.positions
        times = taken(scan.block.index.times, positions)
        lengths = taken(scan.block.index.lengths, positions) if self._of_bytes else ()
        keys, labels = scan.labels_by(_needed(grouping), positions)
        series: dict[Key, _Changes] = {}
        for low, high, begin, end in self._runs(times):
            counts = {keys[low]: high - low} if len(labels) == 1 else Counter(keys[low:high])
            for key, number in counts.items():
                if key not in series:
                    series[key] = self._changes_of(self._series_labels(labels[key], grouping))
                series[key].add(number, begin, end)
            if self._of_bytes:
                for key, length in zip(keys[low:high], lengths[low:high], strict=True):
                    series[key].size[begin] += length
                    series[key].size[end] -= length

    def add_whole(self, ref: BlockRef, stream: Labels, grouping: Grouping | None) -> bool:
        """Count all entries of a block without reading it; return whether that is possible.

        All of them have to count in the same steps, and to have the same labels: those of their stream.
        """
        if grouping is None or grouping.without or not set(grouping.names) <= dict(stream).keys():
            return False
        steps = self._steps_of_whole(ref)
        if steps is None:
            return False
        self._changes_of(_group(stream, grouping)).add(ref.count, *steps)
        return True

    def add_counted(
        self, ref: BlockRef, counts: BlockCounts, stream: Labels, pipeline: Pipeline, grouping: Grouping | None
    ) -> bool:
        """Count the entries of a block by its stored counts; return whether that is possible.

        All of them have to count in the same steps, or the steps have to begin and end where buckets do.
        """
        labels = labels_of_combinations(counts, stream, pipeline, _needed(grouping))
        if labels is None:
            return False
        steps = self._steps_of_whole(ref)
        if steps is None and any(time_ns % counts.resolution_ns for time_ns in self._boundaries):
            return False
        cells = self._runs(counts.end_times()) if steps is None else [(0, len(counts.numbers), *steps)]
        series: dict[int, _Changes] = {}
        for low, high, begin, end in cells:
            for key, number in counts.sums(low, high).items():
                if key in labels:
                    if key not in series:
                        series[key] = self._changes_of(self._series_labels(labels[key], grouping))
                    series[key].add(number, begin, end)
        return True

    def _runs(self, times: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
        return runs(times, self._steps, self._metric.offset_ns, self._metric.range_ns)

    def _steps_of_whole(self, ref: BlockRef) -> tuple[int, int] | None:
        """Return the first and the end step in which all entries of a block count; None if they differ in that."""
        found = list(self._runs((ref.first, ref.last)))
        return found[0][2:] if len(found) == 1 and found[0][:2] == (0, 2) else None

    def _changes_of(self, labels: Labels) -> _Changes:
        changes = self._changes_by_labels.get(labels)
        if changes is None:
            if len(self._changes_by_labels) >= SERIES_INTERMEDIATE_MAX:
                raise QueryLimitError(
                    f"the query has more than {SERIES_INTERMEDIATE_MAX} series; add more specific stream "
                    "selectors, drop labels, or use Loki"
                )
            changes = self._changes_by_labels[labels] = _Changes()
        return changes

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
        for labels, changes in self._changes_by_labels.items():
            entries = _running(changes.entries)
            sizes = _running(changes.size) if self._of_bytes else entries
            values: dict[int, float] = {}
            marks = sorted(changes.entries)
            for mark, following in pairwise(marks):
                if entries[mark] == 0:
                    continue
                for k in range(mark, following):
                    value = sizes[mark]
                    values[k] = value / divisor if divisor != 1 else value
            if values:
                result[labels] = values
        return result


def _running(changes: "Counter[int]") -> dict[int, int]:
    """Return the running sum of the changes at each step that has one."""
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
    """Return a sample in Loki's format: the shortest decimal that parses to the number, without an exponent."""
    if value == int(value):
        return str(int(value))
    return format(Decimal(repr(value)), "f")
