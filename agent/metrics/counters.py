"""The agent's own counters, for /metrics.

The other collectors (server_collector.py, log_collector.py) register with the same registry.
"""

from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from tracetail.agent.metrics.output_metrics import OutputFamilies, OutputMetrics
from tracetail.agent.model import LOKI
from tracetail.loki.answers import OTHER_REFUSAL, REFUSAL_KINDS

PUSH_SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The agent's own counters."""

    def __init__(self) -> None:
        # Otherwise each counter has a second series, with the time of the agent's start.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._entries = Counter(
            "tracetail_agent_entries_acknowledged", "Entries that Loki acknowledged.", registry=self.registry
        )
        self._bytes = Counter("tracetail_agent_sent_bytes", "Compressed bytes acknowledged.", registry=self.registry)
        self._lines = Counter(
            "tracetail_agent_lines_read", "Lines read and parsed, by level.", ["level"], registry=self.registry
        )
        self._read = Counter("tracetail_agent_read_bytes", "Bytes of logs read.", registry=self.registry)
        self._rejected = Counter(
            "tracetail_agent_rejected_entries",
            "Entries that Loki refused for good, by reason.",
            ["reason"],
            registry=self.registry,
        )
        for reason in (*REFUSAL_KINDS, OTHER_REFUSAL):
            self._rejected.labels(reason)  # exists from the start, so that the first refusal is an increase
        self._redacted = Counter("tracetail_agent_redacted_secrets", "Secrets masked.", registry=self.registry)
        self._retimed = Counter(
            "tracetail_agent_retimed_entries",
            "Entries sent again later because of their time.",
            registry=self.registry,
        )
        self._looked_up = Counter(
            "tracetail_agent_recovered_entries",
            "Entries found in Loki after a restart or a lost answer.",
            registry=self.registry,
        )
        self._retries = Counter(
            "tracetail_agent_retries", "Pushes to be repeated.", ["cause"], registry=self.registry
        )
        self._retries.labels("unreachable")
        self._push_seconds = Histogram(
            "tracetail_agent_push_seconds",
            "How long pushes took, by answer: a status, or unreachable.",
            ["answer"],
            buckets=PUSH_SECONDS_BUCKETS,
            registry=self.registry,
        )
        self._sources = Gauge("tracetail_agent_sources", "Logs that are followed.", registry=self.registry)
        self._backlog = Gauge(
            "tracetail_agent_backlog_bytes", "Bytes written and not acknowledged yet.", registry=self.registry
        )
        self._lost = Counter(
            "tracetail_agent_lost_bytes", "Bytes that vanished before they were read.", registry=self.registry
        )

        self.outputs = OutputFamilies(self.registry)
        self.loki = OutputMetrics(self.outputs, LOKI)

    def followed(self, logs: int, *, backlog: int, lag_seconds: float) -> None:
        """Take the state of all logs that are shipped to Loki. logs: their number. backlog: in bytes."""
        self._sources.set(logs)
        self._backlog.set(backlog)
        self.loki.lag(backlog, lag_seconds)

    def read(self, levels: Mapping[str, int], size: int, redacted: int) -> None:
        """Count lines that were read and parsed."""
        for level, count in levels.items():
            self._lines.labels(level).inc(count)
        self._read.inc(size)
        self._redacted.inc(redacted)

    def lost(self, size: int) -> None:
        """Count bytes that vanished before they were read."""
        self._lost.inc(size)
        self.loki.lost(size)

    def pushed(self, answer: str, seconds: float) -> None:
        """Count a push; answer: the status, or `unreachable`."""
        self._push_seconds.labels(answer).observe(seconds)

    def delivered(self, entries: int, size: int) -> None:
        """Count entries that Loki acknowledged."""
        self._entries.inc(entries)
        self._bytes.inc(size)
        self.loki.sent(entries, size)

    def rejected(self, entries: int, reason: str) -> None:
        """Count entries that Loki refused; reason: what loki.answers.refusal_kind returns."""
        self._rejected.labels(reason).inc(entries)
        self.loki.rejected(entries)

    def retimed(self, entries: int) -> None:
        """Count entries that are sent again with a later time."""
        self._retimed.inc(entries)

    def looked_up(self, entries: int) -> None:
        """Count entries that were found in Loki after a restart or a lost answer."""
        self._looked_up.inc(entries)

    def retried(self, cause: str) -> None:
        """Count a push that has to be repeated."""
        self._retries.labels(cause).inc()
        self.loki.failed(cause)

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
