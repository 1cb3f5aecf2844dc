"""Which source reads which file, over all sources, and how many files are open."""

from collections import Counter
from dataclasses import dataclass, field

from tracetail.agent.model import FileRow
from tracetail.agent.reading.reader import FileReader

Identity = tuple[int, int]
"""Device and inode."""


@dataclass(slots=True)
class OpenFiles:
    """Assigns each file to one source: a rotated file may match the glob of another one."""

    owners: dict[Identity, tuple[str, FileRow]] = field(default_factory=dict)
    """The source's key and its row for the file: an inode may be reused for another file."""
    held: Counter[Identity] = field(default_factory=Counter)
    """Number of open readers by file; the inode of an open file cannot be reused."""
    open: int = 0
    """Sum of `held`, kept up to date because it is read at every poll."""

    def is_free(self, reader: FileReader, key: str) -> bool:
        """Return whether no source other than `key` reads this file, or has read it."""
        identity = reader.device, reader.inode
        owner, row = self.owners.get(identity, (key, None))
        if owner == key or row is None:
            return True
        if self.held[identity]:
            return False
        return not row.head or reader.head()[: len(row.head)] != row.head

    def assign(self, row: FileRow, key: str) -> None:
        """Assign a file to the source `key`."""
        self.owners[row.device, row.inode] = key, row

    def hold(self, reader: FileReader) -> None:
        """Count a file that was opened."""
        self.held[reader.device, reader.inode] += 1
        self.open += 1

    def release(self, reader: FileReader) -> None:
        """Close a file that hold() counted."""
        identity = reader.device, reader.inode
        self.held[identity] -= 1
        self.open -= 1
        if not self.held[identity]:
            del self.held[identity]
        reader.close()
