"""`tracetail start`: starts a server and waits until it is ready."""

import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from tracetail.cli.language import both
from tracetail.cli.launch import parameters
from tracetail.cli.launch.options import parameter_options, scope_option
from tracetail.cli.launch.outcome import ResultCommand, at_url, finish, print_result, refuse_parameters
from tracetail.cli.launch.panel_link import in_the_panel
from tracetail.cli.launch.progress import Progress
from tracetail.cli.launch.termination import Listener, TerminatedError, Termination
from tracetail.launcher import params_input
from tracetail.launcher.params import ParametersError
from tracetail.launcher.result import Result


class _StartCommand(ResultCommand):
    """A command that takes the server's own command line behind `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what stands behind `--`; the rest are the options."""
        if "--" in args:
            at = args.index("--")
            ctx.params["command_line"] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the parts of the usage line."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


@click.command(cls=_StartCommand)
@parameter_options
@scope_option
def start(given: str | None, scope: bool, command_line: Sequence[str] = (), **flags: Any) -> None:
    """Start an inference server and wait until it is ready.

    With a command line, as in `tracetail start -- vllm serve Qwen/Qwen3-8B --port 8000`, model, port and host are
    taken from it; parameters and flags take precedence.

    The last line on stdout is TRACETAIL_RESULT and a JSON object. Exit status: 0 ready, 2 bad parameters, 10 exited
    before ready, 11 not ready in time, 12 port in use, 13 another operation is running, 15 preflight failed,
    143 ended by SIGTERM, and with it the launch that it was starting.
    """
    run_start("start", given, flags, scope=scope, command_line=command_line)


def run_start(
    action: str, given: str | None, flags: Mapping[str, Any], *, scope: bool, command_line: Sequence[str] = ()
) -> NoReturn:
    """Start a launch, print its progress and result, and exit. command_line: the server's own; empty for none."""
    progress = Progress(parameters.state_dir())
    termination = Termination(progress)
    termination.install()
    try:
        result = _start(action, given, flags, termination, scope=scope, command_line=command_line)
        termination.ignore()
        progress.clear()
        if not result.status:
            shown = result.to_object()
            verb = both("runs already", "已在运行") if result.reused else both("is ready", "就绪")
            seconds = f"{result.seconds:.1f}"
            english = f"{shown['service']} {verb} after {seconds} s"
            text = both(english, f"{shown['service']} {verb}，用时 {seconds} 秒") + at_url(shown)
            click.secho(text, fg="green")
        finish(in_the_panel(result._replace(action=action)))
    except TerminatedError:
        progress.clear()
        finish(termination.end(action, parameters.state_dir()))
    except KeyboardInterrupt:
        progress.clear()
        _exit_by_interrupt(action)


def _start(
    action: str,
    given: str | None,
    flags: Mapping[str, Any],
    listener: Listener,
    *,
    scope: bool,
    command_line: Sequence[str],
) -> Result:
    from tracetail.launcher.operations import start

    values: dict[str, Any] = {}
    try:
        values = parameters.read(given)
        values = parameters.merge(values, flags)
        if command_line:
            from tracetail.launcher.command_params import command_params

            values, _ = command_params(list(command_line), values)
        settings = parameters.settings()
        wanted = params_input.from_object(parameters.with_environment_ids(values), settings.services)
        parameters.check_callback_host(wanted.callback_url, settings)
    except ParametersError as error:
        refuse_parameters(action, error, values)
    if wanted.action not in ("start", action):
        refuse_parameters(
            action, ParametersError(f"action is {wanted.action}: use `tracetail apply`, or leave it out")
        )
    if wanted.script_path and wanted.engine != "custom":
        path, engine = wanted.script_path, wanted.engine
        english = f"warning: scriptPath {path} is ignored: engine {engine} has its own command"
        click.echo(both(english, f"警告：忽略 scriptPath {path}：引擎 {engine} 有自己的命令"))
    if wanted.callback_url.startswith("http://") and wanted.callback_token_file:
        english = "warning: the token of callbackTokenFile is sent to callbackUrl unencrypted: use https"
        click.echo(both(english, "警告：callbackTokenFile 的令牌会以明文发送到 callbackUrl：请使用 https"))
    return start.start(wanted, parameters.state_dir(), listener, min_free_bytes=settings.min_free_bytes, scope=scope)


def _exit_by_interrupt(action: str) -> NoReturn:
    """Print that the launch goes on, and exit with the status that shells give for Ctrl-C."""
    hint = "the launch goes on; `tracetail ps` shows it, `tracetail stop` ends it"
    zh = ("被 SIGINT 结束", "启动继续进行；`tracetail ps` 可查看，`tracetail stop` 可结束它")
    click.echo(both(f"\nended by SIGINT: {hint}", f"\n{zh[0]}：{zh[1]}"))
    print_result(Result(action, 128 + signal.SIGINT, cause="ended by SIGINT", hint=hint, zh=zh))
    sys.exit(128 + signal.SIGINT)
