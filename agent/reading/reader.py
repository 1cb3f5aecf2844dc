"""Reads one open file from a position on, in blocks of whole lines."""

import os
from pathlib import Path

from tracetail.agent.model import Block, FileRow, Fingerprint
from tracetail.contract.safe_open import open_file

BLOCK_BYTES = 1 << 20
HEAD_BYTES = 256
TAIL_BYTES = 64
PIECE_BYTES = 256 * 1024
"""A line that is longer is returned in pieces of this size."""


class FileReader:
    """Reads one file from a position on. The file stays open, so it can be read to its end after a rename."""

    def __init__(self, path: Path, position: int = 0, descriptor: int | None = None) -> None:
        """Open the file, unless descriptor is one that is open already. Raises OSError."""
        self.path = path
        self.position = position
        self._descriptor = open_file(path) if descriptor is None else descriptor
        status = os.fstat(self._descriptor)
        self.device = status.st_dev
        self.inode = status.st_ino
        self.size = status.st_size
        self._unfinished_at = -1
        """The file's size when its last line was unfinished."""

    def close(self) -> None:
        """Close the file; closing it twice does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def status(self) -> os.stat_result:
        """Return the result of fstat, and update `size`."""
        status = os.fstat(self._descriptor)
        self.size = status.st_size
        return status

    def has_more(self) -> bool:
        """Return whether there may be a whole line to read, or the file was truncated.

        Makes one system call: it is called ten times a second.
        """
        self.size = os.fstat(self._descriptor).st_size
        return self.size not in (self.position, self._unfinished_at)

    def head(self) -> bytes:
        """Return the first bytes of the file."""
        return os.pread(self._descriptor, HEAD_BYTES, 0)

    def tail(self, position: int) -> bytes:
        """Return the bytes before position."""
        start = max(0, position - TAIL_BYTES)
        return os.pread(self._descriptor, position - start, start)

    def fingerprint(self, position: int) -> Fingerprint:
        """Return what identifies this file's content up to position."""
        return Fingerprint(self.head()[:position], self.tail(position), self.size)

    def continues(self, row: FileRow) -> bool:
        """Return whether this file holds the content that the journal knows: the same first bytes, the same tail."""
        if os.fstat(self._descriptor).st_size < row.position:
            return False
        head = self.head()[: len(row.head)]
        return head == row.head and (not row.tail or self.tail(row.position) == row.tail)

    def read(self, *, flush: bool = False) -> Block | None:
        """Return the next lines; None if there is no whole line yet.

        flush: return an unfinished last line too.
        """
        data = os.pread(self._descriptor, BLOCK_BYTES, self.position)
        if not data:
            return None
        block = block_of(data, self.position, flush=flush and self.position + len(data) >= self.size)
        if block is None:
            self._unfinished_at = self.position + len(data)
            return None
        self.position = block.end
        return block


def block_of(data: bytes, start: int, *, flush: bool) -> Block | None:
    """Return the block at the beginning of data, which is read from offset start; None without a whole line.

    data: up to BLOCK_BYTES, not empty. flush: return an unfinished last line too.
    """
    length = data.rfind(b"\n") + 1
    unfinished = not length
    if unfinished:
        if len(data) > PIECE_BYTES:
            length = _character_boundary(data, PIECE_BYTES)
        elif flush:
            length = len(data)
        else:
            return None
    behind = len(data) == BLOCK_BYTES
    if length < len(data):
        data = data[:length]
    return Block(data, start, start + length, unfinished, behind)


def _character_boundary(data: bytes, at: int) -> int:
    """Return the offset, at most three bytes before `at`, that does not split a UTF-8 character."""
    for offset in range(at, at - 4, -1):
        if data[offset] & 0xC0 != 0x80:
            return offset
    return at
