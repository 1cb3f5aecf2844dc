"""Finds launches and traces in Loki: by traceId, launchId or instanceId, or the recent ones."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tracetail.contract import labels as names
from tracetail.contract import record
from tracetail.contract.identity import is_launch_id
from tracetail.loki import logql
from tracetail.panel.settings import PanelSettings
from tracetail.panel.trace import launches
from tracetail.panel.trace.entry import FIRST_KEY, Entry, Key, source_of
from tracetail.panel.trace.loki import LokiClient
from tracetail.panel.trace.reader import FUTURE_SECONDS, Reader

_DAY_NS = 86_400 * 1_000_000_000
_HOUR_NS = 3600 * 1_000_000_000
_EVENTS_PAGE = 1000
_EVENTS_MAX = 20_000
_STATE_EVENT = r"^(?:" + "|".join(launches.STATE_EVENTS) + r")(?: |$)"
_LAUNCH_TIME = re.compile(r"([0-9]{8}T[0-9]{6})-")


class Traces:
    """What Loki knows of traces and their launches."""

    def __init__(self, loki: LokiClient, reader: Reader, settings: PanelSettings) -> None:
        self._loki = loki
        self._reader = reader
        self._lookback_ns = int(settings.lookback_days * _DAY_NS)
        self._recent_ns = int(settings.recent_hours * _HOUR_NS)

    def range(self) -> tuple[int, int]:
        """Return the time range, in nanoseconds, in which a trace is looked for."""
        now = time.time_ns()
        return now - self._lookback_ns, now + FUTURE_SECONDS * 1_000_000_000

    def launches_of(self, series: list[dict[str, str]]) -> dict[str, dict[str, Any]]:
        """Return the launches of these streams by launchId, with what their labels tell and no event yet."""
        return launches.launches_from_series(
            series, record.STARTING if self._loki.keeps_metadata else launches.UNKNOWN
        )

    async def streams(self, trace_id: str) -> list[dict[str, str]]:
        """Return the labels of every stream of a trace."""
        return await self._loki.series(logql.selector({names.TRACE_ID: trace_id}), *self.range())

    async def trace_ids(self, label: str, value: str) -> set[str]:
        """Return the traces of the streams with this label: how a launchId or instanceId becomes a traceId."""
        found = await self._loki.series(logql.selector({label: value}), *self.range())
        return {labels[names.TRACE_ID] for labels in found if labels.get(names.TRACE_ID)}

    async def start_ns(self, trace_id: str) -> int:
        """Return a time before the trace's first line."""
        return earliest(await self.streams(trace_id), self.range()[0])

    async def launches(self, trace_id: str, launch_id: str | None = None) -> list[dict[str, Any]]:
        """Return the launches of a trace, with all that their events tell, the oldest first."""
        series = await self.streams(trace_id)
        known = self.launches_of(series)
        if launch_id is not None:
            known = {key: value for key, value in known.items() if key == launch_id}
        if not known:
            return []
        query = logql.trace_query(trace_id, launch_id=launch_id, metadata=launches.EVENT_METADATA)
        position = Key(earliest(series, self.range()[0]))
        for _ in range(_EVENTS_MAX // _EVENTS_PAGE):
            page = await self._reader.forward(query, position, limit=_EVENTS_PAGE)
            launches.fold(known, page.entries)
            if not page.more:
                break
            position = page.entries[-1].key.next
        return launches.in_order(known)

    async def recent(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest launches of all traces, the newest first, with their states."""
        now = time.time_ns()
        start, end = now - self._recent_ns, now + FUTURE_SECONDS * 1_000_000_000
        series = await self._loki.series(logql.selector_of_all(names.LAUNCH_ID), start, end)
        known = self.launches_of(series)
        newest = sorted(known, reverse=True)[:limit]
        if not newest:
            return []
        query = logql.filtered(
            logql.selector_of_any(names.LAUNCH_ID, newest), matches=_STATE_EVENT, metadata=launches.EVENT_METADATA
        )
        chosen = {launch_id: known[launch_id] for launch_id in newest}
        position = Key(earliest(list(chosen.values()), start))
        for _ in range(_EVENTS_MAX // _EVENTS_PAGE):
            page = await self._reader.forward(query, position, limit=_EVENTS_PAGE)
            launches.fold(chosen, page.entries)
            if not page.more:
                break
            position = page.entries[-1].key.next
        return [chosen[launch_id] for launch_id in newest]


def earliest(series: list[dict[str, str]], otherwise: int) -> int:
    """Return a time before the first line of these streams, from the launchIds' own times; else `otherwise`.

    A launchId shows its machine's local time, so the bound is a day earlier.
    """
    times = []
    for labels in series:
        match = _LAUNCH_TIME.match(labels.get(names.LAUNCH_ID, ""))
        if not match or not is_launch_id(labels[names.LAUNCH_ID]):
            return otherwise
        try:
            shown = datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return otherwise
        times.append(int(shown.timestamp()) * 1_000_000_000 - _DAY_NS)
    return max(otherwise, min(times, default=otherwise))


def sources(series: list[dict[str, str]]) -> dict[str, Mapping[str, str]]:
    """Return the labels that select each log of a trace (see entry.Stream.source), and nothing but it."""
    every_name = {name for labels in series for name in labels}
    found: dict[str, Mapping[str, str]] = {}
    for labels in series:
        if labels.get(names.LAUNCH_ID):
            wanted = {names.TRACE_ID: labels[names.TRACE_ID], names.LAUNCH_ID: labels[names.LAUNCH_ID]}
        else:
            wanted = dict.fromkeys(every_name, "") | labels
        found[source_of(labels)] = wanted
    return found


def positions(series: list[dict[str, str]], page: list[Entry]) -> dict[str, Key]:
    """Return where a viewer stands in each log of the trace that holds the page, its newest lines.

    A log without a line in the page was read up to the page's beginning: older lines are reached by paging back.
    """
    first = Key(page[0].key.time_ns - 1, "z") if page else FIRST_KEY
    found = dict.fromkeys(sources(series), first)
    owners: dict[int, str] = {}
    for entry in page:
        stream = id(entry.stream)
        if stream not in owners:
            owners[stream] = next(
                (source_of(labels) for labels in series if labels.items() <= entry.stream.fields.items()),
                entry.stream.source,
            )
        found[owners[stream]] = entry.key
    return found
