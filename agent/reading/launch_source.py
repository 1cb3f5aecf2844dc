"""The source that a keeper writes: the segments of one launch, in order."""

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from tracetail.agent.model import Block, FileRow, Fingerprint
from tracetail.agent.reading import change_watch
from tracetail.agent.reading.reader import FileReader
from tracetail.agent.reading.source import Source
from tracetail.contract.labels import launch_labels
from tracetail.contract.log_roots import log_roots
from tracetail.contract.owned_files import ForeignFileError, open_beneath
from tracetail.contract.record import ENDED_STATES, LaunchDir, Record, RecordError
from tracetail.contract.shipped import read_shipped

log = logging.getLogger(__name__)


class LaunchSource(Source):
    """The segments of one launch, in order."""

    kind = "launch"

    def __init__(
        self, launch: LaunchDir, record: Record, owner: int, labels: Mapping[str, str], roots: Sequence[str] = ()
    ) -> None:
        """Check the record's times.

        Args:
            launch: the launch's directory.
            record: its record.
            owner: the uid of both; only segments of the same user are read.
            labels: added to the launch's own.
            roots: directories outside the state directory beneath which segments may lie.

        """
        super().__init__(launch.launch_id, {**labels, **launch_labels(record)})
        self.launch = launch
        self.record = record
        if started_at := record.get("startedAt"):
            self.started_ns = round(datetime.fromisoformat(started_at).timestamp()) * 1_000_000_000
        self._record_mark = (0, 0)
        self._owner = owner
        self._roots = log_roots(launch, roots)
        self.segments: list[Path] = []
        self._index = 0
        self._reader: FileReader | None = None
        self._ended = False
        self._flushed = False
        self._changed_at = time.monotonic()
        self._update_segments()

    def close(self) -> None:
        """Close the current segment."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def reset(self) -> None:
        """Drop the state in memory; the next read continues from what the journal holds."""
        super().reset()
        self._index = 0
        self._flushed = False

    def is_ahead(self) -> bool:
        """Return whether more was read than is acknowledged."""
        return self._reader is not None and self._reader.position != self.file.position

    def _update_segments(self) -> None:
        """Add the segments that the record names; those that it no longer names keep their places."""
        first = Path(self.record["logFile"])
        for name in self.record.get("segments") or [str(first)]:
            path = first.parent / name
            if path not in self.segments:
                self.segments.append(path)

    @property
    def ended(self) -> bool:
        """Nothing more will be written: the record has an end state and no keeper holds the lock."""
        return self._ended

    @property
    def exhausted(self) -> bool:
        """The launch has ended and its last segment is read to its end."""
        return self._ended and self._flushed

    def refresh(self) -> None:
        """Read the record again if it was replaced, and update `ended`."""
        if self._ended:
            return
        try:
            status = self.launch.record_path.stat()
            mark = (status.st_ino, status.st_mtime_ns)
            if mark != self._record_mark:
                self._read_record()
                self._record_mark = mark
        except (OSError, RecordError) as error:
            log.debug("the record of %s cannot be read: %s", self.key, error)
        if self.record["state"] in ENDED_STATES:
            if not self.launch.lock_held():
                # The keeper may have replaced the record before it released the lock. If the record is deleted,
                # the last one read is used.
                with contextlib.suppress(OSError, RecordError):
                    self._read_record()
                self._ended = True
        elif not self.launch.path.is_dir():
            self._ended = True

    def _read_record(self) -> None:
        """Read the record again. Raises OSError, RecordError; ForeignFileError if it is another user's by now."""
        record, owner = self.launch.read_with_owner()
        if owner != self._owner:
            raise ForeignFileError(self.launch.path, "it belongs to another user than before")
        self.record = record
        self._update_segments()

    def is_orphaned(self) -> bool:
        """Return whether its keeper ended without writing an end state: killed, or the machine was restarted."""
        return not self._ended and self.record["state"] not in ENDED_STATES and not self.launch.lock_held()

    def changed_within(self, seconds: float) -> bool:
        """Return whether something was written in the last seconds."""
        return time.monotonic() - self._changed_at < seconds

    def watchable(self) -> Sequence[tuple[str, int]]:
        """Return the segment that is read to its end, and the record, while the launch goes on."""
        reader = self._reader
        if reader is None or not reader.is_at_end or self.is_ahead() or self.gap or self._gaps:
            return ()
        if self.record["state"] in ENDED_STATES or self._index + 1 < len(self.segments):
            return ()
        return [(reader.open_path, change_watch.FILE), (str(self.launch.record_path), change_watch.FILE)]

    def poll(self) -> bool:
        """Return whether there may be something to read or to report."""
        if self._reader is not None and self._reader.has_more():
            self._changed_at = time.monotonic()
            return True
        self.refresh()
        return (self._ended and not self.complete) or self._reader is None or self._index + 1 < len(self.segments)

    def read(self) -> Block | None:
        """Return the next block."""
        self._next_gap()
        while self.gap is None:
            if self._reader is None and not self._open():
                return None
            assert self._reader is not None
            # Determined before reading: otherwise bytes that are written in between would be missed.
            has_next = self._index + 1 < len(self.segments)
            over = has_next or self._ended
            if self._reader.status().st_size < self._reader.position:
                self._restart_segment("truncated before it was read")
                continue
            block = self._reader.read(flush=over)
            if block is not None:
                self.file.size = max(self.file.size, self._reader.size)
                return block
            if not over:
                self.refresh()
                if self._index + 1 < len(self.segments) or self._ended:
                    continue
                return None
            if not has_next:
                self._flushed = True
                return None
            self.close()
            self._index += 1
        return None

    def _open(self) -> bool:
        """Open the current segment; skip deleted ones, if there is a next one or the launch has ended.

        Raises OSError.
        """
        while True:
            path = self.segments[self._index]
            row = self._row(path)
            try:
                descriptor = open_beneath(self._roots, path, self._owner)
                self._reader = FileReader(path, row.position if row else 0, descriptor=descriptor)
            except FileNotFoundError:
                is_last = self._index + 1 == len(self.segments)
                if is_last and not self._ended:
                    return False  # its keeper will create it
                if self._report_loss(path, row):
                    return False
                if is_last:
                    self._flushed = True
                    return False
                self._index += 1
                continue
            if row is not None and not self._reader.continues(row):
                self._restart_segment("replaced before it was read")
            return self._reader is not None

    def _report_loss(self, path: Path, row: FileRow | None) -> bool:
        """Add a gap if a deleted segment was not read to its end; return whether there is one."""
        if row is not None:
            if row.size > row.position:
                self._add_gap(row, row.size, "deleted before it was read")
            return self.gap is not None
        known = read_shipped(self.launch.shipped_path)
        if any(row.path == str(path) for row in self.files) or (known and str(path) in known["segments"]):
            return False
        row = FileRow(str(path), 0, 0, b"")
        self.files.append(row)
        self._add_gap(row, 0, "deleted before it was read; how long it was is not known")
        return True

    def _restart_segment(self, reason: str) -> None:
        """Read the current segment from its start: its content was replaced."""
        assert self._reader is not None
        row = self.file
        log.warning("the content of %s was replaced: %s", row.path, reason)
        self._reader.position = 0
        if row.size > row.position:
            self._add_gap(row, row.size, reason)
            # The row remains until the gap is reported; then the segment is opened again.
            self.close()
        else:
            self._mark_done(row)

    def _row(self, path: Path) -> FileRow | None:
        """Return the row of the file that is at path now; None if it has none yet."""
        return next((row for row in self.files if row.path == str(path) and not row.done), None)

    @property
    def file(self) -> FileRow:
        """Return the file that the last block was read from."""
        path = self.segments[self._index]
        row = self._row(path)
        if row is None:
            assert self._reader is not None
            row = FileRow(str(path), self._reader.device, self._reader.inode, self._reader.head())
            self.files.append(row)
        return row

    def fingerprint(self, position: int) -> Fingerprint:
        """Return what identifies the current file when everything before position is read."""
        assert self._reader is not None
        return self._reader.fingerprint(position)

    def backlog(self) -> int:
        """Return the number of bytes of all segments that are written and not acknowledged at this moment."""
        self.refresh()
        shipped = {} if self.files else (read_shipped(self.launch.shipped_path) or {"segments": {}})["segments"]
        done = {row.path for row in self.files if row.done}
        waiting = 0
        for path in self.segments[self._index :]:
            if str(path) not in done:
                row = self._row(path)
                waiting += max(0, _size(path) - (row.position if row else shipped.get(str(path), 0)))
        return waiting


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # deleted: what it held is reported as lost when it is read
