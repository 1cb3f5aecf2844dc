"""Writes a copy of a launch's log to stdout in a thread, so that whoever reads it never blocks the server."""

import os
import select
import threading
from collections import deque

from tracetail.launcher.keeper.keeper_log import report

QUEUE_MAX_BYTES = 2 * 1024 * 1024
"""Bytes that may wait for a slow reader of stdout; more is dropped from the copy, never from the segments."""
WAIT_SECONDS = 0.25
"""How long a burst waits for space in the queue. The FIFO's buffer of 1 MiB holds the output meanwhile."""


class StdoutCopy:
    """The keeper's stdout: append() does not wait for a reader that has stopped."""

    def __init__(self, *, plain: bool = False, descriptor: int = 1) -> None:
        """Args: plain: the server's own lines, without stamp, ids and events; descriptor: where to write."""
        self.plain = plain
        self._descriptor = descriptor
        self._queue: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._pending = 0
        self._closing = False
        self._broken = False
        """Nobody reads any more: nothing is written from then on."""
        self._stalled = False
        """A wait for space was in vain: no other one before the queue is half empty."""
        self._dropped_lines = 0
        self._thread = threading.Thread(target=self._run, name="stdout", daemon=True)
        self._thread.start()

    def append(self, data: bytes, *, event: bool = False) -> None:
        """Queue lines; drop and count them if the queue is full. event: they are few, and not to be dropped."""

        def has_space() -> bool:
            return self._broken or not self._pending or self._pending + len(data) <= QUEUE_MAX_BYTES

        with self._changed:
            if self._stalled and self._pending < QUEUE_MAX_BYTES // 2:
                self._stalled = False
            if not event and not has_space():
                self._stalled = self._stalled or not self._changed.wait_for(has_space, WAIT_SECONDS)
                if self._stalled:
                    self._dropped_lines += data.count(b"\n")
                    return
            if not self._broken:
                self._queue.append(data)
                self._pending += len(data)
                self._changed.notify_all()

    def take_dropped(self) -> int:
        """Return how many lines were dropped since the last call, once the queue has space again; else 0."""
        with self._changed:
            if self._pending >= QUEUE_MAX_BYTES // 2:
                return 0
            dropped, self._dropped_lines = self._dropped_lines, 0
            return dropped

    def close(self, seconds: float) -> None:
        """Write what is queued, for at most this many seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                data = self._queue.popleft()
            try:
                self._write(data)
            except OSError as error:
                report(f"stdout cannot be written any more: {error}")
                with self._changed:
                    self._broken = True
                    self._queue.clear()
                    self._pending = 0
                    self._changed.notify_all()
                return
            with self._changed:
                self._pending -= len(data)
                self._changed.notify_all()

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # whoever gave us stdout made it non-blocking
                select.select([], [self._descriptor], [])
