"""Groups of commands: their help is in the language, and a mistyped command is answered with the nearest one."""

import copy

import click

from tracetail.cli.help_pages import in_language
from tracetail.cli.language import both, with_language


class CommandGroup(click.Group):
    """A group of commands."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command with --lang, and its help in the language; None if there is none of this name."""
        found = self.find(ctx, cmd_name)
        return None if found is None else in_language(_with_language(found), f"{_path(ctx)} {cmd_name}")

    def find(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a command as it is declared; None if there is none of this name."""
        return super().get_command(ctx, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that args name. Raises click.UsageError, with the nearest commands, if it is none."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            import difflib

            near = difflib.get_close_matches(name, self.list_commands(ctx))
            meant = both(" or ", " 还是 ").join(near)
            english = f"There is no command {name!r}." + (f" Did you mean {meant}?" if near else "")
            ctx.fail(both(english, f"没有命令 {name!r}。" + (f"是否想输入 {meant}？" if near else "")))
        return super().resolve_command(ctx, args)


def _with_language(command: click.Command) -> click.Command:
    """Return a copy of a command that has the option --lang, which its groups have, too."""
    copied = copy.copy(command)
    copied.params = list(command.params)
    return with_language(copied)


def _path(context: click.Context | None) -> str:
    """Return the names of a group and of those around it, whatever the program was called as."""
    names: list[str] = []
    while context is not None:
        names.insert(0, context.command.name or "")
        context = context.parent
    return " ".join(names)
