"""Combines the agent's metrics with those of the servers, and exports them.

There are three ways, each with its own settings: scraped at /metrics (http.py), pushed to a Pushgateway
(pushgateway.py), sent by remote write (remote_write.py).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from tracetail.agent.followed_log import FollowedLog
from tracetail.agent.metrics.counters import Metrics
from tracetail.agent.metrics.log_collector import LogCollector
from tracetail.agent.metrics.server_collector import ServerMetrics
from tracetail.agent.model import BatchSummary
from tracetail.agent.settings import AgentSettings
from tracetail.contract import accelerators
from tracetail.contract.http_headers import authorization
from tracetail.contract.labels import LAUNCH_ID

log = logging.getLogger(__name__)

DEVICES_MAX_AGE_SECONDS = 10.0
"""How often npu-smi is called at most; NVML is asked at each collection."""


class Exporters:
    """Registers the collectors, passes them what the agent reads, and runs the configured exports."""

    def __init__(
        self,
        settings: AgentSettings,
        metrics: Metrics,
        state_dirs: Sequence[Path],
        journal: Path,
        host: str,
    ) -> None:
        """metrics: where the collectors register. state_dirs: whose launches are reported."""
        self._settings = settings
        self._metrics = metrics
        self._registry = registry = metrics.registry
        self._host = host
        self._servers = ServerMetrics(
            lambda: state_dirs,
            keep_ended_seconds=settings.metrics_keep_ended_seconds,
            now=time.time,
            devices=accelerators.find(DEVICES_MAX_AGE_SECONDS),
        )
        self._logs = LogCollector(journal)
        registry.register(self._servers)
        registry.register(self._logs)

    def observe(self, followed: FollowedLog, summary: BatchSummary) -> None:
        """Pass the summary of an acknowledged batch to the collectors; an observer of the pipeline."""
        launch_id = summary.labels.get(LAUNCH_ID)
        if followed.source.kind == "launch" and launch_id is not None:
            self._servers.observe(launch_id, [text for _, text in summary.stats], summary.levels)
            self._logs.count_dropped([text for _, text in summary.events])

    def followed(self, logs: Collection[FollowedLog], *, shipping: int, backlog: int) -> None:
        """Take the state of all logs. shipping: the number of those that are being shipped. backlog: in bytes."""
        self._logs.update(logs, shipping)
        self._metrics.followed(len(logs), backlog=backlog, lag_seconds=self._logs.lag_seconds())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the configured exports within the block."""
        async with aiohttp.ClientSession() as session:
            tasks = [asyncio.create_task(loop, name=name) for name, loop in self._loops(session)]
            for task in tasks:
                task.add_done_callback(_log_failure)
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _loops(self, session: aiohttp.ClientSession) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """Yield name and loop of each configured export; what one needs is imported with it."""
        settings = self._settings
        if settings.pushgateway_url:
            from tracetail.agent.metrics.pushgateway import Pushgateway, push_regularly  # noqa: PLC0415

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
            from tracetail.agent.metrics.remote_write import RemoteWriter, write_regularly  # noqa: PLC0415

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


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s has ended: %r", task.get_name(), error, exc_info=error)
