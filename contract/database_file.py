"""An SQLite database whose file may be removed or replaced while it is open.

SQLite goes on with the file that has no name any more: what it holds is gone with the process. The write-ahead log
that is left beside the name would be replayed over the file that has the name at the next start, unless it is empty.
"""

from pathlib import Path
from typing import NamedTuple


class FileIdentity(NamedTuple):
    """What a file keeps when it is renamed."""

    device: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "FileIdentity":
        """Return that of the file at a path. Raises OSError."""
        status = path.stat()
        return cls(status.st_dev, status.st_ino)

    def is_at(self, path: Path) -> bool:
        """Return whether this file is at a path, or that cannot be said now."""
        try:
            return self.of(path) == self
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True


def remove_write_ahead_log(path: Path) -> None:
    """Remove the log of the database that had this path. Raises OSError."""
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
