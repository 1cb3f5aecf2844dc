"""Help pages in the language: a copy of a command with its help, and that of its options, in Chinese.

The English texts stand where commands and options are declared, and are looked up when a page is shown: `--lang` is
not known when a command is declared. Click's own words go the same way.
"""

import copy
import gettext
from collections.abc import Iterable
from typing import Any, TypeVar

import click
from click import core, decorators, exceptions, formatting, parser, termui, types

from tracetail.cli.language import language
from tracetail.cli.wide_text import wrap

Command = TypeVar("Command", bound=click.Command)


class _WideFormatter(click.HelpFormatter):
    """Wraps text by columns of the terminal, of which a Chinese character takes two and has no space after it."""

    def write_text(self, text: str) -> None:
        """Write paragraphs."""
        super().write_text(_wrapped(text, self.width - self.current_indent))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write a list of terms with their texts."""
        rows_now = list(rows)
        first = min(max((len(term) for term, _ in rows_now), default=0), col_max) + col_spacing
        width = max(self.width - first - self.current_indent, 10)
        super().write_dl([(term, _wrapped(text, width)) for term, text in rows_now], col_max, col_spacing)


def _wrapped(text: str, width: int) -> str:
    """Return paragraphs in lines of this width, each marked as one that click leaves as it is."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(one if one.startswith("\b") else "\b\n" + wrap(one, width) for one in paragraphs)


class _WideContext(click.Context):
    formatter_class = _WideFormatter


def in_language(command: Command, path: str) -> Command:
    """Return the command with its help in the language. path: the names of its groups and its own."""
    if language() != "zh":
        return command
    from tracetail.cli.chinese import commands, options

    shown = copy.copy(command)
    shown.help = commands.HELP.get(path, command.help)
    shown.short_help = commands.SHORT.get(path, (shown.help or "").partition("\n\n")[0])
    shown.params = [copy.copy(param) for param in command.params]
    for param in shown.params:
        if isinstance(param, click.Option) and param.help:
            param.help = options.HELP.get(param.help, param.help)
    shown._help_option = None  # noqa: SLF001  (click keeps the one that it has made, with its English text)
    shown.context_class = _WideContext
    return shown


def page(command: click.Command, context: click.Context) -> str:
    """Return the help page of a command that was made before the language was known: the root."""
    shown = in_language(command, command.name or "")
    if shown is not command:
        context.formatter_class = _WideFormatter
    formatter = context.make_formatter()
    shown.format_help(context, formatter)
    return formatter.getvalue().rstrip("\n")


def speak() -> None:
    """Let click look its words up here, where it would ask gettext, which knows the locale only."""
    for module in (core, decorators, exceptions, formatting, parser, termui, types):
        for name, ours in (("_", _text), ("ngettext", _counted)):
            if hasattr(module, name):
                setattr(module, name, ours)


def _text(english: str) -> str:
    if language() != "zh":
        return gettext.gettext(english)
    from tracetail.cli.chinese.click_texts import TEXTS

    return _Chinese(TEXTS.get(english, english))


class _Chinese(str):
    """A text of click's; some of its values are English: the kind of a number, what the system or a part said."""

    __slots__ = ()

    def format(self, *values: Any, **named: Any) -> str:
        from tracetail.cli.chinese.click_texts import TEXTS
        from tracetail.cli.refusals import in_chinese

        for name, chinese in (("number_type", TEXTS.get), ("message", in_chinese)):
            if isinstance(english := named.get(name), str):
                named[name] = chinese(english) or english
        return super().format(*values, **named)


def _counted(one: str, several: str, number: int) -> str:
    return _text(one if number == 1 else several) if language() == "zh" else gettext.ngettext(one, several, number)
