"""Writes shipped.json beside each launch's record: how much of its log every output has acknowledged."""

import asyncio
import errno
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import orjson

from tracetail.agent.followed_log import FollowedLog
from tracetail.agent.model import LOKI
from tracetail.agent.reading.launch_source import LaunchSource
from tracetail.contract import shipped
from tracetail.contract.owned_files import replace_file
from tracetail.contract.record import LaunchDir
from tracetail.contract.shipped import Shipped, read_shipped
from tracetail.contract.state import launches_dir

log = logging.getLogger(__name__)

_PERMANENT_ERRORS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR})
"""A read-only launch, or a deleted one. Others, such as a full disk, may pass."""
_NO_LAUNCHES: Mapping[str, Collection[str]] = {LOKI: ()}


class ShippedFileWriter:
    """Keeps the shipped.json of each launch up to date, for all outputs.

    A segment counts as shipped as far as every output has acknowledged it: what only one of them still needs is kept.
    """

    def __init__(self, completed: Mapping[str, Collection[str]] = _NO_LAUNCHES) -> None:
        """completed: by the name of an output, the launches that are complete there and not followed any more."""
        self._completed = completed
        self._parts: dict[str, dict[str, Shipped]] = {}
        """By launch, then by output: what that output has acknowledged."""
        self._written: dict[str, Shipped] = {}
        self._failed: set[str] = set()
        self._lock = asyncio.Lock()

    async def update(self, output: str, followed: FollowedLog, source: LaunchSource) -> bool:
        """Write shipped.json if its content has changed; return False if that has to be tried again.

        Nothing is written for a launch of another user, nor before every output has said what it has.
        """
        if not source.launch.ours:
            return True
        parts = self._parts.setdefault(source.key, {})
        parts[output] = {
            "schema": shipped.SCHEMA,
            "segments": {row.path: row.position for row in source.files},
            "lines": followed.lines,
            "rejected": followed.rejected,
            "redacted": followed.redacted,
            "complete": source.complete,
        }
        async with self._lock:  # two outputs must not write in turns what each has seen before the other
            for name, launches in self._completed.items():
                if (
                    name not in parts
                    and source.key in launches
                    and (known := read_shipped(source.launch.shipped_path))
                ):
                    parts[name] = {**known, "complete": True}
            if len(parts) < len(self._completed):
                return True
            content = _of_all([parts[name] for name in self._completed])
            written = await self._write(source, content)
        if written and content["complete"]:
            self._forget(source)
        return written

    async def _write(self, source: LaunchSource, content: Shipped) -> bool:
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

    def _forget(self, source: LaunchSource) -> None:
        """Drop the state of a source that is complete."""
        self._parts.pop(source.key, None)
        self._written.pop(source.key, None)
        self._failed.discard(source.key)


def _of_all(parts: Sequence[Shipped]) -> Shipped:
    """Return what all outputs have acknowledged; the counts are those of the first one."""
    segments = {
        path: min(part["segments"][path] for part in parts)
        for path in parts[0]["segments"]
        if all(path in part["segments"] for part in parts)
    }
    return {**parts[0], "segments": segments, "complete": all(part["complete"] for part in parts)}


def launches_without_final_file(state_dirs: Sequence[Path], completed: Iterable[str]) -> set[str]:
    """Return the completed launches whose shipped.json is not final: the agent ended before it was written."""
    found = set()
    for launch_id in completed:
        for state_dir in state_dirs:
            launch = LaunchDir(launches_dir(state_dir) / launch_id)
            if launch.ours and not ((content := read_shipped(launch.shipped_path)) and content["complete"]):
                found.add(launch_id)
    return found
