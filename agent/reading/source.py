"""What a log is to the pipeline, and the kind that a keeper writes: the segments of a launch."""

import contextlib
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tracetail.agent.parsing.header import Ids
from tracetail.agent.parsing.parser import LineParser  # noqa: TC001  (a class attribute is annotated with it)
from tracetail.agent.reading.reader import Block, FileRow, Fingerprint, Follower
from tracetail.agent.shipping.delivery import Batch, Outcome
from tracetail.contract.labels import launch_labels
from tracetail.contract.record import ENDED_STATES, LaunchDir, Record, RecordError
from tracetail.contract.shipped import read_shipped

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes of a file that vanished before they were read."""

    row: FileRow
    end: int
    reason: str


class Source:
    """One log. `look` says whether there is something to read, `read` returns it, `advance` is told what is safe."""

    kind: str

    def __init__(self, key: str, own_labels: Mapping[str, str]) -> None:
        """own_labels: of its streams, but for ids that its lines tell."""
        self.key = key
        self.own_labels = own_labels
        self.begun_ns = 0
        """When what it tells began, in nanoseconds since the epoch; 0 if that is not known."""
        self.id = 0
        self.parser: LineParser
        self.files: list[FileRow] = []
        self.open = False
        """The journal's row is loaded, and what a crash left behind is delivered."""
        self.plain = False
        self.busy = False
        self.complete = False
        self.lines = 0
        self.bytes = 0
        self.rejected = 0
        self.redacted = 0
        self.trouble = ""
        """Why it cannot be read; empty if it can."""
        self.finished: list[FileRow] = []
        """Files that were read to their end and will not grow; the journal does not know it yet."""
        self.gap: Gap | None = None
        """Bytes that are lost for good, to be told of before anything else; None again when that is done."""
        self._gaps: list[Gap] = []
        """Further ones, to be told after it."""
        self._telling: FileRow | None = None
        """The file of the gap that is being told."""
        self.caught_up_at = -math.inf
        """Monotonic time at which there was nothing more to read."""
        self.not_before = 0.0
        """Monotonic time before which no further batch is begun (linger)."""

    def acknowledged(self, batch: Batch, outcome: Outcome) -> None:
        """Take note that nothing before the batch's end has to be sent any more."""
        row = self.file
        row.position = batch.end
        row.head, row.tail, _ = batch.fingerprint
        self.lines += batch.lines
        self.bytes += batch.end - batch.start
        self.rejected += outcome.rejected
        self.redacted += batch.redacted
        self.parser.last_ns = max(self.parser.last_ns, outcome.last_ns)

    @property
    def asleep(self) -> bool:
        """Nothing of it is in memory but what look() needs to see that something happened; else it is open."""
        return False

    @property
    def is_gone(self) -> bool:
        """It need not be looked at any more."""
        return False

    def labels(self, ids: Ids | None) -> Mapping[str, str]:
        """Return the labels of the stream of lines with these ids."""
        del ids
        return self.own_labels

    def close(self) -> None:
        """Close what is open."""
        raise NotImplementedError

    def begin_anew(self) -> None:
        """Forget everything but the name: the journal tells where to go on, as after a restart."""
        self.close()
        self.open = False
        self.files = []
        self.finished = []
        self.gap = None
        self._gaps = []
        self._telling = None

    def is_ahead(self) -> bool:
        """Say whether more was read than is acknowledged."""
        raise NotImplementedError

    def _lose(self, row: FileRow, end: int, reason: str) -> None:
        """Tell, before anything else is read, that the bytes of a file up to end are lost."""
        self._gaps.append(Gap(row, end, reason))
        self._next_gap()

    def _next_gap(self) -> None:
        """Take up the next gap if none is being told; with the one that was told, its file is done."""
        if self.gap is not None:
            return
        if self._telling is not None:
            self._mark_done(self._telling)
            self._telling = None
        if self._gaps:
            self.gap = self._gaps.pop(0)
            self._telling = self.gap.row

    def _mark_done(self, row: FileRow) -> None:
        row.done = True
        if row.id:
            self.finished.append(row)

    def look(self) -> bool:
        """Say whether there may be something to do. Runs ten times a second: no more than a few system calls."""
        raise NotImplementedError

    def read(self) -> Block | None:
        """Return the next block of the file at hand; None if there is nothing to read now."""
        raise NotImplementedError

    @property
    def exhausted(self) -> bool:
        """Nothing more will come, and all that came is read."""
        return False

    def changed_within(self, seconds: float) -> bool:
        """Say whether something came in the last seconds; a log that is quiet is looked at less often."""
        del seconds
        return True

    @property
    def file(self) -> FileRow:
        """The file that the last block was read from."""
        raise NotImplementedError

    def fingerprint(self, position: int) -> Fingerprint:
        """Return by what the file at hand is known again, when everything before position is read."""
        raise NotImplementedError

    def backlog(self) -> int:
        """Return how many bytes are written and not acknowledged."""
        raise NotImplementedError


class LaunchSource(Source):
    """The segments of one launch, in order."""

    kind = "launch"

    def __init__(self, launch: LaunchDir, record: Record, labels: Mapping[str, str]) -> None:
        """labels: added to those of the launch."""
        super().__init__(launch.launch_id, {**labels, **launch_labels(record)})
        self.launch = launch
        self.record = record
        if started_at := record.get("startedAt"):
            self.begun_ns = round(datetime.fromisoformat(started_at).timestamp()) * 1_000_000_000
        self._record_mark = (0, 0)
        self.segments: list[Path] = []
        self._index = 0
        self._follower: Follower | None = None
        self._ended = False
        self._flushed = False
        self._take_segments()

    def close(self) -> None:
        """Close what is open."""
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    def begin_anew(self) -> None:
        """Forget everything but the name."""
        super().begin_anew()
        self._index = 0
        self._flushed = False

    def is_ahead(self) -> bool:
        """Say whether more was read than is acknowledged."""
        return self._follower is not None and self._follower.position != self.file.position

    def _take_segments(self) -> None:
        """Add the segments that the record names; those it does not name any more stay, at their places."""
        first = Path(self.record["logFile"])
        for name in self.record.get("segments") or [str(first)]:
            path = first.parent / name
            if path not in self.segments:
                self.segments.append(path)

    @property
    def ended(self) -> bool:
        """Nothing will be written any more: the record says so and no keeper is there."""
        return self._ended

    @property
    def exhausted(self) -> bool:
        """The launch has ended and its last segment is read to its end."""
        return self._ended and self._flushed

    def refresh(self) -> None:
        """Read the record again if it was replaced, and see whether the launch has ended."""
        if self._ended:
            return
        try:
            status = self.launch.record_path.stat()
            mark = (status.st_ino, status.st_mtime_ns)
            if mark != self._record_mark:
                self.record = self.launch.read()
                self._record_mark = mark
                self._take_segments()
        except (OSError, RecordError) as error:
            log.debug("the record of %s cannot be read: %s", self.key, error)
        if self.record["state"] in ENDED_STATES:
            if not self.launch.lock_held():
                # What it wrote last, before it let go of the lock. If it is gone, what was read before is all.
                with contextlib.suppress(OSError, RecordError):
                    self.record = self.launch.read()
                    self._take_segments()
                self._ended = True
        elif not self.launch.path.is_dir():
            self._ended = True

    def is_orphaned(self) -> bool:
        """Say whether its keeper is gone without having written the end: killed, or the machine was restarted."""
        return not self._ended and self.record["state"] not in ENDED_STATES and not self.launch.lock_held()

    def look(self) -> bool:
        """Say whether there may be something to do."""
        if self._follower is not None and self._follower.has_more():
            return True
        self.refresh()
        return (self._ended and not self.complete) or self._follower is None or self._index + 1 < len(self.segments)

    def read(self) -> Block | None:
        """Return the next block."""
        self._next_gap()
        while self.gap is None:
            if self._follower is None and not self._open():
                return None
            assert self._follower is not None
            # Whether this is the last of the segment must be known before it is read: what comes later is not.
            has_next = self._index + 1 < len(self.segments)
            over = has_next or self._ended
            if self._follower.status().st_size < self._follower.position:
                self._begin_segment_anew("truncated before it was read")
                continue
            block = self._follower.read(flush=over)
            if block is not None:
                self.file.size = max(self.file.size, self._follower.size)
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
        """Open the segment at hand. One that is gone is passed over, if there is a next one or the launch is over.

        Raises OSError.
        """
        while True:
            path = self.segments[self._index]
            row = self._row(path)
            try:
                self._follower = Follower(path, row.position if row else 0)
            except FileNotFoundError:
                is_last = self._index + 1 == len(self.segments)
                if is_last and not self._ended:
                    return False  # its keeper is about to create it
                if self._tell_of_loss(path, row):
                    return False
                if is_last:
                    self._flushed = True
                    return False
                self._index += 1
                continue
            if row is not None and not self._follower.continues(row):
                self._begin_segment_anew("replaced before it was read")
            return self._follower is not None

    def _tell_of_loss(self, path: Path, row: FileRow | None) -> bool:
        """Say whether something of a segment that is gone was not read; then it becomes a gap."""
        if row is not None:
            if row.size > row.position:
                self._lose(row, row.size, "deleted before it was read")
            return self.gap is not None
        known = read_shipped(self.launch.shipped_path)
        if any(row.path == str(path) for row in self.files) or (known and str(path) in known["segments"]):
            return False
        row = FileRow(str(path), 0, 0, b"")
        self.files.append(row)
        self._lose(row, 0, "deleted before it was read; how long it was is not known")
        return True

    def _begin_segment_anew(self, reason: str) -> None:
        """Leave what the journal knows of the segment at hand, which holds something else now: it is a file anew."""
        assert self._follower is not None
        row = self.file
        log.warning("%s holds something else than it did: %s", row.path, reason)
        self._follower.position = 0
        if row.size > row.position:
            self._lose(row, row.size, reason)
            # Until that is told, the row stays the segment's; it is opened anew after that.
            self.close()
        else:
            self._mark_done(row)

    def _row(self, path: Path) -> FileRow | None:
        """Return what is known of the file that is at path now."""
        return next((row for row in self.files if row.path == str(path) and not row.done), None)

    @property
    def file(self) -> FileRow:
        """Return the file that the last block was read from."""
        path = self.segments[self._index]
        row = self._row(path)
        if row is None:
            assert self._follower is not None
            row = FileRow(str(path), self._follower.device, self._follower.inode, self._follower.head())
            self.files.append(row)
        return row

    def fingerprint(self, position: int) -> Fingerprint:
        """Return by what the file at hand is known again."""
        assert self._follower is not None
        return self._follower.fingerprint(position)

    def backlog(self) -> int:
        """Return how many bytes are written and not acknowledged."""
        return max(0, self._follower.size - self.file.position) if self._follower else 0
