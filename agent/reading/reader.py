"""Reads one open file from a position on, in blocks of whole lines."""

import contextlib
import errno
import os
import re
from pathlib import Path

from tracetail.agent import encodings
from tracetail.agent.encodings import Codec
from tracetail.agent.model import Block, FileRow, Fingerprint
from tracetail.agent.reading.birth_time import birth_time_ns
from tracetail.agent.reading.text_check import CONTAINER_LINE
from tracetail.agent.reading.transient import patiently
from tracetail.agent.reading.trusted_links import open_trusted

BLOCK_BYTES = 1 << 20
HEAD_BYTES = 512
TAIL_BYTES = 256
PIECE_BYTES = 256 * 1024
"""A line that is longer is returned in pieces of this size."""
NULS = bytes(4)
"""So many NULs are no text: a hole that a truncation left under its writer, or space reserved for lines to come."""
_LINE_END = re.compile(rb"\r?\n")
_NUL_SCAN_BYTES = 64 << 20
"""At most so many written NULs are looked through at once."""


class FileReader:
    """Reads one file from a position on. The file stays open, so it can be read to its end after a rename."""

    def __init__(self, path: Path, position: int = 0, encoding: str = "", *, descriptor: int | None = None) -> None:
        """Open the file, unless descriptor is one that is open already. Raises OSError.

        encoding: of its source; empty for UTF-8.
        """
        self.path = path
        self.packed: Path | None = None
        """The compressed file that this is the content of."""
        self.position = position
        self._encoding = encoding
        self._codec: Codec | None = None
        self._descriptor = -1
        self._descriptor = patiently(open_trusted, path) if descriptor is None else descriptor
        status = patiently(os.fstat, self._descriptor)
        self.device = status.st_dev
        self.inode = status.st_ino
        self.size = status.st_size
        self._unfinished_at = -1
        """The file's size when its last line was unfinished."""
        self._last = (-1, b"", b"")
        """Where the last block ended; the file's first bytes and those before that end, as they were read: by now the
        file may have others."""
        self._nuls = (0, 0)
        """A range that is known to be NULs."""
        self.hole_end = 0
        """End of the run of NULs at `position` that the last read() found before text; 0 if it found none."""

    def close(self) -> None:
        """Close the file; closing it twice does nothing."""
        if self._descriptor >= 0:
            # Linux closes it even if the file system reports an error.
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        """Close a file whose first look failed, so that nothing holds it."""
        self.close()

    def status(self) -> os.stat_result:
        """Return the result of fstat, and update `size`."""
        status = patiently(os.fstat, self._descriptor)
        self.size = status.st_size
        return status

    def written(self) -> int:
        """Return the file's size at this moment, or that of the last look if it cannot be seen; `size` remains."""
        try:
            return os.fstat(self._descriptor).st_size
        except OSError:
            return self.size

    def real_path(self) -> str:
        """Return the file's own path now, behind links and after renames; with ` (deleted)` if it has none."""
        try:
            return os.readlink(self.open_path)  # noqa: PTH115  (the name may not be UTF-8)
        except OSError:
            return str(self.path)

    @property
    def place(self) -> Path:
        """Where the file, or the compressed one that it was unpacked from, is now."""
        return self.packed or Path(self.real_path())

    @property
    def open_path(self) -> str:
        """A path that leads to the open file, whatever becomes of its name."""
        return f"/proc/self/fd/{self._descriptor}"

    def birth_time_ns(self) -> int | None:
        """Return when the file was created, in nanoseconds since the epoch; None if that is not known."""
        return birth_time_ns(self._descriptor)

    @property
    def is_at_end(self) -> bool:
        """There was no whole line after the position at the last look."""
        return self.size in (self.position, self._unfinished_at)

    def has_more(self) -> bool:
        """Return whether there may be a whole line to read, or the file was truncated.

        Makes one system call: it is called ten times a second.
        """
        self.size = patiently(os.fstat, self._descriptor).st_size
        return not self.is_at_end

    def head(self) -> bytes:
        """Return the first bytes of the file."""
        return self._pread(HEAD_BYTES, 0)

    def tail(self, position: int, length: int = TAIL_BYTES) -> bytes:
        """Return the bytes before position."""
        start = max(0, position - length)
        return self._pread(position - start, start)

    def fingerprint(self, position: int) -> Fingerprint:
        """Return what identifies the content up to position: at the end of the last block, that which was read."""
        end, head, tail = self._last
        if end != position:
            head, tail = self.head(), self.tail(position)
        return Fingerprint(head[:position], tail, self.size)

    def keeps_last_block(self) -> bool:
        """Return whether the bytes before the position are those that were read; True where nothing was read yet."""
        end, _, tail = self._last
        return end != self.position or self.tail(end, len(tail)) == tail

    def continues(self, row: FileRow) -> bool:
        """Return whether this file holds the content that the journal knows: the same first bytes, the same tail."""
        if patiently(os.fstat, self._descriptor).st_size < row.position:
            return False
        head = self._pread(len(row.head), 0)
        return head == row.head and (not row.tail or self.tail(row.position, len(row.tail)) == row.tail)

    def begins_like(self, other: "FileReader") -> bool:
        """Return whether this file begins with all of another one, by that one's first and last bytes."""
        size = other.size
        head = other.head()
        return 0 < size <= self.written() and self.head()[: len(head)] == head and self.tail(size) == other.tail(size)

    def restart(self) -> None:
        """Read from the start: the content was replaced."""
        self.position = 0
        self._last = (-1, b"", b"")
        self._codec = None
        self._unfinished_at = -1
        self._nuls = (0, 0)

    def read(self, *, flush: bool = False) -> Block | None:
        """Return the next lines; None if there is no whole line yet, or a hole comes first (see `hole_end`).

        flush: return an unfinished last line too.
        """
        self.hole_end = 0
        data = self._pread(BLOCK_BYTES, self.position)
        if not data:
            return None
        codec = self.codec()
        # A search for one byte is many times faster.
        if not codec.has_nuls and b"\0" in data and (at := data.find(NULS)) >= 0:
            return self._read_to_hole(data, at, codec, flush=flush)
        block = self._block(data, codec, flush=flush and self.position + len(data) >= self.size)
        if block is None:
            self._unfinished_at = self.position + len(data)
        return block

    def _read_to_hole(self, data: bytes, at: int, codec: Codec, *, flush: bool) -> Block | None:
        """Return the lines before the NULs at offset `at` of data; if there are none, look for the NULs' end."""
        lines_end = codec.after_last_line(data[:at])
        if lines_end:
            return self._block(data[:lines_end], codec, flush=False)
        end = self._end_of_nuls(self.position + at)
        text_follows = end < self.size
        line_end = data.find(b"\n", at)
        if text_follows and line_end >= 0 and CONTAINER_LINE.match(data):
            # A runtime writes whole lines, and this one is what the program printed.
            return self._block(data[: line_end + 1], codec, flush=False)
        if at == 0:
            self.hole_end = self._with_line_end(end) if text_follows else 0
            return None
        return self._block(data[:at], codec, flush=flush or text_follows)

    def _with_line_end(self, hole_end: int) -> int:
        """Return the end of a hole that is a whole line with that line's end: there is no line without it."""
        starts_line = self.position == 0 or self._pread(1, self.position - 1) == b"\n"
        line_end = _LINE_END.match(self._pread(2, hole_end)) if starts_line else None
        return hole_end + (len(line_end[0]) if line_end else 0)

    def _block(self, data: bytes, codec: Codec, *, flush: bool) -> Block | None:
        block = block_of(data, self.position, codec, flush=flush)
        if block is not None:
            end, head, tail = self._last
            if end != self.position:
                head, tail = self.head(), self.tail(self.position)
            length = block.end - self.position
            head = head[: self.position] + data[: min(length, HEAD_BYTES)]
            tail += data[max(0, length - TAIL_BYTES) : length]
            self._last = block.end, head[:HEAD_BYTES], tail[-TAIL_BYTES:]
            self.position = block.end
        return block

    def codec(self) -> Codec:
        """Return how the file is decoded."""
        if self._codec is not None:
            return self._codec
        head = self._pread(encodings.MARK_MAX_BYTES, 0)
        codec = encodings.detect(head, self._encoding)
        if len(head) == encodings.MARK_MAX_BYTES:
            self._codec = codec
        return codec

    def waits_at_nuls(self) -> bool:
        """Return whether there is nothing but NULs from the position to the end: space that may be filled later."""
        nuls = self._pread(len(NULS), self.position)
        return bool(nuls) and not nuls.strip(b"\0") and self._end_of_nuls(self.position) >= self.size

    def forget_nuls(self) -> None:
        """Look through NULs again that were seen before: they may have been overwritten."""
        self._nuls = (0, 0)

    def sample(self, length: int) -> bytes:
        """Return the first bytes that are not NUL."""
        start = self._end_of_nuls(0)
        return self._pread(length, start) if start < self.size else b""

    def _end_of_nuls(self, start: int) -> int:
        """Return the offset of the first byte from start on that is not NUL, at most the file's size.

        What was found to be NULs before is not looked through again, except for its first bytes: a file is filled
        from its start on.
        """
        known_start, known_end = self._nuls
        at = start
        if known_start <= start < known_end and not self._pread(len(NULS), start).strip(b"\0"):
            at = known_end
        limit = at + _NUL_SCAN_BYTES
        while at < min(self.size, limit):
            at = self._next_data(at)
            data = self._pread(BLOCK_BYTES, at) if at < self.size else b""
            rest = data.lstrip(b"\0")
            at += len(data) - len(rest)
            if rest or not data:
                break
        else:
            # Not looked through to the end: the rest follows at the next call.
            self._nuls = (start, at)
            return self.size
        self._nuls = (start, at)
        return at

    def _next_data(self, at: int) -> int:
        """Return where the file has data from `at` on, not a hole of a sparse file."""
        try:
            return os.lseek(self._descriptor, at, os.SEEK_DATA)
        except OSError as error:
            return self.size if error.errno == errno.ENXIO else at

    def _pread(self, length: int, at: int) -> bytes:
        """Return bytes of the file, fewer only at its end: network file systems may return less than is asked for."""
        data = patiently(os.pread, self._descriptor, length, at)
        while 0 < len(data) < length and at + len(data) < self.size:
            more = patiently(os.pread, self._descriptor, length - len(data), at + len(data))
            if not more:
                break
            data += more
        return data


def block_of(data: bytes, start: int, codec: Codec, *, flush: bool) -> Block | None:
    """Return the block at the beginning of data, which is read from offset start; None without a whole line.

    data: up to BLOCK_BYTES, not empty. codec: of the file. flush: return an unfinished last line too.
    """
    length = codec.after_last_line(data)
    unfinished = not length
    if unfinished:
        if len(data) > PIECE_BYTES:
            length = codec.whole_characters(data, PIECE_BYTES)
        elif flush:
            # NULs at the end may be space that is reserved for text to come.
            length = codec.whole_characters(data, len(data) if codec.has_nuls else len(data.rstrip(b"\0")))
        if not length:
            return None
    behind = len(data) == BLOCK_BYTES
    if length < len(data):
        data = data[:length]
    return Block(codec.to_utf8(data, start), start, start + length, unfinished, behind)
