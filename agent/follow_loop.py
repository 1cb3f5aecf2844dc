"""Polls the logs that discovery finds, and starts a task that ships each one that has something to read."""

import asyncio
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from tracetail.agent.followed_log import FollowedLog
from tracetail.agent.launches.adopter import Adopter
from tracetail.agent.launches.shipped_file import ShippedFileWriter
from tracetail.agent.metrics.exporters import Exporters
from tracetail.agent.pipeline import Pipeline
from tracetail.agent.poll_schedule import PollSchedule
from tracetail.agent.reading.discovery import Discovery
from tracetail.agent.reading.file_names import path_of
from tracetail.agent.reading.file_source import FileSource
from tracetail.agent.reading.launch_source import LaunchSource
from tracetail.agent.reading.open_files import OpenFiles
from tracetail.contract.state import launches_dir

log = logging.getLogger(__name__)

UPDATE_SECONDS = 1.0
"""How often shipped.json, the poll schedule and the metrics of sources are updated."""
STOP_SECONDS = 5.0
"""How long stopping may take; what is not acknowledged then stays in the journal."""


class FollowLoop:
    """Follows all logs until it is stopped."""

    def __init__(self, pipeline: Pipeline, discovery: Discovery, exporters: Exporters, open_files: OpenFiles) -> None:
        """exporters: receives the state of the logs every second. open_files: shared by all file sources."""
        self._pipeline = pipeline
        self._discovery = discovery
        self._exporters = exporters
        self._open_files = open_files
        self._logs: dict[str, FollowedLog] = {}
        self._schedule = PollSchedule()
        self._tasks: set[asyncio.Task[None]] = set()
        self._shipped = ShippedFileWriter()
        self._adopter = Adopter()
        self._failed_updates: dict[str, str] = {}
        """By the key of a launch's log: why the state of the launch could not be checked."""

    @property
    def logs(self) -> Sequence[FollowedLog]:
        """The logs that are followed."""
        return list(self._logs.values())

    async def run(self, state_dirs: Sequence[Path], ended: asyncio.Event) -> None:
        """Follow logs until ended is set, then ship what is written already, for STOP_SECONDS at most.

        state_dirs: whose launches are followed.
        """
        try:
            await self._resume_deleted(state_dirs)
            next_update = 0.0
            while not ended.is_set():
                self._poll()
                now = time.monotonic()
                if now >= next_update:
                    next_update = now + UPDATE_SECONDS
                    await self._update()
                await asyncio.sleep(self._schedule.wait_seconds())
            await self._stop()
        finally:
            await self._adopter.stop()

    async def _resume_deleted(self, state_dirs: Sequence[Path]) -> None:
        """Resume logs that are in the journal but were deleted, so that discovery cannot find them."""
        resumer = self._pipeline.resumer
        for name, labels in (await resumer.unfinished_files()).items():
            path = Path(path_of(name))
            if not await asyncio.to_thread(_may_exist, path):
                settings = self._discovery.settings_of(str(path))
                self._logs[name] = FollowedLog(FileSource(path, labels, self._open_files, settings))
        for launch_id, batches in (await resumer.unfinished_launches()).items():
            if not any(_may_exist(launches_dir(state_dir) / launch_id) for state_dir in state_dirs):
                self._add_task(asyncio.create_task(self._pipeline.settle(batches), name=f"settle {launch_id}"))

    def _poll(self, *, all_logs: bool = False) -> None:
        """Add new logs, and start shipping those that have something to read.

        all_logs: also those that the schedule or their linger time defers.
        """
        for source in self._discovery.scan():
            if source.key not in self._logs:
                followed = self._logs[source.key] = FollowedLog(source)
                self._schedule.mark_active(followed)
        now = time.monotonic()
        for followed in list(self._logs.values()) if all_logs else self._schedule.next():
            if not followed.busy and (all_logs or now >= followed.not_before) and self._has_work(followed):
                self._schedule.mark_active(followed)
                followed.busy = True
                self._add_task(asyncio.create_task(self._ship(followed), name=f"ship {followed.key}"))

    def _has_work(self, followed: FollowedLog) -> bool:
        try:
            return followed.poll()
        except Exception as error:  # noqa: BLE001  (an error of one log must not stop the others)
            self._handle_error(followed, error)
            return False

    async def _ship(self, followed: FollowedLog) -> None:
        try:
            await self._pipeline.ship(followed)
            followed.error = ""
        except Exception as error:  # noqa: BLE001  (an error of one log must not stop the others)
            self._handle_error(followed, error)
        finally:
            followed.busy = False

    def _handle_error(self, followed: FollowedLog, error: Exception) -> None:
        """Log once why a log cannot be followed; it is tried again."""
        if not followed.fail(error):
            return
        if isinstance(error, OSError):
            log.error("cannot follow %s: %s", followed.key, error)
        else:
            log.error("cannot follow %s; trying again", followed.key, exc_info=error)

    def _add_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _update(self) -> None:
        """Write shipped.json, start missing keepers, remove logs that are complete or gone, update the metrics."""
        backlog = 0
        for followed in list(self._logs.values()):
            source = followed.source
            if source.is_gone and not followed.busy:
                source.close()
                self._discovery.forget(source.key)
                del self._logs[source.key]
            backlog += followed.backlog()
            if not followed.open:
                continue
            if isinstance(source, LaunchSource):
                await self._try_update_launch(followed, source)
        self._schedule.update(self._logs.values())
        self._exporters.update(self._logs.values(), shipping=len(self._tasks))
        self._pipeline.metrics.backlog.set(backlog)
        self._pipeline.metrics.sources.set(len(self._logs))

    async def _try_update_launch(self, followed: FollowedLog, source: LaunchSource) -> None:
        """Update a launch; log once why that cannot be done, its lock was replaced, say: its lines are shipped."""
        try:
            await self._update_launch(followed, source)
            self._failed_updates.pop(source.key, None)
        except OSError as error:
            if self._failed_updates.get(source.key) != repr(error):
                self._failed_updates[source.key] = repr(error)
                log.error("cannot check the state of %s: %s", source.key, error)  # noqa: TRY400

    async def _update_launch(self, followed: FollowedLog, source: LaunchSource) -> None:
        # Read before shipped.json is written, not after: the log may become complete while the file is written.
        complete = source.complete and not followed.busy
        written = await self._shipped.update(followed, source)
        self._adopter.check(source)
        if complete and written:
            source.close()
            self._shipped.forget(source)
            self._adopter.forget(source)
            del self._logs[source.key]

    async def _stop(self) -> None:
        """Ship what is written already, for STOP_SECONDS at most; what cannot be sent stays in the journal."""
        deadline = time.monotonic() + STOP_SECONDS
        self._poll(all_logs=True)
        while self._tasks and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait(set(self._tasks), timeout=left)
        self._pipeline.stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._update()
        for followed in self._logs.values():
            followed.source.close()


def _may_exist(path: Path) -> bool:
    """Return whether there is something at a path, or it cannot be seen; then discovery finds it when it can."""
    try:
        return path.exists()
    except OSError:
        return True
