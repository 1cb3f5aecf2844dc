"""`tracetail agent rejected`: lists the lines that an output refused; `replay` sends those of Loki again."""

import asyncio
import sys

import click

from tracetail.cli.agent_state import state_dirs
from tracetail.cli.command_group import CommandGroup
from tracetail.cli.errors import BAD_USAGE, fail, load_configuration
from tracetail.cli.language import both
from tracetail.cli.printable import printable
from tracetail.cli.terminal import is_terminal
from tracetail.contract.json_text import json_text

_OUTPUTS = ("loki", "otlp")
"""Those that refuse lines for good; the first is the one that lines can be sent to again."""


@click.group(cls=CommandGroup, invoke_without_command=True)
@click.option("--trace-id", help="Only lines of this trace.")
@click.option(
    "--output", type=click.Choice(_OUTPUTS), default=_OUTPUTS[0], show_default=True, help="Which output refused them."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_context
def rejected(ctx: click.Context, trace_id: str | None, output: str, as_json: bool) -> None:
    """List the lines that Loki, or another output, refused, with the reasons."""
    if ctx.invoked_subcommand is not None:
        return
    from tracetail.agent.journal.database import JournalError, journal_path
    from tracetail.agent.journal.rejected import rejected_lines

    settings = load_configuration(ctx.obj)
    try:
        lines = rejected_lines(journal_path(state_dirs(settings)[0], output), trace_id)
    except JournalError as error:
        fail(str(error))
    if as_json:
        for line in lines:
            click.echo(json_text(line.as_json()))
        return
    for line in lines:
        place = f"{line.path or '?'}:{'?' if line.offset is None else line.offset}"
        text = line.entry.text.decode(errors="replace")
        click.echo(f"{place}\t{line.reason}\t{printable(text) if is_terminal() else text}")
    number = len(lines)
    english = {0: "no line is rejected", 1: "1 line is rejected"}.get(number, f"{number} lines are rejected")
    click.echo(both(english, f"{number} 行被拒收" if number else "没有被拒收的行"), err=True)
    if lines and output == _OUTPUTS[0]:
        english = "`tracetail agent rejected replay` sends them again, once the cause is removed"
        click.echo(both(english, "消除原因之后，`tracetail agent rejected replay` 会重新发送它们"), err=True)


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
    if accepted or reasons:
        english = f"{accepted} {'line' if accepted == 1 else 'lines'} accepted"
        click.echo(both(english, f"已收下 {accepted} 行"))
    else:
        click.echo(both("nothing to replay", "没有需要重新发送的行"))
    for reason in reasons:
        click.echo(both(f"refused: {reason}", f"被拒收：{reason}"), err=True)
    sys.exit(1 if reasons else 0)
