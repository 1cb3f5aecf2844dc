"""Delivers the callbacks that keepers left in their outboxes, with backoff, for up to a day.

Only those of the agent's own user: a callback names a file whose content is sent as a token.
"""

import asyncio
import contextlib
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from tracetail.contract import outbox, robots
from tracetail.contract.backoff import Backoff
from tracetail.contract.http_headers import bearer
from tracetail.contract.owned_files import read_owned
from tracetail.contract.record import LaunchDir
from tracetail.contract.secret_file import SecretFileError, read_secret
from tracetail.contract.state import launches_dir
from tracetail.contract.system_authorities import ssl_for

log = logging.getLogger(__name__)

_SCAN_SECONDS = 5.0
_SETTLED_NS = 2 * 10**9
"""A directory's time of change may be the same for two changes within a tick of the kernel's clock."""
_CONCURRENT_MAX = 32
_CONCURRENT_PER_RECEIVER_MAX = 4
"""A receiver that hangs must not block the callbacks to the others."""
_TIMEOUT_SECONDS = 10.0
_ANSWER_MAX = 4096
_KEEPER_TRIES_SECONDS = 15.0
"""The keeper of a callback that is older has given it up."""


class OutboxSender:
    """Delivers callbacks: those of one launch one after another, oldest first; different launches concurrently."""

    def __init__(self, state_dirs: Sequence[Path]) -> None:
        """state_dirs: whose launches' outboxes are scanned."""
        self._launches = [launches_dir(path) for path in state_dirs]
        self._waits: dict[Path, tuple[float, Backoff]] = {}
        """By callback: the monotonic time of its next attempt, and its backoff."""
        self._tasks: dict[Path, asyncio.Task[None]] = {}
        """By outbox."""
        self._empty: dict[str, int] = {}
        """The outboxes that nothing was in, and when each was changed last before it was looked at."""
        self._per_receiver: Counter[str] = Counter()
        self._refusals: dict[str, str] = {}
        """By receiver that did not accept the last callback: why, which is logged once."""

    async def run(self) -> None:
        """Scan the outboxes and deliver what is in them, until cancelled."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONCURRENT_MAX),
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
            headers={"User-Agent": "tracetail-agent"},
        ) as session:
            try:
                while True:
                    for directory, paths in await asyncio.to_thread(self._due):
                        self._start(session, directory, paths)
                    await asyncio.sleep(_SCAN_SECONDS)
            finally:
                for task in self._tasks.values():
                    task.cancel()
                await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _due(self) -> list[tuple[Path, list[Path]]]:
        """Return each outbox with its callbacks that are due, oldest first."""
        now = time.monotonic()
        pending = {directory: paths for directory in self._changed() if (paths := outbox.pending(directory))}
        existing = {path for paths in pending.values() for path in paths}
        self._waits = {path: wait for path, wait in self._waits.items() if path in existing}
        if not existing:
            self._refusals.clear()
        due = {
            directory: [path for path in paths if path not in self._waits or self._waits[path][0] <= now]
            for directory, paths in pending.items()
        }
        return [(directory, paths) for directory, paths in due.items() if paths]

    def _changed(self) -> Iterator[Path]:
        """Yield the outboxes that are not known to be empty: those of thousands of ended launches are not listed."""
        known, self._empty = self._empty, {}
        settled_ns = time.time_ns() - _SETTLED_NS
        for launches in self._launches:
            with contextlib.suppress(OSError), os.scandir(launches) as entries:
                for entry in entries:
                    path = f"{entry.path}/outbox"
                    try:
                        changed_ns = os.stat(path).st_mtime_ns  # noqa: PTH116  (a path object costs more than the call)
                    except OSError:
                        continue
                    if known.get(path) != changed_ns:
                        yield Path(path)
                        if changed_ns > settled_ns or not _is_empty(path):
                            continue
                    self._empty[path] = changed_ns

    def _start(self, session: aiohttp.ClientSession, directory: Path, paths: list[Path]) -> None:
        """Start delivering a launch's callbacks if the limits allow it; otherwise the next scan finds them again."""
        receiver = _receiver(paths[0])
        if (
            directory in self._tasks
            or len(self._tasks) >= _CONCURRENT_MAX
            or self._per_receiver[receiver] >= _CONCURRENT_PER_RECEIVER_MAX
        ):
            return
        self._per_receiver[receiver] += 1
        task = asyncio.create_task(self._deliver_all(session, paths), name=f"callbacks of {directory.parent.name}")
        self._tasks[directory] = task

        def ended(task: asyncio.Task[None]) -> None:
            del task, self._tasks[directory]
            self._per_receiver[receiver] -= 1
            if not self._per_receiver[receiver]:
                del self._per_receiver[receiver]

        task.add_done_callback(ended)

    async def _deliver_all(self, session: aiohttp.ClientSession, paths: list[Path]) -> None:
        for path in paths:
            try:
                await self._deliver(session, path)
            except Exception:
                log.exception("cannot deliver the callback %s", path)
                self._wait(path)

    async def _deliver(self, session: aiohttp.ClientSession, path: Path) -> None:
        """Deliver one callback, unless its keeper is still trying."""
        launch = LaunchDir(path.parent.parent)
        try:
            # A live keeper delivers its callbacks itself, until ten seconds after the launch's end.
            if launch.lock_held() and _age_seconds(path) < _KEEPER_TRIES_SECONDS:
                return
            with outbox.claim(path) as callback:
                if callback is None:
                    self._wait(path)
                elif outbox.overdue(callback, time.time()):
                    log.error("callback %s to %s was not accepted for a day: dropped", path.stem, _shown(callback))
                    _delete(path)
                elif (reason := await _post(session, callback)) is None:
                    _delete(path)
                    self._waits.pop(path, None)
                    if self._refusals.pop(_shown(callback), None):
                        log.info("%s accepts callbacks again", _shown(callback))
                else:
                    self._report(_shown(callback), reason)
                    callback["attempts"] += 1
                    outbox.put(path.parent, callback)
                    self._wait(path)
        except (OSError, SecretFileError) as error:
            if path not in self._waits:
                log.warning("cannot deliver the callback %s: %s", path, error)
            self._wait(path)

    def _report(self, receiver: str, reason: str) -> None:
        """Log why a receiver does not accept callbacks, unless that is known."""
        if self._refusals.get(receiver) != reason:
            self._refusals[receiver] = reason
            log.warning("%s does not accept a callback: %s; trying again for a day", receiver, reason)

    def _wait(self, path: Path) -> None:
        backoff = self._waits[path][1] if path in self._waits else Backoff()
        self._waits[path] = (time.monotonic() + backoff.wait(), backoff)


def _is_empty(directory: str) -> bool:
    """Return whether nothing is in a directory; False if that cannot be found out."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        return next(entries, None) is None
    return False


def _receiver(path: Path) -> str:
    """Return host and port that a callback goes to; empty if they cannot be read."""
    try:
        return urlsplit(str(json.loads(read_owned(path.parent, path.name, ours=True))["url"])).netloc.rpartition("@")[
            2
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _shown(callback: outbox.Callback) -> str:
    """Return the receiver's URL without password and query."""
    parts = urlsplit(callback["url"])
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)


def _age_seconds(path: Path) -> float:
    return time.time() - path.stat().st_mtime


async def _post(session: aiohttp.ClientSession, callback: outbox.Callback) -> str | None:
    """Post one callback; return why the receiver did not accept it, None if it did. Raises SecretFileError."""
    token_file = callback["tokenFile"]
    secret = read_secret("callbackTokenFile", token_file) if token_file else ""
    wanted = robots.request(callback["url"], callback["body"], secret, time.time())
    headers = bearer(secret) if secret and not wanted.robot else {}
    try:
        # A redirect is a failure: the callback, and its token, are for the host that was named.
        async with session.post(
            wanted.url, json=wanted.body, headers=headers, ssl=ssl_for(wanted.url), allow_redirects=False
        ) as answer:
            refused = robots.refusal(await answer.content.read(_ANSWER_MAX)) if wanted.robot else ""
            if answer.status // 100 == 2 and not refused:
                return None
            return f"it answered {answer.status} {refused}".rstrip()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return str(error) or type(error).__name__
