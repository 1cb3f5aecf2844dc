"""Finds the logs to follow: launches by their records, other files by globs.

Directories are watched (inotify, through watchdog), so that a new launch is found at once; a scan every second covers
events that were missed and file systems without events. Files themselves are not watched.
"""

import glob
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
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

from tracetail.agent.checked_settings import check_labels
from tracetail.agent.reading import globs, rotation
from tracetail.agent.reading.file_labels import file_labels, source_of
from tracetail.agent.reading.file_names import name_of, path_of
from tracetail.agent.reading.file_source import FileSource
from tracetail.agent.reading.launch_source import LaunchSource
from tracetail.agent.reading.open_files import OpenFiles
from tracetail.agent.reading.source import Source
from tracetail.agent.settings import AgentSettings, SourceSettings
from tracetail.contract.record import LaunchDir, RecordError
from tracetail.contract.safe_open import NotAFileError
from tracetail.contract.state import launches_dir

log = logging.getLogger(__name__)

SCAN_EVERY_SECONDS = 1.0
RETRY_UNREADABLE_SECONDS = 5.0
_CLOCK_TICK_NS = 1_000_000_000
"""A directory that was changed within this time may be changed again with the same modification time."""
GLOB_EVERY_SECONDS = 5.0
_GLOB_COST_MAX = 0.01
"""Share of a core that globs of large trees may use."""
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip", ".Z", ".lzma", ".7z", ".br", ".tgz")
_EVENTS = [DirCreatedEvent, DirMovedEvent, FileCreatedEvent, FileMovedEvent]


class _ChangeHandler(FileSystemEventHandler):
    def __init__(self) -> None:
        self.changed = threading.Event()

    def on_any_event(self, event: FileSystemEvent) -> None:
        del event
        self.changed.set()


class Discovery:
    """Yields each log once, when it appears."""

    def __init__(
        self,
        state_dirs: Sequence[Path],
        settings: AgentSettings,
        host: str,
        completed: set[str],
        open_files: OpenFiles,
    ) -> None:
        """Check the settings of sources; start() begins to watch.

        Args:
            state_dirs: state directories whose launches are followed.
            settings: sources and labels.
            host: this machine's name.
            completed: ids of launches that need not be followed any more.
            open_files: which files are followed already, under any name.

        Raises BadSettingsError.

        """
        check_labels(settings)
        self._launches = [launches_dir(path) for path in state_dirs]
        self._settings = settings
        self._host = host
        self._open_files = open_files
        self._known = set(completed)
        self._waiting: set[Path] = set()
        """Directories of new launches whose record was not read yet."""
        self._unreadable: dict[Path, str] = {}
        """Launches whose record cannot be used, with the reason that was logged."""
        self._next_retry = 0.0
        self._scanned_mtimes: dict[Path, int] = {}
        self._next_scan = 0.0
        self._next_glob = 0.0
        self.matches: dict[str, int] = {}
        """By the glob of a source: how many paths it matched last."""
        self._empty: set[str] = set()
        """Globs of which it was logged that they match nothing."""
        self._handler = _ChangeHandler()
        self._watched: set[str] = set()
        self._observer = Observer()
        self._observer.daemon = True

    def start(self) -> None:
        """Start watching."""
        self._observer.start()

    def stop(self) -> None:
        """Stop watching."""
        self._observer.stop()
        self._observer.join()

    def scan(self) -> Iterator[Source]:
        """Yield the logs that are new since the last call; costs nothing if nothing has changed."""
        now = time.monotonic()
        changed = self._handler.changed.is_set()
        if changed or self._waiting or now >= self._next_scan:
            self._handler.changed.clear()
            self._next_scan = now + SCAN_EVERY_SECONDS
            yield from self._new_launches()
        if self._settings.sources and (changed or now >= self._next_glob):
            yield from self._new_files()
            self._next_glob = now + max(GLOB_EVERY_SECONDS, (time.monotonic() - now) / _GLOB_COST_MAX)

    def forget(self, name: str) -> None:
        """Yield this file again if it is found again."""
        self._known.discard(path_of(name))

    def settings_of(self, path: str) -> SourceSettings | None:
        """Return the settings of the source that a path belongs to, whether there is a file or not."""
        return source_of(path, self._settings.sources)

    def _new_launches(self) -> Iterator[Source]:
        for directory in self._launches:
            try:
                self._scan_directory(directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._log_once(directory, f"cannot look for launches: {error}")
        now = time.monotonic()
        if self._unreadable and now >= self._next_retry:
            self._next_retry = now + RETRY_UNREADABLE_SECONDS
            self._waiting.update(path for path in self._unreadable if path not in self._launches)
        for path in sorted(self._waiting):
            launch = LaunchDir(path)
            try:
                record, owner = launch.read_with_owner()
                source = LaunchSource(launch, record, owner, self._settings.labels, self._settings.log_roots)
            except FileNotFoundError:
                if not path.is_dir():
                    self._waiting.discard(path)
                    self._unreadable.pop(path, None)
                continue
            except (OSError, RecordError) as error:
                self._log_once(path, str(error))
            except (KeyError, TypeError) as error:
                self._log_once(path, f"{launch.record_path} cannot be used: {type(error).__name__} {error}")
            else:
                self._known.add(path.name)
                self._unreadable.pop(path, None)
                yield source
            self._waiting.discard(path)

    def _scan_directory(self, directory: Path) -> None:
        """Add the new launches of a directory to `_waiting`. Raises OSError."""
        modified_ns = directory.stat().st_mtime_ns
        self._watch(directory, recursive=False)
        if self._scanned_mtimes.get(directory) == modified_ns:
            return
        settled = time.time_ns() - modified_ns > _CLOCK_TICK_NS
        with os.scandir(directory) as entries:
            found = {Path(entry) for entry in entries if entry.name not in self._known and entry.is_dir()}
        self._waiting.update(found - self._unreadable.keys())
        self._unreadable.pop(directory, None)
        if settled:
            self._scanned_mtimes[directory] = modified_ns

    def _log_once(self, path: Path, reason: str) -> None:
        """Log once why something cannot be followed; it is tried again every few seconds."""
        if self._unreadable.get(path) != reason:
            self._unreadable[path] = reason
            log.error("%s", reason)

    def _new_files(self) -> Iterator[Source]:
        for source in self._settings.sources:
            self._watch(_directory_of(source.glob), recursive="**" in source.glob)
            self.matches[source.glob] = 0
            for name in globs.find(source.glob):
                self.matches[source.glob] += 1
                if name in self._known or name.endswith(COMPRESSED) or self._is_followed(name):
                    continue
                self._known.add(name)
                labels = file_labels(name, source, self._settings, self._host)
                yield FileSource(Path(name), labels, self._open_files, source)
            if not self.matches[source.glob] and source.glob not in self._empty:
                log.warning("%s", globs.sentence(source.glob))
                self._empty.add(source.glob)

    def _is_followed(self, name: str) -> bool:
        """Return whether this is not a file, or one that was followed under another name before its rotation."""
        path = Path(name)
        try:
            if not path.is_file():
                return True
            reader = self._open_files.open_reader(path)
        except NotAFileError:
            return True
        except OSError:
            return False  # its source reports the error
        try:
            free = self._open_files.is_free(reader, name_of(name))
            return not free or any(self._open_files.has_copy(reader, name_of(base)) for base in self._originals(name))
        finally:
            reader.close()

    def _originals(self, name: str) -> list[str]:
        """Return the paths that are followed and that a file of this name may have been rotated from."""
        return [path for path in rotation.originals_of(name) if path in self._known]

    def _watch(self, directory: Path, *, recursive: bool) -> None:
        try:
            if str(directory) in self._watched or not directory.is_dir():
                return
            self._observer.schedule(self._handler, str(directory), recursive=recursive, event_filter=_EVENTS)
        except OSError as error:
            log.warning("cannot watch %s (%s); it is scanned every few seconds instead", directory, error)
        self._watched.add(str(directory))


def _directory_of(pattern: str) -> Path:
    """Return the directory above the first part of a glob that has a wildcard."""
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:fixed])
