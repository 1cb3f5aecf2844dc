"""How the agent would ship the lines of a file: `tracetail agent try`."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracetail.agent import encodings
from tracetail.agent.checked_settings import redactor_of, zone_of
from tracetail.agent.journal.database import JournalError, connect
from tracetail.agent.journal.queries import first_seen_ns
from tracetail.agent.parsing.header_cache import HeaderCache
from tracetail.agent.parsing.parser import LineParser
from tracetail.agent.parsing.prepare import Prepared, Preparer
from tracetail.agent.parsing.times import EngineTimes
from tracetail.agent.reading.file_labels import file_labels, find_launch, find_source
from tracetail.agent.reading.reader import BLOCK_BYTES, block_of
from tracetail.agent.settings import AgentSettings
from tracetail.contract.labels import INSTANCE_ID, LAUNCH_ID, TRACE_ID, launch_labels
from tracetail.contract.logline import local_offset_seconds, render_stamp
from tracetail.loki.entries import decode_metadata


@dataclass(frozen=True, slots=True)
class FilePlan:
    """How the agent would follow a file."""

    labels: Mapping[str, str]
    """Of its stream, without ids from its lines."""
    is_segment: bool
    """It belongs to a launch's log."""
    plain: bool
    ids_from_lines: bool
    followed: bool
    """It is a segment, or a glob of `agent.sources` matches it."""
    first_seen_ns: int | None
    """When the agent first saw its log; None if it has not."""
    encoding: str = ""
    """As in its source; empty for UTF-8."""

    @classmethod
    def of(
        cls, path: Path, settings: AgentSettings, state_dirs: Sequence[Path], host: str, journal: Path
    ) -> "FilePlan":
        """Return the plan for a file, by the settings, the launches on this machine and the agent's journal."""
        if record := find_launch(str(path), state_dirs):
            labels = {**settings.labels, **launch_labels(record)}
            seen = _first_seen_ns(journal, labels[LAUNCH_ID])
            return cls(
                labels,
                is_segment=True,
                plain=False,
                ids_from_lines=False,
                encoding="",
                followed=True,
                first_seen_ns=seen,
            )
        source = find_source(str(path), settings)
        return cls(
            file_labels(str(path), source, settings, host),
            is_segment=False,
            plain=source is not None and source.format == "plain",
            ids_from_lines=source is not None and source.ids_from == "prefix",
            encoding=source.encoding if source else "",
            followed=source is not None,
            first_seen_ns=_first_seen_ns(journal, str(path)),
        )


def _first_seen_ns(journal: Path, key: str) -> int | None:
    with contextlib.suppress(JournalError):
        connection = connect(journal, readonly=True)
        try:
            return first_seen_ns(connection, key)
        finally:
            connection.close()
    return None


class DryRun:
    """Yields the entries that the agent would ship of one file, which is given piece by piece."""

    def __init__(
        self,
        plan: FilePlan,
        settings: AgentSettings,
        *,
        structured_metadata: bool = True,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Raise BadSettingsError or InvalidPatternError for settings that cannot be used."""
        self._plan = plan
        self._preparer = Preparer(redactor_of(settings), structured_metadata, clock_ns)
        self._parser = LineParser(
            EngineTimes(plan.first_seen_ns or clock_ns(), zone_of(settings.timezone)),
            HeaderCache(structured_metadata=structured_metadata),
            by_keeper=plan.is_segment,
            ids_from_lines=plan.ids_from_lines,
            plain=plan.plain,
        )
        self._codec: encodings.Codec | None = None
        self._position = 0

    def entries(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Yield the entries of the next bytes of the file: time, labels, metadata, line.

        data: whole lines; the last bytes of the file may be a line that is not finished.
        """
        if self._codec is None:
            self._codec = encodings.detect(data[: encodings.MARK_MAX_BYTES], self._plan.encoding)
        at = 0
        while at < len(data):
            block = block_of(data[at : at + BLOCK_BYTES], self._position + at, self._codec, flush=True)
            if block is None:
                break  # NULs, or a part of a character
            at = block.end - self._position
            # The agent ships an unfinished last line after it has read the others: it gets the time of reading.
            behind = not (block.unfinished and at == len(data))
            for prepared in self._preparer.prepare(self._parser, block, behind=behind):
                yield from self._of(prepared)
        self._position += at

    def _of(self, prepared: Prepared) -> Iterator[dict[str, Any]]:
        entries = [
            (stream.entries.time_ns(index), stream, index)
            for stream in prepared.streams
            for index in range(len(stream.entries))
        ]
        for time_ns, stream, index in sorted(entries, key=lambda entry: entry[0]):
            ids = {}
            if stream.ids and not self._plan.is_segment:
                ids = {TRACE_ID: stream.ids.trace_id, INSTANCE_ID: stream.ids.instance_id}
            yield {
                "time": render_stamp(time_ns, local_offset_seconds(time_ns)).decode(),
                "labels": {**self._plan.labels, **ids},
                "metadata": decode_metadata(stream.entries.meta(index)),
                "line": stream.entries.text(index).decode(),
            }


def dry_run(
    data: bytes,
    plan: FilePlan,
    settings: AgentSettings,
    *,
    structured_metadata: bool = True,
    clock_ns: Callable[[], int] = time.time_ns,
) -> Iterator[dict[str, Any]]:
    """Yield each entry that the agent would ship of a file with this content: time, labels, metadata, line.

    Raises BadSettingsError, InvalidPatternError.
    """
    run = DryRun(plan, settings, structured_metadata=structured_metadata, clock_ns=clock_ns)
    yield from run.entries(data)
