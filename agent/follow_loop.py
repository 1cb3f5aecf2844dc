"""Polls the logs that discovery finds, and starts a task that ships each one that has something to read."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from tracetail.agent.followed_log import FollowedLog
from tracetail.agent.journal.database import JournalError, JournalFullError
from tracetail.agent.launches.adopter import Adopter
from tracetail.agent.launches.shipped_file import ShippedFileWriter
from tracetail.agent.pipeline import Pipeline
from tracetail.agent.poll_schedule import TOGETHER_SECONDS, PollSchedule
from tracetail.agent.reading.discovery import Discovery
from tracetail.agent.reading.file_names import path_of
from tracetail.agent.reading.file_source import FileSource
from tracetail.agent.reading.launch_source import LaunchSource
from tracetail.agent.reading.open_files import OpenFiles
from tracetail.agent.reading.rotation import BeingRotatedError
from tracetail.agent.reading.unpacked import StillUnpackingError
from tracetail.contract.state import launches_dir

log = logging.getLogger(__name__)

APPEARED_SECONDS = 0.01
"""Pause after a look at what has appeared, so that many changes cost little."""
LOOK_AGAIN_SECONDS = 0.2
"""How often it is looked whether a log that was compressed is unpacked, or one that is being rotated has its name."""
NOTE_LOOK_NS = 60_000_000_000
"""How often it is noted in the journal when it was looked for logs."""
STOP_SECONDS = 5.0
"""How long stopping may take; what is not acknowledged then stays in the journal."""


class Report(Protocol):
    """Receives the state of the logs every second."""

    def __call__(self, logs: Collection[FollowedLog], *, shipping: int, backlog: int) -> None:
        """shipping: the number of those that are being shipped. backlog: of all, in bytes."""


class FollowLoop:
    """Follows all logs until it is stopped."""

    def __init__(
        self,
        pipeline: Pipeline,
        discovery: Discovery,
        report: Report,
        open_files: OpenFiles,
        shipped: ShippedFileWriter,
        adopter: Adopter | None,
    ) -> None:
        """open_files: of all file sources. shipped: of all outputs. adopter: None if another loop starts keepers."""
        self._pipeline = pipeline
        self._discovery = discovery
        self._report = report
        self._open_files = open_files
        self._logs: dict[str, FollowedLog] = {}
        self._schedule = PollSchedule()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed: list[FollowedLog] = []
        """Watched logs of which a file has changed, and that are polled at once."""
        self._shipped = shipped
        self._adopter = adopter
        self._failure: JournalError | None = None
        """Why the loop cannot go on."""
        self._look_noted_ns = 0
        """The look for logs that was noted last in the journal."""
        self._failed_updates: dict[str, str] = {}
        """By the key of a launch's log: why the state of the launch could not be checked."""

    @property
    def logs(self) -> Sequence[FollowedLog]:
        """The logs that are followed."""
        return list(self._logs.values())

    def running_launches(self) -> dict[str, list[str]]:
        """Return the launchIds of the launches whose logs are not complete, by their hosts.

        Without those whose keeper is gone for good, since nobody reports their end.
        """
        found: dict[str, list[str]] = {}
        for followed in self._logs.values():
            source = followed.source
            with contextlib.suppress(OSError):  # a lock that cannot be looked at: reported where its state is checked
                if isinstance(source, LaunchSource) and not source.is_orphaned():
                    found.setdefault(source.record["host"], []).append(source.launch.launch_id)
        return found

    async def run(self, state_dirs: Sequence[Path], ended: asyncio.Event) -> None:
        """Follow logs until ended is set, then ship what is written already, for STOP_SECONDS at most.

        state_dirs: whose launches are followed. Raises JournalError.
        """
        stopping = asyncio.create_task(self._wake_at(ended), name="wait for the end")
        watch = self._schedule.watch.fileno()
        if watch >= 0:
            asyncio.get_running_loop().add_reader(watch, self._notice)
        try:
            await self._resume_deleted(state_dirs)
            next_update = 0.0
            while not ended.is_set():
                now = time.monotonic()
                if now >= next_update:
                    await self._update()
                    next_update = now + self._schedule.update_seconds()
                self._poll()
                await self._wait(ended, next_update)
                if self._failure is not None:
                    raise self._failure
            await self._stop()
        finally:
            stopping.cancel()
            if watch >= 0:
                asyncio.get_running_loop().remove_reader(watch)
            self._schedule.close()
            if self._adopter is not None:
                await self._adopter.stop()

    async def _wake_at(self, ended: asyncio.Event) -> None:
        await ended.wait()
        self._discovery.wake()

    def _notice(self) -> None:
        """Read which of the watched logs have changed."""
        self._changed += self._schedule.notice()
        self._discovery.wake()

    async def _resume_deleted(self, state_dirs: Sequence[Path]) -> None:
        """Resume logs that are in the journal but were deleted or rotated, so that discovery cannot find them."""
        resumer = self._pipeline.resumer
        for name, labels in (await resumer.unfinished_files()).items():
            path = Path(path_of(name))
            if not await asyncio.to_thread(_may_exist, path):
                settings = self._discovery.settings_of(str(path))
                self._open_files.paths.add(name)
                self._logs[name] = FollowedLog(FileSource(path, labels, self._open_files, settings))
        for launch_id, batches in (await resumer.unfinished_launches()).items():
            if not any(_may_exist(launches_dir(state_dir) / launch_id) for state_dir in state_dirs):
                self._add_task(asyncio.create_task(self._pipeline.settle(batches), name=f"settle {launch_id}"))

    async def _wait(self, ended: asyncio.Event, until: float) -> None:
        """Wait until the next poll; look at once at what appears or changes meanwhile."""
        end = time.monotonic() + self._schedule.wait_seconds(until)
        while not ended.is_set() and (left := end - time.monotonic()) > 0:
            if await self._discovery.wait(left):
                changed, self._changed = self._changed, []
                self._start([*self._appeared(), *changed])
                await asyncio.sleep(min(left, APPEARED_SECONDS))
                end = min(end, time.monotonic() + self._schedule.wait_seconds(until))

    def _appeared(self) -> list[FollowedLog]:
        """Return the logs that are new, and those at whose paths something has appeared; they are polled from now on.

        What is there is opened: it may be rotated away before it can be read.
        """
        logs = []
        for source in self._discovery.scan():
            if source.key not in self._logs:
                logs.append(FollowedLog(source))
                self._logs[source.key] = logs[-1]
        while self._discovery.touched:
            key, created = self._discovery.touched.popitem()
            followed = self._logs.get(key)
            if followed is not None and isinstance(followed.source, FileSource):
                followed.source.hold_what_is_there(created=created)
                logs.append(followed)
        for followed in logs:
            self._schedule.mark_active(followed)
        return logs

    def _start(self, logs: Iterable[FollowedLog], *, at_once: bool = False) -> None:
        """Start shipping those of these logs that have something to read. at_once: before their linger time ends."""
        now = time.monotonic()
        for followed in logs:
            may_start = at_once or now + TOGETHER_SECONDS >= followed.not_before
            if not followed.busy and may_start and self._has_work(followed):
                self._schedule.mark_active(followed, has_work=True)
                followed.due_at = now + self._pipeline.linger_seconds
                followed.busy = True
                self._add_task(asyncio.create_task(self._ship(followed), name=f"ship {followed.key}"))

    def _poll(self, *, all_logs: bool = False) -> None:
        """Add new logs, and start shipping those that have something to read.

        all_logs: also those that the schedule or their linger time defers.
        """
        self._appeared()
        self._start(list(self._logs.values()) if all_logs else self._schedule.next(), at_once=all_logs)

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
        except (StillUnpackingError, BeingRotatedError):
            followed.not_before = time.monotonic() + LOOK_AGAIN_SECONDS
        except Exception as error:  # noqa: BLE001  (an error of one log must not stop the others)
            self._handle_error(followed, error)
        finally:
            followed.busy = False

    def _handle_error(self, followed: FollowedLog, error: Exception) -> None:
        """Log once why a log cannot be followed; it is tried again, unless the journal itself cannot be used."""
        if isinstance(error, JournalError) and not isinstance(error, JournalFullError):
            self._failure = error
            self._discovery.wake()
            return
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
        await self._refresh_rejected()
        backlog = 0
        for followed in list(self._logs.values()):
            source = followed.source
            if followed.watched and not isinstance(source, LaunchSource):
                continue
            if source.is_gone and not followed.busy:
                source.close()
                self._discovery.forget(source.key)
                self._pipeline.resumer.forget_file(source.key)
                del self._logs[source.key]
            backlog += followed.backlog()
            if not followed.open:
                continue
            if isinstance(source, LaunchSource):
                await self._try_update_launch(followed, source)
                if followed.watched and source.ended:
                    self._schedule.check(followed)
        self._note_look()
        self._schedule.update(self._logs.values())
        self._report(self._logs.values(), shipping=len(self._tasks), backlog=backlog)

    def _note_look(self) -> None:
        """Note in the journal, now and then, what time is covered by the logs that it knows."""
        listed_ns = self._discovery.listed_ns
        if listed_ns - self._look_noted_ns > NOTE_LOOK_NS and all(followed.id for followed in self._logs.values()):
            self._pipeline.resumer.note_look(listed_ns)
            self._look_noted_ns = listed_ns

    async def _refresh_rejected(self) -> None:
        """Read from the journal how many lines are refused: `agent rejected replay` may have sent some."""
        before = {followed: followed.rejected for followed in self._logs.values() if followed.rejected}
        if not before:
            return
        try:
            counts = await self._pipeline.resumer.rejected_counts([followed.id for followed in before])
        except JournalError:
            return  # whoever delivers reports it
        for followed, rejected in before.items():
            # Of a busy log the journal has counted what the log has not yet.
            if not followed.busy and followed.rejected == rejected:
                followed.rejected = counts.get(followed.id, rejected)

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
        written = await self._shipped.update(self._pipeline.output, followed, source)
        if self._adopter is not None:
            self._adopter.check(source)
        if complete and written:
            source.close()
            if self._adopter is not None:
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
