"""The SQLite database: schema, version check, the lock against a second store, and connections.

stream   one row per stream: its labels, and the times of its first and last entry
label    the index of the streams: name, value, stream
block    entries, see tracetail.store.disk.block; `level` counts how often blocks were merged into larger ones
block_counts   how many entries a block has, see tracetail.store.disk.counts; small blocks and old ones have no row
block_filter   what a block's text can contain, see tracetail.store.disk.text_filter; in the same way

Schema 1 had no block_counts, schema 2 no block_filter; they are added when such a database is opened.
"""

import fcntl
import os
import sqlite3
from pathlib import Path

from tracetail.contract.database_file import FileIdentity, remove_write_ahead_log
from tracetail.contract.safe_open import open_file

SCHEMA_VERSION = 3
APPLICATION_ID = 0x7472746C
"""`trtl`: marks the file as a database of this store."""
LEVEL_FULL = 9
"""The level of a block that is large enough not to be merged again."""
BUSY_TIMEOUT_SECONDS = 30.0

_SCHEMA_1 = f"""
CREATE TABLE stream (
    id INTEGER PRIMARY KEY,
    labels TEXT NOT NULL UNIQUE,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL
);
CREATE TABLE label (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    stream INTEGER NOT NULL REFERENCES stream,
    PRIMARY KEY (name, value, stream)
) WITHOUT ROWID;
CREATE TABLE block (
    id INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL REFERENCES stream,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    level INTEGER NOT NULL,
    count INTEGER NOT NULL,
    text_bytes INTEGER NOT NULL,
    entries_index BLOB NOT NULL,
    entries_text BLOB NOT NULL
);
CREATE INDEX block_of_stream ON block (stream, first, last);
CREATE INDEX block_by_age ON block (last);
CREATE INDEX block_to_merge ON block (stream, level) WHERE level < {LEVEL_FULL};
CREATE INDEX label_of_stream ON label (stream);
"""
_SCHEMA_2 = """
CREATE TABLE block_counts (
    block INTEGER PRIMARY KEY REFERENCES block,
    counts BLOB NOT NULL
);
CREATE TRIGGER block_deleted AFTER DELETE ON block BEGIN
    DELETE FROM block_counts WHERE block = old.id;
END;
"""
_SCHEMA_3 = """
CREATE TABLE block_filter (
    block INTEGER PRIMARY KEY REFERENCES block,
    bits BLOB NOT NULL
);
CREATE TRIGGER filtered_block_deleted AFTER DELETE ON block BEGIN
    DELETE FROM block_filter WHERE block = old.id;
END;
"""
_UPGRADES = (_SCHEMA_1, _SCHEMA_2, _SCHEMA_3)
"""What makes schema n of schema n - 1."""


class DatabaseError(Exception):
    """The database cannot be used; the message gives the reason and the remedy."""


class MisplacedError(DatabaseError):
    """Another file, or none, has the name of the database that is open: what is stored would be gone at the end."""


FILE_MODE = 0o640
"""Of the database and its backups: they hold logs, for the owner and the group."""


class Database:
    """The database file and its lock. Opens one connection for writing and any number for reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_file = -1
        self._file: FileIdentity | None = None
        """The file that is open."""

    def open(self) -> None:
        """Lock the database, and create or check its schema. Raises DatabaseError."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._lock_file = open_file(self._lock_path, os.O_RDWR | os.O_CREAT)
            self._create()
        except OSError as error:
            raise DatabaseError(f"{self.path} cannot be used: {error}") from error
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise DatabaseError(
                f"another store already uses {self.path}; stop it, or set another [store] path for this one"
            ) from None
        try:
            self._prepare()
            self._file = FileIdentity.of(self.path)
        except BaseException:
            self.close()
            raise

    def _create(self) -> None:
        """Make an empty file for SQLite, whose -wal and -shm get its mode: 0640, whatever the umask."""
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        except FileExistsError:
            return
        os.fchmod(descriptor, FILE_MODE)
        os.close(descriptor)

    def is_in_place(self) -> bool:
        """Return whether the file that is open, if one is, was neither removed nor replaced."""
        return self._file is None or self._file.is_at(self.path)

    def check_in_place(self) -> None:
        """Raise MisplacedError if the file that is open was removed or replaced."""
        if not self.is_in_place():
            raise MisplacedError(
                f"{self.path} was removed or replaced while the store ran; restart the store to use what is there now"
            )

    def close(self) -> None:
        """Release the lock. Connections are closed by those who opened them."""
        if self._lock_file >= 0:
            if not self.is_in_place() and self._is_locked():
                remove_write_ahead_log(self.path)
            os.close(self._lock_file)
            self._lock_file = -1

    def _is_locked(self) -> bool:
        """Return whether no other store can use the path: the file at the lock's path is the one that is locked."""
        status = os.fstat(self._lock_file)
        return FileIdentity(status.st_dev, status.st_ino).is_at(self._lock_path)

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(self.path.name + ".lock")

    def _prepare(self) -> None:
        try:
            connection = self.writer()
        except sqlite3.Error as error:
            raise DatabaseError(f"{self.path} cannot be opened: {error}") from error
        try:
            version = check_version(connection, self.path)
            if version == 0:
                connection.execute("PRAGMA journal_mode = WAL")
            if version < SCHEMA_VERSION:
                connection.executescript(
                    f"BEGIN IMMEDIATE; {''.join(_UPGRADES[version:])} PRAGMA application_id = {APPLICATION_ID};"
                    f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
                )
        except sqlite3.Error as error:
            raise DatabaseError(f"{self.path} cannot be used: {error}") from error
        finally:
            connection.close()

    def writer(self) -> sqlite3.Connection:
        """Open the connection that writes; there must be only one. The caller closes it."""
        connection = sqlite3.connect(
            self.path, isolation_level=None, timeout=BUSY_TIMEOUT_SECONDS, check_same_thread=False
        )
        # FULL: an acknowledged push survives a power cut, at the price of one fsync per group of pushes.
        connection.executescript(
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216;"
            "PRAGMA foreign_keys = OFF; PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY;"
        )
        return connection

    def reader(self) -> sqlite3.Connection:
        """Open a connection that only reads. The caller closes it. Raises MisplacedError."""
        self.check_in_place()
        return open_reader(self.path)

    def size(self) -> int:
        """Return the size on disk of the database and its write-ahead log, in bytes."""
        total = 0
        for name in (self.path.name, self.path.name + "-wal"):
            try:
                total += self.path.with_name(name).stat().st_size
            except FileNotFoundError:
                continue
        return total


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that only reads the database at path. The caller closes it."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        timeout=BUSY_TIMEOUT_SECONDS,
        check_same_thread=False,
    )
    connection.executescript("PRAGMA query_only = ON; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY;")
    return connection


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema version, 0 for an empty file. Raises DatabaseError for a foreign or newer database."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and application != APPLICATION_ID:
        raise DatabaseError(f"{path} is a database, but not one of this store; set another [store] path")
    if version > SCHEMA_VERSION:
        raise DatabaseError(
            f"{path} was written by a newer tracetail (schema {version}, this one knows {SCHEMA_VERSION}); "
            "upgrade tracetail, or set another [store] path"
        )
    return version
