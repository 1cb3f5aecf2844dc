"""The metrics that every output has, beside the others by the label `output`: sent, failed, rejected, lost, lag."""

from collections.abc import Collection, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from tracetail.agent.followed_log import FollowedLog
from tracetail.agent.metrics.lag import LagSampler

_OUTPUT = ("output",)


class OutputFamilies:
    """The metrics of all outputs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sent_entries = Counter(
            "tracetail_agent_output_sent_entries",
            "Entries that an output has acknowledged.",
            _OUTPUT,
            registry=registry,
        )
        self.sent_bytes = Counter(
            "tracetail_agent_output_sent_bytes",
            "Bytes acknowledged by an output, as they are in its journal: compressed.",
            _OUTPUT,
            registry=registry,
        )
        self.failed = Counter(
            "tracetail_agent_output_failures",
            "Attempts that failed and are repeated, by cause.",
            ("output", "cause"),
            registry=registry,
        )
        self.rejected = Counter(
            "tracetail_agent_output_rejected_entries",
            "Entries that an output refused for good.",
            _OUTPUT,
            registry=registry,
        )
        self.lost_bytes = Counter(
            "tracetail_agent_output_lost_bytes",
            "Bytes that vanished before they were read for an output.",
            _OUTPUT,
            registry=registry,
        )
        self.lag_bytes = Gauge(
            "tracetail_agent_output_lag_bytes",
            "Bytes written and not acknowledged by an output.",
            _OUTPUT,
            registry=registry,
        )
        self.lag_seconds = Gauge(
            "tracetail_agent_output_lag_seconds",
            "Age of the oldest byte that an output has not acknowledged.",
            _OUTPUT,
            registry=registry,
        )


class OutputMetrics:
    """The metrics of one output."""

    def __init__(self, families: OutputFamilies, output: str) -> None:
        self._output = output
        self._failed = families.failed
        self._sent_entries = families.sent_entries.labels(output)
        self._sent_bytes = families.sent_bytes.labels(output)
        self._rejected = families.rejected.labels(output)
        self._lost_bytes = families.lost_bytes.labels(output)
        self._lag_bytes = families.lag_bytes.labels(output)
        self._lag_seconds = families.lag_seconds.labels(output)
        self._lags = LagSampler()

    def sent(self, entries: int, size: int) -> None:
        """Count entries that the output acknowledged. size: of their bodies in the journal, in bytes."""
        self._sent_entries.inc(entries)
        self._sent_bytes.inc(size)

    def failed(self, cause: str, count: int = 1) -> None:
        """Count attempts that have to be repeated."""
        self._failed.labels(self._output, cause).inc(count)

    def rejected(self, entries: int) -> None:
        """Count entries that the output refused for good."""
        self._rejected.inc(entries)

    def read(self, levels: Mapping[str, int], size: int, redacted: int) -> None:
        """Count nothing: lines are counted where they are read for Loki."""

    def lost(self, size: int) -> None:
        """Count bytes that vanished before they were read."""
        self._lost_bytes.inc(size)

    def followed(self, logs: Collection[FollowedLog], *, shipping: int, backlog: int) -> None:
        """Take the state of all logs. shipping: the number of those that are being shipped. backlog: in bytes."""
        del shipping
        self._lags.update(logs)
        self.lag(backlog, self._lags.seconds())

    def lag(self, size: int, seconds: float) -> None:
        """Set the lag, in bytes and in seconds."""
        self._lag_bytes.set(size)
        self._lag_seconds.set(seconds)
