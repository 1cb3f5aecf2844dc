"""The `tracetail` command: its subcommands, each imported when it is called."""

import gc
import importlib
import io
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from tracetail import __version__
from tracetail.cli import streams
from tracetail.cli.command_group import CommandGroup
from tracetail.cli.errors import fail
from tracetail.cli.help_pages import page, speak
from tracetail.cli.language import both, chosen, named_in, with_language
from tracetail.cli.terminal import is_terminal
from tracetail.cli.words import command_text

_COMMANDS = {
    "start": ("tracetail.cli.launch.start", "start", "Start an inference server and wait until it is ready."),
    "stop": ("tracetail.cli.launch.stop", "stop", "Stop a server and every process of its launch."),
    "restart": ("tracetail.cli.launch.restart", "restart", "Stop a server if it runs, then start it."),
    "status": ("tracetail.cli.launch.status", "status", "Print the state of a service."),
    "apply": (
        "tracetail.cli.launch.apply",
        "apply",
        "Start, stop, restart, show or test a service, as `action` says.",
    ),
    "run": ("tracetail.cli.launch.run", "run", "Run a server as the main command of a container."),
    "ps": ("tracetail.cli.launch.ps", "ps", "List the launches of this machine."),
    "history": ("tracetail.cli.launch.history", "history", "Show how long the last starts took, phase by phase."),
    "logs": ("tracetail.cli.logs", "logs", "Print the lines of a trace or launch."),
    "open": ("tracetail.cli.open", "open_", "Print the panel's address of a launch or trace, and open it."),
    "bundle": ("tracetail.cli.bundle", "bundle", "Pack what a bug report needs of a launch into one file."),
    "warmup": ("tracetail.cli.launch.model_check", "warmup", "Send a first request and wait for a token."),
    "smoke": ("tracetail.cli.launch.model_check", "smoke", "Send a prompt and check the answer."),
    "notify": ("tracetail.cli.launch.notify", "notify", "Send a launch's state to its callback URL."),
    "verify": ("tracetail.cli.verify", "verify", "Check that every line of a trace is in Loki."),
    "gc": ("tracetail.cli.launch.gc", "gc", "Remove old launches, and segments that the agent has shipped."),
    "agent": ("tracetail.cli.agent", "agent", "Follow logs and ship them to Loki."),
    "store": ("tracetail.cli.store", "store", "Run the embedded Loki-compatible store."),
    "panel": ("tracetail.cli.panel", "panel", "Run the log panel and its API."),
    "up": ("tracetail.cli.up", "up", "Run store, agent and panel on this machine."),
    "demo": ("tracetail.cli.demo", "demo", "Run the whole chain once, with a sample server."),
    "mcp": ("tracetail.cli.mcp", "mcp", "Serve tools for assistants (Model Context Protocol)."),
    "token": ("tracetail.cli.token", "token", "Create an access token for the panel."),
    "doctor": (
        "tracetail.cli.doctor",
        "doctor",
        "Check the set-up of this machine, with advice for each problem.",
    ),
    "config": ("tracetail.cli.config", "config", "Show, check or describe the configuration."),
    "completion": ("tracetail.cli.completion", "completion", "Print what a shell needs to complete commands."),
    "redact": ("tracetail.cli.redact", "redact", "Show what of a text would be masked as a secret."),
    "keep": (
        "tracetail.cli.launch.keep",
        "keep",
        "Start a keeper for a launch whose keeper has ended (the agent calls this).",
    ),
}
_HIDDEN = {"keep"}
_OBJECTS_BETWEEN_COLLECTIONS = 100_000
"""Modules are objects that stay: with Python's 700 a tenth of a command's time goes into looking through them."""


class _Commands(CommandGroup):
    """Imports a subcommand when it is called, so that no command loads the parts of another."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [name for name in _COMMANDS if name not in _HIDDEN]

    def main(self, args: Sequence[str] | None = None, *others: Any, **kwargs: Any) -> Any:
        """Run a command line; its --lang holds until the last word of an error is printed."""
        speak()
        streams.open_closed()
        _print_everything()
        with chosen(named_in(sys.argv[1:] if args is None else args)):
            return super().main(args, *others, **kwargs)

    def get_help(self, ctx: click.Context) -> str:
        """Return the page that lists the commands."""
        return page(self, ctx)

    def find(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a command; None if there is none of this name."""
        del ctx
        if name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a file that this user may not use ends it with a line that says whose it is."""
        gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
        try:
            return super().invoke(ctx)
        except PermissionError as error:
            from tracetail.cli.denied import denied

            fail(denied(error))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin so, without importing them; options as any command."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return [CompletionItem(name, help=command_text(name, _COMMANDS[name][2])) for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing the commands."""
        with formatter.section(both("Commands", "命令")):
            formatter.write_dl([(name, command_text(name, _COMMANDS[name][2])) for name in self.list_commands(ctx)])


def _print_everything() -> None:
    """Escape what the locale's encoding lacks, as Latin-1 lacks a result's causeZh: it would end the command."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.lower().replace("-", "") != "utf8":
        from tracetail.contract.json_text import ERROR_HANDLER

        sys.stdout.reconfigure(errors=ERROR_HANDLER)


@click.group(
    "tracetail", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="tracetail")
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    help="The configuration file (else $TRACETAIL_CONFIG, then the user's, then /etc).",
)
@with_language
@click.pass_context
def main(ctx: click.Context, config_path: str | None) -> None:
    """Start LLM inference servers and find every line they print by traceId."""
    ctx.obj = config_path
    if not is_terminal():
        ctx.color = False


if __name__ == "__main__":
    sys.exit(main())
