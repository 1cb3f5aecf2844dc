"""The versions that an engine names at the beginning of a launch's log."""

from collections.abc import Mapping
from typing import Any

from tracetail.contract import labels as names
from tracetail.loki import logql
from tracetail.panel.trace.comparison import VERSION_LINE, versions_in
from tracetail.panel.trace.entry import Key
from tracetail.panel.trace.reader import Reader

_LINES = 20
_WITHIN_NS = 1800 * 1_000_000_000
"""How long after its start an engine may name its versions."""


class EngineVersions:
    """Reads versions from Loki."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def of(self, launch: Mapping[str, Any]) -> dict[str, str]:
        """Return the versions that a launch's log names, by program. Raises LokiError."""
        started_ns = int(launch.get("startedAt", 0))
        if not started_ns:
            return {}
        labels = {names.TRACE_ID: launch["traceId"], names.LAUNCH_ID: launch["launchId"]}
        query = logql.log_query(logql.selector(labels), matches=VERSION_LINE)
        page = await self._reader.forward(query, Key(started_ns), Key(started_ns + _WITHIN_NS), limit=_LINES)
        lines = [entry.text for entry in page.entries if entry.stream.fields.get(names.METADATA_KIND) != "event"]
        return versions_in(lines)
