"""Finds the files that were rotated away from a path: renamed, moved, copied or compressed."""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from tracetail.agent.model import FileRow
from tracetail.agent.reading.reader import FileReader
from tracetail.agent.reading.transient import TRANSIENT
from tracetail.agent.reading.unpacked import ENDINGS, unpack

Opener = Callable[[Path, int], FileReader]
"""Opens a file at a position. Raises OSError."""

_MUST_RAISE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""These say nothing about the file: it may be opened later."""
_DIRECTORIES_MAX = 64
"""Of a directory, at most so many in it are searched (logrotate's `olddir`)."""
_ROTATION = r"(?:\d[\d.T:_-]*|old|bak)"
_DATED = r"\d[\d.T:_-]*"
_CLOCK_TICK_NS = 20_000_000
"""The times of files are those of the last tick of the kernel's clock."""
_NUMBER = re.compile(r"\d+")


def find_file(path: Path, row: FileRow, open_at: Opener) -> FileReader | None:
    """Return a reader, at the row's position, of the file that the row describes; None if it does not exist.

    The file may be at path, beside it, or in a directory beside it: renamed, copied or compressed. Raises OSError
    if it cannot be said now whether it exists: it cannot be opened, or there are too few descriptors to look.
    """
    copies: list[FileReader] = []
    in_place = (path, _real(path, row))
    for candidate in _candidates(path, row):
        try:
            reader = open_at(candidate, row.position)
        except OSError as error:
            if error.errno in _MUST_RAISE or _may_hold(candidate, row, error, in_place=candidate in in_place):
                raise
            continue
        if reader.continues(row):
            if (reader.device, reader.inode) == (row.device, row.inode):
                for copy in copies:
                    copy.close()
                return reader
            if row.head and not copies:
                copies.append(reader)
                continue
        reader.close()
    return copies[0] if copies else _find_compressed(path, row, open_at)


def find_copy(path: Path, row: FileRow, open_at: Opener) -> FileReader | None:
    """Return a reader, at the row's position, of a copy of the file that was truncated at path; None without one."""
    own = _real(path, row)
    for candidate in _unique([*_siblings(path), *(_siblings(own) if own != path else ())]):
        reader = _opened(candidate, row.position, open_at)
        if reader is None:
            continue
        if row.head and (reader.device, reader.inode) != (row.device, row.inode) and reader.continues(row):
            return reader
        reader.close()
    return None


def find_missed(
    path: Path,
    last: FileRow,
    rows: Sequence[FileRow],
    opened: set[tuple[int, int]],
    is_free: Callable[[FileReader], bool],
    open_at: Opener,
) -> Iterator[tuple[FileReader, os.stat_result]]:
    """Yield readers of files that were at path, and renamed, before a poll could see them; oldest first.

    Args:
        path: of the source.
        last: the file that was read last; older files were not missed.
        rows: all files that were seen. They are recognised by their content: an inode is soon used again.
        opened: device and inode of those that are open.
        is_free: returns whether no other source reads a file.
        open_at: opens a file.

    """
    missed: list[tuple[int, Path, os.stat_result]] = []
    for candidate in _unique([*_siblings(path), *_siblings(path, compressed=True), *_passed_over(path, last)]):
        with contextlib.suppress(OSError):
            status = candidate.stat()
            if (status.st_dev, status.st_ino) not in opened and status.st_mtime_ns >= last.seen_ns - _CLOCK_TICK_NS:
                missed.append((status.st_mtime_ns, candidate, status))
    for _, candidate, status in sorted(missed, key=lambda found: found[:2]):
        reader = _opened(candidate, 0, open_at)
        if reader is None:
            continue
        if not reader.size or any(_is_copy(reader, row) for row in rows) or not is_free(reader):
            reader.close()
            continue
        yield reader, status


def originals_of(path: str) -> Iterator[str]:
    """Yield the paths from which a file of this name may have been rotated."""
    directory, slash, name = path.rpartition("/")
    suffix = Path(name).suffix
    for at, character in enumerate(name):
        if not at or character not in ".-":
            continue
        if re.fullmatch(_ROTATION, name[at + 1 :]):
            yield f"{directory}{slash}{name[:at]}"
        if suffix and name.endswith(suffix) and re.fullmatch(_DATED, name[at + 1 : -len(suffix)]):
            yield f"{directory}{slash}{name[:at]}{suffix}"


def _is_copy(reader: FileReader, row: FileRow) -> bool:
    """Return whether a file has what was read of another one, or the beginning of it."""
    if not row.head:
        return False
    if row.position:
        return reader.continues(row)
    return reader.head().startswith(row.head)


def _find_compressed(path: Path, row: FileRow, open_at: Opener) -> FileReader | None:
    for candidate in _siblings(path, compressed=True) if row.head else ():
        reader = unpack(candidate, (row.head,), lambda unpacked: open_at(unpacked, row.position))
        if reader is None:
            continue
        if reader.continues(row):
            assert isinstance(reader, FileReader)
            return reader
        reader.close()
    return None


def _opened(candidate: Path, position: int, open_at: Opener) -> FileReader | None:
    """Return a reader of a file, unpacked if it is compressed; None if it cannot be read."""
    try:
        if candidate.suffix in ENDINGS:
            return unpack(candidate, None, lambda unpacked: open_at(unpacked, position))
        return open_at(candidate, position)
    except OSError as error:
        if error.errno in _MUST_RAISE:
            raise
        return None


def _may_hold(candidate: Path, row: FileRow, error: OSError, *, in_place: bool) -> bool:
    """Return whether a file that could not be opened may be the row's, and may be opened later.

    in_place: it is where the row's file was. One that was moved and then closed to this user stays closed.
    """
    if not in_place and error.errno not in TRANSIENT:
        return False
    try:
        status = candidate.stat()
    except FileNotFoundError:
        return False
    except OSError as unseen:
        return in_place and unseen.errno in (*TRANSIENT, errno.EACCES)
    return stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) == (row.device, row.inode)


def _real(path: Path, row: FileRow) -> Path:
    return Path(row.real_path) if row.real_path else path


def _candidates(path: Path, row: FileRow) -> Iterator[Path]:
    """Yield where the file of a row may be now, the likeliest places first."""
    own = _real(path, row)
    yield from _unique([path, own, *_siblings(path), *(_siblings(own) if own != path else ())])
    for directory in _unique([path.parent, own.parent, *_directories_in(path.parent)]):
        with contextlib.suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                if entry.inode() == row.inode:
                    yield Path(entry.path)


def _directories_in(directory: Path) -> list[Path]:
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)][:_DIRECTORIES_MAX]
    return []


def _passed_over(path: Path, last: FileRow) -> list[Path]:
    """Return the files between the last target of a symlink and its present one, by the numbers in their names.

    `current` that pointed to log-01 and now points to log-04 has pointed to log-02 and log-03 meanwhile.
    """
    before = _real(path, last)
    now = Path(os.path.realpath(path))
    shape = _NUMBER.sub("0", before.name)
    if not path.is_symlink() or now.parent != before.parent or _NUMBER.sub("0", now.name) != shape:
        return []
    try:
        beside = [name for name in os.listdir(now.parent) if _NUMBER.sub("0", name) == shape]  # noqa: PTH208
    except OSError:
        return []
    return [now.parent / name for name in beside if _numbers(before.name) < _numbers(name) < _numbers(now.name)]


def _numbers(name: str) -> list[int]:
    return list(map(int, _NUMBER.findall(name)))


def _siblings(path: Path, *, compressed: bool = False) -> list[Path]:
    """Return the files beside path that may have been rotated away from it: app.log.1, app-20261122.log."""
    name, stem, suffix = re.escape(path.name), re.escape(path.stem), re.escape(path.suffix)
    ending = f"(?:{'|'.join(map(re.escape, ENDINGS))})" if compressed else ""
    rotated = re.compile(rf"(?:{name}[.-]{_ROTATION}|{stem}[.-]{_DATED}{suffix}){ending}")
    try:
        return sorted(sibling for sibling in path.parent.iterdir() if rotated.fullmatch(sibling.name))
    except OSError:
        return []


def _unique(paths: Iterable[Path]) -> list[Path]:
    return list(dict.fromkeys(paths))
