"""The options that several of the launcher's commands share."""

from collections.abc import Callable

import click

from tracetail.cli.completing import completer
from tracetail.cli.launch import parameters
from tracetail.launcher import params

Command = Callable[..., None]

_SHOWN = ("model_name", "model_path", "port", "engine", "env", "trace_id", "callback_url", "container_image")
"""Parameters whose flags `--help` lists; the flags of the others work, too (docs/launcher.md has all)."""

scope_option = click.option(
    "--scope",
    is_flag=True,
    help="Run in its own systemd scope, so that restarting the caller's unit does not end it.",
)
launch_option = click.option(
    "--launch",
    "launch_id",
    metavar="ID",
    default="",
    help="Select this launch only.",
    shell_complete=completer("launchId"),
)
params_option = click.option(
    "--params", "given", metavar="JSON|@FILE|-", help="The parameters: a JSON object, a file, or stdin (-)."
)


def parameter_options(command: Command) -> Command:
    """Give a command `--params`, and one flag for each parameter that is not an object or a list.

    The flags of the parameters in `container` have their names alone: `--image`, `--runtime`; `--mount` can be
    repeated.
    """
    mounts = params.description("mounts", params.Container)
    command = click.option(
        "--mount", "container_mounts", multiple=True, hidden=True, metavar="PATH:PATH[:ro]", help=_sentence(mounts)
    )(command)
    for attribute, kind in reversed(params.flag_types(params.Container).items()):
        name = parameters.CONTAINER_PREFIX + attribute
        command = _flag(name, attribute, kind, params.description(attribute, params.Container))(command)
    for attribute, kind in reversed(params.flag_types().items()):
        if attribute != "action":
            command = _flag(attribute, attribute, kind, params.description(attribute))(command)
    return params_option(command)


def _flag(name: str, attribute: str, kind: type, description: str) -> Callable[[Command], Command]:
    flag = "--" + attribute.replace("_", "-")
    return click.option(
        flag + "/--no-" + flag[2:] if kind is bool else flag,
        name,
        type=kind if kind is not bool else None,
        default=None,
        hidden=name not in _SHOWN,
        help=_sentence(description),
    )


def _sentence(description: str) -> str:
    return f"{description[0].upper()}{description[1:]}."


def selection_options(command: Command) -> Command:
    """Give a command the options that select launches."""
    for option in (
        launch_option,
        click.option(
            "--trace-id",
            default=None,
            help="Select the launches of this trace.",
            shell_complete=completer("traceId"),
        ),
        click.option("--env", default=None, help="The service's environment: dev, test or prod."),
        click.option("--port", type=int, default=None, help="The service's port."),
        click.option(
            "--model-name", default=None, help="The service's model name.", shell_complete=completer("modelName")
        ),
        click.option(
            "--params",
            "given",
            metavar="JSON|@FILE|-",
            help="The selection as JSON; the parameters of the start are accepted.",
        ),
    ):
        command = option(command)
    return command
