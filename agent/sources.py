"""What a log is to the pipeline, and the kind that a keeper writes: the segments of a launch."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.delivery import Batch, Outcome
from agent.follower import Block, FileRow, Fingerprint, Follower
from agent.parsing import LineParser  # noqa: TC001  (a class attribute is annotated with it)
from agent.records import Ids
from contract.labels import launch_labels
from contract.record import ENDED_STATES, LaunchDir, Record, RecordError, is_alive

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
        """Bytes that are lost for good, to be told of before anything else."""
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

    def labels(self, ids: Ids | None) -> Mapping[str, str]:
        """Return the labels of the stream of lines with these ids."""
        del ids
        return self.own_labels

    def close(self) -> None:
        """Close what is open."""
        raise NotImplementedError

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
                self.record = self.launch.read()
                self._take_segments()
                self._ended = True
        elif not self.launch.path.is_dir():
            self._ended = True

    def is_orphaned(self) -> bool:
        """Say whether the server lives and its keeper does not."""
        return (
            not self._ended
            and "server" in self.record
            and not self.launch.lock_held()
            and is_alive(self.record["server"])
        )

    def look(self) -> bool:
        """Say whether there may be something to do."""
        if self._follower is not None and self._follower.has_more():
            return True
        self.refresh()
        return (self._ended and not self.complete) or self._follower is None or self._index + 1 < len(self.segments)

    def read(self) -> Block | None:
        """Return the next block."""
        while True:
            if self._follower is None and not self._open():
                return None
            assert self._follower is not None
            # Whether this is the last of the segment must be known before it is read: what comes later is not.
            has_next = self._index + 1 < len(self.segments)
            over = has_next or self._ended
            self._follower.status()
            block = self._follower.read(flush=over)
            if block is not None:
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

    def _open(self) -> bool:
        """Open the segment at hand. One that is gone is passed over, if there is a next one or the launch is over."""
        while True:
            path = self.segments[self._index]
            row = next((row for row in self.files if row.path == str(path)), None)
            try:
                self._follower = Follower(path, row.position if row else 0)
            except FileNotFoundError:
                if self._index + 1 < len(self.segments):
                    self._index += 1
                    continue
                self._flushed = self._ended
                return False
            except OSError as error:
                log.error("cannot read %s: %s", path, error)  # noqa: TRY400  (a trace would say no more)
                return False
            return True

    @property
    def file(self) -> FileRow:
        """Return the file that the last block was read from."""
        path = str(self.segments[self._index])
        row = next((row for row in self.files if row.path == path), None)
        if row is None:
            assert self._follower is not None
            row = FileRow(path, self._follower.device, self._follower.inode, self._follower.head())
            self.files.append(row)
        return row

    def fingerprint(self, position: int) -> Fingerprint:
        """Return by what the file at hand is known again."""
        assert self._follower is not None
        return self._follower.fingerprint(position)

    def backlog(self) -> int:
        """Return how many bytes are written and not acknowledged."""
        return max(0, self._follower.size - self.file.position) if self._follower else 0
