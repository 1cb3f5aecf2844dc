"""What the agent does for launches beside shipping their lines: shipped.json, new keepers, callbacks left behind."""

import asyncio
import errno
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import orjson

from tracetail.agent.reading.source import LaunchSource
from tracetail.contract import outbox, shipped
from tracetail.contract.backoff import Backoff
from tracetail.contract.http_headers import bearer
from tracetail.contract.record import LaunchDir, replace_file
from tracetail.contract.secret_file import SecretFileError, read_secret
from tracetail.contract.state import STATE_DIR_VARIABLE, launches_dir

log = logging.getLogger(__name__)

ADOPT_AGAIN_AFTER_SECONDS = 10.0
_ADOPT_SECONDS = 60.0
_NEVER_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR})
"""Another user's launch, or one that was removed: a full disk may have room again, these will not be writable."""
_OUTBOXES_EVERY_SECONDS = 2.0
_AT_ONCE = 32
"""Callbacks that are under way together."""
_AT_ONCE_TO_ONE = 4
"""Of them, to one receiver: one that hangs does not take the places of the others."""
_CALLBACK_SECONDS = 10.0
_KEEPERS_OWN_SECONDS = 15.0
"""A callback that has lain so long, its keeper has given up."""


class ShippedFiles:
    """Keeps shipped.json beside each record up to date."""

    def __init__(self) -> None:
        self._written: dict[str, shipped.Shipped] = {}
        self._refused: set[str] = set()

    async def update(self, source: LaunchSource) -> bool:
        """Write shipped.json if it would say something new; False if that is to be tried again."""
        content: shipped.Shipped = {
            "schema": shipped.SCHEMA,
            "segments": {row.path: row.position for row in source.files},
            "lines": source.lines,
            "rejected": source.rejected,
            "redacted": source.redacted,
            "complete": source.complete,
        }
        if self._written.get(source.key) == content:
            return True
        try:
            await asyncio.to_thread(
                replace_file, source.launch.shipped_path, orjson.dumps(content, option=orjson.OPT_INDENT_2)
            )
        except OSError as error:
            if source.key not in self._refused:
                self._refused.add(source.key)
                log.warning("cannot write %s: %s", source.launch.shipped_path, error)
            if error.errno not in _NEVER_WRITABLE:
                return False
        else:
            self._refused.discard(source.key)
        self._written[source.key] = content
        return True

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
    """Calls a new keeper for launches whose keeper is gone: it goes on, or tells how the launch ended."""

    def __init__(self) -> None:
        self._again_at: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def look(self, source: LaunchSource) -> None:
        """Start `tracetail keep --adopt` if the keeper is gone; do not wait for it."""
        now = time.monotonic()
        if now < self._again_at.get(source.key, 0.0) or not source.is_orphaned():
            return
        self._again_at[source.key] = now + ADOPT_AGAIN_AFTER_SECONDS
        log.warning("the keeper of %s is gone: calling a new one", source.key)
        task = asyncio.create_task(adopt(source.launch.path), name=f"adopt {source.key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, source: LaunchSource) -> None:
        """Drop what is remembered of a source that is complete."""
        self._again_at.pop(source.key, None)

    async def stop(self) -> None:
        """Wait no longer for what was called."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def adopt(launch_dir: Path) -> None:
    """Run `tracetail keep --adopt`, which returns as soon as a new keeper is there."""
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
            async with asyncio.timeout(_ADOPT_SECONDS):
                _, complaint = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            complaint = f"no answer within {_ADOPT_SECONDS:.0f} s".encode()
    except OSError as error:
        log.error("keep --adopt %s cannot be run: %s", launch_dir.name, error)  # noqa: TRY400
        return
    if process.returncode:
        log.error("keep --adopt %s: %s", launch_dir.name, complaint.decode(errors="replace").strip()[-500:])


class Outboxes:
    """Delivers the callbacks that keepers left behind, each with its own backoff, for up to a day.

    Those of one launch go one after another, the oldest first; those of different launches side by side.
    """

    def __init__(self, state_dirs: Sequence[Path]) -> None:
        self._launches = [launches_dir(path) for path in state_dirs]
        self._waits: dict[Path, tuple[float, Backoff]] = {}
        self._under_way: dict[Path, asyncio.Task[None]] = {}
        """By the outbox."""
        self._to: Counter[str] = Counter()
        """How many are under way to each receiver."""

    async def run(self) -> None:
        """Look through the outboxes again and again, until cancelled."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_AT_ONCE),
            timeout=aiohttp.ClientTimeout(total=_CALLBACK_SECONDS),
            headers={"User-Agent": "tracetail-agent"},
        ) as session:
            try:
                while True:
                    for directory, paths in await asyncio.to_thread(self._due):
                        self._begin(session, directory, paths)
                    await asyncio.sleep(_OUTBOXES_EVERY_SECONDS)
            finally:
                for task in self._under_way.values():
                    task.cancel()
                await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _due(self) -> list[tuple[Path, list[Path]]]:
        """Return each outbox with the callbacks whose time has come, the oldest first."""
        now = time.monotonic()
        outboxes = [directory for launches in self._launches for directory in launches.glob("*/outbox")]
        waiting = {directory: outbox.pending(directory) for directory in outboxes}
        there = {path for paths in waiting.values() for path in paths}
        self._waits = {path: wait for path, wait in self._waits.items() if path in there}
        due = {
            directory: [path for path in paths if path not in self._waits or self._waits[path][0] <= now]
            for directory, paths in waiting.items()
        }
        return [(directory, paths) for directory, paths in due.items() if paths]

    def _begin(self, session: aiohttp.ClientSession, directory: Path, paths: list[Path]) -> None:
        """Begin to deliver a launch's callbacks, unless its turn is later: the next look finds them again."""
        receiver = _receiver(paths[0])
        if directory in self._under_way or len(self._under_way) >= _AT_ONCE or self._to[receiver] >= _AT_ONCE_TO_ONE:
            return
        self._to[receiver] += 1
        task = asyncio.create_task(self._deliver(session, paths), name=f"callbacks of {directory.parent.name}")
        self._under_way[directory] = task

        def ended(task: asyncio.Task[None]) -> None:
            del task, self._under_way[directory]
            self._to[receiver] -= 1
            if not self._to[receiver]:
                del self._to[receiver]

        task.add_done_callback(ended)

    async def _deliver(self, session: aiohttp.ClientSession, paths: list[Path]) -> None:
        for path in paths:
            try:
                await self._try(session, path)
            except Exception:
                log.exception("cannot deliver the callback %s", path)
                self._wait(path)

    async def _try(self, session: aiohttp.ClientSession, path: Path) -> None:
        """Deliver one callback, unless its keeper is just about it."""
        launch = LaunchDir(path.parent.parent)
        try:
            # A keeper that lives delivers by itself, for ten seconds after the end; then it is gone.
            if launch.lock_held() and _age_seconds(path) < _KEEPERS_OWN_SECONDS:
                return
            with outbox.claim(path) as callback:
                if callback is None:
                    self._wait(path)
                elif outbox.overdue(callback, time.time()):
                    log.error("nobody took the callback %s at %s for a day: dropped", path.stem, _shown(callback))
                    _delete(path)
                elif await _post(session, callback):
                    _delete(path)
                    self._waits.pop(path, None)
                else:
                    callback["attempts"] += 1
                    outbox.put(path.parent, callback)
                    self._wait(path)
        except (OSError, SecretFileError) as error:
            if path not in self._waits:
                log.warning("cannot deliver the callback %s: %s", path, error)
            self._wait(path)

    def _wait(self, path: Path) -> None:
        backoff = self._waits[path][1] if path in self._waits else Backoff()
        self._waits[path] = (time.monotonic() + backoff.wait(), backoff)


def _receiver(path: Path) -> str:
    """Return to whom a callback goes, as host and port; empty if that cannot be read."""
    try:
        return urlsplit(str(json.loads(path.read_bytes())["url"])).netloc.rpartition("@")[2]
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _shown(callback: outbox.Callback) -> str:
    """Return the receiver's URL without a password."""
    parts = urlsplit(callback["url"])
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _age_seconds(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _post(session: aiohttp.ClientSession, callback: outbox.Callback) -> bool:
    """Post one callback; say whether the receiver took it. Raises SecretFileError."""
    token_file = callback["tokenFile"]
    headers = bearer(read_secret("callbackTokenFile", token_file)) if token_file else {}
    try:
        # A redirect is a failure: the callback, and its token, are for the host that was named.
        async with session.post(
            callback["url"], json=callback["body"], headers=headers, allow_redirects=False
        ) as answer:
            if answer.status // 100 == 2:
                return True
            log.warning("%s answered %d to a callback", _shown(callback), answer.status)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        log.warning("%s does not take a callback: %s", _shown(callback), error or type(error).__name__)
    return False
