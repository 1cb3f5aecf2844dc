"""What the globs of `[[agent.sources]]` match: a mistyped one would be silent otherwise."""

import glob
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence

from tracetail.agent.settings import SourceSettings


def find(pattern: str) -> Iterator[str]:
    """Yield the paths that a glob matches, whatever is there."""
    return glob.iglob(pattern, recursive=True)  # noqa: PTH207  (an absolute pattern)


def unmatched(sources: Sequence[SourceSettings]) -> list[str]:
    """Return, for each source whose glob matches no file, a sentence that says so and why that may be."""
    return [sentence(source.glob) for source in sources if not any(find(source.glob))]


def sentence(pattern: str) -> str:
    """Return what to say of a glob that matches nothing."""
    directory = _fixed_part(pattern)
    if os.path.isdir(directory) and not os.access(directory, os.R_OK | os.X_OK):  # noqa: PTH112
        return f"the glob {pattern} of agent.sources matches no file: {directory} may not be read by this user"
    if os.path.isdir(directory):  # noqa: PTH112
        return f"the glob {pattern} of agent.sources matches no file in {directory}"
    return f"the glob {pattern} of agent.sources matches no file: there is no directory {directory}"


def _fixed_part(pattern: str) -> str:
    """Return the directory above the first part of a glob that has a wildcard."""
    parts: Iterable[str] = itertools.takewhile(lambda part: not glob.has_magic(part), pattern.split("/"))
    fixed = "/".join(parts)
    return os.path.dirname(pattern) if fixed == pattern else fixed or "/"  # noqa: PTH120
