"""Metrics of the followed logs and of the journal: lag, logs being shipped, lines dropped by keepers."""

import contextlib
import platform
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tracetail import __version__
from tracetail.agent.followed_log import FollowedLog
from tracetail.agent.metrics.lag import LagSampler
from tracetail.contract import events
from tracetail.contract.logline import parse_event


class LogCollector(Collector):
    """Collects the metrics of followed logs and of the journal."""

    def __init__(self, journal: Path) -> None:
        """journal: the SQLite file."""
        self._journal = journal
        self._lags = LagSampler()
        self._shipping = 0
        self._dropped: Counter[str] = Counter()

    def update(self, logs: Iterable[FollowedLog], shipping: int) -> None:
        """Sample the lag of each log; shipping: the number of those that are being shipped."""
        self._lags.update(logs)
        self._shipping = shipping

    def lag_seconds(self) -> float:
        """Return the age of the oldest byte that is not acknowledged, over all logs."""
        return self._lags.seconds()

    def count_dropped(self, texts: Iterable[bytes]) -> None:
        """Count the lines and bytes in `dropped` events; texts: of events of keepers."""
        for text in texts:
            event = parse_event(text.decode(errors="replace"))
            if event.name == events.DROPPED:
                for unit in ("lines", "bytes"):
                    with contextlib.suppress(ValueError):
                        self._dropped[unit] += int(event.fields.get(unit, "0"))

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the names are known from collect()."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return all series."""
        labels = ("source", "kind", "service_name")
        lag_bytes = GaugeMetricFamily(
            "tracetail_agent_lag_bytes", "Bytes of a source that are written and not acknowledged.", labels=labels
        )
        lag_seconds = GaugeMetricFamily(
            "tracetail_agent_lag_seconds", "Age of the oldest byte that is not acknowledged.", labels=labels
        )
        for key, sampled in self._lags.logs.items():
            lag_bytes.add_metric((key, sampled.kind, sampled.service), sampled.lag.bytes)
            lag_seconds.add_metric((key, sampled.kind, sampled.service), sampled.lag.seconds)
        yield lag_bytes
        yield lag_seconds
        yield GaugeMetricFamily(
            "tracetail_agent_sources_under_way", "Sources that are being shipped.", value=self._shipping
        )
        yield GaugeMetricFamily("tracetail_agent_journal_bytes", "Size of the journal.", value=self._journal_bytes())
        for unit in ("lines", "bytes"):
            yield CounterMetricFamily(
                f"tracetail_agent_dropped_{unit}",
                f"{unit.capitalize()} that keepers could not write, according to their logs.",
                value=self._dropped[unit],
            )
        info = GaugeMetricFamily("tracetail_agent_info", "The agent's build; always 1.", labels=("version", "python"))
        info.add_metric((__version__, platform.python_version()), 1)
        yield info

    def _journal_bytes(self) -> int:
        size = 0
        for ending in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                size += Path(f"{self._journal}{ending}").stat().st_size
        return size
