"""What the agent requires of a log: poll it, read blocks, acknowledge them, report lost bytes."""

import math
from collections.abc import Mapping, Sequence

from tracetail.agent.model import Batch, Block, FileRow, Fingerprint, Gap, Ids


class Source:
    """One log: the segments of a launch, or the files at a path."""

    kind: str
    """As in the journal: `launch` or `file`."""

    def __init__(self, key: str, own_labels: Mapping[str, str]) -> None:
        """key: launchId or path. own_labels: of its streams, without ids from its lines."""
        self.key = key
        self.own_labels = own_labels
        self.started_ns = 0
        """When the log began, in nanoseconds since the epoch; 0 if that is not known."""
        self.listed_ns = 0
        """Files that were rotated away from its path since then, before one was seen there, are read; in nanoseconds
        since the epoch, 0 if none are."""
        self.files: list[FileRow] = []
        self.plain = False
        """Do not parse headers in its lines."""
        self.ids_from_lines = False
        """A prefix with ids before a log header sets the ids of the lines from there on."""
        self.asleep = False
        """It was read to its end and closed; poll() needs neither `files` nor the parser to detect a change."""
        self.complete = False
        """Everything is acknowledged, the receipt too."""
        self.finished: list[FileRow] = []
        """Files that were read to their end and will not grow; not yet marked in the journal."""
        self.gap: Gap | None = None
        """Lost bytes to be reported before anything else is read; the pipeline sets it to None afterwards."""
        self._gaps: list[Gap] = []
        """Further gaps to be reported."""
        self._reported: FileRow | None = None
        """The file of `gap`."""
        self.caught_up_at = -math.inf
        """Monotonic time at which there was nothing more to read."""

    def poll(self) -> bool:
        """Return whether there may be something to read or to report.

        Called ten times a second: no more than a few system calls. Raises OSError.
        """
        raise NotImplementedError

    def watchable(self) -> Sequence[tuple[str, int]]:
        """Return the paths of which one changes before there is something to read or to report, for ChangeWatch.add.

        Empty if it has to be polled: something may be due without a change, or its path leads over further links.
        """
        return ()

    def read(self) -> Block | None:
        """Return the next block of the current file; None if there is nothing to read now. Raises OSError."""
        raise NotImplementedError

    @property
    def file(self) -> FileRow:
        """The file that the last block was read from."""
        raise NotImplementedError

    def fingerprint(self, position: int) -> Fingerprint:
        """Return what identifies the current file when everything before position is read."""
        raise NotImplementedError

    def acknowledge(self, batch: Batch) -> None:
        """Advance the current file's position: nothing before the batch's end has to be sent again."""
        row = self.file
        row.position = batch.end
        row.head, row.tail, _ = batch.fingerprint

    def labels(self, ids: Ids | None) -> Mapping[str, str]:
        """Return the labels of the stream of lines with these ids."""
        del ids
        return self.own_labels

    def backlog(self) -> int:
        """Return the number of bytes that are written and not acknowledged."""
        raise NotImplementedError

    def is_ahead(self) -> bool:
        """Return whether more was read than is acknowledged."""
        raise NotImplementedError

    def changed_within(self, seconds: float) -> bool:
        """Return whether something was written in the last seconds; an idle log is polled less often."""
        del seconds
        return True

    @property
    def exhausted(self) -> bool:
        """Nothing more will be written, and everything is read."""
        return False

    @property
    def is_gone(self) -> bool:
        """It need not be polled any more."""
        return False

    def close(self) -> None:
        """Close all open files."""
        raise NotImplementedError

    def reset(self) -> None:
        """Drop the state in memory: the next read continues from what the journal holds, as after a restart."""
        self.close()
        self.files = []
        self.finished = []
        self.gap = None
        self._gaps = []
        self._reported = None
        self.asleep = False

    def _add_gap(self, row: FileRow, end: int, reason: str, *, ends_file: bool = True) -> None:
        """Report, before anything else is read, that the bytes of a file up to end are lost.

        ends_file: nothing more is read of it.
        """
        self._gaps.append(Gap(row, end, reason, ends_file))
        self._next_gap()

    def _next_gap(self) -> None:
        """Set `gap` to the next gap if there is none; the file of the one reported before is done."""
        if self.gap is not None:
            return
        if self._reported is not None:
            self._mark_done(self._reported)
            self._reported = None
        if self._gaps:
            self.gap = self._gaps.pop(0)
            self._reported = self.gap.row if self.gap.ends_file else None

    def _mark_done(self, row: FileRow) -> None:
        row.done = True
        if row.id:
            self.finished.append(row)
