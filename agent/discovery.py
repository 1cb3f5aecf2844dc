"""Finds what there is to follow: launches by their records, other files by globs.

Directories are watched (inotify, by watchdog), so that a new launch is seen at once; a look every second makes up
for events that were missed and for file systems without events. Files themselves are not watched.
"""

import glob
import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from agent.settings import SourceSettings
from agent.sources import FileSource, LaunchSource, Source
from contract.record import LaunchDir, RecordError
from contract.state import launches_dir

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 1.0
GLOB_EVERY_SECONDS = 5.0
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip")
_WATCHED = [DirCreatedEvent, DirMovedEvent, FileCreatedEvent, FileMovedEvent]


class _Wake(FileSystemEventHandler):
    def __init__(self) -> None:
        self.happened = threading.Event()

    def on_any_event(self, event: FileSystemEvent) -> None:
        del event
        self.happened.set()


class Discovery:
    """Yields each log once, when it appears."""

    def __init__(
        self,
        state_dirs: Sequence[Path],
        sources: Sequence[SourceSettings],
        labels: Mapping[str, str],
        completed: set[str],
    ) -> None:
        """labels: added to every file's stream. completed: launches that need not be followed any more."""
        self._launches = [launches_dir(path) for path in state_dirs]
        self._globs = [(settings, re.compile(settings.path_pattern)) for settings in sources]
        self._labels = labels
        self._known = set(completed)
        self._waiting: set[Path] = set()
        self._marks: dict[Path, int] = {}
        self._next_look = 0.0
        self._next_glob = 0.0
        self._wake = _Wake()
        self._watched: set[str] = set()
        self._observer = Observer()
        self._observer.daemon = True

    def start(self) -> None:
        """Begin to watch."""
        self._observer.start()

    def stop(self) -> None:
        """End watching."""
        self._observer.stop()
        self._observer.join()

    def scan(self) -> Iterator[Source]:
        """Yield the logs that are new since the last call. Costs nothing when nothing happened."""
        now = time.monotonic()
        happened = self._wake.happened.is_set()
        if happened or self._waiting or now >= self._next_look:
            self._wake.happened.clear()
            self._next_look = now + LOOK_EVERY_SECONDS
            yield from self._new_launches()
        if self._globs and (happened or now >= self._next_glob):
            yield from self._new_files()
            # A large tree is not looked through more often than costs a hundredth of a core.
            self._next_glob = now + max(GLOB_EVERY_SECONDS, 100 * (time.monotonic() - now))

    def _new_launches(self) -> Iterator[Source]:
        for directory in self._launches:
            try:
                mark = directory.stat().st_mtime_ns
            except FileNotFoundError:
                continue
            self._watch(directory, recursive=False)
            if self._marks.get(directory) != mark:
                with os.scandir(directory) as entries:
                    self._waiting.update(Path(e.path) for e in entries if e.name not in self._known and e.is_dir())
                self._marks[directory] = mark
        for path in sorted(self._waiting):
            launch = LaunchDir(path)
            try:
                record = launch.read()
            except FileNotFoundError:
                if not path.is_dir():
                    self._waiting.discard(path)
                continue
            except (OSError, RecordError) as error:
                log.error("%s", error)  # noqa: TRY400  (a trace would say no more)
                self._waiting.discard(path)
                continue
            self._waiting.discard(path)
            self._known.add(path.name)
            yield LaunchSource(launch, record)

    def _new_files(self) -> Iterator[Source]:
        for settings, pattern in self._globs:
            base = _base_of(settings.glob)
            self._watch(base, recursive="**" in settings.glob)
            for name in glob.iglob(settings.glob, recursive=True):  # noqa: PTH207  (an absolute pattern)
                if name in self._known or name.endswith(COMPRESSED) or not Path(name).is_file():
                    continue
                self._known.add(name)
                match = pattern.search(name) if settings.path_pattern else None
                from_path = {k: v for k, v in match.groupdict().items() if v} if match else {}
                yield FileSource(Path(name), {**self._labels, **settings.labels, **from_path, "filename": name})

    def _watch(self, directory: Path, *, recursive: bool) -> None:
        if str(directory) in self._watched or not directory.is_dir():
            return
        try:
            self._observer.schedule(self._wake, str(directory), recursive=recursive, event_filter=_WATCHED)
        except OSError as error:
            log.warning("cannot watch %s (%s); it is looked at every few seconds instead", directory, error)
        self._watched.add(str(directory))


def _base_of(pattern: str) -> Path:
    """Return the directory above the first part of a glob that holds a wildcard."""
    parts = Path(pattern).parts
    plain = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:plain])
