"""Metrics of the followed logs and of the journal: lag, logs being shipped, lines dropped by keepers."""

import contextlib
import platform
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tracetail import __version__
from tracetail.agent.followed_log import FollowedLog
from tracetail.contract import events
from tracetail.contract.labels import SERVICE_NAME
from tracetail.contract.logline import parse_event

_SAMPLES_MAX = 128


class Lag:
    """The lag of one log in bytes, and in seconds: the age of the oldest byte that is not acknowledged.

    It is sampled regularly, and as exact as the samples are frequent. An idle log has none, and a line after an hour
    of silence does not start with a lag of an hour.
    """

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []  # a deque is ten times as large, and most are empty
        """When the log was first seen with a size, and that size in bytes."""
        self.bytes = 0
        self.seconds = 0.0

    def sample(self, now: float, acknowledged: int, backlog: int) -> None:
        """Update the lag at the time now (seconds), by the numbers of acknowledged and of waiting bytes."""
        written = acknowledged + backlog
        while self._samples and self._samples[0][1] <= acknowledged:
            del self._samples[0]
        if backlog and (not self._samples or self._samples[-1][1] < written):
            self._samples.append((now, written))
        if len(self._samples) > _SAMPLES_MAX:
            self._samples = self._samples[::2]
        self.bytes = backlog
        self.seconds = now - self._samples[0][0] if self._samples else 0.0


class _Sampled(NamedTuple):
    """One log at the last update."""

    kind: str
    service: str
    lag: Lag


_NO_LAG = Lag()
"""Shared by all logs that are asleep."""


class LogCollector(Collector):
    """Collects the metrics of followed logs and of the journal."""

    def __init__(self, journal: Path) -> None:
        """journal: the SQLite file."""
        self._journal = journal
        self._sampled: dict[str, _Sampled] = {}
        self._shipping = 0
        self._dropped: Counter[str] = Counter()

    def update(self, logs: Iterable[FollowedLog], shipping: int) -> None:
        """Sample the lag of each log; shipping: the number of those that are being shipped."""
        now = time.monotonic()
        sampled = {}
        for followed in logs:
            source = followed.source
            service = source.own_labels.get(SERVICE_NAME, "")
            known = self._sampled.get(source.key)
            if source.asleep:
                if known is None or known.lag is not _NO_LAG:
                    known = _Sampled(source.kind, service, _NO_LAG)
                sampled[source.key] = known
            elif followed.open:
                lag = known.lag if known and known.lag is not _NO_LAG else Lag()
                lag.sample(now, followed.bytes, followed.backlog())
                sampled[source.key] = _Sampled(source.kind, service, lag)
        self._sampled = sampled
        self._shipping = shipping

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
        for key, sampled in self._sampled.items():
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
