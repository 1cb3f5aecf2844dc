"""The lines of launches from this machine's log files: as the agent would ship them, merged by time."""

import heapq
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from tracetail.agent.dry_run import DryRun, FilePlan
from tracetail.agent.settings import AgentSettings
from tracetail.cli.printable import printable
from tracetail.contract.labels import launch_labels
from tracetail.contract.log_roots import open_segment
from tracetail.contract.logline import parse_stamp
from tracetail.launcher import registry
from tracetail.launcher.registry import Launch
from tracetail.panel.trace.entry import Entry, Key, Stream

POLL_SECONDS = 0.1
_READ_BYTES = 16 << 20


def local_entries(launches: Sequence[Launch], settings: AgentSettings) -> Iterator[Entry]:
    """Yield the lines of launches, secrets masked, oldest first. A file that cannot be read is named on stderr."""
    return LocalLogs(launches, settings).stored()


class LocalLogs:
    """Reads the logs of launches on this machine, each from its own position."""

    def __init__(self, launches: Sequence[Launch], settings: AgentSettings) -> None:
        self._logs = [_LocalLog(launch, settings) for launch in launches]

    def stored(self) -> Iterator[Entry]:
        """Yield what the files hold and was not read before, oldest first."""
        return heapq.merge(*(log.entries() for log in self._logs), key=lambda entry: entry.key)

    def new(self) -> Iterator[Entry]:
        """Yield lines as they are written, until every launch has ended and its log is read."""
        while True:
            live = [log for log in self._logs if not log.has_ended()]  # before reading: what follows is then the rest
            yield from self.stored()
            if not live:
                return
            time.sleep(POLL_SECONDS)


class _LocalLog:
    """The log of one launch, in its segments."""

    def __init__(self, launch: Launch, settings: AgentSettings) -> None:
        self._launch = launch
        self._settings = settings
        self._labels: Mapping[str, str] = launch_labels(launch.record)
        self._segment = 0
        self._position = 0
        self._number = 0
        self._unreadable: set[Path] = set()
        self._run: DryRun | None = None

    def has_ended(self) -> bool:
        """Return whether nothing of the launch runs any more; notices new segments."""
        self._launch = registry.read_launch(self._launch.dir)
        return not self._launch.live and not self._launch.kept

    def entries(self) -> Iterator[Entry]:
        """Yield the entries of all whole lines that were not read yet; of a segment that has a successor, all."""
        while True:
            segments = self._launch.record.get("segments", [])
            if self._segment >= len(segments):
                return
            has_successor = self._segment + 1 < len(segments)
            final = has_successor or not self._launch.live
            data = self._read(Path(segments[self._segment]), final=final)
            if data:
                yield from self._parsed(data)
            elif has_successor:
                self._segment, self._position, self._run = self._segment + 1, 0, None
            else:
                return

    def _read(self, path: Path, *, final: bool) -> bytes:
        """Return the next whole lines of a segment; if nobody writes to it any more, also one that is unfinished."""
        try:
            with os.fdopen(open_segment(self._launch.dir, path, self._settings.log_roots), "rb") as file:
                file.seek(self._position)
                data = file.read(_READ_BYTES)
        except OSError as error:
            if path not in self._unreadable:
                self._unreadable.add(path)
                click.echo(printable(f"{path}: {error.strerror or error}"), err=True)
            return b""
        if not (final and len(data) < _READ_BYTES):
            data = data[: data.rfind(b"\n") + 1]
        self._position += len(data)
        return data

    def _parsed(self, data: bytes) -> Iterator[Entry]:
        if self._run is None:
            plan = FilePlan(
                self._labels, is_segment=True, plain=False, ids_from_lines=False, followed=True, first_seen_ns=None
            )
            self._run = DryRun(plan, self._settings)
        for found in self._run.entries(data):
            stream = Stream.of({**self._labels, **found["metadata"]})
            yield Entry(Key(parse_stamp(found["time"].encode()), f"{self._number:016x}"), stream, found["line"])
            self._number += 1
