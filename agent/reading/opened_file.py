"""A file that a source has open: what was last seen of it, and whether it is still at the source's path."""

import os
import time
from dataclasses import dataclass, field
from enum import Enum, auto

from tracetail.agent.model import FileRow
from tracetail.agent.reading.reader import FileReader
from tracetail.agent.reading.text_check import SAMPLE_BYTES, looks_binary

FLUSH_AFTER_SECONDS = 2.0
"""An unfinished line is sent, as a `cut`, after this time without a change."""
DRAIN_SECONDS = 1.0
"""The next file is read when one that is no longer at its path has not changed for this time: its writer may still
have it open."""
DRAIN_MAX_SECONDS = 5.0
"""However often it changes, the next file is read after this time: one of several writers may never leave it."""
LINGER_SECONDS = 60.0
"""A file that is no longer at its path stays open until it has not changed for this time."""
SETTLE_SECONDS = 0.3
"""A file that has become shorter is looked at again after this time: a program that saves it anew may be writing."""
NULS_AGAIN_SECONDS = 5.0
"""Space that is reserved for text to come is looked through again after this time, if the file has changed."""
_UNSEEN = (-1, -1)


class Then(Enum):
    """What to do when a file has no block to be read."""

    NEXT = auto()
    """Look at the next file."""
    AGAIN = auto()
    """Begin again: the files have changed."""
    WAIT = auto()
    """Nothing may be read now."""


@dataclass(slots=True, eq=False)
class OpenedFile:
    """An open file of a source."""

    row: FileRow
    reader: FileReader
    changed_at: float = field(default_factory=time.monotonic)
    left_at: float = 0.0
    """When the path was first seen with another file or none; 0 while this file is there."""
    drained: bool = False
    """It has left the path and was read to its end; it is still open, because its writer may go on."""
    shrunk_at: float = 0.0
    """When it was first seen without the bytes before the position; 0 while they are there."""
    restarted_ns: int = 0
    """When it was found truncated, or written anew, last, in nanoseconds since the epoch; 0 if it never was."""
    was_empty: bool = False
    """It had nothing when it was opened, and nothing was read of it since."""
    is_text: bool = False
    """It was found to be text; False until there is some."""
    _seen: tuple[int, int] = _UNSEEN
    """Size and modification time at the last poll."""
    _nuls_at: float = 0.0

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode of the open file."""
        return self.reader.device, self.reader.inode

    def leave(self, *, settled: bool) -> None:
        """Note that it was not at the path when it was found.

        settled: nothing is waited for before the next file is read; otherwise its last change counts, which may be
        long ago.
        """
        enough = DRAIN_SECONDS + 1
        ago = enough if settled else min(max(0.0, time.time() - self.reader.status().st_mtime), enough)
        self.left_at = self.changed_at = time.monotonic() - ago

    def quiet_seconds(self, now: float) -> float:
        """Return for how long it has neither changed nor left the path."""
        return now - max(self.changed_at, self.left_at)

    def update(self, status: os.stat_result, now: float, *, in_place: bool) -> bool:
        """Take in what stat says of it, and whether it is at the path; return whether it has changed."""
        self.reader.size = status.st_size
        if in_place:
            self.left_at = 0.0
            self.drained = False
        elif not self.left_at:
            self.left_at = now
        seen = status.st_size, status.st_mtime_ns
        if seen == self._seen:
            return False
        if self._seen != _UNSEEN:
            self.changed_at = now
        self._seen = seen
        return True

    def has_work(self, now: float) -> bool:
        """Return whether there is something to do though it has not changed: wait no longer, or flush."""
        if self.shrunk_at:
            return now - self.shrunk_at > SETTLE_SECONDS
        if self.left_at and not self.drained and not self.is_draining(now):
            return True
        if self.reader.size < self.row.position:
            return True
        return self.reader.size > self.reader.position and self._may_be_flushed(now)

    def _may_be_flushed(self, now: float) -> bool:
        if self.quiet_seconds(now) <= FLUSH_AFTER_SECONDS:
            return False
        if not self.reader.waits_at_nuls():
            return True
        if now - self._nuls_at > NULS_AGAIN_SECONDS:
            self._nuls_at = now
            self.reader.forget_nuls()
        return False

    @property
    def is_read(self) -> bool:
        """There is nothing more to read of it."""
        return not self.shrunk_at and self.reader.position >= self.reader.size

    def is_draining(self, now: float) -> bool:
        """Return whether it has left the path, and its writer may be about to go on."""
        waits = self.quiet_seconds(now) <= DRAIN_SECONDS and now - self.left_at <= DRAIN_MAX_SECONDS
        return self.left_at > 0 and not self.drained and waits

    def has_lingered(self, now: float) -> bool:
        """Return whether it need not stay open any longer: it left the path, and its writer seems to be done.

        Nobody writes to one that was compressed.
        """
        is_shipped = self.reader.packed is not None and self.row.position >= self.reader.size
        return self.drained and (is_shipped or self.quiet_seconds(now) > LINGER_SECONDS)

    def has_settled(self, now: float) -> bool:
        """Return whether the bytes before the position have been missing for so long that it was written anew."""
        if not self.shrunk_at:
            self.shrunk_at = now
        return now - self.shrunk_at > SETTLE_SECONDS

    def flushes(self, now: float) -> bool:
        """Return whether an unfinished last line is to be read."""
        after = DRAIN_SECONDS if self.left_at else FLUSH_AFTER_SECONDS
        return self.quiet_seconds(now) > after

    def may_be_text(self) -> bool:
        """Return whether it is text, or has nothing but NULs so far, which are not passed."""
        if not self.is_text and not self.row.position and not self.reader.codec().has_nuls:
            sample = self.reader.sample(SAMPLE_BYTES)
            self.is_text = bool(sample) and not looks_binary(sample)
            return self.is_text or not sample
        self.is_text = True
        return True

    def keeps_content(self) -> bool:
        """Return whether the bytes before the position are still those that were read."""
        row, reader = self.row, self.reader
        reader.status()
        if reader.size < reader.position:
            return False
        if reader.position != row.position:
            return reader.keeps_last_block()
        # Of an unread file the first bytes are known; NULs among them may have been filled since.
        head = row.head[: row.position] if row.position else row.head.rstrip(b"\0")
        if reader.head()[: len(head)] != head:
            return False
        return not row.tail or reader.tail(row.position, len(row.tail)) == row.tail
