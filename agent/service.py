"""The agent: one process per machine that follows logs and ships them."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiohttp import web

from tracetail.agent import allocator
from tracetail.agent.journal.database import Journal
from tracetail.agent.launches.launches import Adopter, Outboxes, ShippedFiles, untold
from tracetail.agent.metrics.counters import Metrics
from tracetail.agent.metrics.exporters import Reporting
from tracetail.agent.metrics.http import make_app
from tracetail.agent.pipeline import Pipeline, Room
from tracetail.agent.poll_schedule import Rounds
from tracetail.agent.reading.discovery import BadSettingsError, Discovery
from tracetail.agent.reading.file_source import FileSource, Inodes
from tracetail.agent.reading.source import LaunchSource, Source
from tracetail.agent.resume import Ledger
from tracetail.agent.settings import AgentSettings
from tracetail.agent.shipping.delivery import Delivery
from tracetail.agent.shipping.rate_limit import RateCap
from tracetail.contract.access import check_bind, parse_listen
from tracetail.contract.masking import DEFAULT_PATTERNS, Pattern
from tracetail.contract.redaction import Redactor
from tracetail.contract.secret_file import read_secret
from tracetail.contract.state import launches_dir
from tracetail.loki.client import LokiClient
from tracetail.loki.settings import LokiSettings

log = logging.getLogger(__name__)

HOUSEKEEPING_EVERY_SECONDS = 1.0
TROUBLE_SECONDS = 2.0
"""Before a source that could not be read is tried again."""
STOP_SECONDS = 5.0
"""How long the end may take: what is not acknowledged by then stays in the journal."""


def journal_path(state_dir: Path) -> Path:
    """Return where the agent's journal is."""
    return state_dir / "agent" / "journal.db"


class Agent:
    """Follows what discovery finds and ships it, until it is told to stop."""

    def __init__(self, settings: AgentSettings, loki: LokiSettings, state_dirs: Sequence[Path], host: str) -> None:
        """state_dirs: whose launches are followed; the journal is in the first. host: this machine's name."""
        self._settings = settings
        self._loki = loki
        self._state_dirs = state_dirs
        self._host = host
        self._journal = Journal(journal_path(state_dirs[0]))
        self.metrics = Metrics()
        self._reporting = Reporting(
            settings, self.metrics.registry, state_dirs, journal=journal_path(state_dirs[0]), host=host
        )
        self._sources: dict[str, Source] = {}
        self._rounds = Rounds()
        self._inodes = Inodes()
        self._tasks: set[asyncio.Task[None]] = set()
        self._shipped = ShippedFiles()
        self._adopter = Adopter()
        self._delivery: Delivery
        self._started = time.time()

    async def run(self, announce: Callable[[str], None], ended: asyncio.Event) -> None:
        """Run until ended is set. announce is given the address when everything is ready.

        Raises JournalError, OSError (the address is in use), UnsafeBindError, BadSettingsError, InvalidPatternError,
        LokiSettingsError, SecretFileError.
        """
        host, port = parse_listen("agent.listen", self._settings.listen)
        check_bind("the agent", host, has_secret=bool(self._settings.secret_file), secret_setting="agent.secret_file")  # noqa: S106
        if self._settings.secret_file:
            read_secret("agent.secret_file", self._settings.secret_file)
        allocator.tune_allocator()
        self._journal.open()
        if self._journal.corrupt:
            log.error(
                "the journal was corrupt; it is kept as %s and a new one begun: logs are read from their start again",
                self._journal.corrupt,
            )
        try:
            async with LokiClient(self._loki) as client:
                pipeline = self._pipeline(client)
                self._inodes = await pipeline.ledger.inodes()
                completed = await pipeline.ledger.completed()
                discovery = Discovery(
                    self._state_dirs,
                    self._settings,
                    self._host,
                    completed - untold(self._state_dirs, completed),
                    self._inodes,
                )
                async with (
                    _listening(
                        make_app(
                            self.metrics if self._settings.serve_metrics else None,
                            self.status,
                            self._settings.secret_file,
                        ),
                        host,
                        port,
                    ) as address,
                    self._reporting.running(),
                ):
                    discovery.start()
                    outboxes = asyncio.create_task(Outboxes(self._state_dirs).run(), name="outboxes")
                    try:
                        allocator.freeze()
                        announce(address)
                        await self._take_up_what_is_gone(pipeline)
                        await self._follow(pipeline, discovery, ended)
                    finally:
                        outboxes.cancel()
                        await asyncio.gather(outboxes, return_exceptions=True)
                        await self._adopter.stop()
                        discovery.stop()
        finally:
            await asyncio.to_thread(self._journal.close)

    def status(self) -> dict[str, Any]:
        """Return what /status shows."""
        error = self._delivery.last_error
        return {
            "healthy": not error,
            "error": error,
            "uptimeSeconds": round(time.time() - self._started, 1),
            "loki": self._loki.url,
            "sources": [
                {
                    "key": source.key,
                    "kind": source.kind,
                    "labels": dict(source.labels(source.parser.ids) if source.open else source.own_labels),
                    "lines": source.lines,
                    "bytes": source.bytes,
                    "rejected": source.rejected,
                    "redacted": source.redacted,
                    "backlogBytes": source.backlog() if source.open else 0,
                    "complete": source.complete,
                }
                for source in self._sources.values()
            ],
        }

    def _pipeline(self, client: LokiClient) -> Pipeline:
        room = Room()
        rate_cap = RateCap(self._settings.rate_limit_kib_per_second * 1024)
        self._delivery = Delivery(self._journal, client, self.metrics, sleep=room.pause, rate_cap=rate_cap)
        structured = self._loki.structured_metadata
        return Pipeline(
            Ledger(self._journal, zone=zone_of(self._settings.timezone), structured_metadata=structured),
            self._delivery,
            redactor_of(self._settings),
            self.metrics,
            room,
            body_max_bytes=self._settings.batch_kib * 1024,
            linger_seconds=self._settings.linger_seconds,
            structured_metadata=structured,
            observers=[self._reporting.observe],
        )

    async def _follow(self, pipeline: Pipeline, discovery: Discovery, ended: asyncio.Event) -> None:
        housekeeping = 0.0
        while not ended.is_set():
            self._look(pipeline, discovery)
            now = time.monotonic()
            if now >= housekeeping:
                housekeeping = now + HOUSEKEEPING_EVERY_SECONDS
                await self._keep_house(discovery)
            await asyncio.sleep(self._rounds.wait_seconds())
        await self._finish(pipeline, discovery)

    async def _take_up_what_is_gone(self, pipeline: Pipeline) -> None:
        """Finish what was begun with logs that are not there any more, and that discovery cannot find."""
        for name, labels in (await pipeline.ledger.begun_files()).items():
            path = Path(name)
            if not await asyncio.to_thread(path.exists):
                self._sources[name] = FileSource(path, labels, self._inodes)
        for launch_id, batches in (await pipeline.ledger.begun_launches()).items():
            if not any((launches_dir(state_dir) / launch_id).exists() for state_dir in self._state_dirs):
                task = asyncio.create_task(pipeline.settle(batches), name=f"settle {launch_id}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _look(self, pipeline: Pipeline, discovery: Discovery, *, at_once: bool = False) -> None:
        """Take up new sources, and begin to ship wherever there is something to read."""
        for source in discovery.scan():
            if self._sources.setdefault(source.key, source) is source:
                self._rounds.stir(source)
        now = time.monotonic()
        for source in list(self._sources.values()) if at_once else self._rounds.next():
            if not source.busy and (at_once or now >= source.not_before) and self._is_to_be_shipped(source):
                self._rounds.stir(source)
                self._begin_to_ship(pipeline, source)

    def _is_to_be_shipped(self, source: Source) -> bool:
        try:
            return source.look() if source.open or source.asleep else True
        except Exception as error:  # noqa: BLE001  (one that cannot be looked at must not be the end of the others)
            self._in_trouble(source, error)
            return False

    def _begin_to_ship(self, pipeline: Pipeline, source: Source) -> None:
        source.busy = True
        task = asyncio.create_task(self._ship(pipeline, source), name=f"ship {source.key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ship(self, pipeline: Pipeline, source: Source) -> None:
        try:
            await pipeline.ship(source)
            source.trouble = ""
        except Exception as error:  # noqa: BLE001  (one that cannot be followed must not be the end of the others)
            self._in_trouble(source, error)
        finally:
            source.busy = False

    def _in_trouble(self, source: Source, error: Exception) -> None:
        """Say why a source cannot be followed, once, and let it be tried again."""
        if source.trouble != repr(error):
            source.trouble = repr(error)
            if isinstance(error, OSError):
                log.error("cannot follow %s: %s", source.key, error)
            else:
                log.error("cannot follow %s; trying again", source.key, exc_info=error)
        source.not_before = time.monotonic() + TROUBLE_SECONDS
        if source.open and (not isinstance(error, OSError) or source.is_ahead()):
            # What was read and not delivered is in the journal, or must be read again: go on from what it says.
            source.begin_anew()

    async def _keep_house(self, discovery: Discovery) -> None:
        backlog = 0
        for source in list(self._sources.values()):
            if source.is_gone and not source.busy:
                source.close()
                discovery.forget(source.key)
                del self._sources[source.key]
            if not source.open:
                continue
            backlog += source.backlog()
            if isinstance(source, LaunchSource):
                # Before it is told, not after: it may become complete while the file is written.
                told = source.complete and not source.busy
                written = await self._shipped.update(source)
                self._adopter.look(source)
                if told and written:
                    source.close()
                    self._shipped.forget(source)
                    self._adopter.forget(source)
                    del self._sources[source.key]
        self._rounds.sort(self._sources.values())
        self._reporting.look(self._sources.values(), under_way=len(self._tasks))
        self.metrics.backlog.set(backlog)
        self.metrics.sources.set(len(self._sources))

    async def _finish(self, pipeline: Pipeline, discovery: Discovery) -> None:
        """Ship what is written already, for a while; what cannot be sent stays in the journal."""
        deadline = time.monotonic() + STOP_SECONDS
        self._look(pipeline, discovery, at_once=True)
        while self._tasks and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait(set(self._tasks), timeout=left)
        pipeline.stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._keep_house(discovery)
        for source in self._sources.values():
            source.close()


@contextlib.asynccontextmanager
async def _listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        actual = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{actual}"
    finally:
        await runner.cleanup()


def redactor_of(settings: AgentSettings) -> Redactor:
    """Return what masks the common secrets and the configured ones. Raises InvalidPatternError."""
    return Redactor((*DEFAULT_PATTERNS, *(Pattern(one.name, one.regex) for one in settings.redact)))


def zone_of(name: str) -> ZoneInfo | None:
    """Return the configured time zone; None for the machine's. Raises BadSettingsError."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise BadSettingsError(
            f"agent.timezone is {name!r}, which is not a time zone; expected one as Europe/Berlin"
        ) from error
