"""Runs the store: connects database, writer, reader and HTTP server, and stops them in order."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from aiohttp import web

from tracetail.contract import allocator
from tracetail.contract.access import listen_error
from tracetail.contract.request_time import limit_request_time
from tracetail.contract.secret_file import SecretFile
from tracetail.contract.state import state_dir
from tracetail.store.disk.database import Database
from tracetail.store.disk.reader import Reader
from tracetail.store.http.metrics import Metrics
from tracetail.store.http.server import Server
from tracetail.store.http.tail import Tails
from tracetail.store.ingest.limits import TimeWindow
from tracetail.store.ingest.retention import Retention
from tracetail.store.ingest.writer import Stored, Writer
from tracetail.store.logql.parser import parse
from tracetail.store.query_priority import QueryPriority
from tracetail.store.settings import StoreSettings

_DAY_NS = 24 * 3600 * 10**9
_MINUTE_NS = 60 * 10**9
_REQUEST_LINE_MAX_BYTES = 256 * 1024
"""A GET request has its query, which may be long, in the request line."""


def database_path(settings: StoreSettings) -> Path:
    """Return the path of the database file."""
    return Path(settings.path) if settings.path else state_dir(os.environ) / "store" / "store.db"


async def serve(
    settings: StoreSettings, host: str, port: int, secret: SecretFile, on_listening: Callable[[str], None]
) -> None:
    """Run the store until SIGTERM or SIGINT. Raises DatabaseError or ListenError.

    secret: the bearer token that clients must send; it may be empty.
    on_listening: called with the store's URL once it accepts connections.
    """
    allocator.tune_allocator()
    # Loads the grammar, so that the first query is not slow.
    parse("vector(1)")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with closing(Database(database_path(settings))) as database:
        database.open()
        tails = Tails()
        priority = QueryPriority()
        writer = Writer(
            database,
            _window(settings),
            _retention(settings),
            on_stored=_publisher(tails, loop),
            priority=priority,
        )
        with closing(Reader(database)) as reader:
            metrics = Metrics(writer.counts, database, tails)
            server = Server(settings, writer, reader, tails=tails, metrics=metrics, priority=priority, secret=secret)
            writer.start()
            runner = _runner(server)
            try:
                await runner.setup()
                on_listening(await _listen(runner, host, port))
                allocator.freeze()
                await stop.wait()
            finally:
                # In this order: requests that wait for the writer get their answer before it stops.
                await runner.cleanup()
                await asyncio.to_thread(writer.stop)


def _publisher(tails: Tails, loop: asyncio.AbstractEventLoop) -> Callable[[list[Stored]], None]:
    """Return a function for the writer's thread that passes stored entries to the tails in the event loop."""

    def publish(stored: list[Stored]) -> None:
        if len(tails):
            loop.call_soon_threadsafe(tails.publish, stored)

    return publish


def _runner(server: Server) -> web.AppRunner:
    runner = web.AppRunner(
        server.application(),
        access_log=None,
        auto_decompress=False,
        handler_cancellation=True,
        max_line_size=_REQUEST_LINE_MAX_BYTES,
    )
    return limit_request_time(runner)


async def _listen(runner: web.AppRunner, host: str, port: int) -> str:
    """Accept connections; return the URL. Raises ListenError."""
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise listen_error("store.listen", host, port, error) from error
    shown_host = f"[{host}]" if ":" in host else host
    return f"http://{shown_host}:{runner.addresses[0][1]}"


def _window(settings: StoreSettings) -> TimeWindow:
    past, future = settings.reject_older_than_days, settings.reject_newer_than_minutes
    return TimeWindow(int(past * _DAY_NS) if past else None, int(future * _MINUTE_NS) if future else None)


def _retention(settings: StoreSettings) -> Retention:
    return Retention(
        int(settings.retention_days * _DAY_NS) if settings.retention_days else None,
        int(settings.retention_gb * 10**9) if settings.retention_gb else None,
    )
