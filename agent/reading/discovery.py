"""Finds what there is to follow: launches by their records, other files by globs.

Directories are watched (inotify, by watchdog), so that a new launch is seen at once; a look every second makes up
for events that were missed and for file systems without events. Files themselves are not watched.
"""

import contextlib
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

from tracetail.agent.reading.file_source import FileSource, Inodes
from tracetail.agent.reading.reader import Follower
from tracetail.agent.reading.source import LaunchSource, Source
from tracetail.agent.settings import AgentSettings, SourceSettings
from tracetail.contract.labels import (
    HOST,
    INSTANCE_ID,
    LABEL_COUNT_MAX,
    LABEL_VALUE_MAX_BYTES,
    LAUNCH_LABELS,
    TRACE_ID,
)
from tracetail.contract.record import LaunchDir, Record, RecordError
from tracetail.contract.state import launches_dir

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 1.0
UNREADABLE_AGAIN_SECONDS = 5.0
_CLOCK_TICK_NS = 1_000_000_000
"""A directory that was changed within this time may be changed once more under the same time stamp."""
GLOB_EVERY_SECONDS = 5.0
FILENAME = "filename"
_FILE_LABELS = (HOST, FILENAME, TRACE_ID, INSTANCE_ID)
_LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip")
_WATCHED = [DirCreatedEvent, DirMovedEvent, FileCreatedEvent, FileMovedEvent]


class BadSettingsError(ValueError):
    """A setting cannot be used; the message names it."""


def check_labels(settings: AgentSettings) -> None:
    """Raise BadSettingsError if Loki would not take the labels of some stream."""
    _check("agent.labels", settings.labels, taken=len(LAUNCH_LABELS))
    for number, source in enumerate(settings.sources):
        key = f"agent.sources[{number}]"
        try:
            groups = re.compile(source.path_pattern).groupindex
        except re.error as error:
            raise BadSettingsError(f"{key}.path_pattern is not a regular expression: {error}") from error
        if not Path(source.glob).is_absolute():
            raise BadSettingsError(f"{key}.glob is {source.glob!r}; expected an absolute path")
        _check(f"{key}.labels", settings.labels | source.labels | dict.fromkeys(groups, ""), taken=len(_FILE_LABELS))


def _check(key: str, labels: Mapping[str, str], taken: int) -> None:
    for name, value in labels.items():
        if not _LABEL_NAME.fullmatch(name):
            raise BadSettingsError(f"{key}: {name!r} cannot be a label; use letters, digits and _")
        if len(value.encode()) > LABEL_VALUE_MAX_BYTES:
            raise BadSettingsError(f"{key}.{name} is longer than {LABEL_VALUE_MAX_BYTES} bytes")
    if len(labels) + taken > LABEL_COUNT_MAX:
        raise BadSettingsError(
            f"{key}: Loki takes {LABEL_COUNT_MAX} labels, {taken} of them are tracetail's, these are {len(labels)}"
        )


def source_of(path: str, settings: AgentSettings) -> SourceSettings | None:
    """Return the first source whose glob matches a file; None if it would not be followed."""
    for source in settings.sources:
        if path in glob.iglob(source.glob, recursive=True):  # noqa: PTH207  (an absolute pattern)
            return source
    return None


def labels_of(path: str, source: SourceSettings | None, settings: AgentSettings, host: str) -> dict[str, str]:
    """Return the labels that a file of a source would have."""
    if source is not None:
        return _source_labels(path, source, settings, host)
    return {HOST: host, **settings.labels, FILENAME: path}


def launch_of(path: str, state_dirs: Sequence[Path]) -> Record | None:
    """Return the record of the launch of which a file is a segment; None if it is none."""
    for directory in map(launches_dir, state_dirs):
        for found in directory.glob("*/record.json"):
            with contextlib.suppress(OSError, RecordError):
                record = LaunchDir(found.parent).read()
                if path in record.get("segments", ()):
                    return record
    return None


def _source_labels(path: str, source: SourceSettings, settings: AgentSettings, host: str) -> dict[str, str]:
    match = re.search(source.path_pattern, path) if source.path_pattern else None
    from_path = {name: value for name, value in match.groupdict().items() if value} if match else {}
    return {HOST: host, **settings.labels, **source.labels, **from_path, FILENAME: path}


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
        settings: AgentSettings,
        host: str,
        completed: set[str],
        inodes: Inodes,
    ) -> None:
        """host: this machine's name. completed: launches that need not be followed any more.

        inodes: which files are followed already, under whatever name.

        Raises BadSettingsError.
        """
        check_labels(settings)
        self._launches = [launches_dir(path) for path in state_dirs]
        self._settings = settings
        self._host = host
        self._inodes = inodes
        self._known = set(completed)
        self._waiting: set[Path] = set()
        self._unreadable: dict[Path, str] = {}
        """Launches whose record cannot be used, with the reason that was told."""
        self._next_try = 0.0
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
        if self._settings.sources and (happened or now >= self._next_glob):
            yield from self._new_files()
            # A large tree is not looked through more often than costs a hundredth of a core.
            self._next_glob = now + max(GLOB_EVERY_SECONDS, 100 * (time.monotonic() - now))

    def forget(self, name: str) -> None:
        """Yield this file again when it is found again."""
        self._known.discard(name)

    def _new_launches(self) -> Iterator[Source]:
        for directory in self._launches:
            try:
                self._look_into(directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._say(directory, f"cannot look for launches: {error}")
        now = time.monotonic()
        if self._unreadable and now >= self._next_try:
            self._next_try = now + UNREADABLE_AGAIN_SECONDS
            self._waiting.update(path for path in self._unreadable if path not in self._launches)
        for path in sorted(self._waiting):
            launch = LaunchDir(path)
            try:
                source = LaunchSource(launch, launch.read(), self._settings.labels)
            except FileNotFoundError:
                if not path.is_dir():
                    self._waiting.discard(path)
                    self._unreadable.pop(path, None)
                continue
            except (OSError, RecordError) as error:
                self._say(path, str(error))
            except (KeyError, TypeError) as error:
                self._say(path, f"{launch.record_path} cannot be used: {type(error).__name__} {error}")
            else:
                self._known.add(path.name)
                self._unreadable.pop(path, None)
                yield source
            self._waiting.discard(path)

    def _look_into(self, directory: Path) -> None:
        """Note the launches that are new in a directory. Raises OSError."""
        mark = directory.stat().st_mtime_ns
        self._watch(directory, recursive=False)
        if self._marks.get(directory) == mark:
            return
        settled = time.time_ns() - mark > _CLOCK_TICK_NS
        with os.scandir(directory) as entries:
            found = {Path(entry) for entry in entries if entry.name not in self._known and entry.is_dir()}
        self._waiting.update(found - self._unreadable.keys())
        self._unreadable.pop(directory, None)
        if settled:
            self._marks[directory] = mark

    def _say(self, path: Path, reason: str) -> None:
        """Log why something cannot be followed, once; it is tried again now and then."""
        if self._unreadable.get(path) != reason:
            self._unreadable[path] = reason
            log.error("%s", reason)

    def _new_files(self) -> Iterator[Source]:
        for source in self._settings.sources:
            self._watch(_base_of(source.glob), recursive="**" in source.glob)
            for name in glob.iglob(source.glob, recursive=True):  # noqa: PTH207  (an absolute pattern)
                if name in self._known or name.endswith(COMPRESSED) or self._is_followed(name):
                    continue
                self._known.add(name)
                labels = _source_labels(name, source, self._settings, self._host)
                yield FileSource(Path(name), labels, self._inodes, plain=source.format == "plain")

    def _is_followed(self, name: str) -> bool:
        """Say whether this is no file, or one that was followed under another name before it was rotated."""
        path = Path(name)
        if not path.is_file():
            return True
        try:
            follower = Follower(path)
        except OSError:
            return False  # its source says what is wrong
        try:
            return not self._inodes.is_free(follower, name)
        finally:
            follower.close()

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
