"""`tracetail agent rejected`: lists the lines that Loki refused; `replay` sends them again."""

import asyncio
import json
import sys

import click

from tracetail.cli.agent_state import state_dirs
from tracetail.cli.errors import BAD_USAGE, fail, load_configuration
from tracetail.cli.terminal import is_terminal, printable


@click.group(invoke_without_command=True)
@click.option("--trace-id", help="Only lines of this trace.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_context
def rejected(ctx: click.Context, trace_id: str | None, as_json: bool) -> None:
    """List the lines that Loki refused, with the reasons."""
    if ctx.invoked_subcommand is not None:
        return
    from tracetail.agent.journal.database import JournalError, journal_path
    from tracetail.agent.journal.rejected import rejected_lines

    settings = load_configuration(ctx.obj)
    try:
        lines = rejected_lines(journal_path(state_dirs(settings)[0]), trace_id)
    except JournalError as error:
        fail(str(error))
    if as_json:
        for line in lines:
            click.echo(json.dumps(line.as_json(), ensure_ascii=False))
        return
    for line in lines:
        place = f"{line.path or '?'}:{'?' if line.offset is None else line.offset}"
        text = line.entry.text.decode(errors="replace")
        click.echo(f"{place}\t{line.reason}\t{printable(text) if is_terminal() else text}")
    count = {0: "no line is", 1: "1 line is"}.get(len(lines), f"{len(lines)} lines are")
    click.echo(f"{count} rejected", err=True)
    if lines:
        click.echo("`tracetail agent rejected replay` sends them again, once the cause is removed", err=True)


@rejected.command()
@click.option("--trace-id", help="Only lines of this trace.")
@click.pass_context
def replay(ctx: click.Context, trace_id: str | None) -> None:
    """Send the rejected lines again."""
    from tracetail.agent.journal import rejected as module
    from tracetail.agent.journal.database import JournalError, journal_path
    from tracetail.loki.client import LokiClient
    from tracetail.loki.errors import LokiError

    settings = load_configuration(ctx.obj)

    async def run() -> tuple[int, list[str]]:
        async with LokiClient(settings.loki) as loki:
            return await module.replay(journal_path(state_dirs(settings)[0]), loki, trace_id)

    try:
        accepted, reasons = asyncio.run(run())
    except (LokiError, JournalError) as error:
        fail(str(error))
    except ValueError as error:  # a setting that cannot be used
        fail(str(error), BAD_USAGE)
    click.echo(
        f"{accepted} {'line' if accepted == 1 else 'lines'} accepted" if accepted or reasons else "nothing to replay"
    )
    for reason in reasons:
        click.echo(f"refused: {reason}", err=True)
    sys.exit(1 if reasons else 0)
