"""What the globs of `[[agent.sources]]` match: a mistyped one would be silent otherwise."""

import fnmatch
import glob
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tracetail.agent.settings import SourceSettings

_ANY_DEPTH = "**"


def find(pattern: str) -> Iterator[str]:
    """Yield the paths that a glob matches, whatever is there."""
    return glob.iglob(str(Path(pattern)), recursive=True)  # noqa: PTH207  (an absolute pattern)


def matches(pattern: str, path: str) -> bool:
    """Return whether find() yields a path if it is there."""
    return _matches(Path(pattern).parts, Path(path).parts)


def leads_on(pattern: str, directory: str) -> bool:
    """Return whether what a glob matches may be in a directory, or below it."""
    return _leads_on(Path(pattern).parts, Path(directory).parts)


def directories(pattern: str) -> Iterator[str]:
    """Yield the directories in which something may appear that makes a glob match more than it does now."""
    directory = str(Path(*_fixed_parts(pattern)))
    if os.path.isdir(directory):  # noqa: PTH112
        yield from directories_below(pattern, directory)
        return
    while not os.path.isdir(directory):  # noqa: PTH112
        directory = os.path.dirname(directory)  # noqa: PTH120
    yield directory


def directories_below(pattern: str, directory: str) -> Iterator[str]:
    """Yield those of the directories that are this one or below it."""
    depth = len(Path(pattern).parts) - 1
    endless = _ANY_DEPTH in Path(pattern).parts
    seen: set[tuple[int, int]] = set()
    waiting = [directory]
    while waiting:
        directory = waiting.pop()
        if not leads_on(pattern, directory):
            continue
        if endless and _is_known(directory, seen):
            continue  # links may lead upwards
        yield directory
        if endless or len(Path(directory).parts) < depth:
            waiting += _subdirectories(directory)


def _subdirectories(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.path for entry in entries if entry.is_dir()]
    except OSError:
        return []


def _is_known(directory: str, seen: set[tuple[int, int]]) -> bool:
    """Return whether a directory is in `seen`, or cannot be looked at; add it."""
    try:
        status = os.stat(directory)  # noqa: PTH116  (many)
    except OSError:
        return True
    identity = status.st_dev, status.st_ino
    known = identity in seen
    seen.add(identity)
    return known


def _matches(parts: Sequence[str], names: Sequence[str]) -> bool:
    if not parts:
        return not names
    if parts[0] == _ANY_DEPTH:
        deeper = bool(names) and not names[0].startswith(".") and _matches(parts, names[1:])
        return deeper or _matches(parts[1:], names)
    return bool(names) and _is_name(parts[0], names[0]) and _matches(parts[1:], names[1:])


def _leads_on(parts: Sequence[str], names: Sequence[str]) -> bool:
    if not parts:
        return False
    if not names:
        return True
    if parts[0] == _ANY_DEPTH:
        deeper = not names[0].startswith(".") and _leads_on(parts, names[1:])
        return deeper or _leads_on(parts[1:], names)
    return len(parts) > 1 and _is_name(parts[0], names[0]) and _leads_on(parts[1:], names[1:])


def _is_name(part: str, name: str) -> bool:
    """Return whether a part of a glob matches a name, as glob.glob() does: `*` matches no hidden one."""
    if not glob.has_magic(part):
        return part == name
    return (part.startswith(".") or not name.startswith(".")) and fnmatch.fnmatchcase(name, part)


def _fixed_parts(pattern: str) -> Sequence[str]:
    """Return the parts above the first one that has a wildcard, or above the last one."""
    parts = Path(pattern).parts
    return parts[: next((at for at, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)]


def unmatched(sources: Sequence[SourceSettings]) -> list[tuple[str, str]]:
    """Return, for each source whose glob matches no file, that it does not and why, in English and in Chinese."""
    return [sentences(source.glob) for source in sources if not any(find(source.glob))]


def sentence(pattern: str) -> str:
    """Return what to say of a glob that matches nothing."""
    return sentences(pattern)[0]


def sentences(pattern: str) -> tuple[str, str]:
    """Return what to say of a glob that matches nothing, in English and in Chinese."""
    english, chinese = f"the glob {pattern} of agent.sources matches no file", f"agent.sources 的通配符 {pattern} "
    directory = _fixed_part(pattern)
    if os.path.isdir(directory) and not os.access(directory, os.R_OK | os.X_OK):  # noqa: PTH112
        return (
            f"{english}: {directory} may not be read by this user",
            f"{chinese}没有匹配：当前用户不能读 {directory}",
        )
    if os.path.isdir(directory):  # noqa: PTH112
        return f"{english} in {directory}", f"{chinese}在 {directory} 中没有匹配的文件"
    return f"{english}: there is no directory {directory}", f"{chinese}没有匹配：没有目录 {directory}"


def _fixed_part(pattern: str) -> str:
    """Return the directory above the first part of a glob that has a wildcard."""
    parts: Iterable[str] = itertools.takewhile(lambda part: not glob.has_magic(part), pattern.split("/"))
    fixed = "/".join(parts)
    return os.path.dirname(pattern) if fixed == pattern else fixed or "/"  # noqa: PTH120
