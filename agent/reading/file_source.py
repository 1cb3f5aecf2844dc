"""Files that no keeper wrote, followed through whatever logrotate and people do to them.

A source is a path. The files that stand there one after the other are read in their order, each to its end:

- renamed (and another one created, or a symlink flipped): the old one is open and is read to its end first; one that
  came and went between two looks is found beside it by its name
- copied and truncated: the copy is found by its first bytes, and what was not read yet is read from it
- truncated in place, or shrunk and grown again: seen by its size, or by the bytes before the position; read from its
  start; what was not read is a gap
- deleted: it is open and is read to its end
- any of these while the agent was down: found by inode and first bytes, under another name or compressed; if it is
  nowhere, a gap tells what is known to be lost
"""

import contextlib
import dataclasses
import gzip
import logging
import os
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tracetail.agent.parsing.header import Ids
from tracetail.agent.reading.reader import Block, FileRow, Fingerprint, Follower
from tracetail.agent.reading.source import Source
from tracetail.agent.shipping.delivery import Batch, Outcome
from tracetail.contract.labels import INSTANCE_ID, TRACE_ID

log = logging.getLogger(__name__)

FLUSH_AFTER_SECONDS = 2.0
"""An unfinished line is sent, as a `cut`, when nothing came for so long."""
DRAIN_SECONDS = 1.0
"""A file that stands no more at its path is left when nothing came for so long; its writer may still hold it."""
LINGER_SECONDS = 60.0
"""For so long it stays open after that, in case its writer goes on."""
IDLE_SECONDS = 60.0
"""A file in which nothing happens is closed; it is opened again when its size changes."""
OPEN_MAX = 400
"""When so many are open, idle ones are closed soon."""
OPEN_MOST = 800
"""When so many are open, each is closed as soon as it is read to its end."""
FORGET_SECONDS = 600.0
"""A path at which there has been nothing for so long is not looked at any more, until a file is found there."""
ROWS_MAX = 32
"""So many files of a source are remembered, for those that come back under another name."""

Identity = tuple[int, int]
"""Device and inode."""


@dataclass(slots=True)
class Inodes:
    """Which source reads which file, over all sources: a rotated file may match another one's glob."""

    owners: dict[Identity, tuple[str, FileRow]] = field(default_factory=dict)
    """The source and what it knows of the file: an inode may be used again for another one."""
    held: Counter[Identity] = field(default_factory=Counter)
    """Files that are open. Their inodes cannot be used again."""
    open: int = 0
    """How many there are of them, counted along: it is asked for at every look."""

    def is_free(self, follower: Follower, key: str) -> bool:
        """Say whether no other source reads this file, or has read it."""
        identity = follower.device, follower.inode
        owner, row = self.owners.get(identity, (key, None))
        if owner == key or row is None:
            return True
        if self.held[identity]:
            return False
        return not row.head or follower.head()[: len(row.head)] != row.head

    def take(self, row: FileRow, key: str) -> None:
        """Note that a source reads this file."""
        self.owners[row.device, row.inode] = key, row

    def hold(self, follower: Follower) -> None:
        """Count a file that was opened."""
        self.held[follower.device, follower.inode] += 1
        self.open += 1

    def release(self, follower: Follower) -> None:
        """Close a file that was counted."""
        identity = follower.device, follower.inode
        self.held[identity] -= 1
        self.open -= 1
        if not self.held[identity]:
            del self.held[identity]
        follower.close()


@dataclass(slots=True)
class _Open:
    """A file at hand."""

    row: FileRow
    follower: Follower
    changed_at: float
    left_at: float = 0.0
    """When something else was seen at the path; 0 while it stands there."""
    size: int = -1


class FileSource(Source):
    """One path, and the files that stand there."""

    kind = "file"

    def __init__(self, path: Path, labels: Mapping[str, str], inodes: Inodes, *, plain: bool = False) -> None:
        """plain: no format is looked for in its lines."""
        super().__init__(str(path), labels)
        self.path = path
        self.plain = plain
        self._inodes = inodes
        self._at: _Open | None = None
        self._waiting: list[tuple[Follower, FileRow]] = []
        """Files to be read before the one that stands at the path."""
        self._lingering: list[_Open] = []
        self._opened = False
        self._quiet: tuple[int, int, int] | None = None
        """Device, inode and size at which there was nothing to read at the path."""
        self._changed_at = time.monotonic()
        self._gone_at = 0.0
        """When there was nothing more at the path and nothing to read; 0 while there is."""

    def labels(self, ids: Ids | None) -> Mapping[str, str]:
        """Return the labels of the stream of lines with these ids."""
        if ids is None:
            return self.own_labels
        return {**self.own_labels, TRACE_ID: ids.trace_id, INSTANCE_ID: ids.instance_id}

    @property
    def file(self) -> FileRow:
        """Return the file that the last block was read from."""
        assert self._at is not None
        return self._at.row

    def fingerprint(self, position: int) -> Fingerprint:
        """Return by what the file at hand is known again."""
        assert self._at is not None
        return self._at.follower.fingerprint(position)

    def backlog(self) -> int:
        """Return how many bytes are written and not acknowledged."""
        at_hand = max(0, self._at.follower.size - self._at.row.position) if self._at else 0
        return at_hand + sum(follower.size - row.position for follower, row in self._waiting)

    def changed_within(self, seconds: float) -> bool:
        """Say whether something came in the last seconds."""
        return time.monotonic() - self._changed_at < seconds

    def close(self) -> None:
        """Close what is open."""
        for follower, _ in self._waiting:
            self._shut(follower)
        for left in self._lingering:
            self._shut(left.follower)
        if self._at:
            self._shut(self._at.follower)
        self._waiting, self._lingering, self._at = [], [], None

    def begin_anew(self) -> None:
        """Forget everything but the name."""
        super().begin_anew()
        self._opened = False
        self._quiet = None

    def is_ahead(self) -> bool:
        """Say whether more was read than is acknowledged."""
        return self._at is not None and self._at.follower.position != self._at.row.position

    @property
    def asleep(self) -> bool:
        """It was read to its end, and closed."""
        return self._opened and not self.open

    @property
    def is_gone(self) -> bool:
        """Nothing has stood at the path for so long that it need not be looked at any more."""
        return self._gone_at > 0 and time.monotonic() - self._gone_at > FORGET_SECONDS

    def look(self) -> bool:
        """Say whether there may be something to do."""
        if not self._opened or self._waiting or self.gap or self._gaps:
            return True
        now = time.monotonic()
        if self._lingering and self._look_at_lingering(now):
            return True
        standing = self._standing()
        at = self._at
        if at is None:
            self._gone_at = 0.0 if standing or self._lingering else self._gone_at or now
            if standing is not None and standing != self._quiet:
                return True
            self.caught_up_at = now
            return False
        in_place = standing is not None and standing[:2] == (at.follower.device, at.follower.inode)
        size = at.follower.size = standing[2] if standing and in_place else at.follower.status().st_size
        if size != at.size:
            at.size = size
            at.changed_at = self._changed_at = now
            return True
        if not in_place:
            at.left_at = at.left_at or now
            return now - max(at.changed_at, at.left_at) > DRAIN_SECONDS
        at.left_at = 0.0
        idle = now - at.changed_at
        if size > at.follower.position:
            return idle > FLUSH_AFTER_SECONDS
        self.caught_up_at = now
        if idle > IDLE_SECONDS or (self._inodes.open > OPEN_MAX and idle > FLUSH_AFTER_SECONDS):
            self._rest(at)
        return False

    def acknowledged(self, batch: Batch, outcome: Outcome) -> None:
        """Take note that nothing before the batch's end has to be sent any more."""
        super().acknowledged(batch, outcome)
        at = self._at
        if at is None or self._inodes.open <= OPEN_MOST or batch.end < at.follower.status().st_size:
            return
        if self._stands_at_path(at.follower):
            self._rest(at)

    def _rest(self, at: _Open) -> None:
        """Close a file that stands at the path and is read to its end, until something happens there."""
        self._quiet = (at.follower.device, at.follower.inode, at.follower.size)
        self._leave()
        if not (self._waiting or self._lingering or self._gaps or self.gap or self._telling):
            # The journal has the rest: parser and files are taken up from there when something happens.
            self.open = False
            self.files = []
            del self.parser

    def read(self) -> Block | None:
        """Return the next block."""
        if not self._opened:
            self._opened = True
            self._take_up()
        self._next_gap()
        while self.gap is None:
            if self._at is None and not self._next():
                return None
            at = self._at
            assert at is not None
            self._check_for_truncation(at)
            if self._at is not at:
                continue
            now = time.monotonic()
            left = at.left_at > 0 and now - max(at.changed_at, at.left_at) > DRAIN_SECONDS
            flush = left or now - at.changed_at > FLUSH_AFTER_SECONDS
            block = at.follower.read(flush=flush)
            if block is not None:
                return block
            if left and at.follower.position >= at.follower.size:
                self._finish(at)
            elif self._waiting:
                self._leave()  # it stands at the path, and is taken up again after those that wait
            else:
                return None
        return None

    # Where the files are taken from

    def _take_up(self, *, was_down: bool = True) -> None:
        """Find again what was being read when the agent ended, or the file was closed, and what came since then."""
        unfinished = [row for row in self.files if not row.done]
        for row in unfinished:
            follower = self._find(row)
            if follower is not None:
                self._waiting.append((follower, row))
            elif row.size > row.position:
                self._lose(row, row.size, "deleted before it was read")
            elif not was_down:
                self._mark_done(row)
            else:
                self._lose(
                    row, row.position, "gone while the agent was down; what was written after this is not known"
                )
        if unfinished:
            self._take_missed(unfinished[-1])

    def _find(self, row: FileRow) -> Follower | None:
        """Return a file of the journal, wherever it is now: at its path, renamed, copied or compressed."""
        copies: list[Follower] = []
        for path in (self.path, *self._siblings()):
            with contextlib.suppress(OSError):
                follower = Follower(path, row.position)
                if follower.continues(row):
                    if (follower.device, follower.inode) == (row.device, row.inode):
                        for copy in copies:
                            copy.close()
                        return self._opened_one(follower, row)
                    if row.head:
                        copies.append(follower)
                        continue
                follower.close()
        for copy in copies[1:]:
            copy.close()
        if copies:
            return self._opened_one(copies[0], row)
        return self._find_compressed(row)

    def _find_compressed(self, row: FileRow) -> Follower | None:
        for path in self._siblings(compressed=True) if row.head else ():
            try:
                with gzip.open(path) as packed:
                    if packed.read(len(row.head)) != row.head:
                        continue
                    packed.seek(0)
                    with tempfile.NamedTemporaryFile() as unpacked:
                        shutil.copyfileobj(packed, unpacked)
                        unpacked.flush()
                        # The file stays readable through the descriptor when its name is gone.
                        follower = Follower(Path(unpacked.name), row.position)
            except (OSError, EOFError) as error:
                log.warning("cannot read %s: %s", path, error)
                continue
            if follower.continues(row):
                return self._opened_one(follower, row)
            follower.close()
        return None

    def _take_missed(self, last: FileRow) -> None:
        """Queue files that stood at the path and were renamed before they were seen there, oldest first."""
        known = {(row.device, row.inode) for row in self.files}
        missed: list[tuple[int, Path]] = []
        for path in self._siblings():
            with contextlib.suppress(OSError):
                status = path.stat()
                if (status.st_dev, status.st_ino) not in known and status.st_mtime_ns >= last.seen_ns:
                    missed.append((status.st_mtime_ns, path))
        for _, path in sorted(missed):
            with contextlib.suppress(OSError):
                follower = Follower(path)
                is_copy = last.head and follower.head()[: len(last.head)] == last.head
                if is_copy or not self._inodes.is_free(follower, self.key):
                    follower.close()
                    continue
                row = self._row_of(follower)
                self._waiting.append((self._opened_one(follower, row), row))

    def _siblings(self, *, compressed: bool = False) -> list[Path]:
        """Return the files beside the path that may have been rotated away from it: app.log.1, app-20261122.log."""
        name, stem, suffix = re.escape(self.path.name), re.escape(self.path.stem), re.escape(self.path.suffix)
        ending = r"\.gz" if compressed else ""
        rotated = re.compile(rf"(?:{name}[.-](?:\d[\d.T:_-]*|old|bak)|{stem}[.-]\d[\d.T:_-]*{suffix}){ending}")
        try:
            return sorted(path for path in self.path.parent.iterdir() if rotated.fullmatch(path.name))
        except OSError:
            return []

    def _next(self) -> bool:
        """Take up the next file: one that waits, else the one at the path."""
        self._quiet = None
        if self._waiting:
            follower, row = self._waiting.pop(0)
            self._at = _Open(row, follower, time.monotonic())
            if not self._stands_at_path(follower):
                self._at.left_at = self._at.changed_at = time.monotonic() - DRAIN_SECONDS - 1
            return True
        standing = self._standing()
        if standing is None:
            return False
        follower = Follower(self.path)
        if not self._inodes.is_free(follower, self.key):
            follower.close()
            self._quiet = standing
            return False
        known = self._known_row(follower)
        if known is None and any(not row.done for row in self.files):
            # It was closed, and renamed or truncated before it was looked at again.
            follower.close()
            self._take_up(was_down=False)
            return self.gap is None and self._next()
        row = known or self._row_of(follower)
        self._opened_one(follower, row)
        follower.position = row.position
        self._at = _Open(row, follower, time.monotonic())
        return True

    def _known_row(self, follower: Follower) -> FileRow | None:
        for row in reversed(self.files):
            same = (row.device, row.inode) == (follower.device, follower.inode)
            if same and not row.done and follower.continues(row):
                return row
        return None

    def _row_of(self, follower: Follower) -> FileRow:
        row = FileRow(str(self.path), follower.device, follower.inode, follower.head(), seen_ns=time.time_ns())
        self.files.append(row)
        return row

    def _standing(self) -> tuple[int, int, int] | None:
        """Return device, inode and size of what is at the path."""
        try:
            status = os.stat(self.path)  # noqa: PTH116  (ten times a second: Path.stat takes twice as long)
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_size

    def _stands_at_path(self, follower: Follower) -> bool:
        standing = self._standing()
        return standing is not None and standing[:2] == (follower.device, follower.inode)

    # How a file is left

    def _check_for_truncation(self, at: _Open) -> None:
        """See whether the file was truncated, even if it has grown past its old size since; and go on in its copy."""
        row, follower = at.row, at.follower
        before = row.size
        follower.status()
        position = follower.position
        unchanged = position != row.position or not row.tail or follower.tail(position) == row.tail
        if follower.size >= position and unchanged:
            row.size = max(row.size, follower.size)
            return
        log.info("%s was truncated", self.path)
        self._leave()
        copy = self._find_copy(row, position)
        if copy is None and before > position:
            row.position = position
            self._lose(row, before, "truncated before it was read")
            return
        self._mark_done(row)
        if copy is not None:
            copied = dataclasses.replace(row, id=0, device=copy.device, inode=copy.inode, done=False)
            self.files.append(copied)
            self._inodes.take(copied, self.key)
            self._waiting.insert(0, (copy, copied))

    def _find_copy(self, row: FileRow, position: int) -> Follower | None:
        for path in self._siblings():
            with contextlib.suppress(OSError):
                follower = Follower(path, position)
                if row.head and follower.continues(row):
                    self._inodes.hold(follower)
                    return follower
                follower.close()
        return None

    def _finish(self, at: _Open) -> None:
        """Leave a file that was read to its end and stands no more at its path."""
        self._at = None
        self._mark_done(at.row)
        at.left_at = time.monotonic()
        at.size = at.follower.size
        self._lingering.append(at)
        if not self._waiting:
            self._take_missed(at.row)

    def _look_at_lingering(self, now: float) -> bool:
        """See whether somebody went on writing to a file that was left."""
        for left in list(self._lingering):
            if left.follower.status().st_size > left.size:
                self._lingering.remove(left)
                row = dataclasses.replace(left.row, id=0, done=False)
                self.files.append(row)
                self._waiting.append((left.follower, row))
                self._changed_at = now
                return True
            if now - left.left_at > LINGER_SECONDS:
                self._lingering.remove(left)
                self._shut(left.follower)
        return False

    def _leave(self) -> None:
        if self._at is not None:
            self._shut(self._at.follower)
            self._at = None

    def _mark_done(self, row: FileRow) -> None:
        super()._mark_done(row)
        self._inodes.take(row, self.key)
        del self.files[:-ROWS_MAX]

    def _opened_one(self, follower: Follower, row: FileRow) -> Follower:
        self._inodes.hold(follower)
        self._inodes.take(row, self.key)
        return follower

    def _shut(self, follower: Follower) -> None:
        self._inodes.release(follower)
