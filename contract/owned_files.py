"""Opens files that count only with their owner: those of a launch's directory, and the segments of its log.

A state directory may be shared by a group, so that anybody of the group can put files into it, or links to files of
others. Therefore a file is trusted for who owns it, never for where it lies: it is opened beneath a descriptor of its
directory, through no symbolic link, and its owner is read from the open descriptor.

Two rules follow. What is in the directory of a launch is read only if it belongs to the owner of the directory. It is
acted on (a command is run, a file written, a callback sent) only if that owner is the effective user.
"""

import contextlib
import errno
import os
import pwd
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from tracetail.contract.safe_open import open_file

_READ_BYTES = 64 * 1024
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class ForeignFileError(PermissionError):
    """A file is refused because of its owner or its place. `strerror` says why, `filename` is its path."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(errno.EPERM, reason, str(path))


def user_name(uid: int) -> str:
    """Return the name of a user; the number if the user has none on this machine."""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def owner_of(directory: Path) -> int | None:
    """Return the uid that a directory belongs to; None if there is none, or a link in its place."""
    try:
        status = directory.lstat()
    except OSError:
        return None
    return status.st_uid if stat.S_ISDIR(status.st_mode) else None


def is_ours(directory: Path) -> bool:
    """Return whether a directory belongs to the effective user; False if there is none, or a link in its place."""
    return owner_of(directory) == os.geteuid()


def open_owned(directory: Path, name: str, flags: int = os.O_RDONLY, mode: int = 0o640, *, ours: bool = False) -> int:
    """Return a descriptor of a regular file in a directory, both of the same owner and neither of them a link.

    Args:
        directory: of the file.
        name: of the file in it.
        flags: of open(2), without O_TRUNC.
        mode: of a file that is created.
        ours: the owner has to be the effective user: to act on what is in the file.

    Raises OSError, NotAFileError, ForeignFileError.

    """
    with _opened(directory) as (descriptor, owner):
        if ours:
            _require(directory, owner, os.geteuid())
        return _open(descriptor, directory, name, flags, mode, owner)


def read_owned(directory: Path, name: str, *, ours: bool = False) -> bytes:
    """Return the content of a file in a directory, as open_owned() opens it. Raises the same errors."""
    return read_with_owner(directory, name, ours=ours)[0]


def read_with_owner(
    directory: Path, name: str, *, ours: bool = False, max_bytes: int = sys.maxsize
) -> tuple[bytes, int]:
    """Return the content of a file in a directory, and the uid of both.

    Raises the errors of open_owned(), and OSError with EFBIG for a file of more than max_bytes.
    """
    descriptor = open_owned(directory, name, ours=ours)
    try:
        status = os.fstat(descriptor)
        if status.st_size > max_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(directory / name))
        parts = [os.read(descriptor, status.st_size + 1)]  # no file object: a machine has thousands of records
        while parts[-1]:
            parts.append(os.read(descriptor, _READ_BYTES))
        return b"".join(parts), status.st_uid
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Write a file of a directory of ours atomically: readers, also after a crash, see the old content or the new.

    Raises OSError, ForeignFileError for the directory of another user.
    """
    with _opened(path.parent) as (directory, owner):
        _require(path.parent, owner, os.geteuid())
        temporary = f".{path.name}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):  # of a process that was killed
            os.close(_open(directory, path.parent, temporary, os.O_RDONLY, 0, owner))
            os.unlink(temporary, dir_fd=directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(temporary, flags, mode, dir_fd=directory), "wb") as file:
                os.fchmod(file.fileno(), mode)  # whatever the umask
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise


def open_ours(path: Path, flags: int = os.O_RDONLY, mode: int = 0o640) -> int:
    """Return a descriptor of a regular file of the effective user, which is no link; its directory may be anybody's.

    flags: of open(2), without O_TRUNC. Raises OSError, NotAFileError, ForeignFileError.
    """
    directory = os.open(path.parent, _DIRECTORY)
    try:
        return _open(directory, path.parent, path.name, flags, mode, os.geteuid())
    finally:
        os.close(directory)


def open_beneath(roots: Iterable[Path], path: Path, owner: int) -> int:
    """Return a descriptor, for reading, of a regular file beneath one of some directories, through no link.

    Args:
        roots: the directories; they themselves may be reached through links.
        path: of the file; absolute.
        owner: the uid that it has to belong to.

    Raises OSError, NotAFileError, ForeignFileError.

    """
    with _parent_beneath(roots, path) as directory:
        return _open(directory, path.parent, path.name, os.O_RDONLY, 0, owner)


def remove_beneath(roots: Iterable[Path], path: Path) -> None:
    """Delete a file of the effective user, if it is there, beneath one of some directories. Raises as above."""
    try:
        with _parent_beneath(roots, path) as directory:
            status = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
            _require(path, status.st_uid, os.geteuid())
            os.unlink(path.name, dir_fd=directory)
    except FileNotFoundError:
        return


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[tuple[int, int]]:
    """Open a directory that is not a link; yield its descriptor and its owner."""
    try:
        descriptor = os.open(directory, _DIRECTORY | os.O_NOFOLLOW)
    except NotADirectoryError:
        if directory.is_symlink():
            raise ForeignFileError(directory, "it is a symbolic link, not a directory") from None
        raise
    try:
        yield descriptor, os.fstat(descriptor).st_uid
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _parent_beneath(roots: Iterable[Path], path: Path) -> Iterator[int]:
    """Open the directory of a path, from the root that it is beneath on through directories only."""
    known = list(roots)
    below = next(((root, parts) for root in known if (parts := _parts_below(root, path))), None)
    if below is None:  # it may be the same place by another name
        real = Path(os.path.realpath(path.parent)) / path.name
        places = [Path(os.path.realpath(root)) for root in known]
        below = next(((root, parts) for root in places if (parts := _parts_below(root, real))), None)
    if below is None:
        raise ForeignFileError(
            path, "it is neither in the state directory nor beneath one of the directories of [agent] log_roots"
        )
    root, parts = below
    descriptor = os.open(root, _DIRECTORY)
    try:
        for part in parts[:-1]:
            try:
                inner = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            except NotADirectoryError:
                raise ForeignFileError(
                    path, f"{part} in its path is not a directory (a link is not followed)"
                ) from None
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _parts_below(root: Path, path: Path) -> tuple[str, ...]:
    """Return the names that lead from a directory to a path beneath it; none if it is not beneath it."""
    if not path.is_absolute() or ".." in path.parts:
        return ()
    try:
        return PurePath(path).relative_to(root).parts
    except ValueError:
        return ()


def _open(directory: int, parent: Path, name: str, flags: int, mode: int, owner: int) -> int:
    """Open a file by the descriptor of its directory; refuse a link, and a file of another owner.

    parent: the directory's path, for messages: a list of thousands of launches joins no path for each of their files.
    """
    try:
        descriptor = open_file(name, flags, mode, directory=directory)
    except OSError as error:
        error.filename = str(parent / name)
        raise
    found = os.fstat(descriptor).st_uid
    if found != owner:
        os.close(descriptor)
        _require(parent / name, found, owner)
    return descriptor


def _require(path: Path, owner: int, wanted: int) -> None:
    if owner != wanted:
        raise ForeignFileError(path, f"it belongs to user {user_name(owner)}, not to {user_name(wanted)}")
