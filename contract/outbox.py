"""The outbox of a launch: callbacks that are decided but not yet delivered, one JSON file each.

The keeper's reporter puts a callback here before it tries to deliver it; what is left when the keeper is gone, the
agent delivers. Whoever tries holds the file's lock for as long as the try takes, and deletes the file when the
receiver has answered with a 2xx. The body is final: its secrets are masked before it is written.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict, cast

from tracetail.contract.record import replace_file

GIVE_UP_SECONDS = 24 * 3600.0
"""A callback that nobody took for this long is dropped."""


class Callback(TypedDict):
    """One callback: where it goes and what it says."""

    url: str
    tokenFile: str
    """File with a bearer token for the request; empty for none."""
    createdAt: float
    """Seconds since the epoch."""
    attempts: int
    body: dict[str, Any]
    """The JSON to post; `eventId` in it is the file's name."""


def put(outbox: Path, callback: Callback) -> Path:
    """Write a callback (anew: with its attempts counted) and return its file."""
    outbox.mkdir(mode=0o770, exist_ok=True)
    path = outbox / f"{callback['body']['eventId']}.json"
    # The group's agent may deliver it, but a password in the URL is for its owner's eyes only.
    mode = 0o600 if "@" in callback["url"].partition("//")[2].partition("/")[0] else 0o640
    replace_file(path, json.dumps(callback, ensure_ascii=False).encode(), mode)
    return path


def pending(outbox: Path) -> list[Path]:
    """Return the callbacks that wait, oldest first."""
    found = []
    for path in outbox.glob("*.json") if outbox.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            found.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(found)]


@contextlib.contextmanager
def claim(path: Path) -> Iterator[Callback | None]:
    """Hold a callback while delivering it; None if it is gone, being delivered by somebody else or unreadable."""
    lock = path.with_suffix(".lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            callback = cast("Callback", json.loads(path.read_bytes()))
        except (BlockingIOError, FileNotFoundError, ValueError):
            yield None
            return
        yield callback
        if not path.exists():
            lock.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def overdue(callback: Callback, now: float) -> bool:
    """Say whether a callback is to be given up at now (seconds since the epoch)."""
    return now - callback["createdAt"] > GIVE_UP_SECONDS
