"""How a command fails: one line on stderr and an exit status."""

import os
from typing import TYPE_CHECKING, NoReturn

import click

from tracetail.cli.language import both
from tracetail.cli.printable import printable_lines
from tracetail.cli.refusals import said

if TYPE_CHECKING:
    from tracetail.cli.configuration import Configuration

BAD_USAGE = 2
"""Exit status for options, parameters or a configuration that cannot be used."""


def fail(message: str, status: int = 1) -> NoReturn:
    """Print `error: message` on stderr and exit with the status. message: in the language, or what a part refused."""
    click.echo(printable_lines(both(f"error: {message}", f"错误：{said(message)}")), err=True)
    raise SystemExit(status)


def load_part_configuration(part: str, path: str | None) -> "Configuration":
    """Return the configuration for running a part (store, agent, panel), and make the shared secret if it needs one.

    Exits with status 2 if the configuration, with 1 if the secret cannot be used.
    """
    from tracetail.contract import shared_secret

    loaded = load_configuration(path)
    table = getattr(loaded, part)
    if table.open or table.secret_file:
        return loaded
    try:
        shared_secret.ensure(os.environ)
    except OSError as error:
        if getattr(table, "public_key_file", ""):
            return loaded
        where = f" {error.filename}" if error.filename else ""
        reason = error.strerror or error
        fail(
            both(
                f"the shared secret{where} cannot be used: {reason}; give {part} a directory to write to "
                f"(TRACETAIL_STATE_DIR) or a secret of its own ({part}.secret_file), or set [{part}] open = true",
                f"共享机密{where} 不能用：{reason}；请给 {part} 一个可写的目录（TRACETAIL_STATE_DIR）或单独的机密"
                f"（{part}.secret_file），或者设置 [{part}] open = true",
            )
        )
    return load_configuration(path)


def load_configuration(path: str | None) -> "Configuration":
    """Return the configuration; exit with status 2 if it cannot be used. path: the value of --config, if given."""
    from tracetail.cli import config_sources, configuration

    try:
        return configuration.load(path)
    except config_sources.ConfigurationError as error:
        fail(str(error), BAD_USAGE)
