"""`tracetail store`: runs the embedded Loki-compatible store, and makes backups of it."""

import asyncio
import logging
import os
import signal
import sys
import time
from pathlib import Path

import click
from aiohttp import web

from tracetail.cli.configuration import ConfigurationError, load
from tracetail.contract.access import UnsafeBindError, check_bind, parse_listen
from tracetail.contract.secret_file import SecretFile
from tracetail.contract.state import state_dir
from tracetail.store.disk.backup import back_up
from tracetail.store.disk.database import Database, DatabaseError
from tracetail.store.disk.reader import Reader
from tracetail.store.http.metrics import Metrics
from tracetail.store.http.server import Server
from tracetail.store.http.tail import Tails
from tracetail.store.ingest.limits import TimeWindow
from tracetail.store.ingest.writer import Retention, Stored, Writer
from tracetail.store.logql.parser import parse
from tracetail.store.query_priority import QueryPriority
from tracetail.store.settings import StoreSettings

_DAY_NS = 24 * 3600 * 10**9
_MINUTE_NS = 60 * 10**9
_REQUEST_LINE_MAX_BYTES = 256 * 1024
"""Long queries stand in the address of a GET."""


@click.group(invoke_without_command=True)
@click.pass_context
def store(ctx: click.Context) -> None:
    """Run the embedded Loki-compatible store in the foreground."""
    if ctx.invoked_subcommand is not None:
        return
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    settings = _settings(ctx.obj)
    try:
        host, port = parse_listen("store.listen", settings.listen)
        secret = SecretFile("store.secret_file", settings.secret_file)
    except (ValueError, OSError) as error:
        click.echo(f"tracetail store: {error}", err=True)
        sys.exit(2)
    # The grammar is read at the first query, which should not be a person's.
    parse("vector(1)")
    try:
        check_bind("the store", host, has_secret=bool(secret.value), secret_setting="[store] secret_file")  # noqa: S106  (a setting's name)
        asyncio.run(_serve(settings, host, port, secret))
    except (UnsafeBindError, DatabaseError) as error:
        click.echo(f"tracetail store: {error}", err=True)
        sys.exit(1)


def database_path(settings: StoreSettings) -> Path:
    """Return where the database is."""
    return Path(settings.path) if settings.path else state_dir(os.environ) / "store" / "store.db"


def _settings(config_path: str | None) -> StoreSettings:
    try:
        return load(config_path).store
    except ConfigurationError as error:
        click.echo(f"tracetail store: {error}", err=True)
        sys.exit(2)


async def _serve(settings: StoreSettings, host: str, port: int, secret: SecretFile) -> None:
    database = Database(database_path(settings))
    database.open()
    try:
        tails = Tails()
        loop = asyncio.get_running_loop()

        def publish(stored: list[Stored]) -> None:
            if len(tails):
                loop.call_soon_threadsafe(tails.publish, stored)

        priority = QueryPriority()
        writer = Writer(database, _window(settings), _retention(settings), on_stored=publish, priority=priority)
        reader = Reader(database)
        metrics = Metrics(lambda: writer.counts, database, tails)
        server = Server(
            settings,
            writer,
            reader,
            tails=tails,
            metrics=metrics,
            priority=priority,
            secret=secret,
            clock_ns=time.time_ns,
        )
        runner = web.AppRunner(
            server.application(),
            access_log=None,
            auto_decompress=False,
            handler_cancellation=True,
            max_line_size=_REQUEST_LINE_MAX_BYTES,
        )
        writer.start()
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            await asyncio.to_thread(writer.stop)
            raise DatabaseError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        actual = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        print(f"tracetail store: listening on http://{shown}:{actual}", flush=True)
        await stop.wait()
        await runner.cleanup()
        await asyncio.to_thread(writer.stop)
        reader.close()
    finally:
        database.close()


def _window(settings: StoreSettings) -> TimeWindow:
    past, future = settings.reject_older_than_days, settings.reject_newer_than_minutes
    return TimeWindow(int(past * _DAY_NS) if past else None, int(future * _MINUTE_NS) if future else None)


def _retention(settings: StoreSettings) -> Retention:
    return Retention(
        int(settings.retention_days * _DAY_NS) if settings.retention_days else None,
        int(settings.retention_gb * 10**9) if settings.retention_gb else None,
    )


@store.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_context
def backup(ctx: click.Context, file: Path) -> None:
    """Copy the database to FILE while the store runs; restore it by putting FILE in the database's place."""
    path = database_path(_settings(ctx.obj))
    try:
        size = back_up(path, file)
    except DatabaseError as error:
        click.echo(f"tracetail store backup: {error}", err=True)
        sys.exit(1)
    click.echo(f"{file}: {size:,} bytes, a copy of {path}")
