"""`tracetail store`: runs the embedded Loki-compatible store, and makes backups of it."""

import asyncio
import logging
import sys
from pathlib import Path

import click

from tracetail.cli.configuration import ConfigurationError, load
from tracetail.contract.access import UnsafeBindError, check_bind, parse_listen
from tracetail.contract.secret_file import SecretFile
from tracetail.store.disk.backup import back_up
from tracetail.store.disk.database import DatabaseError
from tracetail.store.service import ListenError, database_path, serve
from tracetail.store.settings import StoreSettings


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
    except ValueError as error:
        click.echo(f"tracetail store: {error}", err=True)
        sys.exit(2)
    try:
        check_bind("the store", host, has_secret=bool(secret.value), secret_setting="[store] secret_file")  # noqa: S106  (a setting's name)
        asyncio.run(serve(settings, host, port, secret, _print_address))
    except (UnsafeBindError, DatabaseError, ListenError) as error:
        click.echo(f"tracetail store: {error}", err=True)
        sys.exit(1)


def _settings(config_path: str | None) -> StoreSettings:
    try:
        return load(config_path).store
    except ConfigurationError as error:
        click.echo(f"tracetail store: {error}", err=True)
        sys.exit(2)


def _print_address(url: str) -> None:
    print(f"tracetail store: listening on {url}", flush=True)


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
