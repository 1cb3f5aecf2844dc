"""The source of a file that no keeper wrote, followed through rotation.

A source is a path. The files that are at this path one after the other are read in order, each to its end:

- renamed, and another file created or a symlink switched: the old file is open and is read to its end first; it stays
  open for a time, in case its writer goes on. A file that was there only between two polls is found by its name
- copied and truncated: the copy is found by its first bytes, and the rest is read from it
- truncated in place, or written anew, whatever its size is then: detected by its first bytes and those before the
  position; the file is read from its start, and unread bytes are a gap
- saved anew by an editor, with the same beginning: it goes on where it was
- deleted: it is open and is read to its end
- any of these while the agent was down: the file is found by inode and first bytes, renamed, moved or compressed;
  if it is nowhere, a gap reports what is known to be lost
- NULs before text are a hole, reported by a gap; those at the end may be space for text to come
"""

import contextlib
import itertools
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tracetail.agent.model import Batch, Block, FileRow, Fingerprint, Ids
from tracetail.agent.reading import change_watch, rotation
from tracetail.agent.reading.birth_time import was_replaced
from tracetail.agent.reading.file_names import name_of
from tracetail.agent.reading.open_files import OpenFiles
from tracetail.agent.reading.opened_file import FLUSH_AFTER_SECONDS, OpenedFile, Then
from tracetail.agent.reading.path_files import PathFiles
from tracetail.agent.reading.reader import FileReader
from tracetail.agent.reading.source import Source
from tracetail.agent.reading.text_check import CONTAINER_LINE
from tracetail.agent.settings import SourceSettings
from tracetail.contract.labels import INSTANCE_ID, TRACE_ID

log = logging.getLogger(__name__)

FORGET_SECONDS = 600.0
"""A path without a file for this time is not polled any more, until discovery finds a file there."""
FILE_ROWS_MAX = 32
"""Number of files kept per source, to recognise those that are renamed."""
COMING_MAX = 16
"""Number of files that are kept open until it is their turn to be read, and of those that are looked for at once."""
CLOCK_TICK_NS = 5_000_000
"""The times of files are those of the last tick of the kernel's clock."""
_UNKNOWN = "what was written after this is not known"
_REPLACED = (
    "replaced, while it was not open, by a file that begins with the same; whether that is a copy is not known"
)


class _Coming(NamedTuple):
    """A file that waits for its turn to be read."""

    reader: FileReader
    seen_ns: int
    """When it was seen first, in nanoseconds since the epoch."""
    created: bool
    """It is known that it was created at the path, not moved there."""


class FileSource(Source):
    """One path, and the files that are there one after the other."""

    kind = "file"

    def __init__(
        self,
        path: Path,
        labels: Mapping[str, str],
        open_files: OpenFiles,
        settings: SourceSettings | None = None,
        *,
        listed_ns: int = 0,
    ) -> None:
        """settings: of the source that the file belongs to; None for the defaults.

        listed_ns: when it was looked last, before the path was found, what there is to be followed, in nanoseconds
        since the epoch; 0 if it was never looked.
        """
        super().__init__(name_of(str(path)), labels)
        self.path = path
        self._settings = settings or SourceSettings(glob="/")
        self.plain = self._settings.format == "plain"
        self.ids_from_lines = self._settings.ids_from == "prefix"
        self._open_files = open_files
        self.listed_ns = listed_ns
        self._here = PathFiles(path, self.key, open_files, self._settings.encoding)
        self._reading: OpenedFile | None = None
        """The file that the last block was read from."""
        self._coming: list[_Coming] = []
        """Files that came to the path while the one before them drains, opened so that they are not gone before it is
        their turn; oldest first."""
        self._started = False
        """The files of the journal were found again."""
        self._looked_before = False
        """It was looked for files that were at the path before the first one that was seen there."""
        self._closed: os.stat_result | None = None
        """Of the file at the path when it was closed because it was read to its end."""
        self._others: tuple[int, int, int] | None = None
        """Device, inode and size of the file at the path, if another source reads it."""
        self._binary: tuple[int, int, int] | None = None
        """The same of a file that is not text."""
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
        assert self._reading is not None
        return self._reading.row

    def fingerprint(self, position: int) -> Fingerprint:
        """Return what identifies the current file when everything before position is read."""
        assert self._reading is not None
        return self._reading.reader.fingerprint(position)

    def backlog(self) -> int:
        """Return the number of bytes that are written and not acknowledged."""
        return sum(max(0, file.reader.written() - file.row.position) for file in self._here.files)

    def changed_within(self, seconds: float) -> bool:
        """Return whether something was written in the last seconds."""
        return time.monotonic() - self._changed_at < seconds

    def watchable(self) -> Sequence[tuple[str, int]]:
        """Return the file that is read to its end, the directory that it is in, and the link that leads to it."""
        at = str(self.path)
        if os.path.realpath(self.path.parent) != str(self.path.parent):
            return ()
        if self.asleep:
            opened = real_path = at
        elif self._may_suspend() and len(self._here.files) == 1 and not self._here.files[0].left_at:
            reader = self._here.files[0].reader
            opened, real_path = reader.open_path, reader.real_path()
        else:
            return ()
        paths = [(opened, change_watch.FILE), (str(self.path.parent), change_watch.DIRECTORY)]
        if self.path.is_symlink():
            if os.path.realpath(at) != str(self.path.parent / self.path.readlink()) or real_path == at:
                return ()
            paths.append((at, change_watch.LINK))
        return paths

    def close(self) -> None:
        """Close all open files."""
        self._open_files.idle.pop(self.key, None)
        self._here.close()
        self._reading = None
        while self._coming:
            self._next_coming().reader.close()

    def reset(self) -> None:
        """Drop the state in memory; the next read continues from what the journal holds."""
        super().reset()
        self._started = False
        self._closed = self._others = self._binary = None

    def is_ahead(self) -> bool:
        """Return whether more was read than is acknowledged."""
        return any(file.reader.position != file.row.position for file in self._here.files)

    @property
    def is_gone(self) -> bool:
        """There has been no file at the path for FORGET_SECONDS."""
        return self._gone_at > 0 and time.monotonic() - self._gone_at > FORGET_SECONDS

    # Polling

    def poll(self) -> bool:
        """Return whether there may be something to read or to report. Raises OSError."""
        found = self._poll()
        if found or not self._may_suspend():
            self._open_files.idle.pop(self.key, None)
        else:
            self._open_files.idle.setdefault(self.key, self._suspend)
            if self._open_files.over_soft_limit and not self.changed_within(FLUSH_AFTER_SECONDS):
                self._suspend()
        return found

    def _poll(self) -> bool:
        if not self._started or self.gap or self._gaps:
            return True
        now = time.monotonic()
        at_path = self._here.status()
        identity = (at_path.st_dev, at_path.st_ino) if at_path else None
        in_place = found = False
        for file in list(self._here.files):
            here = file.identity == identity
            in_place = in_place or here
            status = at_path if at_path and here else file.reader.status()
            if file.update(status, now, in_place=here):
                self._changed_at = now
                found = True
            elif file.has_work(now):
                found = True
            elif file.has_lingered(now):
                self._end(file)
                found = found or bool(self._gaps or self.gap or self.finished)
        if at_path and not in_place and self._is_draining():
            self._keep(at_path)
        self._gone_at = 0.0 if at_path or self._here.files else self._gone_at or now
        if found or (not in_place and self._is_new(at_path)):
            return True
        if all(file.is_read for file in self._here.files):
            self.caught_up_at = now
        return False

    def _is_new(self, at_path: os.stat_result | None) -> bool:
        """Return whether what is at the path, where no open file is, has to be looked at."""
        if self._closed is not None:
            return at_path is None or _changes(at_path) != _changes(self._closed)
        if self._is_draining() or self._coming:
            return not self._is_draining()
        if at_path is None:
            return not self._looked_before
        identity, size = (at_path.st_dev, at_path.st_ino), at_path.st_size
        if self._binary is not None and identity == self._binary[:2] and size >= self._binary[2]:
            return False
        return self._others != (*identity, size)

    def _is_draining(self) -> bool:
        """Return whether a file that left the path may still be written to, so that the next one has to wait."""
        return any(file.left_at and not file.drained for file in self._here.files)

    def hold_what_is_there(self, *, created: bool) -> None:
        """Open what has appeared at the path, whatever is being done with what was there: it may be gone soon.

        created: it was created there, not moved.
        """
        if self._closed is not None or self._open_files.over_soft_limit:
            return
        with contextlib.suppress(OSError):  # poll() reports it
            at_path = self._here.status()
            if at_path and (at_path.st_dev, at_path.st_ino) not in self._here.identities():
                self._keep(at_path, created=created)

    @property
    def held(self) -> FileReader | None:
        """The file that is open and waits for its turn, the oldest if there are several."""
        return self._coming[0].reader if self._coming else None

    def _keep(self, at_path: os.stat_result, *, created: bool = False) -> None:
        """Open the file at the path before it is its turn: a runtime that rotates fast may replace it until then."""
        known = self._coming_identities()
        if (at_path.st_dev, at_path.st_ino) not in known and len(known) < COMING_MAX:
            with contextlib.suppress(OSError):  # it is opened again when it is its turn
                self._coming.append(_Coming(self._here.open(self.path), time.time_ns(), created))
                self._open_files.open += 1

    def _next_coming(self) -> _Coming:
        """Return the file whose turn it is: one that waits, or the one at the path. Raises OSError."""
        if not self._coming:
            return _Coming(self._here.open(self.path), time.time_ns(), created=False)
        self._open_files.open -= 1
        return self._coming.pop(0)

    def _coming_identities(self) -> set[tuple[int, int]]:
        return {(reader.device, reader.inode) for reader, _, _ in self._coming}

    # Reading

    def read(self) -> Block | None:
        """Return the next block; None if there is nothing to read now. Raises OSError."""
        self._open_files.idle.pop(self.key, None)
        if not self._started:
            self._resume("gone while the agent was down")
            self._started = True
            self._looked_before = bool(self.files) or not self.listed_ns
        self._next_gap()
        while self.gap is None:
            block, then = self._read_files()
            if block is not None:
                return block
            if then is Then.WAIT or (then is Then.NEXT and not self._open_at_path()):
                return None
        return None

    def _read_files(self) -> tuple[Block | None, Then]:
        """Return the next block of an open file, or what to do instead."""
        for file in self._here.in_order():
            block, then = self._read_file(file)
            if block is not None:
                self._reading = file
                return block, then
            if then is not Then.NEXT:
                return None, then
        return None, Then.NEXT

    def _read_file(self, file: OpenedFile) -> tuple[Block | None, Then]:
        """Return the next block of a file, or what to do instead."""
        now = time.monotonic()
        reader = file.reader
        reader.position = max(reader.position, file.row.position)
        if not file.keeps_content():
            if reader.position > file.row.position and reader.size >= reader.position:
                return None, Then.WAIT  # what was read of the old content is being shipped: the row follows
            return None, self._begin_anew(file, now)
        file.shrunk_at = 0.0
        file.row.size = max(file.row.size, reader.size)
        if not self._settings.binary and not file.may_be_text():
            self._leave_alone(file)
            return None, Then.AGAIN
        if file.was_empty and reader.size:
            # Since then it may have been filled, copied and truncated, and filled again.
            file.row.head = reader.head()
            is_more = self._add_missed(file.row)
            file.was_empty = False
            if is_more:
                return None, Then.AGAIN
        block = reader.read(flush=file.flushes(now))
        if block is not None:
            return block, Then.NEXT
        if reader.hole_end:
            self._add_gap(file.row, reader.hole_end, "a hole of NUL bytes", ends_file=False)
            return None, Then.AGAIN
        if not file.left_at or file.is_draining(now):
            return None, Then.WAIT
        if not file.drained:
            self._add_missed(file.row)
            self._report_unseen(file)
            file.drained = True
            return None, Then.AGAIN
        return None, Then.NEXT

    def acknowledge(self, batch: Batch) -> None:
        """Advance the current file's position; close the file if too many are open and it is read to its end."""
        super().acknowledge(batch)
        file = self._reading
        if file is None or not self._open_files.over_hard_limit or batch.end < file.reader.status().st_size:
            return
        if self._may_suspend():
            self._suspend()

    def _may_suspend(self) -> bool:
        """Return whether all open files are read to their ends, and nothing else is to be done."""
        return (
            bool(self._here.files)
            and not (self._gaps or self.gap or self._reported or self.finished or self._coming)
            and all(file.is_read and file.reader.position == file.row.position for file in self._here.files)
        )

    def _suspend(self) -> None:
        """Close files that are read to their ends, for lack of descriptors; poll() detects when the path changes."""
        at_path = self._here.status()
        here = next(
            (file for file in self._here.files if at_path and file.identity == (at_path.st_dev, at_path.st_ino)), None
        )
        if here is None or at_path is None or at_path.st_size != here.reader.position:
            return
        self._closed = at_path
        self.close()
        self.asleep = True
        self.files = []

    # Opening files

    def _resume(self, why: str) -> None:
        """Find the unfinished files of the journal, and files that were created since; report what is lost.

        why: what has happened to files that are not found. After an error it may be called again, and goes on.
        """
        unfinished = [row for row in self.files if not row.done]
        for row in self._not_found():
            reader = rotation.find_file(self.path, row, self._here)
            if reader is not None:
                self._go_on_with(reader, row)
            elif row.size > row.position:
                self._add_gap(row, row.size, "deleted before it was read")
            else:
                unread = rotation.unreadable_copies(self.path, row)
                self._add_gap(row, row.position, "; ".join([why, *unread, _UNKNOWN]))
        if self.files:
            self._add_missed(unfinished[-1] if unfinished else self.files[-1])

    def _go_on_with(self, reader: FileReader, row: FileRow) -> None:
        """Read on in the file of a row, or in its copy, which is known as that from now on."""
        if reader.packed is None and (reader.device, reader.inode) != (row.device, row.inode):
            born_ns = reader.birth_time_ns()
            if reader.path == self.path and born_ns is not None and born_ns > row.seen_ns:
                self._add_gap(row, row.position, _REPLACED)
            else:
                self._mark_done(row)
            row = self._add_row(reader, row)
        self._here.hold(reader, row, settled=True)

    def _not_found(self) -> list[FileRow]:
        """Return the rows of files that were not read to their ends, are not open, and not reported as lost."""
        known = {id(file.row) for file in self._here.files} | {id(gap.row) for gap in self._gaps}
        known |= {id(self._reported)} | ({id(self.gap.row)} if self.gap else set())
        return [row for row in self.files if not row.done and id(row) not in known]

    def _add_missed(self, last: FileRow, *, created_since_ns: int = 0) -> bool:
        """Add files that were renamed before they were seen at the path, oldest first; return whether there are any.

        last: was read before them. created_since_ns: only those that were created since then. Raises
        BeingRotatedError.
        """
        waiting = sum(not file.drained for file in self._here.files)
        if waiting >= COMING_MAX:
            return False  # the rest is looked for when the last of these is read
        count = len(self._here.files)
        # What was rotated away after the next one is found when that one is read.
        left = [file for file in self._here.files if file.left_at]
        later = [file.reader for file in itertools.dropwhile(lambda file: file.row is not last, left)][1:]
        before = next(iter([*later, *(coming.reader for coming in self._coming)]), None)
        if created_since_ns:
            before = None  # all of them were
        # Of one that was truncated, what was copied later comes later.
        here = (file for file in self._here.files if file.row is not last and not file.left_at)
        until_ns = max((file.restarted_ns for file in here), default=0)
        for _ in range(rotation.LOOKS_MAX):
            room = COMING_MAX - waiting - len(self._here.files) + count
            opened = self._here.identities() | self._coming_identities()
            rows = [*self.files, *(self._row_of_all(reader) for reader, _, _ in self._coming)]
            found = rotation.find_missed(
                self.path,
                last,
                rows,
                opened,
                self._here,
                created_since_ns=created_since_ns,
                before=before,
                until_ns=until_ns,
                rotated=self._here.rotated(),
            )
            try:
                for missed in itertools.islice(found, room):
                    row = self._add_row(missed.reader)
                    # seen_ns: those that were missed after it have changed after it, not after this moment.
                    row.device, row.inode, row.seen_ns = missed.device, missed.inode, missed.left_ns
                    self._here.hold(missed.reader, row)
                return len(self._here.files) > count
            except rotation.BeingRotatedError as error:
                rotating = error
        raise rotating

    def _report_unseen(self, file: OpenedFile) -> None:
        """Report that files after this one may be lost, if it is a container's, and was deleted by its rotation.

        A runtime that keeps one file deletes it and creates the next one at once; one that keeps two renames the next
        one over it, when that one is full.
        """
        status = file.reader.status()
        if status.st_nlink or not CONTAINER_LINE.match(file.row.head):
            return
        missed = self._here.files[self._here.files.index(file) + 1 :]
        following = missed[0].reader if missed else self._coming[0].reader if self._coming else None
        born_ns = following.birth_time_ns() if following else None
        latest_ns = status.st_ctime_ns - CLOCK_TICK_NS if missed else status.st_ctime_ns + CLOCK_TICK_NS
        if born_ns is not None and born_ns > latest_ns:
            self._add_gap(file.row, file.row.position, f"deleted by a fast rotation; {_UNKNOWN}", ends_file=False)

    def _row_of_all(self, reader: FileReader) -> FileRow:
        """Return a row that describes all that a file has now."""
        size = reader.status().st_size
        head, tail, _ = reader.fingerprint(size)
        return FileRow(self.key, reader.device, reader.inode, head, tail, size)

    def _open_at_path(self) -> bool:
        """Open the file at the path; return whether there is something more to read or to report."""
        at_path = self._here.status()
        identity = (at_path.st_dev, at_path.st_ino) if at_path else None
        is_here = not self._coming and any(file.identity == identity for file in self._here.files)
        if is_here or not self._is_new(at_path):
            return False
        self._closed = None
        if self._not_found():
            # It was closed for lack of descriptors, and has changed since.
            self._resume("gone while it was closed, as too many files are open")
            return True
        if at_path is None and not self._coming:
            return self._add_never_seen()
        reader, seen_ns, created = self._next_coming()
        if (reader.device, reader.inode) in self._here.identities():
            reader.close()  # the journal knew it
            return True
        reader.status()
        begin = self._open_files.begin_of(reader, self.key)
        if begin is None:
            self._others = (reader.device, reader.inode, reader.size)
            reader.close()
            return bool(self._coming)
        if not self._looked_before:
            self._coming.insert(0, _Coming(reader, seen_ns, created))
            self._open_files.open += 1
            self._add_never_seen()
            return True
        row = self._saved_anew(reader, created=created) or self._add_row(reader, begin)
        row.seen_ns = min(row.seen_ns, seen_ns)
        reader.position = row.position
        self._here.hold(reader, row)
        return True

    def _add_never_seen(self) -> bool:
        """Add files that were created at the path, and rotated away, before it was seen for the first time.

        Only files that were written since what there is was listed last: older ones are history. Return whether there
        are any. Raises BeingRotatedError.
        """
        since = FileRow(self.key, 0, 0, b"", seen_ns=self.listed_ns)
        found = self._add_missed(since, created_since_ns=self.listed_ns)
        self._looked_before = True
        return found

    def _saved_anew(self, reader: FileReader, *, created: bool) -> FileRow | None:
        """Return the row of a file that replaces the one read last, and begins with all that was read of that."""
        before = self._here.files[-1] if self._here.files else None
        if before is None or not before.row.position or not reader.continues(before.row):
            return None
        status, old_path = before.reader.status(), before.reader.real_path()
        if not was_replaced(status, old_path, reader.birth_time_ns(), created=created):
            return None
        row = self._add_row(reader, before.row)
        self._end(before)
        return row

    def _add_row(self, reader: FileReader, begin: FileRow | None = None) -> FileRow:
        """Add a row for a file that was opened. begin: a row with the position to begin at."""
        row = FileRow(self.key, reader.device, reader.inode, reader.head(), seen_ns=time.time_ns())
        if begin is not None:
            row.position, row.tail = begin.position, begin.tail
            row.seen_ns = begin.seen_ns or row.seen_ns
        place = str(reader.place)
        row.real_path = name_of(place) if place != str(self.path) else ""
        self.files.append(row)
        return row

    def _leave_alone(self, file: OpenedFile) -> None:
        """Leave a file alone that is not text, and say so once."""
        self._here.say(
            f"{self.key} looks like a binary file and is not followed; if it is a log, set `encoding` (utf-16, say)"
            " or `binary = true` in its [[agent.sources]]"
        )
        self._binary = (*file.identity, file.reader.size)
        self._here.drop(file)
        self.files.remove(file.row)

    # Leaving files

    def _begin_anew(self, file: OpenedFile, now: float) -> Then:
        """Begin anew with a file without the bytes before the position: it was truncated, or written anew."""
        if not file.has_settled(now):
            return Then.WAIT
        log.info("%s was truncated", self.key)
        row, reader = file.row, file.reader
        position, before = row.position, row.size
        copy = rotation.find_copy(self.path, row, self._here)
        if copy is None and before > position:
            self._add_gap(row, before, "truncated before it was read")
        elif copy is None and CONTAINER_LINE.match(row.head):
            # Nobody edits a container's log: a runtime that keeps one file truncates it and writes on.
            self._add_gap(row, position, f"truncated by its rotation; {_UNKNOWN}")
        else:
            self._mark_done(row)
        if copy is not None:
            self._here.hold(copy, self._add_row(copy, row), settled=True)
        reader.restart()
        file.row = self._add_row(reader)
        file.restarted_ns = file.row.seen_ns
        file.shrunk_at = 0.0
        file.is_text, file.was_empty = False, not reader.size
        self._open_files.assign(file.row, self.key)
        return Then.AGAIN

    def _end(self, file: OpenedFile) -> None:
        """Close a file that was read to its end, is no longer at its path, and has not changed for a time."""
        row = file.row
        if row.position < file.reader.size:
            self._add_gap(row, file.reader.size, "NUL bytes at its end")
        else:
            self._mark_done(row)
        self._here.drop(file)

    def _mark_done(self, row: FileRow) -> None:
        super()._mark_done(row)
        self._open_files.assign(row, self.key)
        # Those of files that are still to be read have to stay: the files would be taken for ones that were missed.
        done = (row for row in self.files if row.done)
        forgotten = set(map(id, itertools.islice(done, max(0, len(self.files) - FILE_ROWS_MAX))))
        self.files = [row for row in self.files if id(row) not in forgotten]


def _changes(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
