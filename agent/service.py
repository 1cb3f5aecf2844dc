"""The agent: one process per machine that follows logs and ships them to Loki."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from tracetail.agent.journal.database import Journal, journal_path
from tracetail.agent.kafka_settings import KafkaSettings
from tracetail.agent.launches.heartbeat_sender import HeartbeatSender
from tracetail.agent.launches.outbox import OutboxSender
from tracetail.agent.metrics.counters import Metrics
from tracetail.agent.metrics.exporters import Exporters
from tracetail.agent.metrics.http import make_app
from tracetail.agent.metrics.output_metrics import OutputMetrics
from tracetail.agent.model import KAFKA, LOKI, OTLP
from tracetail.agent.otlp_settings import OtlpSettings
from tracetail.agent.output import Output, OutputPlan, connect
from tracetail.agent.settings import AgentSettings
from tracetail.agent.shipping.delivery import Delivery
from tracetail.agent.shipping.in_flight import ReadSlots
from tracetail.agent.shipping.rate_limit import RateLimit
from tracetail.contract import allocator
from tracetail.contract.access import check_bind, listen_error, parse_listen
from tracetail.contract.request_time import limit_request_time
from tracetail.contract.secret_file import read_secret
from tracetail.loki.client import LokiClient
from tracetail.loki.settings import LokiSettings

log = logging.getLogger(__name__)

_GIVE_BACK_SECONDS = 60.0
"""So often memory that is free is given back: after a backlog some megabytes."""


class Agent:
    """Follows the logs that discovery finds and ships them, until it is stopped."""

    def __init__(
        self,
        settings: AgentSettings,
        loki: LokiSettings,
        state_dirs: Sequence[Path],
        host: str,
        secret_file: str = "",
        kafka: KafkaSettings = KafkaSettings(),  # noqa: B008  (it is immutable)
        otlp: OtlpSettings = OtlpSettings(),  # noqa: B008
    ) -> None:
        """Prepare.

        Args:
            settings: of the agent.
            loki: where to.
            state_dirs: whose launches are followed; the journal is in the first.
            host: this machine's name.
            secret_file: file with the secret that clients must send, unless the settings name one.
            kafka: a topic to send lines to, too.
            otlp: an OTLP receiver to send lines to, too.

        """
        self._secret_file = settings.secret_file or secret_file
        self._settings = settings
        self._loki = loki
        self._state_dirs = state_dirs
        self._host = host
        self._kafka = kafka
        self._journal = Journal(journal_path(state_dirs[0]))
        self._otlp = otlp
        self._kafka_journal = Journal(journal_path(state_dirs[0], KAFKA))
        self._otlp_journal = Journal(journal_path(state_dirs[0], OTLP))
        self.metrics = Metrics()
        self._exporters = Exporters(settings, self.metrics, state_dirs, self._journal.path, host)
        self._outputs: list[Output] = []
        self._started = time.time()

    async def run(self, announce: Callable[[str], None], ended: asyncio.Event) -> None:
        """Run until ended is set. announce is called with the HTTP address once everything is ready.

        Raises JournalError, OSError (the address is in use), UnsafeBindError, BadSettingsError, InvalidPatternError,
        HttpSettingsError, KafkaSettingsError, SecretFileError.
        """
        host, port = parse_listen("agent.listen", self._settings.listen)
        check_bind("the agent", host, has_secret=bool(self._settings.secret_file), secret_setting="agent.secret_file")  # noqa: S106
        if self._secret_file:
            read_secret("agent.secret_file", self._secret_file)
        allocator.tune_allocator()
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(_opened(self._journal))
            client = await stack.enter_async_context(LokiClient(self._loki))
            plans = [self._loki_plan(client)]
            if self._kafka.is_set:
                plans.append(await self._kafka_plan(stack))
            if self._otlp.is_set:
                plans.append(await self._otlp_plan(stack))
            self._outputs = await connect(plans, self._settings, self._state_dirs, self._host)
            app = make_app(self.metrics if self._settings.serve_metrics else None, self.status, self._secret_file)
            address = await stack.enter_async_context(_listening(app, host, port))
            await stack.enter_async_context(self._exporters.running())
            await self._follow(client, lambda: announce(address), ended)

    def _loki_plan(self, client: LokiClient) -> OutputPlan:
        settings = self._settings
        slots = ReadSlots()
        rate_limit = RateLimit(settings.rate_limit_kib_per_second * 1024)
        return OutputPlan(
            LOKI,
            self._loki.url,
            self._journal,
            Delivery(self._journal, client, self.metrics, sleep=slots.sleep, rate_limit=rate_limit),
            slots,
            self.metrics,
            self._exporters.followed,
            body_max_bytes=settings.batch_kib * 1024,
            structured_metadata=self._loki.structured_metadata,
            observers=[self._exporters.observe],
        )

    async def _kafka_plan(self, stack: contextlib.AsyncExitStack) -> OutputPlan:
        """Open producer and journal on the stack. Raises KafkaSettingsError, JournalError, OSError."""
        from tracetail.agent.shipping import kafka_delivery  # noqa: PLC0415  (few configure Kafka)
        from tracetail.agent.shipping.kafka_producer import KafkaProducer  # noqa: PLC0415

        producer = KafkaProducer(self._kafka)
        producer.open()
        stack.push_async_callback(producer.close)
        await stack.enter_async_context(_opened(self._kafka_journal))
        slots = ReadSlots()
        metrics = OutputMetrics(self.metrics.outputs, KAFKA)
        return OutputPlan(
            KAFKA,
            self._kafka.target,
            self._kafka_journal,
            kafka_delivery.KafkaDelivery(self._kafka_journal, producer, metrics, sleep=slots.sleep),
            slots,
            metrics,
            metrics.followed,
            body_max_bytes=kafka_delivery.BODY_MAX_BYTES,
        )

    async def _otlp_plan(self, stack: contextlib.AsyncExitStack) -> OutputPlan:
        """Open client and journal on the stack. Raises HttpSettingsError, JournalError, OSError."""
        self._otlp.check_client()
        # They import the messages, which are an extra of the package.
        from tracetail.agent.shipping import otlp_delivery  # noqa: PLC0415
        from tracetail.agent.shipping.otlp_client import OtlpClient  # noqa: PLC0415

        client = await stack.enter_async_context(OtlpClient(self._otlp))
        journal = self._otlp_journal
        await stack.enter_async_context(_opened(journal))
        slots = ReadSlots()
        metrics = OutputMetrics(self.metrics.outputs, OTLP)
        return OutputPlan(
            OTLP,
            self._otlp.url,
            journal,
            otlp_delivery.OtlpDelivery(journal, client, metrics, sleep=slots.sleep),
            slots,
            metrics,
            metrics.followed,
            body_max_bytes=otlp_delivery.BODY_MAX_BYTES,
        )

    async def _follow(self, client: LokiClient, announce: Callable[[], None], ended: asyncio.Event) -> None:
        for output in self._outputs:
            output.discovery.start()
        heartbeats = HeartbeatSender(
            client, self._settings.heartbeat_seconds, self._settings.labels, self._outputs[0].loop.running_launches
        )
        beside = [
            asyncio.create_task(OutboxSender(self._state_dirs).run(), name="outboxes"),
            asyncio.create_task(heartbeats.run(), name="heartbeats"),
            asyncio.create_task(_give_back_memory(), name="memory"),
        ]
        try:
            allocator.freeze()
            announce()
            await _all_or_none(output.loop.run(self._state_dirs, ended) for output in self._outputs)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            for output in self._outputs:
                output.discovery.stop()

    def status(self) -> dict[str, Any]:
        """Return what /status shows."""
        loki, *_ = self._outputs
        error = "; ".join(output.error for output in self._outputs if output.error)
        return {
            "healthy": not error,
            "error": error,
            "uptimeSeconds": round(time.time() - self._started, 1),
            "loki": self._loki.url,
            "globs": [{"glob": glob, "files": count} for glob, count in loki.discovery.matches.items()],
            "sources": [followed.status() for followed in loki.loop.logs],
            "outputs": [output.status() for output in self._outputs],
        }


async def _give_back_memory() -> None:
    """Give free memory back again and again, until cancelled."""
    while True:
        await asyncio.sleep(_GIVE_BACK_SECONDS)
        allocator.give_back()


async def _all_or_none(runs: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all; if one fails, end the others, and raise its exception."""
    tasks = [asyncio.create_task(run) for run in runs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def _opened(journal: Journal) -> AsyncIterator[None]:
    """Open a journal for the block. Raises JournalError, OSError."""
    journal.open()
    if journal.corrupt:
        log.error(
            "the journal was corrupt and is kept as %s; with a new one, logs are read from their start again",
            journal.corrupt,
        )
    try:
        yield
    finally:
        await asyncio.to_thread(journal.close)


@contextlib.asynccontextmanager
async def _listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve app within the block, and yield its URL."""
    # Without it the body of a request without the secret, too, would be decompressed: seconds for a megabyte.
    runner = limit_request_time(web.AppRunner(app, access_log=None, auto_decompress=False))
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise listen_error("agent.listen", host, port, error) from error
        actual = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{actual}"
    finally:
        await runner.cleanup()
