"""Writes the log of one launch: lines and events, in segments of limited size, behind a bounded queue."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tracetail.contract import events
from tracetail.contract.logline import MARK_CUT
from tracetail.launcher.keeper.position import Position, PositionFile
from tracetail.launcher.keeper.segment_writer import QUEUE_MAX_BYTES, SegmentWriter
from tracetail.launcher.log.stamper import Stamper
from tracetail.launcher.plan import LogPlan, segment_path

if TYPE_CHECKING:
    from tracetail.launcher.keeper.stdout_copy import StdoutCopy

_SLOW = "the disk is too slow"


class LaunchLog:
    """Writes a launch's lines and events in order, rotates segments, and counts lines that had to be dropped."""

    def __init__(
        self,
        plan: LogPlan,
        stamper: Stamper,
        position: PositionFile,
        wake: Callable[[], None],
        *,
        segment: int = 1,
        size: int = 0,
        clock: Callable[[], int] = time.time_ns,
        copy: "StdoutCopy | None" = None,
    ) -> None:
        self._plan = plan
        self._copy = copy
        self._stamper = stamper
        self._position = position
        self._clock = clock
        self._segment = segment
        self._size = size
        self._dropped_lines = 0
        self._dropped_bytes = 0
        self._dropped_reason = _SLOW
        self.writer = SegmentWriter(segment_path(plan, segment), wake)

    @property
    def segment(self) -> int:
        """The number of the open segment, from 1."""
        return self._segment

    def segments(self) -> list[str]:
        """Return the paths of all segments, in order, deleted ones included."""
        return [str(segment_path(self._plan, number)) for number in range(1, self._segment + 1)]

    def write_lines(self, texts: Sequence[bytes], marks: Sequence[str | None] | None, consumed: int) -> bool:
        """Write lines made from `consumed` bytes of the FIFO; False if they are dropped because the queue is full."""
        length = sum(map(len, texts)) + len(texts) * self._stamper.overhead
        if self.writer.pending + length > QUEUE_MAX_BYTES and self.writer.pending:
            self._dropped_lines += len(texts)
            self._dropped_bytes += sum(map(len, texts))
            if self.writer.error is not None:
                self._dropped_reason = str(self.writer.error)
            return False
        self.report_dropped()
        self._rotate_segment(length)
        now = self._clock()
        self._position.write(Position(self._segment, self._size, consumed, self._stamper.next_ns(now)))
        self._append(self._stamper.stamp(texts, marks, now))
        if self._copy is not None and self._copy.plain:
            ends = [b"" if mark == MARK_CUT else b"\n" for mark in marks or [None] * len(texts)]
            self._copy.append(b"".join(part for line in zip(texts, ends, strict=True) for part in line))
        return True

    def append(self, data: bytes) -> None:
        """Write the rest of a line whose beginning is in the segment."""
        self._size += len(data)
        self.writer.append(data)

    def confirm_taken(self) -> None:
        """Record that the bytes of the last lines are taken out of the FIFO."""
        self._position.write(Position(self._segment, self._size, 0, self._stamper.last_ns))

    def event(self, name: str, /, **fields: object) -> None:
        """Write an event."""
        self.report_dropped()
        self._rotate_segment(1)
        self._append(self._stamper.event(self._clock(), name, **fields), event=True)

    def report_dropped(self) -> None:
        """Write a `dropped` event for dropped lines, once the queue has space."""
        if self._dropped_lines and self.writer.pending < QUEUE_MAX_BYTES // 2:
            lines, size, reason = self._dropped_lines, self._dropped_bytes, self._dropped_reason
            self._dropped_lines, self._dropped_bytes, self._dropped_reason = 0, 0, _SLOW
            self._append(self._stamper.event(self._clock(), events.DROPPED, lines=lines, bytes=size, reason=reason))

    def close(self, seconds: float) -> None:
        """Write what is queued, for at most this many seconds."""
        self.report_dropped()
        self.writer.close(seconds)
        self._position.close()

    def _append(self, data: bytes, *, event: bool = False) -> None:
        self.append(data)
        if self._copy is not None and not self._copy.plain:
            self._copy.append(data, event=event)
            dropped = self._copy.take_dropped()
            if dropped:  # of the copy only: this event is not for the segments
                reason = "stdout is read too slowly"
                lost = self._stamper.event(self._clock(), events.DROPPED, lines=dropped, reason=reason)
                self._copy.append(lost, event=True)

    def _rotate_segment(self, length: int) -> None:
        """Open the next segment if this one would exceed its limit with length more bytes."""
        if not self._size or self._size + length <= self._plan["maxBytes"]:
            return
        path = segment_path(self._plan, self._segment + 1)
        self._append(self._stamper.event(self._clock(), events.ROTATED, next=path.name))
        self._segment += 1
        self._size = 0
        self.writer.next_segment(path)
