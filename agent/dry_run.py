"""How the lines of a file would be parsed, labelled and redacted: `tracetail agent try`."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracetail.agent.parsing.header import Headers
from tracetail.agent.parsing.parser import LineParser
from tracetail.agent.parsing.times import EngineTimes
from tracetail.agent.pipeline import redact
from tracetail.agent.reading.discovery import labels_of, launch_of, source_of
from tracetail.agent.reading.reader import BLOCK_BYTES
from tracetail.agent.service import redactor_of, zone_of
from tracetail.agent.settings import AgentSettings
from tracetail.contract.labels import INSTANCE_ID, TRACE_ID, launch_labels
from tracetail.contract.logline import local_offset_seconds, render_stamp
from tracetail.loki.entries import decode_metadata


@dataclass(frozen=True, slots=True)
class Trial:
    """A file as the agent would take it."""

    labels: Mapping[str, str]
    """Of its stream, but for ids that its lines tell."""
    is_segment: bool
    """It is part of a launch's log."""
    plain: bool
    followed: bool
    """A glob of `agent.sources` matches it, or it is part of a launch's log."""

    @classmethod
    def of(cls, path: Path, settings: AgentSettings, state_dirs: Sequence[Path], host: str) -> "Trial":
        """Return what the settings, and the launches on this machine, say of a file."""
        if record := launch_of(str(path), state_dirs):
            return cls({**settings.labels, **launch_labels(record)}, is_segment=True, plain=False, followed=True)
        source = source_of(str(path), settings)
        labels = labels_of(str(path), source, settings, host)
        plain = source is not None and source.format == "plain"
        return cls(labels, is_segment=False, plain=plain, followed=source is not None)


def tried(
    data: bytes, trial: Trial, settings: AgentSettings, *, structured_metadata: bool = True
) -> Iterator[dict[str, Any]]:
    """Yield what each line of a file with this content would become.

    Raises BadSettingsError, InvalidPatternError.
    """
    now_ns = time.time_ns()
    redactor = redactor_of(settings)
    parser = LineParser(
        EngineTimes(now_ns, zone_of(settings.timezone)),
        Headers(structured_metadata=structured_metadata),
        ids_from_lines=not trial.is_segment,
        plain=trial.plain,
    )
    at = 0
    while at < len(data):
        end = data.rfind(b"\n", at, at + BLOCK_BYTES) + 1 or len(data)
        parsed = parser.parse(data[at:end], now_ns, behind=True, unfinished=not data.endswith(b"\n", at, end))
        for stream in parsed.streams.values():
            redact(stream, redactor)
        for stream, number in parsed.in_order():
            entries = stream.entries
            time_ns = entries.time_ns(number)
            ids = {}
            if stream.ids and not trial.is_segment:
                ids = {TRACE_ID: stream.ids.trace_id, INSTANCE_ID: stream.ids.instance_id}
            yield {
                "time": render_stamp(time_ns, local_offset_seconds(time_ns)).decode(),
                "labels": {**trial.labels, **ids},
                "metadata": decode_metadata(entries.metas[number]),
                "line": entries.texts[number].decode(),
            }
        at = end
