"""Finds the logs to follow: launches by their records, other files by globs.

Directories are watched (inotify), every one in which something may appear that a glob matches, so that a new launch
or file is found at once, before it is rotated away; scans every few seconds cover events that were missed, file
systems without events, and directories that are too many to be watched. Changes of followed files are noticed by
agent.poll_schedule.
"""

import asyncio
import contextlib
import errno
import itertools
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tracetail.agent.checked_settings import check_labels
from tracetail.agent.reading import globs, rotation
from tracetail.agent.reading.directory_watches import WATCHES_MAX, DirectoryWatches
from tracetail.agent.reading.file_labels import file_labels, source_of
from tracetail.agent.reading.file_names import name_of, path_of
from tracetail.agent.reading.file_source import FileSource
from tracetail.agent.reading.launch_source import LaunchSource
from tracetail.agent.reading.open_files import OpenFiles
from tracetail.agent.reading.reader import FileReader
from tracetail.agent.reading.source import Source
from tracetail.agent.reading.unpacked import COMPRESSED, unpacked_name
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
GLOB_AGAIN_SECONDS = 0.1
"""Where not all directories can be watched, globs are looked at again at once after an event, after this time, after
twice as long, and so on: a directory that was created gets its files a moment later."""
_GLOB_COST_MAX = 0.01
"""Share of a core that globs of large trees may use."""


_NOT_SEEN = (errno.ENOENT, errno.ENOTDIR, errno.EACCES)
"""A directory that was deleted since it was found, or that nobody here can list either, is not missed."""


class Discovery:
    """Yields each log once, when it appears."""

    def __init__(
        self,
        state_dirs: Sequence[Path],
        settings: AgentSettings,
        host: str,
        completed: set[str],
        open_files: OpenFiles,
        listed_ns: int = 0,
    ) -> None:
        """Check the settings of sources; start() begins to watch.

        Args:
            state_dirs: state directories whose launches are followed.
            settings: sources and labels.
            host: this machine's name.
            completed: ids of launches that need not be followed any more.
            open_files: which files are followed already, under any name.
            listed_ns: when an earlier agent looked for files last, or since when the first one does, in nanoseconds
                since the epoch; 0 if what was rotated before the first look is history.

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
        self._glob_pause = GLOB_EVERY_SECONDS
        self._earlier_ns = listed_ns
        self._listed_ns: dict[str, int] = {}
        """By the glob of a source: when it was listed last."""
        self.matches: dict[str, int] = {}
        """By the glob of a source: how many paths it matched when they were listed, and have appeared since."""
        self._empty: set[str] = set()
        """Globs of which it was logged that they match nothing."""
        self._watches = DirectoryWatches()
        self._all_watched = False
        """Every directory in which a file may appear is watched."""
        self._said: set[int | None] = set()
        """Errors because of which directories are not watched, and that were logged."""
        self._appeared: dict[str, bool] = {}
        self._dangling: dict[str, str] = {}
        """By the path that a link leads to, and where nothing is yet: the link, which a glob matches."""
        self._wake: asyncio.Future[bool] | None = None
        self._woken = False
        self.touched: dict[str, bool] = {}
        """By the key of a source at whose path something has appeared: whether it was created there, not moved.
        Whoever polls the sources empties it."""

    def start(self) -> None:
        """Start watching."""
        try:
            self._watches.open()
        except OSError as error:
            self._warn("directories", error)
            return
        with contextlib.suppress(RuntimeError):  # without a loop, scan() looks for events
            asyncio.get_running_loop().add_reader(self._watches.fileno(), self._take_events)

    def stop(self) -> None:
        """Stop watching."""
        if self._watches.fileno() >= 0:
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(self._watches.fileno())
        self._watches.close()

    async def wait(self, seconds: float) -> bool:
        """Wait until something has appeared that scan() has to look at, and return True; False after some seconds."""
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = loop.call_later(seconds, self._end_wait, False)
        try:
            if self._appeared or self._woken:
                self._end_wait(True)
            return await self._wake
        finally:
            timer.cancel()
            self._wake = None
            self._woken = False

    def wake(self) -> None:
        """Let wait() return True, now or when it is called."""
        self._woken = True
        self._end_wait(True)

    def _end_wait(self, appeared: bool) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(appeared)

    def _take_events(self) -> None:
        """Note what has appeared, if it concerns a launch or a glob."""
        appeared = {path: created for path, created in self._watches.read().items() if self._concerns(path)}
        self._appeared |= appeared
        if appeared or self._watches.missed:
            self._end_wait(True)

    def _concerns(self, path: str) -> bool:
        return (
            Path(path).parent in self._launches
            or path in self._dangling
            or any(
                globs.matches(source.glob, path) or globs.leads_on(source.glob, path)
                for source in self._settings.sources
            )
        )

    def scan(self) -> Iterator[Source]:
        """Yield the logs that are new since the last call; costs nothing if nothing has changed."""
        now = time.monotonic()
        self._take_events()
        appeared, self._appeared = self._appeared, {}
        missed, self._watches.missed = self._watches.missed, False
        if appeared or self._waiting or now >= self._next_scan:
            self._next_scan = now + SCAN_EVERY_SECONDS
            yield from self._new_launches()
        if not self._settings.sources:
            return
        if appeared and self._all_watched:
            yield from self._new_files_of(appeared)
        again = missed or (appeared and not self._all_watched)
        if again or now >= self._next_glob:
            yield from self._new_files()
            self._glob_pause = GLOB_AGAIN_SECONDS if again else min(2 * self._glob_pause, GLOB_EVERY_SECONDS)
            self._next_glob = now + max(self._glob_pause, (time.monotonic() - now) / _GLOB_COST_MAX)

    @property
    def listed_ns(self) -> int:
        """When what all globs match was listed last, in nanoseconds since the epoch; 0 before. Each was yielded."""
        return min((self._listed_ns.get(source.glob, 0) for source in self._settings.sources), default=0)

    def forget(self, name: str) -> None:
        """Yield this file again if it is found again."""
        self._known.discard(path_of(name))
        self._open_files.paths.discard(name)

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
        self._watch([str(directory)])
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
        """Yield the sources of all files that the globs match and that are not followed."""
        unfinished = {path for path, row in self._open_files.owners.values() if not row.done}
        listed: list[tuple[SourceSettings, Iterable[str], int]] = []
        left: list[tuple[SourceSettings, Iterable[str], int]] = []
        for source, directories in zip(self._settings.sources, self._watch_globs(), strict=True):
            listed_ns = self._listed_ns.get(source.glob, self._earlier_ns)
            self._listed_ns[source.glob] = time.time_ns()
            names = list(globs.find(source.glob))
            self.matches[source.glob] = len(names)
            # Before a name that one of these files was renamed or copied to is looked at, whatever their order.
            self._open_files.paths.update(unfinished.intersection(map(name_of, names)))
            listed.append((source, names, listed_ns))
            left.append((source, self._left(source.glob, directories, listed_ns), listed_ns))
            if not names and source.glob not in self._empty:
                log.warning("%s", globs.sentence(source.glob))
                self._empty.add(source.glob)
        for source, paths, listed_ns in [*listed, *left]:
            yield from self._sources_of(paths, source, listed_ns)

    def _new_files_of(self, appeared: Mapping[str, bool]) -> Iterator[Source]:
        """Yield the sources of files that have appeared, or are in directories that have."""
        paths = [*appeared, *(self._dangling[path] for path in appeared if path in self._dangling)]
        for source in self._settings.sources:
            names: dict[str, None] = {}
            for path in paths:
                if globs.matches(source.glob, path):
                    names[path] = None
                if globs.leads_on(source.glob, path) and os.path.isdir(path):  # noqa: PTH112  (text)
                    names |= dict.fromkeys(self._files_below(path, source.glob))
            self.touched |= {name_of(name): appeared.get(name, True) for name in names if name in self._known}
            for found in self._sources_of(names, source, self._listed_ns.get(source.glob, 0), hold=True):
                self.matches[source.glob] = self.matches.get(source.glob, 0) + 1
                yield found

    def _files_below(self, directory: str, pattern: str) -> Iterator[str]:
        """Watch a directory that has appeared, and those below it; yield the paths in them that a glob matches."""
        for below in globs.directories_below(pattern, directory):
            self._watch([below])
            with contextlib.suppress(OSError), os.scandir(below) as entries:
                yield from [entry.path for entry in entries if globs.matches(pattern, entry.path)]

    def _sources_of(
        self, names: Iterable[str], source: SourceSettings, listed_ns: int, *, hold: bool = False
    ) -> Iterator[Source]:
        """Yield the sources of paths that are not followed yet. hold: open them at once, they may be gone soon."""
        for name in names:
            if name in self._known or name.endswith(COMPRESSED):
                continue
            labels = file_labels(name, source, self._settings, self._host)
            found = FileSource(Path(name), labels, self._open_files, source, listed_ns=listed_ns)
            if hold and os.path.isfile(name):  # noqa: PTH113  (text)
                # Before anything else is asked about it: a runtime may have packed or removed it by then.
                found.hold_what_is_there(created=False)
            if self._is_followed(name, found.held, listed_ns):
                found.close()
                self._await_target(name)
                continue
            self._known.add(name)
            self._open_files.paths.add(name_of(name))
            yield found

    def _left(self, pattern: str, directories: Iterable[str], since_ns: int) -> Iterator[str]:
        """Yield the paths that a glob would match, where nothing is, but a file was rotated away since then.

        A file may be created, written, and compressed or renamed, while nobody looks. Where there is a log of which
        it may be a rotation, the source of that one looks for it.
        """
        for directory in directories:
            with contextlib.suppress(OSError):
                if os.stat(directory).st_mtime_ns + _CLOCK_TICK_NS < since_ns:  # noqa: PTH116  (text)
                    continue
                for name in os.listdir(directory):  # noqa: PTH208
                    rotated = os.path.join(directory, name)  # noqa: PTH118
                    path = next((path for path in rotation.left_from(rotated) if globs.matches(pattern, path)), None)
                    if path is None or os.path.lexists(path) or not rotation.is_changed(rotated, since_ns):
                        continue
                    unpacked = unpacked_name(rotated)
                    if not self._originals(unpacked) and not any(
                        map(os.path.lexists, rotation.originals_of(unpacked))
                    ):
                        yield path

    def _await_target(self, name: str) -> None:
        """Watch the directory that the target of a dangling link will be in."""
        if os.path.islink(name) and not os.path.exists(name):  # noqa: PTH110, PTH114  (text)
            target = os.path.realpath(name)
            self._dangling[target] = name
            self._watch([os.path.dirname(target)])  # noqa: PTH120
            if os.path.exists(target):  # noqa: PTH110
                self._appeared[target] = True

    def _is_followed(self, name: str, held: FileReader | None, listed_ns: int) -> bool:
        """Return whether this is not a file, or one that was followed under another name before its rotation.

        held: the file, if it is open already. listed_ns: one that was rotated away, or compressed, since then counts.
        """
        path = Path(name)
        try:
            if held is None and not path.is_file():
                return bool(self._originals(name)) or not rotation.was_left(path, listed_ns)
            reader = held or self._open_files.open_reader(path)
        except NotAFileError:
            return True
        except OSError:
            return False  # its source reports the error
        try:
            originals = self._originals(name)
            if originals and not reader.size:
                return True  # a copy may have been begun; it is looked at again
            free = self._open_files.is_free(reader, name_of(name))
            return not free or any(self._open_files.has_copy(reader, name_of(base)) for base in originals)
        finally:
            if held is None:
                reader.close()

    def _originals(self, name: str) -> list[str]:
        """Return the paths that are followed and that a file of this name may have been rotated from."""
        return [path for path in rotation.originals_of(name) if name_of(path) in self._open_files.paths]

    def _watch_globs(self) -> list[list[str]]:
        """Watch the directories in which something may appear, and no others; return those of each source."""
        self._dangling = {path: name for path, name in self._dangling.items() if os.path.islink(name)}  # noqa: PTH114
        wanted = {str(directory) for directory in self._launches} | set(map(os.path.dirname, self._dangling))
        self._all_watched = True
        found = []
        for source in self._settings.sources:
            directories = list(itertools.islice(globs.directories(source.glob), WATCHES_MAX + 1))
            wanted.update(directories)
            self._watch(directories)
            found.append(directories)
        self._watches.keep(wanted)
        return found

    def _watch(self, directories: Iterable[str]) -> None:
        """Watch directories; if there are too many, say so once: the rest is scanned every few seconds."""
        if self._watches.fileno() < 0:
            self._all_watched = False
            return
        for directory in directories:
            try:
                self._watches.add(directory)
            except OSError as error:
                if error.errno in _NOT_SEEN:
                    continue
                self._all_watched = False
                self._warn(directory, error)
                if error.errno == errno.ENOSPC:
                    return

    def _warn(self, what: str, error: OSError) -> None:
        """Log once for each kind of error that directories are not watched."""
        if error.errno not in self._said:
            self._said.add(error.errno)
            log.warning(
                "cannot watch %s (%s); what is not watched is scanned every few seconds", what, error.strerror
            )
