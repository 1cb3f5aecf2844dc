"""Finds the files that were rotated away from a path: renamed, moved, copied or compressed."""

import contextlib
import errno
import itertools
import os
import re
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from tracetail.agent.model import FileRow
from tracetail.agent.reading.birth_time import birth_time_ns
from tracetail.agent.reading.reader import FileReader
from tracetail.agent.reading.transient import TRANSIENT
from tracetail.agent.reading.unpacked import COMPRESSED, ENDINGS, HINTS, StillUnpackingError, unpacked_name

_T = TypeVar("_T")

LOOKS_MAX = 4
"""How often rotated files are looked for at most while their names change."""


class Missed(NamedTuple):
    """A file that was at a path, and renamed, before a poll could see it."""

    reader: FileReader
    device: int
    inode: int
    """Of the file itself, which may be compressed."""
    left_ns: int
    """When it was changed last, and was not compressed yet."""


class Opener(Protocol):
    """Opens files that may belong to a source."""

    def open(self, path: Path, position: int = 0) -> FileReader:
        """Open a file at a position. Raises OSError."""

    def unpack(self, path: Path, beginning: bytes, position: int = 0) -> FileReader | None:
        """Open the content of a compressed file that begins so; None if it does not. Raises StillUnpackingError."""

    def is_free(self, reader: FileReader) -> bool:
        """Return whether no other source reads a file."""

    def has_all_of(self, reader: FileReader) -> bool:
        """Return whether a file is a copy of the beginning of one that the source has open."""

    def was_read(self, reader: FileReader) -> bool:
        """Return whether a file has the content of one that another source has read."""


_MUST_RAISE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""These say nothing about the file: it may be opened later."""
_DIRECTORIES_MAX = 64
"""Of a directory, at most so many in it are searched (logrotate's `olddir`)."""
_SEPARATOR = r"(?:[.-]|__?(?=\d{6}|\d{4}-\d\d))"
"""Before a rotation's number or date; `_` before a date only, since server_8001.log is the log of a port.
pm2-logrotate writes two of them."""
_ROTATION = r"(?:\d[\d.T:_-]*|old|bak)"
_DATED = r"\d[\d.T:_-]*"
_TAI64N = r"@[0-9a-f]{24}"
_OF_CURRENT = rf"{_TAI64N}\.[su]"
"""Old files of multilog, s6-log and svlogd, whose log is called `current`."""
_CLOCK_TICK_NS = 20_000_000
"""The times of files are those of the last tick of the kernel's clock."""
_SECOND_NS = 1_000_000_000
_NUMBERED = re.compile(rf"\.(\d{{1,4}})(?:{'|'.join(map(re.escape, ENDINGS))})?$")
_NUMBER = re.compile(r"\d+")
_VARIES = re.compile(rf"{_TAI64N}|\d+")
"""What differs in the names of files that were rotated away from one path."""
_LATE_NS = 5_000_000_000
"""A writer may go on for this time with a file that was rotated away."""
_COPY_NS_PER_BYTE = 50
"""Of a slow disk: 20 MB/s."""


class BeingRotatedError(BlockingIOError):
    """Files were renamed while they were looked for; look again a moment later."""


def find_file(path: Path, row: FileRow, opener: Opener) -> FileReader | None:
    """Return a reader, at the row's position, of the file that the row describes; None if it does not exist.

    The file may be at path, beside it, or in a directory in or beside the one of path (logrotate's `olddir`):
    renamed, copied or compressed. Raises OSError if it cannot be said now whether it exists: it cannot be opened, or
    there are too few descriptors to look.
    """
    return _while_names_change(path, lambda: _find_file(path, row, opener))


def _while_names_change(path: Path, look: Callable[[], _T]) -> _T:
    """Return what look() returns; if that is nothing, and the directory has changed meanwhile, look again.

    A rotation renames app.log.2 to app.log.3, app.log.1 to app.log.2, and so on: a file that is looked for may have
    been at none of the names when these were tried.
    """
    for _ in range(LOOKS_MAX - 1):
        before = _changed_ns(path.parent)
        found = look()
        if found or _changed_ns(path.parent) == before:
            return found
    return look()


def _changed_ns(directory: Path) -> int:
    try:
        return directory.stat().st_mtime_ns
    except OSError:
        return 0


def _find_file(path: Path, row: FileRow, opener: Opener) -> FileReader | None:
    copies: list[FileReader] = []
    in_place = (path, _real(path, row))
    own_directories = [place.parent for place in in_place]
    for candidate in _candidates(path, row):
        try:
            reader = opener.open(candidate, row.position)
        except OSError as error:
            if error.errno in _MUST_RAISE or _may_hold(candidate, row, error, in_place=candidate in in_place):
                raise
            continue
        if reader.continues(row):
            if (reader.device, reader.inode) == (row.device, row.inode):
                for copy in copies:
                    copy.close()
                return reader
            if row.head and not copies and (candidate.parent in own_directories or opener.is_free(reader)):
                copies.append(reader)
                continue
        reader.close()
    return copies[0] if copies else _find_compressed(path, row, opener)


def find_copy(path: Path, row: FileRow, opener: Opener) -> FileReader | None:
    """Return a reader, at the row's position, of a copy of the file that was truncated at path; None without one."""
    return _while_names_change(path, lambda: _find_copy(path, row, opener))


def _find_copy(path: Path, row: FileRow, opener: Opener) -> FileReader | None:
    own = _real(path, row)
    beside = _unique([*_siblings(path), *(_siblings(own) if own != path else ())])
    for candidate in itertools.chain(beside, _lazily(lambda: _rotated_elsewhere(path, ("",)))):
        reader = _opened(candidate, row.position, opener)
        if reader is None:
            continue
        is_other = (reader.device, reader.inode) != (row.device, row.inode)
        if row.head and is_other and opener.is_free(reader) and reader.continues(row):
            return reader
        reader.close()
    return _find_compressed(path, row, opener)


def find_missed(
    path: Path,
    last: FileRow,
    rows: Sequence[FileRow],
    opened: set[tuple[int, int]],
    opener: Opener,
    *,
    created_since_ns: int = 0,
    before: FileReader | None = None,
    until_ns: int = 0,
    rotated: Iterable[Path] = (),
) -> Iterator[Missed]:
    """Yield files that were at path, and renamed, before a poll could see them; oldest first.

    Args:
        path: of the source.
        last: the file that was read last; older files were not missed.
        rows: all files that were seen. They are recognised by their content: an inode is soon used again.
        opened: device and inode of those that are open.
        opener: opens a file.
        created_since_ns: only files that were created since then, or, where that is not known (compressed; FUSE),
            changed since: there was no file at path then.
        before: only files that were rotated away before this one; None for any.
        until_ns: only files that were changed until then; 0 for any.
        rotated: where files from this path were found. Others are looked for there, and by names like theirs.

    Raises BeingRotatedError: there may be others than those that were returned.

    """
    until = None
    if before and not _is_still_at(path, before.status()):  # otherwise all of them, however late they were compressed
        until = _age(before.status(), Path(before.real_path()))
    known = {(row.device, row.inode, row.seen_ns) for row in rows}
    """A packed one that was found is not unpacked again."""

    rotated = set(rotated)
    elsewhere = {file.parent for file in rotated} - {path.parent}
    if created_since_ns:
        elsewhere |= {place for place in _directories_in(path.parent) if not (place / path.name).exists()}
    candidates = _by_age(path, last, rotated, elsewhere)
    # Where the clock was ahead when the last file was seen, and is right now, that file's last change is earlier.
    own = [file.st_mtime_ns for _, file in candidates if (file.st_dev, file.st_ino) == (last.device, last.inode)]
    since = min([last.seen_ns, *own]) - _CLOCK_TICK_NS
    doubtful = {file for file, _ in candidates if _is_doubtful(file, path)} | set(_named_like(path, rotated))

    def is_meant(status: os.stat_result, age: tuple[int, int]) -> bool:
        is_new = _changed_by_ns(status) >= since and (until is None or age < until)
        is_new = is_new and (not until_ns or age[0] <= until_ns)
        is_known = (status.st_dev, status.st_ino, age[0]) in known
        return is_new and not is_known and (status.st_dev, status.st_ino) not in opened

    def was_between(reader: FileReader, status: os.stat_result) -> bool:
        return _was_between(reader, status, since, _following(path, last, before, opener))

    for candidate, status in candidates:
        age = _age(status, candidate)
        if not is_meant(status, age):
            continue
        reader = _opened(candidate, 0, opener)
        if not _is_still_at(candidate, status):
            if reader is not None:
                reader.close()
            raise BeingRotatedError(candidate)
        if reader is None:
            continue
        born_ns = reader.birth_time_ns() if created_since_ns else None
        is_young = born_ns is None or born_ns >= created_since_ns - _CLOCK_TICK_NS
        is_copy = opener.has_all_of(reader) or opener.was_read(reader) or any(_is_copy(reader, row) for row in rows)
        is_meant_here = reader.size and is_young and opener.is_free(reader) and not is_copy
        if is_meant_here and (candidate not in doubtful or was_between(reader, status)):
            yield Missed(reader, status.st_dev, status.st_ino, age[0])
        else:
            reader.close()


def _changed_by_ns(status: os.stat_result) -> int:
    """Return when a file was changed last, at the latest: some file systems know the second only (sshfs)."""
    changed_ns = status.st_mtime_ns
    return changed_ns if changed_ns % _SECOND_NS else changed_ns + _SECOND_NS


def _by_age(
    path: Path, last: FileRow, rotated: Collection[Path], elsewhere: Iterable[Path]
) -> list[tuple[Path, os.stat_result]]:
    """Return the files that may have been rotated away from path, or passed over by its link, oldest first.

    elsewhere: other directories that they may be in.

    Raises BeingRotatedError: their names change so fast that one may have been at none of them.
    """
    earlier: set[tuple[Path, int]] = set()
    for _ in range(LOOKS_MAX):
        before = _changed_ns(path.parent)
        found: list[tuple[Path, os.stat_result]] = []
        named = [*_siblings(path), *_siblings(path, compressed=True)]
        named += itertools.chain.from_iterable(
            _rotated_in(directory, path, ("", *ENDINGS)) for directory in elsewhere
        )
        for candidate in _unique([*named, *_named_like(path, rotated), *_passed_over(path, last)]):
            with contextlib.suppress(OSError):
                found.append((candidate, candidate.stat()))
        names = {(candidate, status.st_ino) for candidate, status in found}
        if _changed_ns(path.parent) == before or names == earlier:
            return sorted(found, key=lambda file: (_age(file[1], file[0]), file[0]))
        earlier = names
    raise BeingRotatedError(f"files beside {path} are being renamed")


def _named_like(path: Path, rotated: Iterable[Path]) -> list[Path]:
    """Return the files whose names differ only in numbers from that of a file that was rotated away from path.

    Without those that are rotated files by their names. A rotation may give any name: `rotatelogs -L current.log
    app.%Y%m%d` makes `current.log` a second name of a file that keeps its first one.
    """
    found: list[Path] = []
    if path.is_symlink():
        return found  # see _passed_over()
    for directory, shape in {(file.parent, _shape(file.name)) for file in rotated}:
        if shape != _shape(path.name):  # otherwise each is a log of its own
            with contextlib.suppress(OSError):
                names = os.listdir(directory)  # noqa: PTH208
                alike = {directory / name for name in names if _shape(name) == shape}
                found += alike.difference(_rotated_in(directory, path, ("", *ENDINGS)))
    return found


def _shape(name: str) -> str:
    """Return a name without what varies in those of the files that were rotated away from one path."""
    return _VARIES.sub("0", unpacked_name(name))


def _is_doubtful(candidate: Path, path: Path) -> bool:
    """Return whether the name may be that of another program's log: app-1.log, or app-8001.log, beside app.log."""
    stem, suffix = re.escape(path.stem), re.escape(path.suffix)
    separator = "[.-]" if suffix else "-"
    return re.fullmatch(rf"{stem}{separator}\d{{1,7}}{suffix}", candidate.name) is not None


class _Following(NamedTuple):
    """The file that came to a path after those that were missed."""

    is_last: bool
    """It is the one that was read last: it was truncated."""
    born_ns: int | None
    """When it was created; None if that is not known."""


def _following(path: Path, last: FileRow, before: FileReader | None, opener: Opener) -> _Following:
    reader = before or _opened(path, 0, opener)
    if reader is None:
        return _Following(is_last=False, born_ns=None)
    try:
        return _Following((reader.device, reader.inode) == (last.device, last.inode), reader.birth_time_ns())
    finally:
        if reader is not before:
            reader.close()


def _was_between(reader: FileReader, status: os.stat_result, since_ns: int, following: _Following) -> bool:
    """Return whether a file was at a path between two others by its times; the log of another program hardly was.

    It was created after the one before it, and not written to any more when the next one was in use; the copy of one
    that was truncated was written in one go. What is not known of these times is not held against it. Raises
    BeingRotatedError: a moment later it is known whether it is still written to.
    """
    born_ns, changed_ns = reader.birth_time_ns(), status.st_mtime_ns
    if born_ns is None or following.born_ns is None:
        return True
    if born_ns < since_ns:
        return False
    left_ns = born_ns + status.st_size * _COPY_NS_PER_BYTE if following.is_last else following.born_ns
    """When it was left alone, at the latest, by all but writers that are late."""
    if changed_ns > left_ns + _LATE_NS:
        return False
    if reader.packed is None and 0 <= time.time_ns() - max(changed_ns, left_ns) <= 2 * _LATE_NS:
        raise BeingRotatedError(f"{reader.path} may still be written to")
    return True


def _is_still_at(path: Path, status: os.stat_result) -> bool:
    try:
        now = path.stat()
    except OSError:
        return False
    return (now.st_dev, now.st_ino) == (status.st_dev, status.st_ino)


def _age(status: os.stat_result, path: Path) -> tuple[int, int]:
    """Return what rotated files are sorted by: the time of the last change, and for app.log.N the number.

    What is compressed was not changed after that began, which may end when the next file has been rotated. The larger
    the number, the older the file. Files that were rotated within a tick of the kernel's clock have the same times.
    """
    changed_ns = status.st_mtime_ns
    if path.suffix in ENDINGS:
        changed_ns = min(changed_ns, birth_time_ns(path) or changed_ns)
    number = _NUMBERED.search(path.name)
    return changed_ns, -int(number[1]) if number else 0


def unreadable_copies(path: Path, last: FileRow) -> list[str]:
    """Return what to say of files that were rotated away from path, and compressed in a way that is not read here.

    last: the file that was read last; older files are not meant.
    """
    found = []
    unreadable = [ending for ending in COMPRESSED if ending not in ENDINGS]
    for candidate in [*_rotated_in(path.parent, path, unreadable), *_rotated_elsewhere(path, unreadable)]:
        with contextlib.suppress(OSError):
            if candidate.stat().st_mtime_ns >= last.seen_ns - _CLOCK_TICK_NS:
                hint = HINTS.get(candidate.suffix)
                found.append(f"{candidate.name} cannot be unpacked here" + (f" ({hint})" if hint else ""))
    return found


def was_left(path: Path, since_ns: int) -> bool:
    """Return whether there is nothing at a path, but a file changed since then may have been rotated away from it."""
    if os.path.lexists(path):
        return False
    return any(is_changed(str(file), since_ns) for file in [*_siblings(path), *_siblings(path, compressed=True)])


def is_changed(path: str, since_ns: int) -> bool:
    """Return whether a file was changed since then."""
    try:
        return _changed_by_ns(os.stat(path)) >= since_ns - _CLOCK_TICK_NS  # noqa: PTH116  (text)
    except OSError:
        return False


def left_from(path: str) -> Iterator[str]:
    """Yield the paths from which a file was rotated away, by its name: app.log and app.log.1 for app.log.1.gz.

    Not app.log for app-1.log, which may as well be another program's.
    """
    unpacked = unpacked_name(path)
    yield from (original for original in originals_of(unpacked) if unpacked.startswith(original))
    if unpacked != path and not unpacked.endswith(".tar"):
        yield unpacked


def originals_of(path: str) -> Iterator[str]:
    """Yield the paths from which a file of this name may have been rotated, to its directory or to one in that."""
    directory, _, name = path.rpartition("/")
    above = directory.rpartition("/")[0]
    suffix = Path(name).suffix
    if re.fullmatch(_OF_CURRENT, name):
        yield f"{directory}/current"
    for separator in re.finditer(_SEPARATOR, name):
        at = separator.start()
        originals = []
        if at and re.fullmatch(_ROTATION, name[at + 1 :]):
            originals.append(name[:at])
        if at and suffix and name.endswith(suffix) and re.fullmatch(_DATED, name[at + 1 : -len(suffix)]):
            originals.append(f"{name[:at]}{suffix}")
        for original in originals:
            yield f"{directory}/{original}"
            yield f"{above}/{original}"


def _is_copy(reader: FileReader, row: FileRow) -> bool:
    """Return whether a file has what was read of another one, or the beginning of it."""
    if not row.head:
        return False
    if row.position:
        return reader.continues(row)
    return reader.head().startswith(row.head)


def _find_compressed(path: Path, row: FileRow, opener: Opener) -> FileReader | None:
    if not row.head:
        return None
    own = _real(path, row)
    beside = [*([own] if own.suffix in ENDINGS else ()), *_siblings(path, compressed=True)]
    for candidate in itertools.chain(_unique(beside), _lazily(lambda: _rotated_elsewhere(path, ENDINGS))):
        reader = opener.unpack(candidate, row.head, row.position)
        if reader is None:
            continue
        if reader.continues(row):
            return reader
        reader.close()
    return None


def _opened(candidate: Path, position: int, opener: Opener) -> FileReader | None:
    """Return a reader of a file, unpacked if it is compressed; None if it cannot be read."""
    try:
        if candidate.suffix in ENDINGS:
            return opener.unpack(candidate, b"", position)
        return opener.open(candidate, position)
    except StillUnpackingError:
        raise
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
    for directory in _unique([path.parent, own.parent, *_elsewhere(path)]):
        with contextlib.suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                if entry.inode() == row.inode:
                    yield Path(entry.path)
    yield from _rotated_elsewhere(path, ("",))


def _elsewhere(path: Path) -> list[Path]:
    """Return the other directories that files may be rotated to: those in the directory of path, and beside it."""
    return _unique([*_directories_in(path.parent), *_directories_in(path.parent.parent)])


def _rotated_elsewhere(path: Path, endings: Iterable[str]) -> list[Path]:
    """Return the files in other directories whose names are those of files that were rotated away from path.

    Where there is a file of the same name as at path, they are rotations of that one.
    """
    found: list[Path] = []
    for directory in _elsewhere(path):
        if directory != path.parent and not (directory / path.name).exists():
            found += _rotated_in(directory, path, endings)
    return found


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
    return _rotated_in(path.parent, path, ENDINGS if compressed else ("",))


def _rotated_in(directory: Path, path: Path, endings: Iterable[str]) -> list[Path]:
    """Return the files in a directory that may have been rotated away from path, with one of some endings."""
    name, stem, suffix = re.escape(path.name), re.escape(path.stem), re.escape(path.suffix)
    ending = f"(?:{'|'.join(map(re.escape, endings))})"
    names = [f"{name}{_SEPARATOR}{_ROTATION}", f"{stem}{_SEPARATOR}{_DATED}{suffix}"]
    names += [_OF_CURRENT] if path.name == "current" else []
    names += [name] if "" not in endings else []
    rotated = re.compile(f"(?:{'|'.join(names)}){ending}")
    try:
        return [directory / name for name in sorted(os.listdir(directory)) if rotated.fullmatch(name)]  # noqa: PTH208
    except OSError:
        return []


def _lazily(find: Callable[[], list[Path]]) -> Iterator[Path]:
    """Yield what is found, looking for it only when it is asked for."""
    yield from find()


def _unique(paths: Iterable[Path]) -> list[Path]:
    return list(dict.fromkeys(paths))
