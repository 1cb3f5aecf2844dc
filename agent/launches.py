"""What the agent does for launches beside shipping their lines: shipped.json, a new keeper for an orphan."""

import asyncio
import logging
import os
import sys
import time
from pathlib import Path

import orjson

from agent.sources import LaunchSource
from contract import shipped
from contract.record import replace_file
from contract.state import STATE_DIR_VARIABLE

log = logging.getLogger(__name__)

ADOPT_AGAIN_AFTER_SECONDS = 10.0


class ShippedFiles:
    """Keeps shipped.json beside each record up to date."""

    def __init__(self) -> None:
        self._written: dict[str, shipped.Shipped] = {}
        self._refused: set[str] = set()

    async def update(self, source: LaunchSource) -> None:
        """Write shipped.json if it would say something new."""
        content: shipped.Shipped = {
            "schema": shipped.SCHEMA,
            "segments": {row.path: row.position for row in source.files},
            "lines": source.lines,
            "rejected": source.rejected,
            "redacted": source.redacted,
            "complete": source.complete,
        }
        if self._written.get(source.key) == content:
            return
        try:
            await asyncio.to_thread(
                replace_file, source.launch.shipped_path, orjson.dumps(content, option=orjson.OPT_INDENT_2)
            )
        except OSError as error:
            if source.key not in self._refused:
                self._refused.add(source.key)
                log.warning("cannot write %s: %s", source.launch.shipped_path, error)
        self._written[source.key] = content

    def forget(self, source: LaunchSource) -> None:
        """Drop what is remembered of a source that is complete."""
        self._written.pop(source.key, None)
        self._refused.discard(source.key)


class Adopter:
    """Calls a new keeper for servers whose keeper is gone."""

    def __init__(self) -> None:
        self._again_at: dict[str, float] = {}

    async def look(self, source: LaunchSource) -> None:
        """Start `tracetail keep --adopt` if the server lives and the keeper does not."""
        now = time.monotonic()
        if now < self._again_at.get(source.key, 0.0) or not source.is_orphaned():
            return
        self._again_at[source.key] = now + ADOPT_AGAIN_AFTER_SECONDS
        log.warning("the keeper of %s is gone and its server lives: calling a new one", source.key)
        await adopt(source.launch.path)


async def adopt(launch_dir: Path) -> None:
    """Run `tracetail keep --adopt`, which returns as soon as a new keeper is there."""
    environ = dict(os.environ) | {STATE_DIR_VARIABLE: str(launch_dir.parent.parent)}
    command = (sys.executable, "-I", "-m", "cli.main", "keep", "--adopt", launch_dir.name)
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaint = await process.communicate()
    if process.returncode:
        log.error("keep --adopt %s: %s", launch_dir.name, complaint.decode(errors="replace").strip()[-500:])
