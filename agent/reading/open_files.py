"""Which source reads which file, over all sources, and how many files may be open."""

import errno
import os
import resource
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tracetail.agent.model import FileRow
from tracetail.agent.reading.file_names import name_of, path_of
from tracetail.agent.reading.reader import FileReader
from tracetail.agent.reading.unpacked import Unpacker

Identity = tuple[int, int]
"""Device and inode."""

SOFT_LIMIT = 400
"""While more files are open, those that are read to their end are closed."""
HARD_LIMIT = 800
"""While more files are open, each is closed as soon as it is read to its end."""
FORMER_MAX = 256
"""Number of files that are remembered though their inode is another file's by now."""
DESCRIPTORS_FOR_OTHERS = 64
"""Of the process's descriptors: journal, sockets, inotify, records of launches, and some to spare."""
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


def descriptor_limits(outputs: int = 1) -> tuple[int, int]:
    """Return how many files may be open before idle ones are closed, and before any is.

    outputs: the number of those that share the process's descriptors: each has files of its own open.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    share = (allowed - DESCRIPTORS_FOR_OTHERS) // outputs
    hard = HARD_LIMIT if allowed < 0 else max(4, min(HARD_LIMIT, share))
    return min(SOFT_LIMIT, hard // 2), hard


@dataclass(slots=True)
class OpenFiles:
    """Assigns each file to one source: a rotated file may match the glob of another one."""

    owners: dict[Identity, tuple[str, FileRow]] = field(default_factory=dict)
    """The source's key and its row for the file: an inode may be reused for another file."""
    former: deque[tuple[str, FileRow]] = field(default_factory=lambda: deque(maxlen=FORMER_MAX))
    """Sources and rows of files whose inode was used again since, the newest of them."""
    paths: set[str] = field(default_factory=set)
    """The keys of the sources that discovery has found."""
    held: dict[Identity, list[FileReader]] = field(default_factory=dict)
    """The open readers by file; the inode of an open file cannot be reused."""
    open: int = 0
    """How many there are in `held`, kept up to date because it is read at every poll."""
    idle: dict[str, Callable[[], None]] = field(default_factory=dict)
    """By the key of a source that has read its files to their ends, the longest idle first: closes its files."""
    limits: tuple[int, int] = field(default_factory=descriptor_limits)
    unpacker: Unpacker = field(default_factory=Unpacker)

    @property
    def over_soft_limit(self) -> bool:
        """Files that are read to their end should be closed."""
        return self.open > self.limits[0]

    @property
    def over_hard_limit(self) -> bool:
        """A file should be closed as soon as it is read to its end."""
        return self.open > self.limits[1]

    def open_reader(self, path: Path, position: int = 0, encoding: str = "") -> FileReader:
        """Open a file; close idle ones for it if there are too many. Raises OSError."""
        while self.open >= self.limits[1] and self._close_idle():
            pass
        while True:
            try:
                return FileReader(path, position, encoding)
            except OSError as error:
                if error.errno not in _OUT_OF_DESCRIPTORS or not self._close_idle():
                    raise

    def _close_idle(self) -> bool:
        """Close the files of the source that is idle for the longest time; return whether there was one."""
        if not self.idle:
            return False
        key = next(iter(self.idle))
        self.idle.pop(key)()
        return True

    def begin_of(self, reader: FileReader, key: str) -> FileRow | None:
        """Return where the source `key` has to begin with a file, as a row; None if another source reads it.

        A file that another source has left behind, and that goes on under this name, is read from where that one
        stopped. What is at the path of another source is left to that one, whatever links lead there: if they took
        turns, each would miss what became of the files that the other one has read.
        """
        real_path = name_of(reader.real_path())
        if real_path != key and real_path in self.paths:
            return None
        identity = reader.device, reader.inode
        new = FileRow(key, *identity, reader.head())
        owner, row = self.owners.get(identity, (key, new))
        if owner == key:
            return new
        if identity in self.held or (row.head and _is_at(owner, identity)):
            return None
        if not row.done and owner in self.paths and reader.continues(row):
            return None  # renamed while nothing was followed: its source finds it by its inode when it goes on
        if row.head and not reader.continues(row):
            return new  # the inode was reused
        if row.head and reader.size <= row.position:
            return None
        new.position, new.tail = row.position, row.tail
        return new

    def has_copy(self, reader: FileReader, key: str) -> bool:
        """Return whether a file is a copy of one of the source `key`, or the beginning of one.

        Its lines are those of the original, or, where that was truncated, its source reads them from the copy.
        """
        identity = reader.device, reader.inode
        rows = [row for owner, row in list(self.owners.values()) if owner == key]
        for row in map(self._as_read, rows):
            if not row.position or (row.device, row.inode) == identity:
                continue
            size = self._size_of(row)
            if reader.size < row.position:
                if size is not None and reader.size and row.head.startswith(reader.head()[: len(row.head)]):
                    return True
                continue
            # Where the original has lost its content, its source goes on with the copy, unless it is done.
            has_no_more = reader.size <= (row.position if size is None else size) or (size is None and not row.done)
            if has_no_more and reader.continues(row):
                return True
        return False

    def _size_of(self, row: FileRow) -> int | None:
        """Return the size of a row's file, if it is open or at its path; None if it lacks what was read of it."""
        identity = row.device, row.inode
        for reader in self.held.get(identity, ()):
            return reader.written() if reader.continues(row) else None
        if not _is_at(row.path, identity):
            return None
        try:
            reader = FileReader(Path(path_of(row.path)))
        except OSError:
            return None
        try:
            return reader.size if reader.continues(row) else None
        finally:
            reader.close()

    def _as_read(self, row: FileRow) -> FileRow:
        """Return a row with what was read of its file, acknowledged or not: that may take long."""
        reader = max(self.held.get((row.device, row.inode), ()), key=lambda reader: reader.position, default=None)
        if reader is None or reader.position <= row.position:
            return row
        head, tail, _ = reader.fingerprint(reader.position)
        return FileRow(row.path, row.device, row.inode, head, tail, reader.position)

    def is_free(self, reader: FileReader, key: str) -> bool:
        """Return whether no source other than `key` reads this file, or has read all of it."""
        return self.begin_of(reader, key) is not None

    def was_read(self, reader: FileReader, key: str) -> bool:
        """Return whether a file has just the content of one that a source other than `key` has read.

        Or, if it is compressed, that another source is reading. A glob may match the name that a rotated file had
        before it was compressed, and the names of all of a program's files: each source would read those that none
        has seen.
        """
        rows = [row for owner, row in [*self.owners.values(), *self.former] if owner != key and row.head]
        return any(
            reader.continues(row) and (row.position == reader.size or _is_packed_from(reader, row))
            for row in map(self._as_read, rows)
        )

    def assign(self, row: FileRow, key: str) -> None:
        """Assign a file to the source `key`."""
        before = self.owners.get((row.device, row.inode))
        if before is not None and before[0] != key:
            self.former.append(before)
        self.owners[row.device, row.inode] = key, row

    def hold(self, reader: FileReader) -> None:
        """Count a file that was opened."""
        self.held.setdefault((reader.device, reader.inode), []).append(reader)
        self.open += 1

    def release(self, reader: FileReader) -> None:
        """Close a file that hold() counted."""
        identity = reader.device, reader.inode
        self.held[identity].remove(reader)
        self.open -= 1
        if not self.held[identity]:
            del self.held[identity]
        reader.close()


def _is_at(path: str, identity: Identity) -> bool:
    try:
        status = os.stat(path_of(path))  # noqa: PTH116  (a name of the journal)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == identity


def _is_packed_from(reader: FileReader, row: FileRow) -> bool:
    """Return whether the content of a compressed file is that of a row, by its name, or as it was found before."""
    packed = reader.packed
    if packed is None:
        return False
    return name_of(str(packed.with_suffix(""))) == row.path or _is_at(name_of(str(packed)), (row.device, row.inode))
