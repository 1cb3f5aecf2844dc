"""The top of the command line: which subcommands there are, and where each is found."""

import importlib
import sys

import click

from contract import __version__

_COMMANDS = {
    "start": ("cli.launch", "start", "Start an inference server and wait until it is ready."),
    "stop": ("cli.launch", "stop", "Stop a server and everything that belongs to its launch."),
    "restart": ("cli.launch", "restart", "Stop a server if it runs, then start it."),
    "status": ("cli.launch", "status", "Tell the state of a service."),
    "apply": ("cli.launch", "apply", "Do what the parameter `action` says."),
    "ps": ("cli.launch", "ps", "List the launches of this machine."),
    "logs": ("cli.logs", "logs", "Print the lines of a trace or launch."),
    "warmup": ("cli.launch", "warmup", "Send a first request and wait for a token."),
    "smoke": ("cli.launch", "smoke", "Send a prompt and check the answer."),
    "notify": ("cli.launch", "notify", "Report a launch's state to its callback."),
    "verify": ("cli.agent", "verify", "Prove that every line of a trace is in Loki."),
    "gc": ("cli.launch", "gc", "Remove old records and segments that are shipped."),
    "agent": ("cli.agent", "agent", "Follow logs and ship them to Loki."),
    "store": ("cli.store", "store", "Run the embedded Loki-compatible store."),
    "panel": ("cli.panel", "panel", "Run the log panel and its API."),
    "up": ("cli.up", "up", "Run store, agent and panel on this machine."),
    "demo": ("cli.demo", "demo", "Run the whole chain once, with a sample server."),
    "token": ("cli.panel", "token", "Mint an access token for the panel."),
    "doctor": ("cli.doctor", "doctor", "Check this machine's set-up and say what to do."),
    "config": ("cli.config", "config", "Show, check or describe the configuration."),
    "keep": ("cli.launch", "keep", "Take over a launch whose keeper is gone (the agent calls this)."),
}
_HIDDEN = {"keep"}


class _Commands(click.Group):
    """Knows every subcommand by name and imports it when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [name for name in _COMMANDS if name not in _HIDDEN]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][2]) for name in self.list_commands(ctx)])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="tracetail")
@click.option("--config", "config_path", metavar="FILE", help="The configuration file (else $TRACETAIL_CONFIG, …).")
@click.pass_context
def main(ctx: click.Context, config_path: str | None) -> None:
    """Start LLM inference servers and find every line they print by traceId."""
    ctx.obj = config_path


if __name__ == "__main__":
    sys.exit(main())
