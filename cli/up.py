"""`tracetail up`: runs store, agent and panel until Ctrl-C."""

import asyncio
import os
import sys
from pathlib import Path

import click

from tracetail.cli.configuration import Configuration
from tracetail.cli.errors import fail, load_configuration
from tracetail.cli.stack import Stack, stop_on_signals
from tracetail.contract.state import DIRECTORY_MODE, STATE_DIR_VARIABLE, state_dir


@click.command()
@click.pass_obj
def up(config: str | None) -> None:
    """Run store, agent and panel on this machine until Ctrl-C.

    Where a Loki is configured ([loki] url), or already answers at the store's address, it is used instead of the
    embedded store.
    """
    settings = load_configuration(config)
    state = state_dir(os.environ)
    try:
        state.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    except OSError as error:
        fail(
            f"the state directory {state} cannot be used: {error.strerror}; "
            f"set {STATE_DIR_VARIABLE} to a directory that can be written"
        )
    sys.exit(asyncio.run(_run(settings, config, state)))


async def _run(settings: Configuration, config: str | None, state: Path) -> int:
    stop = stop_on_signals()
    stack = Stack(settings, os.environ, config, click.echo)
    starting = asyncio.create_task(stack.start())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done() and (error := starting.exception()):
        click.echo(f"error: {error}", err=True)
        return 1
    if starting.done():
        click.echo(f"state   {state}\n\nReady. Start a server with `tracetail start --help`; stop this with Ctrl-C.")
        keeping = asyncio.create_task(stack.keep())
        await asyncio.wait({keeping, stopped}, return_when=asyncio.FIRST_COMPLETED)
        keeping.cancel()
    else:
        starting.cancel()
    click.echo("stopping …")
    await stack.stop()
    return 0
