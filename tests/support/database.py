"""SQLite databases that belong to a running part, opened by a test and closed again."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def opened(path: Path, *, read_only: bool = False) -> Iterator[sqlite3.Connection]:
    """Open a database, commit if no error is raised, and close it: sqlite3's own context manager does not close."""
    mode = "ro" if read_only else "rwc"
    with (
        contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)) as connection,
        connection,
    ):
        yield connection
