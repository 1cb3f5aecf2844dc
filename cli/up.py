"""`tracetail up`: runs store, agent and panel until Ctrl-C."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import click

from tracetail.cli.configuration import Configuration
from tracetail.cli.errors import fail, load_configuration
from tracetail.cli.language import both
from tracetail.cli.panel_address import with_token
from tracetail.cli.stack import Stack, stop_on_signals
from tracetail.contract import shared_secret
from tracetail.contract.state import STATE_DIR_VARIABLE, make_directory, state_dir
from tracetail.contract.system_reasons import in_chinese


@click.command()
@click.pass_obj
def up(config: str | None) -> None:
    """Run store, agent and panel on this machine until Ctrl-C.

    Where a Loki is configured ([loki] url), or already answers at the store's address, it is used instead of the
    embedded store.
    """
    load_configuration(config)  # one that cannot be used ends it first
    state = state_dir(os.environ)
    try:
        make_directory(state)
        shared_secret.ensure(os.environ)
    except OSError as error:
        fail(
            both(
                f"the state directory {state} cannot be used: {error.strerror}; "
                f"set {STATE_DIR_VARIABLE} to a directory that can be written",
                f"状态目录 {state} 不能用：{in_chinese(error.strerror)}；请把 {STATE_DIR_VARIABLE} 设为可写的目录",
            )
        )
    sys.exit(asyncio.run(_run(load_configuration(config), config, state)))


async def _run(settings: Configuration, config: str | None, state: Path) -> int:
    stop = stop_on_signals()
    stack = Stack(settings, os.environ, config, _say)
    starting = asyncio.create_task(stack.start())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done() and (error := starting.exception()):
        click.echo(both(f"error: {error}", f"错误：{error}"), err=True)
        return 1
    if starting.done():
        panel = next(part.address for part in stack.parts if part.name == "panel")
        address = with_token(f"{panel}/panel", settings)
        click.echo(both(f"browser {address}", f"浏览器  {address}"))
        click.echo(both(f"state   {state}", f"状态    {state}"))
        english = "\nReady. Start a server with `tracetail start --help`; stop this with Ctrl-C."
        click.echo(both(english, "\n已就绪。用 `tracetail start --help` 查看怎样启动服务；按 Ctrl-C 停止。"))
        keeping = asyncio.create_task(stack.keep())
        await asyncio.wait({keeping, stopped}, return_when=asyncio.FIRST_COMPLETED)
        keeping.cancel()
    else:
        starting.cancel()
    _say(both("stopping …", "正在停止 …"))
    await stack.stop()
    return 0


def _say(text: str) -> None:
    """Print a line. That may fail, on a full disk or where nobody reads any more; the parts run on."""
    with contextlib.suppress(OSError):
        click.echo(text)
