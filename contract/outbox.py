"""The outbox of a launch: callbacks that are not delivered yet, one JSON file each.

The launcher puts a callback here before it tries to deliver it; the agent delivers what is left. Either holds the
file's lock during an attempt, and deletes the file when the receiver has returned a 2xx status. The body is final:
its secrets are masked before it is written.

A callback names a receiver and a file with a token for it: so only those of the effective user are sent, never those
that another user has put here (contract.owned_files).
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict, cast

from tracetail.contract.owned_files import is_ours, open_owned, read_owned, replace_file
from tracetail.contract.state import DIRECTORY_MODE

GIVE_UP_SECONDS = 24 * 3600.0
"""A callback that was not delivered for this long is dropped."""


class Callback(TypedDict):
    """One callback: its receiver and its body."""

    url: str
    tokenFile: str
    """File with a bearer token for the request; empty for none."""
    createdAt: float
    """Seconds since the epoch."""
    attempts: int
    body: dict[str, Any]
    """The JSON to post; `eventId` in it is the file's name."""


def put(outbox: Path, callback: Callback) -> Path:
    """Write a callback, or replace it with more attempts counted; return its file. Raises OSError."""
    outbox.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    path = outbox / f"{callback['body']['eventId']}.json"
    # The group may see what is undelivered; but only the owner may read a password in the URL.
    mode = 0o600 if "@" in callback["url"].partition("//")[2].partition("/")[0] else 0o640
    replace_file(path, json.dumps(callback, ensure_ascii=False).encode(), mode)
    return path


def pending(outbox: Path) -> list[Path]:
    """Return the files of the undelivered callbacks, oldest first; none of an outbox of another user."""
    found = []
    for path in outbox.glob("*.json") if is_ours(outbox.parent) and is_ours(outbox) else ():
        with contextlib.suppress(FileNotFoundError):
            found.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(found)]


@contextlib.contextmanager
def claim(path: Path) -> Iterator[Callback | None]:
    """Lock a callback and yield it; yield None if it is deleted, locked by another process or unreadable.

    Raises OSError, ForeignFileError for a callback of another user.
    """
    lock = path.with_suffix(".lock")
    descriptor = open_owned(path.parent, lock.name, os.O_RDWR | os.O_CREAT, 0o600, ours=True)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            callback = cast("Callback", json.loads(read_owned(path.parent, path.name, ours=True)))
        except (BlockingIOError, FileNotFoundError, ValueError):
            yield None
            return
        yield callback
        if not path.exists():
            lock.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def overdue(callback: Callback, now: float) -> bool:
    """Return whether a callback is to be dropped at now (seconds since the epoch)."""
    return now - callback["createdAt"] > GIVE_UP_SECONDS
