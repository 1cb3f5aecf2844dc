"""How the lines of a file would be parsed, labelled and redacted: `tracetail agent try`."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent import encoding
from agent.agent import redactor_of, zone_of
from agent.discovery import labels_of
from agent.follower import BLOCK_BYTES
from agent.parsing import LineParser
from agent.pipeline import redact
from agent.settings import AgentSettings
from agent.times import EngineTimes
from contract.labels import INSTANCE_ID, TRACE_ID
from contract.logline import local_offset_seconds, render_stamp


def tried(data: bytes, path: Path, settings: AgentSettings, host: str) -> Iterator[dict[str, Any]]:
    """Yield what each line of a file with this content would become. Raises BadSettingsError."""
    now_ns = time.time_ns()
    redactor = redactor_of(settings)
    parser = LineParser(EngineTimes(now_ns, zone_of(settings.timezone)), ids_from_lines=True)
    labels = labels_of(str(path), settings, host)
    at = 0
    while at < len(data):
        end = data.rfind(b"\n", at, at + BLOCK_BYTES) + 1 or len(data)
        parsed = parser.parse(data[at:end], now_ns, behind=True, unfinished=not data.endswith(b"\n", at, end))
        for stream in parsed.streams.values():
            redact(stream, redactor)
        for stream, number in parsed.in_order():
            entries = stream.entries
            time_ns = entries.time_ns(number)
            ids = {TRACE_ID: stream.ids.trace_id, INSTANCE_ID: stream.ids.instance_id} if stream.ids else {}
            yield {
                "time": render_stamp(time_ns, local_offset_seconds(time_ns)).decode(),
                "labels": labels | ids,
                "metadata": encoding.decode_metadata(entries.metas[number]),
                "line": entries.texts[number].decode(),
            }
        at = end
