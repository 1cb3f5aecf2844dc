"""`tracetail store`: runs the embedded Loki-compatible store; `tracetail store backup` copies its database."""

import asyncio
from functools import partial
from pathlib import Path

import click

from tracetail.cli.command_group import CommandGroup
from tracetail.cli.errors import BAD_USAGE, fail, load_configuration, load_part_configuration
from tracetail.cli.language import both
from tracetail.cli.service import log_to_stderr, print_address, raise_open_file_limit
from tracetail.contract.access import ListenError, UnsafeBindError, check_bind, parse_listen
from tracetail.contract.secret_file import SecretFile
from tracetail.store.disk.backup import back_up
from tracetail.store.disk.database import DatabaseError
from tracetail.store.service import database_path, serve


@click.group(cls=CommandGroup, invoke_without_command=True)
@click.pass_context
def store(ctx: click.Context) -> None:
    """Run the embedded Loki-compatible store in the foreground."""
    if ctx.invoked_subcommand is not None:
        return
    from tracetail.cli import configuration

    log_to_stderr()
    raise_open_file_limit()
    loaded = load_part_configuration("store", ctx.obj)
    settings = loaded.store
    try:
        host, port = parse_listen("store.listen", settings.listen)
        secret = SecretFile("store.secret_file", configuration.secret_file("store", loaded))
    except ValueError as error:
        fail(str(error), BAD_USAGE)
    try:
        check_bind("the store", host, has_secret=bool(settings.secret_file), secret_setting="store.secret_file")  # noqa: S106
        asyncio.run(serve(settings, host, port, secret, partial(print_address, "store")))
    except (UnsafeBindError, DatabaseError, ListenError) as error:
        fail(str(error))


@store.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def backup(config: str | None, file: Path) -> None:
    """Copy the database to FILE, also while the store runs.

    To restore it, stop the store and put FILE in the place of the database.
    """
    path = database_path(load_configuration(config).store)
    try:
        size = back_up(path, file)
    except DatabaseError as error:
        fail(str(error))
    click.echo(both(f"{file}: {size:,} bytes, a copy of {path}", f"{file}：{size:,} 字节，{path} 的副本"))
