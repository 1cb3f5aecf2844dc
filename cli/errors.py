"""How a command fails: one line on stderr and an exit status."""

import os
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from tracetail.cli.configuration import Configuration

BAD_USAGE = 2
"""Exit status for options, parameters or a configuration that cannot be used."""


def fail(message: str, status: int = 1) -> NoReturn:
    """Print `error: message` on stderr and exit with the status."""
    click.echo(f"error: {message}", err=True)
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
        fail(
            f"the shared secret{where} cannot be used: {error.strerror or error}; give {part} a directory to write "
            f"to (TRACETAIL_STATE_DIR) or a secret of its own ({part}.secret_file), or set [{part}] open = true"
        )
    return load_configuration(path)


def load_configuration(path: str | None) -> "Configuration":
    """Return the configuration; exit with status 2 if it cannot be used. path: the value of --config, if given."""
    from tracetail.cli import configuration

    try:
        return configuration.load(path)
    except configuration.ConfigurationError as error:
        fail(str(error), BAD_USAGE)
