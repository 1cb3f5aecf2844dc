"""Writes shipped.json beside each launch's record: how much of its log is acknowledged."""

import asyncio
import errno
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from tracetail.agent.followed_log import FollowedLog
from tracetail.agent.reading.launch_source import LaunchSource
from tracetail.contract import shipped
from tracetail.contract.owned_files import replace_file
from tracetail.contract.record import LaunchDir
from tracetail.contract.state import launches_dir

log = logging.getLogger(__name__)

_PERMANENT_ERRORS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR})
"""A read-only launch, or a deleted one. Others, such as a full disk, may pass."""


class ShippedFileWriter:
    """Keeps the shipped.json of each launch up to date."""

    def __init__(self) -> None:
        self._written: dict[str, shipped.Shipped] = {}
        self._failed: set[str] = set()

    async def update(self, followed: FollowedLog, source: LaunchSource) -> bool:
        """Write shipped.json if its content has changed; return False if that has to be tried again.

        Nothing is written for a launch of another user.
        """
        if not source.launch.ours:
            return True
        content: shipped.Shipped = {
            "schema": shipped.SCHEMA,
            "segments": {row.path: row.position for row in source.files},
            "lines": followed.lines,
            "rejected": followed.rejected,
            "redacted": followed.redacted,
            "complete": source.complete,
        }
        if self._written.get(source.key) == content:
            return True
        try:
            await asyncio.to_thread(
                replace_file, source.launch.shipped_path, orjson.dumps(content, option=orjson.OPT_INDENT_2)
            )
        except OSError as error:
            if source.key not in self._failed:
                self._failed.add(source.key)
                log.warning("cannot write %s: %s", source.launch.shipped_path, error)
            if error.errno not in _PERMANENT_ERRORS:
                return False
        else:
            self._failed.discard(source.key)
        self._written[source.key] = content
        return True

    def forget(self, source: LaunchSource) -> None:
        """Drop the state of a source that is complete."""
        self._written.pop(source.key, None)
        self._failed.discard(source.key)


def launches_without_final_file(state_dirs: Sequence[Path], completed: Iterable[str]) -> set[str]:
    """Return the completed launches whose shipped.json is not final: the agent ended before it was written."""
    found = set()
    for launch_id in completed:
        for state_dir in state_dirs:
            launch = LaunchDir(launches_dir(state_dir) / launch_id)
            if launch.ours and not ((content := shipped.read_shipped(launch.shipped_path)) and content["complete"]):
                found.add(launch_id)
    return found
