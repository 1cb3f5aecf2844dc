"""Output for a person at a terminal: tables and progress by rich. Elsewhere the same facts as plain text."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.status import Status

PLAIN_CELL_MAX = 60
"""Characters of a cell in a plain table."""
FOLDED_MIN = 16
"""Characters that a folded column needs to be readable."""


def is_terminal() -> bool:
    """Return whether stdout is a terminal."""
    return sys.stdout.isatty()


def printable(text: str) -> str:
    """Return text with `?` for each character that could control a terminal. Tabs stay."""
    return "".join(character if character.isprintable() or character == "\t" else "?" for character in text)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    folded: Sequence[str] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print rows under a line of column names.

    In a pipe, or on a terminal that is too narrow, each row is one line, its cells cut at 60 characters.

    Args:
        columns: the names.
        rows: a cell for each column.
        folded: the columns whose cells may be folded to the terminal's width. Ids stay whole, to be copied.
        styles: rich's style for a cell that is equal to the key, for instance {"failed": "red"}.

    """
    widths = [max(len(row[column]) for row in [columns, *rows]) for column in range(len(columns))]
    if is_terminal():
        least = sum(FOLDED_MIN if name in folded else width for name, width in zip(columns, widths, strict=True))
        if least + 2 * len(columns) <= shutil.get_terminal_size().columns:
            _print_rich_table(columns, rows, folded, styles or {})
            return
    for row in [columns, *rows]:
        cells = [
            cell[:PLAIN_CELL_MAX].ljust(min(width, PLAIN_CELL_MAX)) for cell, width in zip(row, widths, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def _print_rich_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], folded: Sequence[str], styles: Mapping[str, str]
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in folded)
    for row in rows:
        table.add_row(*(Text(printable(cell), style=styles.get(cell, "")) for cell in row))
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
