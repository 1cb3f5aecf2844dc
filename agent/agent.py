"""The agent: one process per machine that follows logs and ships them."""

import asyncio
import contextlib
import gc
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiohttp import web

from agent.delivery import Delivery
from agent.discovery import BadSettingsError, Discovery
from agent.files import FileSource, Inodes
from agent.journal import Journal
from agent.launches import Adopter, Outboxes, ShippedFiles, untold
from agent.ledger import Ledger
from agent.metrics import Metrics
from agent.pipeline import LOOK_EVERY_SECONDS, Pipeline, Room
from agent.rate import RateCap
from agent.reporting import Reporting
from agent.sender import LokiClient
from agent.settings import AgentSettings
from agent.sources import LaunchSource, Source
from agent.status import make_app
from contract.access import check_bind, parse_listen
from contract.loki import LokiSettings
from contract.redaction import DEFAULT_PATTERNS, Pattern, Redactor
from contract.state import launches_dir

log = logging.getLogger(__name__)

HOUSEKEEPING_EVERY_SECONDS = 1.0
TROUBLE_SECONDS = 2.0
"""Before a source that could not be read is tried again."""
QUIET_SECONDS = 10.0
"""A log in which nothing happened for so long is looked at less often."""
_QUIET_TURNS = 4
"""Quiet logs are looked at every so many times."""
_MANY = 256
_QUIET_TURNS_OF_MANY = 20
STOP_SECONDS = 5.0
"""How long the end may take: what is not acknowledged by then stays in the journal."""


class Ending(Enum):
    """Why the agent ended."""

    STOP = auto()
    RELOAD = auto()


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
        self._turn = 0
        self._inodes = Inodes()
        self._tasks: set[asyncio.Task[None]] = set()
        self._shipped = ShippedFiles()
        self._adopter = Adopter()
        self._delivery: Delivery
        self._ended: asyncio.Event
        self._ending = Ending.STOP
        self._started = time.time()

    async def run(self, announce: Callable[[str], None]) -> Ending:
        """Run until SIGTERM, SIGINT or SIGHUP. announce is given the address when everything is ready.

        Raises JournalError, OSError (the address is in use), UnsafeBindError, BadSettingsError, InvalidPatternError.
        """
        host, port = parse_listen("agent.listen", self._settings.listen)
        check_bind("the agent", host, has_secret=bool(self._settings.secret_file), secret_setting="agent.secret_file")  # noqa: S106
        self._ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number, ending in (
            (signal.SIGTERM, Ending.STOP),
            (signal.SIGINT, Ending.STOP),
            (signal.SIGHUP, Ending.RELOAD),
        ):
            loop.add_signal_handler(number, self._end, ending)
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
                        _freeze()
                        announce(address)
                        await self._take_up_what_is_gone(pipeline)
                        await self._follow(pipeline, discovery)
                    finally:
                        outboxes.cancel()
                        await asyncio.gather(outboxes, return_exceptions=True)
                        discovery.stop()
        finally:
            await asyncio.to_thread(self._journal.close)
        return self._ending

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
                    "labels": dict(source.labels(source.parser.ids)) if source.open else {},
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

    def _end(self, ending: Ending) -> None:
        self._ending = ending
        self._ended.set()

    async def _follow(self, pipeline: Pipeline, discovery: Discovery) -> None:
        housekeeping = 0.0
        while not self._ended.is_set():
            self._look(pipeline, discovery)
            now = time.monotonic()
            if now >= housekeeping:
                housekeeping = now + HOUSEKEEPING_EVERY_SECONDS
                await self._keep_house()
            await asyncio.sleep(LOOK_EVERY_SECONDS)
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
            self._sources.setdefault(source.key, source)
        now = time.monotonic()
        for source in self._in_turn(everything=at_once):
            if not source.busy and (at_once or now >= source.not_before) and (not source.open or source.look()):
                source.busy = True
                task = asyncio.create_task(self._ship(pipeline, source), name=f"ship {source.key}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _in_turn(self, *, everything: bool) -> Iterable[Source]:
        """Return the sources to look at now: all of them, or the lively ones and some of the quiet ones."""
        self._turn += 1
        if everything:
            return self._sources.values()
        turns = _QUIET_TURNS if len(self._sources) <= _MANY else _QUIET_TURNS_OF_MANY
        return [
            source
            for place, source in enumerate(self._sources.values())
            if (place + self._turn) % turns == 0 or not source.open or source.changed_within(QUIET_SECONDS)
        ]

    async def _ship(self, pipeline: Pipeline, source: Source) -> None:
        try:
            await pipeline.ship(source)
            source.trouble = ""
        except OSError as error:
            if source.trouble != str(error):
                log.error("cannot follow %s: %s", source.key, error)  # noqa: TRY400  (a trace would say no more)
            source.trouble = str(error)
            source.not_before = time.monotonic() + TROUBLE_SECONDS
        except Exception:
            # One source that cannot be followed must not be the end of the others.
            log.exception("cannot follow %s; trying again", source.key)
            source.not_before = time.monotonic() + TROUBLE_SECONDS
        finally:
            source.busy = False

    async def _keep_house(self) -> None:
        backlog = 0
        for source in list(self._sources.values()):
            if not source.open:
                continue
            backlog += source.backlog()
            if isinstance(source, LaunchSource):
                # Before it is told, not after: it may become complete while the file is written.
                told = source.complete and not source.busy
                await self._shipped.update(source)
                await self._adopter.look(source)
                if told:
                    source.close()
                    self._shipped.forget(source)
                    del self._sources[source.key]
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
        await self._keep_house()
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


def _freeze() -> None:
    """Spare the garbage collector what start-up made and never goes away: a tenth of all time went into it."""
    gc.collect()
    gc.freeze()


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
