"""Output for a person at a terminal: tables and progress by rich. Elsewhere the same facts as plain text."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.status import Status

PLAIN_CELL_MAX = 60
"""Characters of a cell in a plain table. On a terminal, rich folds longer cells instead."""


def is_terminal() -> bool:
    """Return whether stdout is a terminal."""
    return sys.stdout.isatty()


def printable(text: str) -> str:
    """Return text with `?` for each character that could control a terminal. Tabs stay."""
    return "".join(character if character.isprintable() or character == "\t" else "?" for character in text)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a heading line: fitted to the terminal's width, or as plain columns in a pipe."""
    if is_terminal():
        _print_rich_table(columns, rows)
        return
    cells = [columns, *([cell[:PLAIN_CELL_MAX] for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(table)


class Spinner:
    """A line at the bottom of a terminal that shows what is being waited for; nothing where stdout is no terminal."""

    def __init__(self) -> None:
        self._status: Status | None = None

    def show(self, text: str) -> None:
        """Show the line, or change its text."""
        if not is_terminal():
            return
        from rich.markup import escape

        if self._status is None:
            from rich.console import Console

            self._status = Console().status(escape(text))
            self._status.start()
        else:
            self._status.update(escape(text))

    def clear(self) -> None:
        """Remove the line."""
        if self._status is not None:
            self._status.stop()
            self._status = None
