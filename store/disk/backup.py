"""Copies the database consistently while the store runs."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from tracetail.store.disk.database import FILE_MODE, DatabaseError, check_version, open_reader


def back_up(database: Path, target: Path) -> int:
    """Write a copy of everything committed so far to target; return its size in bytes.

    The copy is made in one read transaction, and renamed to target once it is complete and synced to disk.
    Raises DatabaseError.
    """
    if not database.is_file():
        raise DatabaseError(f"there is no database at {database}")
    if target.exists():
        raise DatabaseError(f"{target} exists already; a backup does not overwrite")
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        partial.touch(mode=FILE_MODE)
        partial.chmod(FILE_MODE)  # whatever the umask
        with closing(open_reader(database)) as source, closing(sqlite3.connect(partial)) as copy:
            check_version(source, database)
            # In one step: a copy page by page would restart at each push.
            source.backup(copy)
        _sync(partial)
        partial.rename(target)
        _sync(target.parent)
    except (sqlite3.Error, OSError) as error:
        raise DatabaseError(f"the backup of {database} to {target} failed: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return target.stat().st_size


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)  # a directory, too
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
