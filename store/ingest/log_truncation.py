"""Empties SQLite's write-ahead log while nothing is written: it stays as large as it once was otherwise."""

import sqlite3
import time

from tracetail.store.disk.database import BUSY_TIMEOUT_SECONDS

IDLE_SECONDS = 5.0
"""How long nothing has to be written before."""


class LogTruncation:
    """Looks whether something was written, and empties the log once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._changes = -1
        self._due_at: float | None = None

    def step(self) -> bool:
        """Move the log into the database and empty it, if that is due; return whether there is more to do: never."""
        now = time.monotonic()
        if self._connection.total_changes != self._changes:
            self._changes = self._connection.total_changes
            self._due_at = now + IDLE_SECONDS
        elif self._due_at is not None and now >= self._due_at:
            self._due_at = None if self.empty() else now + IDLE_SECONDS
        return False

    def empty(self) -> bool:
        """Empty the log; return whether it could be done: it cannot while a query reads from it."""
        # Pushes must not wait until the query has ended.
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_SECONDS * 1000)}")
