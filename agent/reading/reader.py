"""One open file, read from a position on in blocks of whole lines."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

BLOCK_BYTES = 1 << 20
HEAD_BYTES = 256
TAIL_BYTES = 64
PIECE_BYTES = 256 * 1024
"""A line that is longer is taken in pieces of this size."""


class Block(NamedTuple):
    """Lines of a file: whole ones, but for the last if unfinished."""

    data: bytes
    start: int
    end: int
    unfinished: bool
    behind: bool
    """More of the file is there to read."""


@dataclass(slots=True)
class FileRow:
    """A file of a source as the journal knows it."""

    path: str
    device: int
    inode: int
    head: bytes
    """Its first bytes, to know it again."""
    tail: bytes = b""
    """The bytes before the position, to see that it is still the same."""
    position: int = 0
    """Every byte before it is acknowledged or among the rejected lines."""
    size: int = 0
    """The largest size that was seen."""
    seen_ns: int = 0
    """When it was first seen."""
    done: bool = False
    id: int = 0
    """In the journal; 0 if it is not there yet."""


class Fingerprint(NamedTuple):
    """By what a file is known again."""

    head: bytes
    """Its first bytes."""
    tail: bytes
    """The bytes before the position."""
    size: int


class Follower:
    """Follows one file from a position, and yields blocks. The file stays open, so that a rename does no harm."""

    def __init__(self, path: Path, position: int = 0) -> None:
        """Open the file; raises OSError."""
        self.path = path
        self.position = position
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(self._descriptor)
        self.device = status.st_dev
        self.inode = status.st_ino
        self.size = status.st_size
        self._seen_size = -1
        """The size at which an unfinished line was left standing."""

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def status(self) -> os.stat_result:
        """Return what fstat says; the size is kept as `size`."""
        status = os.fstat(self._descriptor)
        self.size = status.st_size
        return status

    def has_more(self) -> bool:
        """Say whether there may be a whole line to read, or the file was cut. One system call: ten times a second."""
        self.size = os.fstat(self._descriptor).st_size
        return self.size not in (self.position, self._seen_size)

    def head(self) -> bytes:
        """Return the first bytes of the file."""
        return os.pread(self._descriptor, HEAD_BYTES, 0)

    def tail(self, position: int) -> bytes:
        """Return the bytes before position."""
        start = max(0, position - TAIL_BYTES)
        return os.pread(self._descriptor, position - start, start)

    def fingerprint(self, position: int) -> Fingerprint:
        """Return by what this file is known again when everything before position is read."""
        return Fingerprint(self.head()[:position], self.tail(position), self.size)

    def continues(self, row: FileRow) -> bool:
        """Say whether this file is what the journal knows: the same first bytes, the same before the position."""
        if os.fstat(self._descriptor).st_size < row.position:
            return False
        head = self.head()[: len(row.head)]
        return head == row.head and (not row.tail or self.tail(row.position) == row.tail)

    def read(self, *, flush: bool = False) -> Block | None:
        """Return the next lines; None if there is no whole line yet.

        flush: an unfinished last line is returned as well.
        """
        start = self.position
        data = os.pread(self._descriptor, BLOCK_BYTES, start)
        if not data:
            return None
        cut = data.rfind(b"\n") + 1
        unfinished = False
        if not cut:
            if len(data) > PIECE_BYTES:
                cut = _character_boundary(data, PIECE_BYTES)
            elif flush and start + len(data) >= self.size:
                cut = len(data)
            else:
                self._seen_size = start + len(data)
                return None
            unfinished = True
        behind = len(data) == BLOCK_BYTES
        if cut < len(data):
            data = data[:cut]
        self.position = start + cut
        return Block(data, start, self.position, unfinished, behind)


def _character_boundary(data: bytes, at: int) -> int:
    """Return the place at or up to three bytes before `at` where no UTF-8 character is cut in two."""
    for place in range(at, at - 4, -1):
        if data[place] & 0xC0 != 0x80:
            return place
    return at
