"""`tracetail demo`: runs the whole chain once on this machine, with a sample server."""

import asyncio
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO

import click

from tracetail.cli.config_sources import ConfigurationError
from tracetail.cli.demo_chain import Demo
from tracetail.cli.demo_probes import DemoFailedError
from tracetail.cli.language import both
from tracetail.cli.stack import stop_on_signals


@click.command()
@click.option("--once", is_flag=True, help="Check every step and stop. Exit status 1 if a step failed.")
def demo(once: bool) -> None:
    """Run the whole chain on this machine: store, agent, panel, and a sample server started with a traceId.

    Everything is in a temporary directory, which is removed at the end. If TRACETAIL_LOKI_URL is set, that Loki is
    used instead of the embedded store.
    """
    state = Path(tempfile.mkdtemp(prefix="tracetail-demo-"))
    log = state / "parts.log"
    status = 0
    try:
        with log.open("wb") as errors:
            asyncio.run(_run(state, errors, once=once))
    except (DemoFailedError, ConfigurationError) as error:
        click.secho(f"✗ {error}", fg="red", err=True)
        if log.stat().st_size:
            said = log.read_text(errors="replace")[-4000:]
            english = f"\nWhat store, agent and panel logged:\n{said}"
            click.echo(both(english, f"\n存储、agent 和面板的日志：\n{said}"), err=True)
        status = 1
    shutil.rmtree(state, ignore_errors=True)
    sys.exit(status)


async def _run(state: Path, errors: IO[bytes], *, once: bool) -> None:
    stop = stop_on_signals()
    demo = Demo(state)
    running = asyncio.create_task(demo.run(errors, once=once, stop=stop))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not running.done() and not demo.shown:
        running.cancel()  # it stops what it has started before it ends
        with contextlib.suppress(asyncio.CancelledError):
            await running
        english = "interrupted; everything that had been started is stopped"
        raise DemoFailedError(both(english, "已中断；启动过的一切都已停止"))
    stopped.cancel()
    await running
