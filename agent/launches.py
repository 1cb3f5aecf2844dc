"""What the agent does for launches beside shipping their lines: shipped.json, new keepers, callbacks left behind."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import aiohttp
import orjson

from agent.backoff import Backoff
from agent.sources import LaunchSource
from contract import outbox, shipped
from contract.record import LaunchDir, replace_file
from contract.state import STATE_DIR_VARIABLE, launches_dir

log = logging.getLogger(__name__)

ADOPT_AGAIN_AFTER_SECONDS = 10.0
_OUTBOXES_EVERY_SECONDS = 2.0
_CALLBACK_SECONDS = 10.0
_KEEPERS_OWN_SECONDS = 15.0
"""A callback that has lain so long, its keeper has given up."""


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


def untold(state_dirs: Sequence[Path], completed: Iterable[str]) -> set[str]:
    """Return the launches of which all is shipped but whose shipped.json does not say so: the agent ended between."""
    found = set()
    for launch_id in completed:
        for state_dir in state_dirs:
            launch = LaunchDir(launches_dir(state_dir) / launch_id)
            if launch.path.is_dir() and not (
                (said := shipped.read_shipped(launch.shipped_path)) and said["complete"]
            ):
                found.add(launch_id)
    return found


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


class Outboxes:
    """Delivers the callbacks that keepers left behind, each with its own backoff, for up to a day."""

    def __init__(self, state_dirs: Sequence[Path]) -> None:
        self._launches = [launches_dir(path) for path in state_dirs]
        self._waits: dict[Path, tuple[float, Backoff]] = {}

    async def run(self) -> None:
        """Look through the outboxes again and again, until cancelled."""
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_CALLBACK_SECONDS), headers={"User-Agent": "tracetail-agent"}
        ) as session:
            while True:
                for path in await asyncio.to_thread(self._due):
                    await self._try(session, path)
                await asyncio.sleep(_OUTBOXES_EVERY_SECONDS)

    def _due(self) -> list[Path]:
        now = time.monotonic()
        waiting = [path for launches in self._launches for path in launches.glob("*/outbox/*.json")]
        self._waits = {path: wait for path, wait in self._waits.items() if path in set(waiting)}
        return [path for path in waiting if path not in self._waits or self._waits[path][0] <= now]

    async def _try(self, session: aiohttp.ClientSession, path: Path) -> None:
        """Deliver one callback, unless its keeper is just about it."""
        launch = LaunchDir(path.parent.parent)
        try:
            # A keeper that lives delivers by itself, for ten seconds after the end; then it is gone.
            if launch.lock_held() and _age_seconds(path) < _KEEPERS_OWN_SECONDS:
                return
            with outbox.claim(path) as callback:
                if callback is None:
                    return
                if outbox.overdue(callback, time.time()):
                    log.error("nobody took the callback %s at %s for a day: dropped", path.stem, callback["url"])
                    _delete(path)
                elif await _post(session, callback):
                    _delete(path)
                    self._waits.pop(path, None)
                else:
                    callback["attempts"] += 1
                    outbox.put(path.parent, callback)
                    self._wait(path)
        except OSError as error:
            if path not in self._waits:
                log.warning("cannot deliver the callback %s: %s", path, error)
            self._wait(path)

    def _wait(self, path: Path) -> None:
        backoff = self._waits[path][1] if path in self._waits else Backoff()
        self._waits[path] = (time.monotonic() + backoff.wait(), backoff)


def _age_seconds(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _post(session: aiohttp.ClientSession, callback: outbox.Callback) -> bool:
    """Post one callback; say whether the receiver took it."""
    headers = {}
    if callback["tokenFile"]:
        token = Path(callback["tokenFile"]).read_text(encoding="utf-8")  # noqa: ASYNC240  (a few bytes)
        headers["Authorization"] = f"Bearer {token.strip()}"
    try:
        async with session.post(callback["url"], json=callback["body"], headers=headers) as answer:
            if answer.status // 100 == 2:
                return True
            log.warning("%s answered %d to a callback", callback["url"], answer.status)
    except (aiohttp.ClientError, TimeoutError) as error:
        log.warning("%s does not take a callback: %s", callback["url"], error or type(error).__name__)
    return False
