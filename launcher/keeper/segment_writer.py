"""Writes the segments of a launch's log in a thread, so that a slow disk never blocks the server."""

import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tracetail.contract.owned_files import open_ours
from tracetail.contract.state import make_directory
from tracetail.launcher.plan import SEGMENT_MODE

QUEUE_MAX_BYTES = 5 * 1024 * 1024
"""Bytes that may be queued before lines are dropped; the keeper has to stay small."""
RETRY_SECONDS = 0.2


class _Job(NamedTuple):
    data: bytes
    path: Path | None
    """A segment to open; None: write to the open one."""


class SegmentWriter:
    """Appends to segments in the order of the calls; retries failed writes until close() gives up."""

    def __init__(self, path: Path, wake: Callable[[], None]) -> None:
        self._jobs: deque[_Job] = deque([_Job(b"", path)])
        self._changed = threading.Condition()
        self._wake = wake
        self._closing = False
        self._pending = 0
        self._busy = True
        self.error: OSError | None = None
        """Why the last write failed; None once writes succeed again."""
        self._thread = threading.Thread(target=self._run, name="segments", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """The number of queued bytes."""
        return self._pending

    @property
    def idle(self) -> bool:
        """Whether everything queued so far is in the file."""
        return not self._jobs and not self._busy

    def append(self, data: bytes) -> None:
        """Queue data behind everything queued before."""
        self._put(_Job(data, None))

    def next_segment(self, path: Path) -> None:
        """Write what is queued from now on to a new segment."""
        self._put(_Job(b"", path))

    def wait(self, seconds: float) -> bool:
        """Wait until all is written, for at most this many seconds; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self.idle, seconds)

    def close(self, seconds: float) -> int:
        """Write what is queued, for at most this many seconds; return how many bytes were not written."""
        self.wait(seconds)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(seconds)
        return self._pending

    def _put(self, job: _Job) -> None:
        with self._changed:
            self._jobs.append(job)
            self._pending += len(job.data)
            self._changed.notify_all()

    def _run(self) -> None:
        descriptor = -1
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._jobs or self._closing)
                if not self._jobs:
                    break
                job = self._jobs.popleft()
                self._busy = True
            if job.path is not None:
                if descriptor >= 0:
                    os.close(descriptor)
                descriptor = self._open(job.path)
            if job.data and descriptor >= 0:
                self._write(descriptor, job.data)
            del job  # not kept until there is another one: the keeper has to stay small
            if self._closing:
                break
        if descriptor >= 0:
            os.close(descriptor)

    def _open(self, path: Path) -> int:
        while True:
            try:
                make_directory(path.parent)
                return open_ours(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, SEGMENT_MODE)
            except OSError as error:
                if not self._wait_to_retry(error):
                    return -1

    def _write(self, descriptor: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                written = os.write(descriptor, view)
            except OSError as error:
                if not self._wait_to_retry(error):
                    return
                continue
            view = view[written:]
            if self.error is not None:
                self.error = None
                self._wake()
            with self._changed:
                self._pending -= written

    def _wait_to_retry(self, error: OSError) -> bool:
        """Record why a write failed, and wait a little; return whether to try again."""
        if self.error is None:
            self.error = error
            self._wake()
        with self._changed:
            return not self._changed.wait_for(lambda: self._closing, RETRY_SECONDS)
