"""A followed file without an agent around it: what would be shipped of it, in process and without waiting."""

import time
from pathlib import Path

import pytest

from tracetail.agent.model import Batch, Fingerprint, Gap
from tracetail.agent.reading.file_source import FileSource
from tracetail.agent.reading.open_files import OpenFiles
from tracetail.agent.settings import SourceSettings


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        real = time.monotonic
        patch.setattr(time, "monotonic", lambda: real() + self.ahead)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead += seconds


class Follower:
    """Follows one path as the agent does, and keeps what it would ship."""

    def __init__(
        self, path: Path, clock: Clock, open_files: OpenFiles | None = None, listed_ns: int = 0, **settings: object
    ) -> None:
        self.path = path
        self._listed_ns = listed_ns
        self.clock = clock
        self.open_files = open_files or OpenFiles()
        self._settings = SourceSettings(glob="/", **settings)
        self.source = self._new_source()
        self.data = b""
        self.gaps: list[Gap] = []
        self._ids = 0

    def while_shipping(self) -> None:
        """Do nothing: a test puts here what happens between the reading of a block and its acknowledgement."""

    def after_shipping(self) -> None:
        """Do nothing: a test puts here what happens after the acknowledgement of a block."""

    def _new_source(self) -> FileSource:
        return FileSource(self.path, {}, self.open_files, self._settings, listed_ns=self._listed_ns)

    @property
    def lines(self) -> list[str]:
        """The lines that were read."""
        return self.data.decode().splitlines()

    def follow(self, seconds: float = 5.0, step: float = 0.5) -> "Follower":
        """Poll and read for a time that passes at once."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            for _ in range(100):
                if not self.source.poll() or not self._ship():
                    break
        return self

    def _ship(self) -> bool:
        source = self.source
        if source.asleep:
            self._load()
        block = source.read()
        if source.finished:
            for row in source.files:
                if row.position:
                    self._insert(row)  # as the journal does with files that go on where one of these ended
            source.finished.clear()
        if source.gap is not None:
            gap = source.gap
            self.gaps.append(Gap(gap.row, gap.end, f"{gap.row.position}-{gap.end} {gap.reason}", gap.ends_file))
            self._insert(gap.row)
            gap.row.position, gap.row.tail = gap.end, b""
            source.gap = None
            return True
        if block is None:
            return False
        self.data += block.data
        row = source.file
        self.while_shipping()
        self._insert(row)
        fingerprint = source.fingerprint(block.end)
        self.known = [*source.files]
        source.acknowledge(Batch(0, row, block.start, block.end, Fingerprint(*fingerprint), 1, 0, {}, []))
        self.after_shipping()
        return True

    def _insert(self, row) -> None:
        if not row.id:
            self._ids += 1
            row.id = self._ids

    def _load(self) -> None:
        """Give the source its rows, as the resumer does from the journal."""
        self.source.files = [row for row in self.known if row.id]
        self.source.asleep = False

    def stop(self) -> None:
        """End, as the agent does; only what the journal has is kept."""
        self.known = [row for row in self.source.files or self.known if row.id]
        self.source.close()

    def start(self, open_files: OpenFiles | None = None) -> "Follower":
        """Start anew, with what the journal has. open_files: of all that are started together."""
        self.open_files = open_files or OpenFiles()
        self.open_files.paths.add(self.source.key)
        for row in self.known:
            self.open_files.assign(row, self.source.key)
        self.source = self._new_source()
        self.source.files = list(self.known)
        return self
