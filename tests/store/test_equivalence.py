"""Queries on merged and compressed blocks give the same results as a naive evaluation entry by entry."""

from contextlib import suppress

import pytest
import re2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.logql_strategies import SECOND, START, entries, log_queries, metrics

from tracetail.store.disk import counts
from tracetail.store.disk.block import Entries
from tracetail.store.disk.database import Database
from tracetail.store.disk.reader import NotSmallError, Reader
from tracetail.store.ingest import blocks, compaction
from tracetail.store.ingest.labels import metadata_of, with_service_name
from tracetail.store.ingest.limits import TimeWindow
from tracetail.store.ingest.retention import Retention
from tracetail.store.ingest.stream import PushedStream
from tracetail.store.ingest.writer import Writer
from tracetail.store.logql.tree import (
    AllOf,
    AnyOf,
    Comparison,
    Json,
    LineFilter,
    Logfmt,
    LogQuery,
    Matcher,
    Regexp,
    VectorAggregation,
)
from tracetail.store.query.aggregate import Steps, evaluate
from tracetail.store.query.budget import Budget, QueryLimitError
from tracetail.store.query.labels import ERROR, result_labels
from tracetail.store.query.log_query import LogRequest, run_log_query
from tracetail.store.query.pipeline import Pipeline

BUDGET_BYTES = 64 * 1024 * 1024
real_files = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def small_blocks(monkeypatch):
    """Make blocks so small that a few entries fill, split and merge them."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 300)
    monkeypatch.setattr(blocks, "BLOCK_FULL_BYTES", 150)
    monkeypatch.setattr(blocks, "COUNTED_MIN_ENTRIES", 1)
    monkeypatch.setattr(blocks, "FILTERED_MIN_BYTES", 1)
    monkeypatch.setattr(compaction, "MERGE_COUNT", 2)


class Stored:
    """A new store with the pushed entries, and the same entries in a list."""

    def __init__(self, directory, batches):
        self.database = Database(directory / "store.db")
        self.database.open()
        self.entries = []
        writer = Writer(self.database, TimeWindow(None, None), Retention(None, None))
        writer.start()
        for batch in batches:
            for labels, values in by_stream(batch).items():
                writer.push([pushed(labels, values)], 1).result(60)
        writer.stop()
        seen = set()
        for trace_id, env, time, line, metadata in (e for batch in batches for e in flat(batch)):
            entry = (with_service_name((("env", env), ("traceId", trace_id))), time, line, metadata)
            if entry not in seen:
                seen.add(entry)
                self.entries.append(entry)
        order = list(dict.fromkeys(labels for labels, *_ in self.entries))
        self.entries.sort(key=lambda e: (e[1], order.index(e[0])))
        self.reader = Reader(self.database)

    def close(self):
        self.reader.close()
        self.database.close()


def flat(batch):
    for (trace_id, env), time, line, metadata in in_order_of_streams(batch):
        yield trace_id, env, time, line.encode(), metadata_of(metadata)


def in_order_of_streams(batch):
    order = list(dict.fromkeys(labels for labels, *_ in batch))
    return sorted(batch, key=lambda e: order.index(e[0]))


def by_stream(batch):
    streams = {}
    for labels, time, line, metadata in batch:
        streams.setdefault(labels, []).append((time, line, metadata))
    return streams


def pushed(labels, values):
    sets = [metadata_of(metadata) for _, _, metadata in values]
    trace_id, env = labels
    return PushedStream(
        (("env", env), ("traceId", trace_id)),
        Entries([t for t, _, _ in values], [line.encode() for _, line, _ in values], list(range(len(sets))), sets),
    )


def naive_lines(query, all_entries):
    """Yield time, line and labels of the entries that pass a query, evaluated entry by entry."""
    pipeline = Pipeline([s for s in query.stages if not isinstance(s, LineFilter)])
    for stream, time, line, metadata in all_entries:
        if not all(naive_matches(m, dict(stream).get(m.name, "")) for m in query.selector):
            continue
        if not all(naive_line_filter(s, line) for s in query.stages if isinstance(s, LineFilter)):
            continue
        labels = pipeline.run(stream, metadata, line)
        if labels is not None:
            yield time, line, result_labels(labels)


def naive_matches(matcher, value):
    found = value == matcher.value if "~" not in matcher.op else re2.fullmatch(f"(?s){matcher.value}", value)
    return bool(found) != matcher.op.startswith("!")


def naive_line_filter(stage, line):
    if "~" in stage.op:
        found = any(re2.search(value.encode(), line) for value in stage.values)
    else:
        found = any(value.encode() in line for value in stage.values)
    return found != stage.op.startswith("!")


def naive_metric(metric, all_entries, steps, outer=None):
    """Return the series of a metric query by its definition: every step iterates over all entries."""
    if isinstance(metric, VectorAggregation):
        return naive_vector(metric, naive_metric(metric.inner, all_entries, steps, metric))
    query = metric.query
    if ignores_extracted_labels(query, outer):
        query = LogQuery(query.selector, tuple(s for s in query.stages if not isinstance(s, Json | Logfmt | Regexp)))
    found = list(naive_lines(query, all_entries))
    series = {}
    for k in range(steps.count):
        at = steps.first + k * steps.step - metric.offset_ns
        for time, line, labels in found:
            if at - metric.range_ns < time <= at:
                if dict(labels).get(ERROR):
                    raise QueryLimitError
                amount = len(line) if metric.function.startswith("bytes") else 1
                values = series.setdefault(labels, {})
                values[k] = values.get(k, 0) + amount
    if metric.function.endswith("rate"):
        return {
            labels: {k: v / (metric.range_ns / SECOND) for k, v in values.items()}
            for labels, values in series.items()
        }
    return series


def ignores_extracted_labels(query, outer):
    """Return whether the query ignores labels that parsers extract: Loki then does not run them."""
    if outer is None or outer.function != "sum":
        return False
    grouped = outer.grouping is not None and (outer.grouping.names or outer.grouping.without)
    filters = Matcher | Comparison | AllOf | AnyOf
    return not grouped and not any(isinstance(stage, filters) for stage in query.stages)


def naive_vector(metric, inner):
    names = metric.grouping.names if metric.grouping else ()
    without = metric.grouping is not None and metric.grouping.without
    groups = {}
    for labels, values in inner.items():
        group = tuple(pair for pair in labels if (pair[0] in names) != without)
        for k, value in values.items():
            groups.setdefault(group, {}).setdefault(k, []).append(value)
    combine = {"sum": sum, "min": min, "max": max, "count": len, "avg": lambda v: sum(v) / len(v)}[metric.function]
    return {group: {k: combine(v) for k, v in values.items()} for group, values in groups.items()}


batches_of_entries = st.lists(st.lists(entries, min_size=1, max_size=8), min_size=1, max_size=12)


@real_files
@given(
    batches=batches_of_entries,
    query=log_queries,
    start=st.integers(-2, 30),
    length=st.integers(1, 60),
    limit=st.integers(1, 20),
    backward=st.booleans(),
)
def test_log_queries_on_blocks_equal_an_evaluation_entry_by_entry(
    tmp_path_factory, small_blocks, batches, query, start, length, limit, backward
):
    request = LogRequest(query, START + start * SECOND // 2, START + (start + length) * SECOND // 2, limit, backward)
    stored = Stored(tmp_path_factory.mktemp("equivalence"), batches)
    with stored.reader.snapshot() as snapshot:
        found = run_log_query(snapshot, request, Budget(60, BUDGET_BYTES))
    for _ in range(2):  # the second time with what is kept of the first
        with suppress(NotSmallError), stored.reader.small_snapshot() as small:
            assert run_log_query(small, request, Budget(60, BUDGET_BYTES)) == found
    stored.close()
    wanted = [e for e in naive_lines(query, stored.entries) if request.start <= e[0] < request.end]
    wanted = wanted[::-1][:limit] if backward else wanted[:limit]
    assert [(e.time, e.line, e.labels) for e in found] == wanted


@real_files
@given(
    batches=batches_of_entries,
    metric=metrics,
    first=st.integers(-2, 10),
    step=st.sampled_from((SECOND, 5 * SECOND, 700 * 10**6)),
    count=st.integers(1, 12),
    buckets=st.sampled_from((2, counts.BUCKETS_MAX)),
    values=st.sampled_from((1, 3, counts.COLUMN_VALUES_MAX)),
    combinations=st.sampled_from((2, counts.COMBINATIONS_MAX)),
)
def test_metric_queries_on_blocks_equal_an_evaluation_entry_by_entry(
    tmp_path_factory, small_blocks, monkeypatch, batches, metric, first, step, count, buckets, values, combinations
):
    monkeypatch.setattr(counts, "BUCKETS_MAX", buckets)
    monkeypatch.setattr(counts, "COLUMN_VALUES_MAX", values)
    monkeypatch.setattr(counts, "COMBINATIONS_MAX", combinations)
    steps = Steps(START + first * SECOND, step, count)
    stored = Stored(tmp_path_factory.mktemp("equivalence"), batches)
    try:
        with stored.reader.snapshot() as snapshot:
            found = evaluate(snapshot, metric, steps, Budget(60, BUDGET_BYTES))
        for _ in range(2):
            with suppress(NotSmallError), stored.reader.small_snapshot() as small:
                assert rounded(evaluate(small, metric, steps, Budget(60, BUDGET_BYTES))) == rounded(found)
    except QueryLimitError:
        found = None
    stored.close()
    try:
        wanted = naive_metric(metric, stored.entries, steps)
    except QueryLimitError:
        wanted = None
    assert rounded(found) == rounded(wanted)


def rounded(series):
    """Return the series with rounded values, because the order of additions may differ."""
    if series is None:
        return None
    return {labels: {k: round(v, 9) for k, v in values.items()} for labels, values in series.items()}
