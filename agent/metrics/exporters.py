"""Puts the agent's metrics and those of the servers together, and sends them where they are wanted.

They leave in three ways, each switchable: scraped at /metrics (http.py), pushed to a Pushgateway (pushgateway.py),
sent by remote write (remote_write.py).
"""

import asyncio
import contextlib
import logging
import platform
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tracetail import __version__
from tracetail.agent.metrics.lag import Lag
from tracetail.agent.metrics.pushgateway import Pushgateway, push_regularly
from tracetail.agent.metrics.remote_write import RemoteWriter, write_regularly
from tracetail.agent.metrics.server_collector import ServerMetrics
from tracetail.agent.pipeline import Observed
from tracetail.agent.reading.source import Source
from tracetail.agent.settings import AgentSettings
from tracetail.contract import events
from tracetail.contract.http_headers import authorization
from tracetail.contract.labels import LAUNCH_ID, SERVICE_NAME
from tracetail.contract.logline import parse_event
from tracetail.contract.nvml import Devices

log = logging.getLogger(__name__)


class Reporting:
    """What this agent reports: knows the sources by regular looks and the lines by observing the pipeline."""

    def __init__(
        self,
        settings: AgentSettings,
        registry: CollectorRegistry,
        state_dirs: Sequence[Path],
        *,
        journal: Path,
        host: str,
    ) -> None:
        """Register with registry. state_dirs: whose launches are reported; journal: the agent's SQLite file."""
        self._settings = settings
        self._registry = registry
        self._host = host
        self._servers = ServerMetrics(
            lambda: state_dirs,
            keep_ended_seconds=settings.metrics_keep_ended_seconds,
            now=time.time,
            devices=Devices.find(),
        )
        self._sources = _SourceMetrics(journal)
        registry.register(self._servers)
        registry.register(self._sources)

    def observe(self, source: Source, observed: Observed) -> None:
        """Take note of lines that were shipped; an observer of the pipeline."""
        launch_id = observed.labels.get(LAUNCH_ID)
        if source.kind == "launch" and launch_id is not None:
            self._servers.observe(launch_id, [text for _, text in observed.stats], observed.levels)
            self._sources.note_events([text for _, text in observed.events])

    def look(self, sources: Iterable[Source], under_way: int) -> None:
        """Take note of how far each source is, and how many are being shipped; call it every second or so."""
        self._sources.look(sources, under_way)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Push and write, where the settings want it, for as long as the block runs."""
        async with aiohttp.ClientSession() as session:
            tasks = [asyncio.create_task(loop, name=name) for name, loop in self._loops(session)]
            for task in tasks:
                task.add_done_callback(_tell_of_failure)
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _loops(self, session: aiohttp.ClientSession) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        settings = self._settings
        if settings.pushgateway_url:
            gateway = Pushgateway(
                session,
                settings.pushgateway_url,
                job=settings.metrics_job,
                host=self._host,
                headers=lambda: pushgateway_headers(settings),
            )
            interval = settings.pushgateway_interval_seconds
            yield "pushgateway", push_regularly(gateway, self._registry, interval_seconds=interval)
        if settings.remote_write_url:
            writer = RemoteWriter(
                session,
                settings.remote_write_url,
                headers=lambda: remote_write_headers(settings),
            )
            yield (
                "remote write",
                write_regularly(
                    writer,
                    self._registry,
                    labels={"job": settings.metrics_job, "host": self._host},
                    interval_seconds=settings.remote_write_interval_seconds,
                    now=time.time,
                ),
            )


class _Seen(NamedTuple):
    """One source at the last look."""

    kind: str
    service: str
    lag: Lag


_NO_LAG = Lag()
"""Of all sources that are asleep."""


class _SourceMetrics(Collector):
    """What is true of the agent's sources and journal at the moment of the scrape."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._seen: dict[str, _Seen] = {}
        self._under_way = 0
        self._dropped: Counter[str] = Counter()

    def look(self, sources: Iterable[Source], under_way: int) -> None:
        now = time.monotonic()
        seen = {}
        for source in sources:
            known = self._seen.get(source.key)
            if source.asleep:
                if known is None or known.lag is not _NO_LAG:
                    known = _Seen(source.kind, source.own_labels.get(SERVICE_NAME, ""), _NO_LAG)
                seen[source.key] = known
            elif source.open:
                lag = known.lag if known and known.lag is not _NO_LAG else Lag()
                lag.look(now, source.bytes, source.backlog())
                seen[source.key] = _Seen(source.kind, source.own_labels.get(SERVICE_NAME, ""), lag)
        self._seen = seen
        self._under_way = under_way

    def note_events(self, texts: Iterable[bytes]) -> None:
        for text in texts:
            event = parse_event(text.decode(errors="replace"))
            if event.name == events.DROPPED:
                for unit in ("lines", "bytes"):
                    with contextlib.suppress(ValueError):
                        self._dropped[unit] += int(event.fields.get(unit, "0"))

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        labels = ("source", "kind", "service_name")
        lag_bytes = GaugeMetricFamily(
            "tracetail_agent_lag_bytes", "Bytes of a source that are written and not acknowledged.", labels=labels
        )
        lag_seconds = GaugeMetricFamily(
            "tracetail_agent_lag_seconds", "Age of the oldest byte that is not acknowledged.", labels=labels
        )
        for key, seen in self._seen.items():
            lag_bytes.add_metric((key, seen.kind, seen.service), seen.lag.bytes)
            lag_seconds.add_metric((key, seen.kind, seen.service), seen.lag.seconds)
        yield lag_bytes
        yield lag_seconds
        yield GaugeMetricFamily(
            "tracetail_agent_sources_under_way", "Sources of which lines are being shipped.", value=self._under_way
        )
        yield GaugeMetricFamily("tracetail_agent_journal_bytes", "Size of the journal.", value=self._journal_bytes())
        for unit in ("lines", "bytes"):
            yield CounterMetricFamily(
                f"tracetail_agent_dropped_{unit}",
                f"{unit.capitalize()} that keepers could not write, as their logs tell.",
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


def pushgateway_headers(settings: AgentSettings) -> Mapping[str, str]:
    """Return the Authorization header for the Pushgateway. Reads the file. Raises SecretFileError."""
    return authorization(
        "agent.pushgateway_",
        username=settings.pushgateway_username,
        password_file=settings.pushgateway_password_file,
    )


def remote_write_headers(settings: AgentSettings) -> Mapping[str, str]:
    """Return the Authorization header for the remote-write receiver. Reads the file. Raises SecretFileError."""
    return authorization(
        "agent.remote_write_",
        username=settings.remote_write_username,
        password_file=settings.remote_write_password_file,
        bearer_token_file=settings.remote_write_bearer_token_file,
    )


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s has ended: %r", task.get_name(), error, exc_info=error)
