"""`tracetail agent`: runs the agent; `tracetail agent try` shows how it would read a file."""

import asyncio
import socket
from pathlib import Path
from typing import BinaryIO

import click

from tracetail.cli.agent_state import state_dirs
from tracetail.cli.command_group import CommandGroup
from tracetail.cli.errors import BAD_USAGE, fail, load_configuration, load_part_configuration
from tracetail.cli.language import both
from tracetail.cli.rejected import rejected
from tracetail.cli.service import log_to_stderr, raise_open_file_limit
from tracetail.contract import system_authorities
from tracetail.contract.json_text import json_text


@click.group(cls=CommandGroup, invoke_without_command=True)
@click.pass_context
def agent(ctx: click.Context) -> None:
    """Follow logs and ship them to Loki. Reads the configuration again on SIGHUP."""
    if ctx.invoked_subcommand is not None:
        return
    with system_authorities.left_unread():
        from tracetail.cli.agent_runner import AgentRunner

    log_to_stderr()
    raise_open_file_limit()
    settings = load_part_configuration("agent", ctx.obj)
    asyncio.run(AgentRunner(settings, ctx.obj).run())


agent.add_command(rejected)


@agent.command("try", short_help="Print how the lines of a file would be parsed.")
@click.argument("file", type=click.File("rb"))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_obj
def try_file(config: str | None, file: BinaryIO, as_json: bool) -> None:
    """Print how each line of FILE would be parsed, labelled and redacted. Sends nothing."""
    from tracetail.agent.dry_run import FilePlan, dry_run
    from tracetail.agent.journal.database import journal_path
    from tracetail.loki.logql import selector

    settings = load_configuration(config)
    path = Path(file.name).absolute()
    directories = state_dirs(settings)
    plan = FilePlan.of(path, settings.agent, directories, socket.gethostname(), journal_path(directories[0]))
    if not plan.followed:
        english = f"no glob of agent.sources matches {path}: the agent does not follow it; if it did:"
        chinese = f"agent.sources 中没有通配符匹配 {path}：agent 不会跟踪它；假如跟踪："
        click.echo(both(english, chinese), err=True)
    shown = None
    try:
        for line in dry_run(file.read(), plan, settings.agent, structured_metadata=settings.loki.structured_metadata):
            if as_json:
                click.echo(json_text(line))
                continue
            if line["labels"] != shown:
                shown = line["labels"]
                click.echo(selector(shown))
            about = "".join(f" {key}={value}" for key, value in line["metadata"].items())
            click.echo(f"{line['time']}{about} | {line['line']}")
    except ValueError as error:  # a setting that cannot be used
        fail(str(error), BAD_USAGE)
