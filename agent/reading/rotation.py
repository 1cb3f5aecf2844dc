"""Finds the files that were rotated away from a path: renamed, copied or compressed."""

import contextlib
import gzip
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tracetail.agent.model import FileRow
from tracetail.agent.reading.reader import FileReader
from tracetail.contract.safe_open import open_file

log = logging.getLogger(__name__)


def find_file(path: Path, row: FileRow) -> FileReader | None:
    """Return a reader, at the row's position, of the file that the row describes; None if it does not exist.

    The file may be at path, or beside it: renamed, copied or compressed.
    """
    copies: list[FileReader] = []
    for candidate in (path, *_siblings(path)):
        with contextlib.suppress(OSError):
            reader = FileReader(candidate, row.position)
            if reader.continues(row):
                if (reader.device, reader.inode) == (row.device, row.inode):
                    for copy in copies:
                        copy.close()
                    return reader
                if row.head:
                    copies.append(reader)
                    continue
            reader.close()
    for copy in copies[1:]:
        copy.close()
    return copies[0] if copies else _find_compressed(path, row)


def _find_compressed(path: Path, row: FileRow) -> FileReader | None:
    for candidate in _siblings(path, compressed=True) if row.head else ():
        try:
            with os.fdopen(open_file(candidate), "rb") as file, gzip.open(file) as packed:
                if packed.read(len(row.head)) != row.head:
                    continue
                packed.seek(0)
                with tempfile.NamedTemporaryFile() as unpacked:
                    shutil.copyfileobj(packed, unpacked)
                    unpacked.flush()
                    # The file can be read through the descriptor after its name is deleted.
                    reader = FileReader(Path(unpacked.name), row.position)
        except (OSError, EOFError) as error:
            log.warning("cannot read %s: %s", candidate, error)
            continue
        if reader.continues(row):
            return reader
        reader.close()
    return None


def find_copy(path: Path, row: FileRow, position: int) -> FileReader | None:
    """Return a reader, at position, of a copy of the file that was truncated at path; None if there is none."""
    for candidate in _siblings(path):
        with contextlib.suppress(OSError):
            reader = FileReader(candidate, position)
            if row.head and reader.continues(row):
                return reader
            reader.close()
    return None


def find_missed(
    path: Path, last: FileRow, known: set[tuple[int, int]], is_free: Callable[[FileReader], bool]
) -> Iterator[FileReader]:
    """Yield readers of files that were at path, and renamed, before a poll could see them; oldest first.

    Args:
        path: of the source.
        last: the file that was read last; older files were not missed.
        known: device and inode of files that were seen.
        is_free: returns whether no other source reads a file.

    """
    missed: list[tuple[int, Path]] = []
    for candidate in _siblings(path):
        with contextlib.suppress(OSError):
            status = candidate.stat()
            if (status.st_dev, status.st_ino) not in known and status.st_mtime_ns >= last.seen_ns:
                missed.append((status.st_mtime_ns, candidate))
    for _, candidate in sorted(missed):
        with contextlib.suppress(OSError):
            reader = FileReader(candidate)
            is_copy = last.head and reader.head()[: len(last.head)] == last.head
            if is_copy or not is_free(reader):
                reader.close()
                continue
            yield reader


def _siblings(path: Path, *, compressed: bool = False) -> list[Path]:
    """Return the files beside path that may have been rotated away from it: app.log.1, app-20261122.log."""
    name, stem, suffix = re.escape(path.name), re.escape(path.stem), re.escape(path.suffix)
    ending = r"\.gz" if compressed else ""
    rotated = re.compile(rf"(?:{name}[.-](?:\d[\d.T:_-]*|old|bak)|{stem}[.-]\d[\d.T:_-]*{suffix}){ending}")
    try:
        return sorted(sibling for sibling in path.parent.iterdir() if rotated.fullmatch(sibling.name))
    except OSError:
        return []
