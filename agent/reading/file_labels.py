"""Which labels a file gets: those of its launch, or those of the `[[agent.sources]]` that matches it."""

import contextlib
import functools
import glob
import re
from collections.abc import Sequence
from pathlib import Path

from tracetail.agent.checked_settings import FILENAME
from tracetail.agent.reading.container_labels import container_labels
from tracetail.agent.reading.file_names import shown
from tracetail.agent.reading.pod_labels import pod_labels
from tracetail.agent.settings import AgentSettings, SourceSettings
from tracetail.contract.labels import HOST
from tracetail.contract.record import LaunchDir, Record, RecordError
from tracetail.contract.state import launches_dir


def find_source(path: str, settings: AgentSettings) -> SourceSettings | None:
    """Return the first source whose glob matches a file; None if it would not be followed."""
    for source in settings.sources:
        if path in glob.iglob(source.glob, recursive=True):  # noqa: PTH207  (an absolute pattern)
            return source
    return None


def source_of(path: str, sources: Sequence[SourceSettings]) -> SourceSettings | None:
    """Return the first source whose glob would match a path, whether there is a file or not."""
    return next((source for source in sources if _glob_pattern(source.glob).fullmatch(path)), None)


@functools.cache
def _glob_pattern(pattern: str) -> re.Pattern[str]:
    """Return what a glob matches, as glob.glob(recursive=True) reads it, but for hidden files."""
    found = ""
    for part in re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^]]*\]|.", pattern, re.DOTALL):
        if part == "**/":
            found += "(?:.*/)?"
        elif part == "**":
            found += ".*"
        elif part == "*":
            found += "[^/]*"
        elif part == "?":
            found += "[^/]"
        elif len(part) > 1:
            found += "[" + part[1:-1].replace("\\", "\\\\").replace("!", "^", part[1] == "!") + "]"
        else:
            found += re.escape(part)
    return re.compile(found, re.DOTALL)


def file_labels(path: str, source: SourceSettings | None, settings: AgentSettings, host: str) -> dict[str, str]:
    """Return the labels of a file that `source` matches, or that no source matches."""
    labels = {HOST: host, **settings.labels}
    if source is not None:
        match = re.search(source.path_pattern, shown(path)) if source.path_pattern else None
        from_path = {name: value for name, value in match.groupdict().items() if value} if match else {}
        of_container = container_labels(path) if source.format == "auto" else {}
        of_pod = pod_labels(path, source.labels_file, source.labels_from)
        labels |= of_container | source.labels | from_path | of_pod
    return labels | {FILENAME: shown(path)}


def find_launch(path: str, state_dirs: Sequence[Path]) -> Record | None:
    """Return the record of the launch that a file is a segment of; None if it is not a segment."""
    for directory in map(launches_dir, state_dirs):
        for found in directory.glob("*/record.json"):
            with contextlib.suppress(OSError, RecordError):
                record = LaunchDir(found.parent).read()
                if path in record.get("segments", ()):
                    return record
    return None
