"""Beneath which directories the segments of a launch may lie (for owned_files.open_beneath and remove_beneath).

A record names its segments, and whoever can put a record into the state directory can name any file: one that the
reader may read and the writer of the record may not. So a segment counts only beneath a directory that is meant for
logs, through no link, and only where it belongs to the launch's owner.
"""

import errno
import json
import os
from collections.abc import Iterable
from pathlib import Path

from tracetail.contract.owned_files import open_beneath, owner_of, read_owned
from tracetail.contract.record import LaunchDir


def log_roots(launch: LaunchDir, configured: Iterable[str] = ()) -> list[Path]:
    """Return the directories beneath which the segments of a launch are read and deleted.

    These are its state directory, the configured ones, and for a launch of the effective user the logDir in its plan.
    configured: `[agent] log_roots`.
    """
    state_dir = launch.path.parent.parent
    return [state_dir, state_dir / "logs", *map(Path, configured), *_of_plan(launch)]


def open_segment(launch: LaunchDir, path: Path, configured: Iterable[str] = ()) -> int:
    """Return a descriptor, for reading, of a segment that a launch's record names.

    configured: `[agent] log_roots`. Raises OSError, NotAFileError, ForeignFileError.
    """
    owner = owner_of(launch.path)
    if owner is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(launch.path))
    return open_beneath(log_roots(launch, configured), path, owner)


def _of_plan(launch: LaunchDir) -> list[Path]:
    """Return logDir: segments lie in <logDir>/<env>/<engine>. Nobody but the owner of a launch can write its plan."""
    try:
        directory = Path(json.loads(read_owned(launch.path, "plan.json", ours=True))["log"]["directory"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [directory.parent.parent] if directory.is_absolute() else []
