"""`tracetail completion`: prints what a shell needs to complete commands, options, ids and models."""

import os
from pathlib import PurePath

import click
from click.shell_completion import get_completion_class

from tracetail.cli.errors import BAD_USAGE, fail
from tracetail.cli.language import both

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_TRACETAIL_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS), required=False)
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Print the completion of commands, options, ids and models for SHELL (else that of $SHELL).

    \b
    bash:  eval "$(tracetail completion bash)"     in ~/.bashrc
    zsh:   eval "$(tracetail completion zsh)"      in ~/.zshrc
    fish:  tracetail completion fish | source      in ~/.config/fish/config.fish
    """  # noqa: D301  (\b is click's mark for lines that stay as they are)
    name = shell or PurePath(os.environ.get("SHELL", "")).name
    if name not in _SHELLS:
        known = ", ".join(_SHELLS)
        fail(both(f"which shell? Give one of {known}", f"哪种 shell？请给出其中之一：{known}"), BAD_USAGE)
    found = get_completion_class(name)
    assert found is not None
    root = ctx.find_root()
    click.echo(found(root.command, {}, "tracetail", _VARIABLE).source())
