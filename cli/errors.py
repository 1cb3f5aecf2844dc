"""How a command fails: one line on stderr and an exit status."""

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


def load_configuration(path: str | None) -> "Configuration":
    """Return the configuration; exit with status 2 if it cannot be used. path: the value of --config, if given."""
    from tracetail.cli import configuration

    try:
        return configuration.load(path)
    except configuration.ConfigurationError as error:
        fail(str(error), BAD_USAGE)
