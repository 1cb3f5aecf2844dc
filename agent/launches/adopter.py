"""Starts a new keeper for launches whose keeper has ended: it continues, or records how the launch ended."""

import asyncio
import logging
import os
import sys
import time
from pathlib import Path

from tracetail.agent.reading.launch_source import LaunchSource
from tracetail.contract.state import STATE_DIR_VARIABLE

log = logging.getLogger(__name__)

ADOPT_AGAIN_AFTER_SECONDS = 10.0
_ADOPT_TIMEOUT_SECONDS = 60.0


class Adopter:
    """Runs `tracetail keep --adopt` for each launch without a keeper."""

    def __init__(self) -> None:
        self._not_before: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def check(self, source: LaunchSource) -> None:
        """Start `tracetail keep --adopt` if the keeper has ended, without waiting for it.

        Not for a launch of another user: whatever its plan says would be done with this user's rights.
        """
        now = time.monotonic()
        if now < self._not_before.get(source.key, 0.0) or not source.is_orphaned() or not source.launch.ours:
            return
        self._not_before[source.key] = now + ADOPT_AGAIN_AFTER_SECONDS
        log.warning("the keeper of %s has ended: starting a new one", source.key)
        task = asyncio.create_task(adopt(source.launch.path), name=f"adopt {source.key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, source: LaunchSource) -> None:
        """Drop the state of a source that is complete."""
        self._not_before.pop(source.key, None)

    async def stop(self) -> None:
        """Stop waiting for the commands that run."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def adopt(launch_dir: Path) -> None:
    """Run `tracetail keep --adopt`, which returns as soon as a new keeper runs."""
    environ = dict(os.environ) | {STATE_DIR_VARIABLE: str(launch_dir.parent.parent)}
    command = (sys.executable, "-I", "-m", "tracetail", "keep", "--adopt", launch_dir.name)
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(_ADOPT_TIMEOUT_SECONDS):
                _, stderr = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            stderr = f"no answer within {_ADOPT_TIMEOUT_SECONDS:.0f} s".encode()
    except OSError as error:
        log.error("keep --adopt %s cannot be run: %s", launch_dir.name, error)  # noqa: TRY400
        return
    if process.returncode:
        log.error("keep --adopt %s: %s", launch_dir.name, stderr.decode(errors="replace").strip()[-500:])
