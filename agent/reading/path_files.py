"""The open files of one path: the one that is there, and those that were there before and may still be written to."""

import errno
import logging
import os
import stat
from pathlib import Path

from tracetail.agent.model import FileRow
from tracetail.agent.reading.open_files import OpenFiles
from tracetail.agent.reading.opened_file import OpenedFile
from tracetail.agent.reading.reader import FileReader
from tracetail.agent.reading.transient import patiently
from tracetail.contract.safe_open import kind_of

log = logging.getLogger(__name__)

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class PathFiles:
    """The files of a source that are open, and what is at its path."""

    def __init__(self, path: Path, key: str, open_files: OpenFiles, encoding: str) -> None:
        """key: of the source. open_files: of all sources. encoding: of the files; empty for UTF-8."""
        self.files: list[OpenedFile] = []
        """Oldest first; at most one of them is at the path."""
        self._path = path
        self._key = key
        self._open_files = open_files
        self._encoding = encoding
        self._said = ""
        """What was said last about a path that cannot be followed."""

    def status(self) -> os.stat_result | None:
        """Return the status of the file at the path; None if there is none.

        If that cannot be seen (the directory may not be searched any more, say), a file that is open still counts as
        being there; without one this raises OSError.
        """
        try:
            status = patiently(os.stat, self._path)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            here = [file for file in self.files if not file.left_at]
            if not here or error.errno == errno.ESTALE:
                raise
            self.say(f"cannot see what is at {self._key} ({error.strerror}); the file that was there is read on")
            return here[0].reader.status()
        if stat.S_ISREG(status.st_mode):
            return status
        self.say(f"{self._key} is {kind_of(status)} now, which is not followed")
        return None

    def say(self, message: str) -> None:
        """Log why something is not followed, once."""
        if self._said != message:
            self._said = message
            log.warning("%s", message)

    def in_order(self) -> list[OpenedFile]:
        """Return the open files, the one at the path last."""
        return sorted(self.files, key=lambda file: not file.left_at)

    def rotated(self) -> set[Path]:
        """Return where the files that left the path are by now, and are called."""
        return {file.reader.place for file in self.files if file.left_at}

    def identities(self) -> set[tuple[int, int]]:
        """Return device and inode of each open file."""
        return {file.identity for file in self.files}

    def open(self, path: Path, position: int = 0) -> FileReader:
        """Open a file that may belong to the source. Raises OSError."""
        return self._open_files.open_reader(path, position, self._encoding)

    def unpack(self, path: Path, beginning: bytes, position: int = 0) -> FileReader | None:
        """Open the content of a compressed file that begins so; None if it does not. Raises StillUnpackingError."""
        reader = self._open_files.unpacker.unpack(path, beginning, lambda unpacked: self.open(unpacked, position))
        if reader is not None:
            reader.packed = path
        return reader

    def is_free(self, reader: FileReader) -> bool:
        """Return whether no other source reads a file, or has read it."""
        return self._open_files.is_free(reader, self._key)

    def has_all_of(self, reader: FileReader) -> bool:
        """Return whether a file is a copy of the beginning of one that is open, made later than that."""
        born_ns = reader.birth_time_ns()
        return any(
            file.reader.begins_like(reader) and (born_ns is None or born_ns >= (file.reader.birth_time_ns() or 0))
            for file in self.files
        )

    def was_read(self, reader: FileReader) -> bool:
        """Return whether a file has the content of one that another source has read."""
        return self._open_files.was_read(reader, self._key)

    def hold(self, reader: FileReader, row: FileRow, *, settled: bool = False) -> None:
        """Add an opened file to those that are read. settled: if it is not at the path, its writer left it before."""
        file = OpenedFile(row, reader, was_empty=not reader.size)
        self._open_files.hold(reader)
        self._open_files.assign(row, self._key)
        at_path = self.status()
        if at_path is None or file.identity != (at_path.st_dev, at_path.st_ino):
            file.leave(settled=settled)
        self.files.append(file)

    def drop(self, file: OpenedFile) -> None:
        """Close a file."""
        self.files.remove(file)
        self._open_files.release(file.reader)

    def close(self) -> None:
        """Close all files."""
        for file in self.files:
            self._open_files.release(file.reader)
        self.files = []
