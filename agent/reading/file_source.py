"""The source of a file that no keeper wrote, followed through rotation.

A source is a path. The files that are at this path one after the other are read in order, each to its end:

- renamed, and another file created or a symlink switched: the old file is open and is read to its end first; a file
  that was there only between two polls is found beside it by its name
- copied and truncated: the copy is found by its first bytes, and the rest is read from it
- truncated in place, or truncated and grown again: detected by the size, or by the bytes before the position; the
  file is read from its start, and unread bytes are a gap
- deleted: the file is open and is read to its end
- any of these while the agent was down: the file is found by inode and first bytes, renamed or compressed; if it is
  nowhere, a gap reports what is known to be lost
"""

import dataclasses
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tracetail.agent.model import Batch, Block, FileRow, Fingerprint, Ids
from tracetail.agent.reading import rotation
from tracetail.agent.reading.open_files import OpenFiles
from tracetail.agent.reading.reader import FileReader
from tracetail.agent.reading.source import Source
from tracetail.contract.labels import INSTANCE_ID, TRACE_ID

log = logging.getLogger(__name__)

FLUSH_AFTER_SECONDS = 2.0
"""An unfinished line is sent, as a `cut`, after this time without a change."""
DRAIN_SECONDS = 1.0
"""A file that is no longer at its path is finished after this time without a change; its writer may still have it
open."""
LINGER_SECONDS = 60.0
"""A finished file stays open for this time, in case its writer continues."""
IDLE_SECONDS = 60.0
"""A file without changes for this time is closed; it is opened again when its size changes."""
OPEN_SOFT_LIMIT = 400
"""While more files are open, idle ones are closed after FLUSH_AFTER_SECONDS."""
OPEN_HARD_LIMIT = 800
"""While more files are open, each is closed as soon as it is read to its end."""
FORGET_SECONDS = 600.0
"""A path without a file for this time is not polled any more, until discovery finds a file there."""
FILE_ROWS_MAX = 32
"""Number of files kept per source, to recognise those that are renamed."""


@dataclass(slots=True)
class _Current:
    """The file that is being read."""

    row: FileRow
    reader: FileReader
    changed_at: float
    left_at: float = 0.0
    """When the path was first seen with another file or none; 0 while this file is there."""
    size: int = -1


class FileSource(Source):
    """One path, and the files that are there one after the other."""

    kind = "file"

    def __init__(
        self,
        path: Path,
        labels: Mapping[str, str],
        open_files: OpenFiles,
        *,
        plain: bool = False,
        ids_from_lines: bool = False,
    ) -> None:
        """plain: do not parse headers in its lines. ids_from_lines: their prefixes set the ids."""
        super().__init__(str(path), labels)
        self.path = path
        self.plain = plain
        self.ids_from_lines = ids_from_lines
        self._open_files = open_files
        self._current: _Current | None = None
        self._waiting: list[tuple[FileReader, FileRow]] = []
        """Files to be read before the one at the path."""
        self._lingering: list[_Current] = []
        """Finished files that are still open."""
        self._started = False
        """The files of the journal were found again."""
        self._unchanged: tuple[int, int, int] | None = None
        """Device, inode and size of the file at the path when there was nothing to read."""
        self._changed_at = time.monotonic()
        self._gone_at = 0.0
        """When there was neither a file at the path nor anything to read; 0 while there is."""

    def labels(self, ids: Ids | None) -> Mapping[str, str]:
        """Return the labels of the stream of lines with these ids."""
        if ids is None:
            return self.own_labels
        return {**self.own_labels, TRACE_ID: ids.trace_id, INSTANCE_ID: ids.instance_id}

    @property
    def file(self) -> FileRow:
        """The file that the last block was read from."""
        assert self._current is not None
        return self._current.row

    def fingerprint(self, position: int) -> Fingerprint:
        """Return what identifies the current file when everything before position is read."""
        assert self._current is not None
        return self._current.reader.fingerprint(position)

    def backlog(self) -> int:
        """Return the number of bytes that are written and not acknowledged."""
        current = self._current
        in_current = max(0, current.reader.size - current.row.position) if current else 0
        return in_current + sum(reader.size - row.position for reader, row in self._waiting)

    def changed_within(self, seconds: float) -> bool:
        """Return whether something was written in the last seconds."""
        return time.monotonic() - self._changed_at < seconds

    def close(self) -> None:
        """Close all open files."""
        for reader, _ in self._waiting:
            self._open_files.release(reader)
        for left in self._lingering:
            self._open_files.release(left.reader)
        if self._current:
            self._open_files.release(self._current.reader)
        self._waiting, self._lingering, self._current = [], [], None

    def reset(self) -> None:
        """Drop the state in memory; the next read continues from what the journal holds."""
        super().reset()
        self._started = False
        self._unchanged = None

    def is_ahead(self) -> bool:
        """Return whether more was read than is acknowledged."""
        return self._current is not None and self._current.reader.position != self._current.row.position

    @property
    def is_gone(self) -> bool:
        """There has been no file at the path for FORGET_SECONDS."""
        return self._gone_at > 0 and time.monotonic() - self._gone_at > FORGET_SECONDS

    def poll(self) -> bool:
        """Return whether there may be something to read or to report."""
        if not self._started or self._waiting or self.gap or self._gaps:
            return True
        now = time.monotonic()
        if self._lingering and self._poll_lingering(now):
            return True
        at_path = self._identity_at_path()
        current = self._current
        if current is None:
            self._gone_at = 0.0 if at_path or self._lingering else self._gone_at or now
            if at_path is not None and at_path != self._unchanged:
                return True
            self.caught_up_at = now
            return False
        return self._poll_current(current, at_path, now)

    def _poll_current(self, current: _Current, at_path: tuple[int, int, int] | None, now: float) -> bool:
        reader = current.reader
        in_place = at_path is not None and at_path[:2] == (reader.device, reader.inode)
        size = reader.size = at_path[2] if at_path and in_place else reader.status().st_size
        if size != current.size:
            current.size = size
            current.changed_at = self._changed_at = now
            return True
        if not in_place:
            current.left_at = current.left_at or now
            return now - max(current.changed_at, current.left_at) > DRAIN_SECONDS
        current.left_at = 0.0
        idle = now - current.changed_at
        if size > reader.position:
            return idle > FLUSH_AFTER_SECONDS
        self.caught_up_at = now
        if idle > IDLE_SECONDS or (self._open_files.open > OPEN_SOFT_LIMIT and idle > FLUSH_AFTER_SECONDS):
            self._suspend(current)
        return False

    def _poll_lingering(self, now: float) -> bool:
        """Return whether a finished file has grown; close those that have not for LINGER_SECONDS."""
        for left in list(self._lingering):
            if left.reader.status().st_size > left.size:
                self._lingering.remove(left)
                row = dataclasses.replace(left.row, id=0, done=False)
                self.files.append(row)
                self._waiting.append((left.reader, row))
                self._changed_at = now
                return True
            if now - left.left_at > LINGER_SECONDS:
                self._lingering.remove(left)
                self._open_files.release(left.reader)
        return False

    def acknowledge(self, batch: Batch) -> None:
        """Advance the current file's position; close the file if too many are open and it is read to its end."""
        super().acknowledge(batch)
        current = self._current
        too_many = self._open_files.open > OPEN_HARD_LIMIT
        if current is None or not too_many or batch.end < current.reader.status().st_size:
            return
        if self._is_at_path(current.reader):
            self._suspend(current)

    def _suspend(self, current: _Current) -> None:
        """Close a file that is at the path and read to its end; poll() detects when it changes."""
        self._unchanged = (current.reader.device, current.reader.inode, current.reader.size)
        self._leave()
        if not (self._waiting or self._lingering or self._gaps or self.gap or self._reported):
            self.asleep = True
            self.files = []

    def read(self) -> Block | None:
        """Return the next block; None if there is nothing to read now. Raises OSError."""
        if not self._started:
            self._started = True
            self._resume()
        self._next_gap()
        while self.gap is None:
            if self._current is None and not self._open_next():
                return None
            current = self._current
            assert current is not None
            self._check_for_truncation(current)
            if self._current is not current:
                continue
            now = time.monotonic()
            drained = current.left_at > 0 and now - max(current.changed_at, current.left_at) > DRAIN_SECONDS
            flush = drained or now - current.changed_at > FLUSH_AFTER_SECONDS
            block = current.reader.read(flush=flush)
            if block is not None:
                return block
            if drained and current.reader.position >= current.reader.size:
                self._finish(current)
            elif self._waiting:
                self._leave()  # it is at the path, and is opened again after those that wait
            else:
                return None
        return None

    # Opening files

    def _resume(self, *, was_down: bool = True) -> None:
        """Find the unfinished files of the journal, and files that were created since; report what is lost.

        was_down: the agent was down; otherwise the source was asleep.
        """
        unfinished = [row for row in self.files if not row.done]
        for row in unfinished:
            reader = rotation.find_file(self.path, row)
            if reader is not None:
                self._waiting.append((self._hold(reader, row), row))
            elif row.size > row.position:
                self._add_gap(row, row.size, "deleted before it was read")
            elif not was_down:
                self._mark_done(row)
            else:
                self._add_gap(
                    row, row.position, "gone while the agent was down; what was written after this is not known"
                )
        if unfinished:
            self._add_missed(unfinished[-1])

    def _add_missed(self, last: FileRow) -> None:
        """Add files to `_waiting` that were renamed before they were seen at the path, oldest first."""
        known = {(row.device, row.inode) for row in self.files}
        for reader in rotation.find_missed(self.path, last, known, self._is_free):
            row = self._add_row(reader)
            self._waiting.append((self._hold(reader, row), row))

    def _open_next(self) -> bool:
        """Open the next file, a waiting one or else the one at the path; return whether there is one."""
        self._unchanged = None
        if self._waiting:
            reader, row = self._waiting.pop(0)
            self._current = _Current(row, reader, time.monotonic())
            if not self._is_at_path(reader):
                self._current.left_at = self._current.changed_at = time.monotonic() - DRAIN_SECONDS - 1
            return True
        at_path = self._identity_at_path()
        if at_path is None:
            return False
        reader = FileReader(self.path)
        if not self._is_free(reader):
            reader.close()
            self._unchanged = at_path
            return False
        known = self._known_row(reader)
        if known is None and any(not row.done for row in self.files):
            # The file was renamed or truncated while the source was asleep.
            reader.close()
            self._resume(was_down=False)
            return self.gap is None and self._open_next()
        row = known or self._add_row(reader)
        self._hold(reader, row)
        reader.position = row.position
        self._current = _Current(row, reader, time.monotonic())
        return True

    def _is_free(self, reader: FileReader) -> bool:
        return self._open_files.is_free(reader, self.key)

    def _known_row(self, reader: FileReader) -> FileRow | None:
        for row in reversed(self.files):
            same = (row.device, row.inode) == (reader.device, reader.inode)
            if same and not row.done and reader.continues(row):
                return row
        return None

    def _add_row(self, reader: FileReader) -> FileRow:
        row = FileRow(str(self.path), reader.device, reader.inode, reader.head(), seen_ns=time.time_ns())
        self.files.append(row)
        return row

    def _hold(self, reader: FileReader, row: FileRow) -> FileReader:
        self._open_files.hold(reader)
        self._open_files.assign(row, self.key)
        return reader

    def _identity_at_path(self) -> tuple[int, int, int] | None:
        """Return device, inode and size of the file at the path; None if there is none."""
        try:
            status = os.stat(self.path)  # noqa: PTH116  (ten times a second: Path.stat takes twice as long)
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_size

    def _is_at_path(self, reader: FileReader) -> bool:
        at_path = self._identity_at_path()
        return at_path is not None and at_path[:2] == (reader.device, reader.inode)

    # Leaving files

    def _check_for_truncation(self, current: _Current) -> None:
        """Detect a truncation, even if the file has grown beyond its old size since; continue in its copy."""
        row, reader = current.row, current.reader
        before = row.size
        reader.status()
        position = reader.position
        unchanged = position != row.position or not row.tail or reader.tail(position) == row.tail
        if reader.size >= position and unchanged:
            row.size = max(row.size, reader.size)
            return
        log.info("%s was truncated", self.path)
        self._leave()
        copy = rotation.find_copy(self.path, row, position)
        if copy is None and before > position:
            row.position = position
            self._add_gap(row, before, "truncated before it was read")
            return
        self._mark_done(row)
        if copy is not None:
            copied = dataclasses.replace(row, id=0, device=copy.device, inode=copy.inode, done=False)
            self.files.append(copied)
            self._waiting.insert(0, (self._hold(copy, copied), copied))

    def _finish(self, current: _Current) -> None:
        """Leave a file that was read to its end and is no longer at its path."""
        self._current = None
        self._mark_done(current.row)
        current.left_at = time.monotonic()
        current.size = current.reader.size
        self._lingering.append(current)
        if not self._waiting:
            self._add_missed(current.row)

    def _leave(self) -> None:
        if self._current is not None:
            self._open_files.release(self._current.reader)
            self._current = None

    def _mark_done(self, row: FileRow) -> None:
        super()._mark_done(row)
        self._open_files.assign(row, self.key)
        del self.files[:-FILE_ROWS_MAX]
