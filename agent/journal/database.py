"""The agent's state on disk: sources, files, positions, batches in flight, rejected lines.

One SQLite file, used by one thread of its own: all waiting changes are made in one transaction with one fsync, and
the asyncio loop never waits for the disk. A transaction is durable when `write` returns (WAL, synchronous=FULL): an
intent is on disk before its bytes leave the machine. An acknowledgement need not be (synchronous=NORMAL), and may
wait for the next batch: if it is lost, the entries of its intent are looked up in Loki, as after any crash.

    sources    one row per log that is followed, with its counts and its parser's state
    looks      when the last look for logs was whose findings are among the sources
    files      the files of a source, in order; position: every byte before it is acknowledged or rejected
    batches    a range of a file in flight, and what its acknowledgement changes
    intents    the exact bodies of a batch that are not acknowledged yet
    rejected   lines that Loki refused, with its reason
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tracetail.agent.journal.schema import MIGRATIONS, SCHEMA, VERSION
from tracetail.agent.model import LOKI
from tracetail.contract.database_file import FileIdentity, remove_write_ahead_log
from tracetail.contract.safe_open import kind_of, open_file

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_SOON_SECONDS = 0.25
"""How long a change that nobody waits for may wait for another one."""


class JournalError(Exception):
    """The journal cannot be used; the message says why and what to do."""


class JournalLockedError(JournalError):
    """Another agent uses this journal."""


class JournalTooNewError(JournalError):
    """A newer tracetail wrote this journal."""


class JournalCorruptError(JournalError):
    """The file is not a usable journal."""


class JournalFullError(JournalError):
    """The disk is full, or another program holds the journal; nothing was changed, and the write can be repeated."""


def journal_path(state_dir: Path, output: str = LOKI) -> Path:
    """Return the path of an output's journal in a state directory."""
    return state_dir / "agent" / ("journal.db" if output == LOKI else f"{output}.db")


def connect(path: Path, *, readonly: bool = False) -> sqlite3.Connection:
    """Open a journal that exists; the caller closes the connection. Raises JournalError."""
    connection = None
    try:
        if odd := kind_of(path.stat()):
            raise JournalError(f"the journal {path} cannot be opened: it is {odd}")
        connection = sqlite3.connect(
            f"file:{path}?mode={'ro' if readonly else 'rw'}", uri=True, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except FileNotFoundError as error:
        raise JournalError(f"the journal {path} cannot be opened: there is none") from error
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        kind = JournalError if isinstance(error, sqlite3.OperationalError) else JournalCorruptError
        raise kind(f"the journal {path} cannot be opened: {error}") from error
    if version > VERSION:
        connection.close()
        raise JournalTooNewError(
            f"the journal {path} has version {version}, this tracetail knows {VERSION}: update tracetail"
        )
    return connection


class _Write(NamedTuple):
    """A change that waits."""

    change: Callable[[sqlite3.Connection], Any]
    done: asyncio.Future[Any] | None
    """Gets the result; None if nobody waits for it."""
    durable: bool


class Journal:
    """The journal of the one agent that may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.corrupt: Path | None = None
        """Where a corrupt journal was moved to; None if it was not corrupt."""
        self.listed_ns = 0
        """When an earlier agent looked for logs last, or when the journal was made, in nanoseconds since the epoch;
        0 before open()."""
        self._lock = -1
        self._file: FileIdentity | None = None
        """The file that is open."""
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Lock the journal, and create or check it. Raises JournalError."""
        self._lock = self._locked()
        self.listed_ns = time.time_ns()
        with contextlib.suppress(FileNotFoundError):
            self.listed_ns = self.path.stat().st_mtime_ns  # of an older version: when it was written
        try:
            connection = self._checked()
        except JournalCorruptError:
            connection = self._replaced()
        self._thread = threading.Thread(target=self._work, args=(connection,), name="journal", daemon=True)
        self._thread.start()

    def _locked(self) -> int:
        """Return a descriptor that holds the lock of the journal's directory. Raises OSError, JournalLockedError."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        lock = open_file(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise JournalLockedError(
                f"another agent uses the journal {self.path}; one agent per machine is enough"
            ) from error
        return lock

    def _lock_again(self) -> None:
        """Lock the journal's directory if it is not the one that is locked. Raises OSError, JournalLockedError."""
        held = os.fstat(self._lock)
        if FileIdentity(held.st_dev, held.st_ino).is_at(self.path.with_suffix(".lock")):
            return
        lock = self._locked()
        os.close(self._lock)
        self._lock = lock

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
                changes = "".join(MIGRATIONS[version:]) if version else SCHEMA
                connection.executescript(f"BEGIN; {changes} PRAGMA user_version = {VERSION}; COMMIT;")
            first = "INSERT INTO looks SELECT ? WHERE NOT EXISTS (SELECT * FROM looks)"
            connection.execute(first, (self.listed_ns,))
            self.listed_ns = connection.execute("SELECT listed_ns FROM looks").fetchone()[0]
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
        except sqlite3.Error as error:
            connection.close()
            kind = JournalError if isinstance(error, sqlite3.OperationalError) else JournalCorruptError
            raise kind(f"the journal {self.path} cannot be used: {error}") from error
        self._file = FileIdentity.of(self.path)
        return connection

    def _replaced(self) -> sqlite3.Connection:
        """Move a corrupt journal away and create a new one: logs are read again, and Loki is asked what it has."""
        self.corrupt = self.path.with_name(f"{self.path.name}.corrupt-{os.getpid()}")
        self.path.rename(self.corrupt)
        remove_write_ahead_log(self.path)
        self.listed_ns = time.time_ns()
        return self._checked()

    def _in_place(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Return a connection to the file at the path, which is written again if somebody removed or replaced it.

        SQLite goes on with a file without a name, and what it holds would be gone with the process. Raises
        JournalError.
        """
        if self._file is not None and self._file.is_at(self.path):
            return connection
        if self._file is not None:
            log.error("the journal %s was removed or replaced; it is written again from what is open", self.path)
            copy = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            try:
                self._lock_again()
                copy.unlink(missing_ok=True)
                copy.touch(mode=0o640)
                connection.execute("VACUUM INTO ?", (str(copy),))
                with copy.open("rb") as file:
                    os.fsync(file.fileno())
                # It leaves its write-ahead log behind, because its file has no name any more.
                connection.close()
                self._file = None
                remove_write_ahead_log(self.path)
                copy.replace(self.path)
            except (OSError, sqlite3.Error) as error:
                raise JournalFullError(f"the journal {self.path} cannot be written again: {error}") from error
        return self._checked()

    async def write(self, change: Callable[[sqlite3.Connection], _T], *, durable: bool = True) -> _T:
        """Run change in a transaction, together with others that wait; return its result when it is on disk.

        durable: it must outlive the machine; if not, it is on disk with the next change that must.

        Raises JournalFullError if the disk is full: nothing was changed then. Any other JournalError is final.
        """
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = self._loop.create_future()
        self._queue.put(_Write(change, future, durable))
        return await future

    def write_soon(self, change: Callable[[sqlite3.Connection], Any]) -> None:
        """Run change with the next one, in their order; by itself after a quarter of a second at most.

        It need not outlive the process. It is tried again with the next change if the disk is full.
        """
        self._queue.put(_Write(change, None, durable=False))

    def close(self) -> None:
        """Finish the waiting changes and close the journal."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _work(self, connection: sqlite3.Connection) -> None:
        again: list[_Write] = []
        while True:
            work, ends = self._waiting()
            work = again + work
            try:
                connection = self._in_place(connection)
                durable = any(write.durable for write in work)
                connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                results = self._transact(connection, work)
            except JournalError as error:
                results = [error] * len(work)
            except (OSError, sqlite3.Error) as error:
                results = [self._failed(error)] * len(work)
            again = self._finish(work, results)
            if ends:
                connection.close()
                return

    def _waiting(self) -> tuple[list[_Write], bool]:
        """Wait for a change; return all that wait, and whether they are the last ones."""
        work: list[_Write] = []
        due = 0.0
        with contextlib.suppress(queue.Empty):
            while True:
                if not work:
                    write = self._queue.get()
                    due = time.monotonic() + _SOON_SECONDS
                elif all(write.done is None for write in work) and (left := due - time.monotonic()) > 0:
                    write = self._queue.get(timeout=left)
                else:
                    write = self._queue.get_nowait()
                if write is None:
                    return work, True
                work.append(write)
        return work, False

    def _finish(self, work: list[_Write], results: list[Any]) -> list[_Write]:
        """Give the results to those who wait for them; return the changes to try again."""
        again = []
        waited_for = []
        for write, result in zip(work, results, strict=True):
            if write.done is not None:
                waited_for.append((write.done, result))
            elif _is_tried_again(write, result):
                again.append(write)
            elif isinstance(result, Exception):
                log.error("the journal %s has lost a change", self.path, exc_info=result)
        if waited_for:
            assert self._loop is not None
            with contextlib.suppress(RuntimeError):  # the loop is closed: nothing waits any more
                self._loop.call_soon_threadsafe(_resolve, waited_for)
        return again

    def _transact(self, connection: sqlite3.Connection, work: list[_Write]) -> list[Any]:
        """Return a result or an exception per change. If one fails, each is repeated in a transaction of its own."""
        if not work:
            return []
        try:
            connection.execute("BEGIN IMMEDIATE")
            results = [write.change(connection) for write in work]
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  (raised where the change was requested)
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            if len(work) > 1:
                return self._transact_each(connection, work)
            return [self._explained(error)]
        return results

    def _transact_each(self, connection: sqlite3.Connection, work: list[_Write]) -> list[Any]:
        """Do that with a transaction per change. None overtakes one that is tried again."""
        results: list[Any] = []
        for write in work:
            [result] = self._transact(connection, [write])
            results.append(result)
            if _is_tried_again(write, result):
                return results + [result] * (len(work) - len(results))
        return results

    def _failed(self, error: Exception) -> JournalError:
        """Return what an error outside of the changes means: it may pass, unless the journal is corrupt."""
        explained = self._explained(error)
        if isinstance(explained, JournalError):
            return explained
        return JournalFullError(f"the journal {self.path} cannot be written: {error}")

    def _explained(self, error: Exception) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            # A disk that is full may be either.
            more = "" if code == sqlite3.SQLITE_FULL else ", or see dmesg whether it is read-only or fails"
            return JournalFullError(
                f"the journal {self.path} cannot be written: {error}; free space on its disk{more}"
            )
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return JournalFullError(f"the journal {self.path} cannot be written: {error}; another program holds it")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return JournalCorruptError(f"the journal {self.path} is corrupt: {error}; the next start replaces it")
        return error


def _is_tried_again(write: _Write, result: Any) -> bool:
    """Return whether a change that nobody waits for failed for a reason that may pass: not for one of its own."""
    if write.done is not None:
        return False
    code = getattr(result, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    may_pass = isinstance(result, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR
    return may_pass or isinstance(result, JournalFullError)


def _resolve(waited_for: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for done, result in waited_for:
        if done.done():
            continue
        if isinstance(result, Exception):
            done.set_exception(result)
        else:
            done.set_result(result)
