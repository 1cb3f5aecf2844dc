"""The agent's memory on disk: sources, files, positions, batches under way, rejected lines.

One SQLite file, used by one thread of its own: what waits is done in one transaction with one fsync, and the
asyncio loop never waits for the disk. A transaction is durable when `write` returns (WAL, synchronous=FULL): an
intent is on disk before its bytes leave the machine.

    sources    one row per log that is followed, with its ledger and its parser's state
    files      the files of a source, in order; position: every byte before it is acknowledged or rejected
    batches    a range of a file that is under way, and what its acknowledgement changes
    intents    the exact bodies of a batch that are not acknowledged yet
    rejected   lines that Loki refused, with its reason
"""

import asyncio
import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

VERSION = 2
_T = TypeVar("_T")

_SCHEMA = """
CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,           -- launchId, or the path of a file that no keeper wrote
    kind TEXT NOT NULL,                 -- launch, file
    labels TEXT NOT NULL DEFAULT '{}',  -- of its streams, but for ids in its lines; JSON
    first_seen_ns INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT '{}',   -- of the parser, at the position; JSON
    lines INTEGER NOT NULL DEFAULT 0,   -- acknowledged
    bytes INTEGER NOT NULL DEFAULT 0,
    entries INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0,
    redacted INTEGER NOT NULL DEFAULT 0,
    complete INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    source_id INTEGER NOT NULL REFERENCES sources(id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    position INTEGER NOT NULL DEFAULT 0,
    head BLOB NOT NULL DEFAULT x'',     -- the first bytes, to know the file again
    tail BLOB NOT NULL DEFAULT x'',     -- the bytes before the position, to see that it is still the same file
    size INTEGER NOT NULL DEFAULT 0,    -- the largest that was seen
    seen_ns INTEGER NOT NULL DEFAULT 0, -- when it was first seen
    done INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX files_of_source ON files(source_id);
CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    source_id INTEGER NOT NULL REFERENCES sources(id) ON DELETE CASCADE,
    file_id INTEGER REFERENCES files(id) ON DELETE CASCADE,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    head BLOB NOT NULL,
    tail BLOB NOT NULL,
    lines INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    redacted INTEGER NOT NULL,
    completes INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;
CREATE TABLE intents (
    id INTEGER PRIMARY KEY,
    batch_id INTEGER NOT NULL REFERENCES batches(id) ON DELETE CASCADE,
    labels TEXT NOT NULL,               -- JSON
    body BLOB NOT NULL,
    first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    rows TEXT NOT NULL DEFAULT '[]',    -- which line of the batch an entry is, for the first of every run; JSON
    retimed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE rejected (
    id INTEGER PRIMARY KEY,
    source_id INTEGER REFERENCES sources(id) ON DELETE SET NULL,
    path TEXT,
    start INTEGER,                      -- the byte range of the batch in which the line stood
    end INTEGER,
    offset INTEGER,                     -- of the line itself, where it could be told
    labels TEXT NOT NULL,
    time_ns INTEGER NOT NULL,
    line BLOB NOT NULL,
    meta BLOB NOT NULL,
    reason TEXT NOT NULL,
    rejected_at REAL NOT NULL
) STRICT;
"""

_CHANGES = (
    "",
    """
    ALTER TABLE intents DROP COLUMN first_index;
    ALTER TABLE intents ADD COLUMN rows TEXT NOT NULL DEFAULT '[]';
    """,
)
"""By version: what makes the next version of it."""


class JournalError(Exception):
    """The journal cannot be used; the message says why and what to do."""


class JournalLockedError(JournalError):
    """Another agent uses this journal."""


class JournalTooNewError(JournalError):
    """A newer tracetail wrote this journal."""


class JournalCorruptError(JournalError):
    """A journal holds something else than a journal."""


class JournalFullError(JournalError):
    """There is no room on disk, or another program holds it; nothing was changed, the write may be tried again."""


def connect(path: Path, *, readonly: bool = False) -> sqlite3.Connection:
    """Open a journal that exists. Raises JournalError."""
    try:
        connection = sqlite3.connect(
            f"file:{path}?mode={'ro' if readonly else 'rw'}", uri=True, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        kind = JournalError if isinstance(error, sqlite3.OperationalError) else JournalCorruptError
        raise kind(f"the journal {path} cannot be opened: {error}") from error
    if version > VERSION:
        connection.close()
        raise JournalTooNewError(
            f"the journal {path} has version {version}, this tracetail knows {VERSION}: update tracetail"
        )
    return connection


class Journal:
    """The journal of the one agent that may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.corrupt: Path | None = None
        """Where a journal that could not be read was moved to."""
        self._lock = -1
        self._queue: queue.SimpleQueue[tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]] | None]
        self._queue = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Lock the journal, create or check it. Raises JournalError."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JournalLockedError(
                f"another agent uses the journal {self.path}; one agent per machine is enough"
            ) from error
        try:
            connection = self._checked()
        except JournalCorruptError:
            connection = self._begun_anew()
        self._thread = threading.Thread(target=self._work, args=(connection,), name="journal", daemon=True)
        self._thread.start()

    def _checked(self) -> sqlite3.Connection:
        self.path.touch(mode=0o640)
        connection = connect(self.path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 2000")
            connection.execute("PRAGMA cache_size = -512")
            # Debian's SQLite overwrites what it deletes, and so writes every body twice.
            connection.execute("PRAGMA secure_delete = OFF")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version < VERSION:
                changes = "".join(_CHANGES[version:]) if version else _SCHEMA
                connection.executescript(f"BEGIN; {changes} PRAGMA user_version = {VERSION}; COMMIT;")
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
        except sqlite3.Error as error:
            connection.close()
            kind = JournalError if isinstance(error, sqlite3.OperationalError) else JournalCorruptError
            raise kind(f"the journal {self.path} cannot be used: {error}") from error
        return connection

    def _begun_anew(self) -> sqlite3.Connection:
        """Put a corrupt journal aside: what it knew is read again from the logs and from Loki, not from it."""
        self.corrupt = self.path.with_name(f"{self.path.name}.corrupt-{os.getpid()}")
        self.path.rename(self.corrupt)
        for ending in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self.path.with_name(self.path.name + ending).unlink()
        return self._checked()

    async def write(self, change: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run change in a transaction, together with others that wait; return what it returned, when it is on disk.

        Raises JournalFullError if there is no room; then nothing of it was done.
        """
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = self._loop.create_future()
        self._queue.put((change, future))
        return await future

    def close(self) -> None:
        """Finish what was begun and close."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _work(self, connection: sqlite3.Connection) -> None:
        while True:
            work = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while work[-1] is not None:
                    work.append(self._queue.get_nowait())
            wanted = [item for item in work if item is not None]
            results = self._transact(connection, [change for change, _ in wanted])
            if wanted:
                assert self._loop is not None
                with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                    self._loop.call_soon_threadsafe(_resolve, [future for _, future in wanted], results)
            if len(wanted) < len(work):
                connection.close()
                return

    def _transact(
        self, connection: sqlite3.Connection, changes: list[Callable[[sqlite3.Connection], Any]]
    ) -> list[Any]:
        """Return one result or exception for each change. If one fails, each is tried in a transaction of its own."""
        if not changes:
            return []
        try:
            connection.execute("BEGIN IMMEDIATE")
            results = [change(connection) for change in changes]
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  (it is handed to whoever waits)
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            if len(changes) > 1:
                return [self._transact(connection, [change])[0] for change in changes]
            return [self._explained(error)]
        return results

    def _explained(self, error: Exception) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return JournalFullError(f"the journal {self.path} cannot be written: {error}; free some room on its disk")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return JournalFullError(f"the journal {self.path} cannot be written: {error}; another program holds it")
        return error


def _resolve(futures: list[asyncio.Future[Any]], results: list[Any]) -> None:
    for future, result in zip(futures, results, strict=True):
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
