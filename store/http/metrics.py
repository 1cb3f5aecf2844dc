"""The store's own Prometheus metrics."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tracetail.store.disk.database import Database
from tracetail.store.http.tail import Tails
from tracetail.store.ingest.counts import Counts

_COUNTERS = {
    "entries": "Entries stored.",
    "text_bytes": "Bytes of the lines stored, before compression.",
    "duplicates": "Entries that were dropped because they were stored already.",
    "refused": "Entries refused for their time, size or labels.",
    "pushes": "Push requests stored.",
    "commits": "Transactions; concurrent pushes share one.",
    "failed_commits": "Push requests that could not be stored and were answered 503.",
    "merges": "Merges of small blocks into larger ones.",
    "deleted_blocks": "Blocks deleted by retention.",
}


class Metrics:
    """The registry of one store."""

    def __init__(self, counts: Counts, database: Database, tails: Tails) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_StoreCollector(counts, database, tails))
        ProcessCollector(registry=self._registry)
        self.requests = Histogram(
            "tracetail_store_request_seconds",
            "Duration of requests by path and status.",
            ("path", "status"),
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
            registry=self._registry,
        )

    def text(self) -> bytes:
        """Return the metrics in the Prometheus text format."""
        return generate_latest(self._registry)


class _StoreCollector(Collector):
    def __init__(self, counts: Counts, database: Database, tails: Tails) -> None:
        self._counts = counts
        self._database = database
        self._tails = tails

    def collect(self) -> Iterator[Metric]:
        for name, help_text in _COUNTERS.items():
            yield CounterMetricFamily(f"tracetail_store_{name}", help_text, value=getattr(self._counts, name))
        yield GaugeMetricFamily(
            "tracetail_store_database_bytes", "Database and write-ahead log on disk.", value=self._database.size()
        )
        yield GaugeMetricFamily("tracetail_store_tails", "Open tails.", value=len(self._tails))
