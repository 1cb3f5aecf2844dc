"""`tracetail agent` and `tracetail verify`."""

import asyncio
import logging
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

import click

from cli import configuration

log = logging.getLogger(__name__)


@click.group(invoke_without_command=True)
@click.pass_context
def agent(ctx: click.Context) -> None:
    """Follow logs and ship them to Loki."""
    if ctx.invoked_subcommand is not None:
        return
    from agent.agent import Agent, BadSettingsError, Ending
    from agent.journal import JournalError
    from contract.access import UnsafeBindError
    from contract.loki import LokiSettingsError
    from contract.redaction import InvalidPatternError

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    settings = _settings(ctx)
    while True:
        try:
            ending = asyncio.run(
                Agent(settings.agent, settings.loki, _state_dirs(settings), socket.gethostname()).run(_announce)
            )
        except (BadSettingsError, InvalidPatternError, LokiSettingsError) as error:
            _fail(str(error), 2)
        except (JournalError, UnsafeBindError, OSError) as error:
            _fail(str(error), 1)
        if ending is Ending.STOP:
            return
        try:
            settings = configuration.load(ctx.obj)
            log.info("the configuration was read again")
        except configuration.ConfigurationError as error:
            log.error("the configuration stays as it was: %s", error)  # noqa: TRY400


@click.command()
def verify() -> None:
    """Prove that every line of a trace is in Loki."""


def _announce(address: str) -> None:
    click.echo(f"tracetail agent: listening on {address}")
    sys.stdout.flush()


def _settings(ctx: click.Context) -> configuration.Configuration:
    try:
        return configuration.load(ctx.obj)
    except configuration.ConfigurationError as error:
        _fail(str(error), 2)


def _state_dirs(settings: configuration.Configuration) -> list[Path]:
    """Return the directories whose launches are followed: the configured ones, or every one that exists."""
    from contract.state import existing_state_dirs, state_dir

    named = [Path(path) for path in settings.agent.state_dirs]
    if named:
        return named
    return existing_state_dirs(os.environ) or [state_dir(os.environ)]


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(code)
