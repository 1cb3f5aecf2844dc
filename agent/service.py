"""The agent: one process per machine that follows logs and ships them to Loki."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from tracetail.agent import allocator
from tracetail.agent.checked_settings import redactor_of, zone_of
from tracetail.agent.follow_loop import FollowLoop
from tracetail.agent.journal.database import Journal, journal_path
from tracetail.agent.launches.outbox import OutboxSender
from tracetail.agent.launches.shipped_file import launches_without_final_file
from tracetail.agent.metrics.counters import Metrics
from tracetail.agent.metrics.exporters import Exporters
from tracetail.agent.metrics.http import make_app
from tracetail.agent.pipeline import Pipeline
from tracetail.agent.reading.discovery import Discovery
from tracetail.agent.resume import Resumer
from tracetail.agent.settings import AgentSettings
from tracetail.agent.shipping.delivery import Delivery
from tracetail.agent.shipping.in_flight import ReadSlots
from tracetail.agent.shipping.rate_limit import RateLimit
from tracetail.contract.access import check_bind, parse_listen
from tracetail.contract.request_time import limit_request_time
from tracetail.contract.secret_file import read_secret
from tracetail.loki.client import LokiClient
from tracetail.loki.settings import LokiSettings

log = logging.getLogger(__name__)


class Agent:
    """Follows the logs that discovery finds and ships them, until it is stopped."""

    def __init__(
        self,
        settings: AgentSettings,
        loki: LokiSettings,
        state_dirs: Sequence[Path],
        host: str,
        secret_file: str = "",
    ) -> None:
        """Prepare.

        Args:
            settings: of the agent.
            loki: where to.
            state_dirs: whose launches are followed; the journal is in the first.
            host: this machine's name.
            secret_file: file with the secret that clients must send, unless the settings name one.

        """
        self._secret_file = settings.secret_file or secret_file
        self._settings = settings
        self._loki = loki
        self._state_dirs = state_dirs
        self._host = host
        self._journal = Journal(journal_path(state_dirs[0]))
        self.metrics = Metrics()
        self._exporters = Exporters(settings, self.metrics.registry, state_dirs, self._journal.path, host)
        self._delivery: Delivery
        self._loop: FollowLoop
        self._discovery: Discovery
        self._started = time.time()

    async def run(self, announce: Callable[[str], None], ended: asyncio.Event) -> None:
        """Run until ended is set. announce is called with the HTTP address once everything is ready.

        Raises JournalError, OSError (the address is in use), UnsafeBindError, BadSettingsError, InvalidPatternError,
        LokiSettingsError, SecretFileError.
        """
        host, port = parse_listen("agent.listen", self._settings.listen)
        check_bind("the agent", host, has_secret=bool(self._settings.secret_file), secret_setting="agent.secret_file")  # noqa: S106
        if self._secret_file:
            read_secret("agent.secret_file", self._secret_file)
        allocator.tune_allocator()
        self._journal.open()
        if self._journal.corrupt:
            log.error(
                "the journal was corrupt and is kept as %s; with a new one, logs are read from their start again",
                self._journal.corrupt,
            )
        try:
            async with LokiClient(self._loki) as client:
                discovery = await self._connect(client)
                app = make_app(self.metrics if self._settings.serve_metrics else None, self.status, self._secret_file)
                async with _listening(app, host, port) as address, self._exporters.running():
                    await self._follow(discovery, lambda: announce(address), ended)
        finally:
            await asyncio.to_thread(self._journal.close)

    async def _connect(self, client: LokiClient) -> Discovery:
        """Create the parts from discovery to delivery; return the first of them."""
        settings = self._settings
        structured = self._loki.structured_metadata
        slots = ReadSlots()
        self._delivery = Delivery(
            self._journal,
            client,
            self.metrics,
            sleep=slots.sleep,
            rate_limit=RateLimit(settings.rate_limit_kib_per_second * 1024),
        )
        resumer = Resumer(self._journal, zone=zone_of(settings.timezone), structured_metadata=structured)
        pipeline = Pipeline(
            resumer,
            self._delivery,
            redactor_of(settings),
            self.metrics,
            slots,
            body_max_bytes=settings.batch_kib * 1024,
            linger_seconds=settings.linger_seconds,
            structured_metadata=structured,
            observers=[self._exporters.observe],
        )
        open_files = await resumer.open_files()
        completed = await resumer.completed()
        completed -= launches_without_final_file(self._state_dirs, completed)
        discovery = self._discovery = Discovery(self._state_dirs, settings, self._host, completed, open_files)
        self._loop = FollowLoop(pipeline, discovery, self._exporters, open_files)
        return discovery

    async def _follow(self, discovery: Discovery, announce: Callable[[], None], ended: asyncio.Event) -> None:
        discovery.start()
        outboxes = asyncio.create_task(OutboxSender(self._state_dirs).run(), name="outboxes")
        try:
            allocator.freeze()
            announce()
            await self._loop.run(self._state_dirs, ended)
        finally:
            outboxes.cancel()
            await asyncio.gather(outboxes, return_exceptions=True)
            discovery.stop()

    def status(self) -> dict[str, Any]:
        """Return what /status shows."""
        error = self._delivery.health.error
        return {
            "healthy": not error,
            "error": error,
            "uptimeSeconds": round(time.time() - self._started, 1),
            "loki": self._loki.url,
            "globs": [{"glob": glob, "files": count} for glob, count in self._discovery.matches.items()],
            "sources": [followed.status() for followed in self._loop.logs],
        }


@contextlib.asynccontextmanager
async def _listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve app within the block, and yield its URL."""
    runner = limit_request_time(web.AppRunner(app, access_log=None))
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        actual = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{actual}"
    finally:
        await runner.cleanup()
