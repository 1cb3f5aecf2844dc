"""Output for a person at a terminal: tables and progress by rich. Elsewhere the same facts as plain text."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from tracetail.cli.printable import printable

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

PLAIN_CELL_MAX = 60
"""Columns of a cell in a plain table, but of the last one, which stays whole."""
FOLDED_MIN = 16
"""Characters that a folded column needs to be readable."""
WATCH_SECONDS = 2.0
_NO_TERMINAL = ("", "dumb", "unknown")


def is_terminal() -> bool:
    """Return whether stdout is a terminal with a person before it.

    Some schedulers give a job a terminal and keep what it prints as a log: a CI says so by the variable CI (GitHub,
    GitLab, Jenkins, act), others by a TERM that can do nothing, or none (`ssh -tt` from a daemon).
    """
    if os.environ.get("CI", "").lower() not in ("", "0", "false") or os.environ.get("TERM", "") in _NO_TERMINAL:
        return False
    return sys.stdout.isatty()


def has_terminal() -> bool:
    """Return whether this process has a controlling terminal, whatever its streams are."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    folded: Sequence[str] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print rows under a line of column names.

    In a pipe, or on a terminal that is too narrow, each row is one line. Its last cell stays whole, as a cause often
    ends with what matters; others are cut at 60 columns (a Chinese character takes two), and end with `…` then.

    Args:
        columns: the names.
        rows: a cell for each column.
        folded: the columns whose cells may be folded to the terminal's width. Ids stay whole, to be copied.
        styles: rich's style for a cell that is equal to the key, for instance {"failed": "red"}.

    """
    from rich.cells import cell_len

    columns, *rows = [[printable(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(cell_len(row[column]) for row in [columns, *rows]) for column in range(len(columns))]
    if is_terminal():
        least = sum(FOLDED_MIN if name in folded else width for name, width in zip(columns, widths, strict=True))
        import shutil

        if least + 2 * len(columns) <= shutil.get_terminal_size().columns:
            from rich.console import Console

            Console().print(_rich_table(columns, rows, folded, styles or {}))
            return
    for row in [columns, *rows]:
        cells = [_plain_cell(cell, width) for cell, width in zip(row[:-1], widths, strict=False)]
        click.echo("  ".join([*cells, row[-1]]).rstrip())


def _plain_cell(cell: str, width: int) -> str:
    """Return a cell of a plain table, as wide as its column and no wider than 60 columns."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(cell) > PLAIN_CELL_MAX:
        return set_cell_size(cell, PLAIN_CELL_MAX - 1) + "…"
    return set_cell_size(cell, min(width, PLAIN_CELL_MAX))


def watch_table(
    columns: Sequence[str],
    rows: Callable[[], Sequence[Sequence[str]]],
    *,
    folded: Sequence[str] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Show a table on the terminal, with new rows every two seconds, until Ctrl-C."""
    from rich.console import Console
    from rich.live import Live

    try:
        with Live(console=Console(), auto_refresh=False, vertical_overflow="ellipsis") as live:
            while True:
                live.update(_rich_table(columns, rows(), folded, styles or {}), refresh=True)
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        return


def _rich_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], folded: Sequence[str], styles: Mapping[str, str]
) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in folded)
    for row in rows:
        table.add_row(*(Text(printable(cell), style=styles.get(cell, "")) for cell in row))
    return table


class Spinner:
    """A line at the bottom of a terminal that shows what is being waited for; nothing where stdout is no terminal."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def show(self, text: str, share: float | None = None) -> None:
        """Show the line, or change its text. share: how much is done, from 0 to 1, as a bar; None for no bar."""
        if not is_terminal():
            return
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

            columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
            bar = [BarColumn(bar_width=20)] if share is not None else []
            self._progress = Progress(*columns, *bar, console=Console(), transient=True)
            self._progress.add_task("", total=1.0)
            self._progress.start()
        self._progress.update(self._progress.task_ids[0], description=text, completed=share or 0.0)

    def clear(self) -> None:
        """Remove the line."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
