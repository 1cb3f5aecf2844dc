"""Finds traces and launches in Loki: by traceId, launchId or instanceId, or the most recent ones."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tracetail.contract import events, record
from tracetail.contract import labels as names
from tracetail.contract.identity import is_launch_id
from tracetail.loki import logql
from tracetail.loki.client import LokiClient
from tracetail.loki.limits import CREATION_GRACE_SECONDS
from tracetail.panel.settings import PanelSettings
from tracetail.panel.trace import launches
from tracetail.panel.trace.contact import Contact
from tracetail.panel.trace.entry import FIRST_KEY, Entry, Key, source_of
from tracetail.panel.trace.launch_filter import LABEL_FIELDS, LaunchFilter
from tracetail.panel.trace.reader import Reader, one_entry

_DAY_NS = 86_400 * 1_000_000_000
_HOUR_NS = 3600 * 1_000_000_000
_EVENTS_PAGE = 1000
_EVENTS_MAX = 20_000
_LAUNCHES_AT_A_TIME = 100
"""How many launches one query reads the events of: their ids are in the query."""
_STATE_EVENT = r"^(?:" + "|".join(launches.STATE_EVENTS) + r")(?: |$)"
_STATE_OR_PHASE_EVENT = r"^(?:" + "|".join((*launches.STATE_EVENTS, events.PHASE)) + r")(?: |$)"
_LAUNCH_TIME = re.compile(r"([0-9]{8}T[0-9]{6})-")


class RecentLaunches(NamedTuple):
    """A page of the recent launches."""

    launches: list[dict[str, Any]]
    next: str
    """`before` of the next page; "" if there are no more."""
    labels: dict[str, list[str]]
    """By name, the values that the labels of all launches of the time range have: what can be filtered by."""


class Traces:
    """Queries Loki for traces and their launches. All methods that query raise LokiError."""

    def __init__(self, loki: LokiClient, reader: Reader, settings: PanelSettings) -> None:
        self._loki = loki
        self._reader = reader
        self._lookback_ns = int(settings.lookback_days * _DAY_NS)
        self._recent_ns = int(settings.recent_hours * _HOUR_NS)
        self.contact = Contact(loki, self._lookback_ns)

    def range(self) -> tuple[int, int]:
        """Return the time range, in nanoseconds, in which traces are searched."""
        now = time.time_ns()
        return now - self._lookback_ns, now + CREATION_GRACE_SECONDS * 1_000_000_000

    def launches_of(self, series: list[dict[str, str]]) -> dict[str, dict[str, Any]]:
        """Return the launches of these streams by launchId, with the fields that labels give and no event applied."""
        return launches.launches_from_series(
            series, record.STARTING if self._loki.settings.structured_metadata else launches.UNKNOWN
        )

    async def streams(self, trace_id: str) -> list[dict[str, str]]:
        """Return the labels of every stream of a trace."""
        return await self._loki.series(logql.selector({names.TRACE_ID: trace_id}), *self.range())

    async def series_of_service(self, model_name: str, env: str) -> list[dict[str, str]]:
        """Return the labels of every launch's stream of a model in an environment; "" for all environments."""
        labels = {names.SERVICE_NAME: model_name, **({names.ENV: env} if env else {})}
        return await self._loki.series(logql.selector(labels), *self.range())

    async def with_ids(self, launch_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the launches with these ids, with the events applied that change their states."""
        if not launch_ids:
            return []
        series = await self._loki.series(logql.selector_of_values(names.LAUNCH_ID, launch_ids), *self.range())
        return await self.with_states(self.launches_of(series))

    async def trace_ids(self, label: str, value: str) -> set[str]:
        """Return the traceIds of the streams with this label: resolves a launchId or an instanceId."""
        series = await self._loki.series(logql.selector({label: value}), *self.range())
        return {labels[names.TRACE_ID] for labels in series if labels.get(names.TRACE_ID)}

    async def of_instance(self, instance_id: str) -> list[str]:
        """Return the traces that an instance belongs to: those of its launches; without one that of the first claim.

        Whoever may write to one trace must not get lines into an instance of another, nor an instance's lines out of
        the way.
        """
        query = logql.selector({names.INSTANCE_ID: instance_id})
        start, end = self.range()
        series = await self._loki.series(query, start, end)
        launched = {labels[names.TRACE_ID] for labels in series if labels.get(names.LAUNCH_ID)}
        claimed = sorted(launched or {labels[names.TRACE_ID] for labels in series if labels.get(names.TRACE_ID)})
        if launched or len(claimed) < 2:
            return claimed
        first = await one_entry(self._loki, query, start, end)
        return [first.stream.fields[names.TRACE_ID]] if first else claimed

    async def start_ns(self, trace_id: str) -> int:
        """Return a time before the trace's first line."""
        return earliest(await self.streams(trace_id), self.range()[0])

    async def launches(self, trace_id: str, launch_id: str | None = None) -> list[dict[str, Any]]:
        """Return the launches of a trace (or only one of them) with all their events applied, oldest first."""
        series = await self.streams(trace_id)
        known = self.launches_of(series)
        if launch_id is not None:
            known = {key: value for key, value in known.items() if key == launch_id}
        if not known:
            return []
        query = logql.trace_query(trace_id, launch_id=launch_id, metadata=launches.EVENT_METADATA)
        await self._apply_events(known, query, Key(earliest(series, self.range()[0])))
        await self.contact.update(known.values())
        return launches.in_order(known)

    async def recent(
        self, wanted: LaunchFilter, limit: int, before: str = "", time_range: tuple[int, int] = (0, 0)
    ) -> RecentLaunches:
        """Return the most recent launches of all traces, newest first, with their states, and where more begin.

        Args:
            wanted: which launches.
            limit: how many of them at most.
            before: only launches with smaller launchIds: where the page before said that more begin.
            time_range: from and to when they ran, in nanoseconds; 0: as far back as the settings say, and now.

        """
        now = time.time_ns()
        start = max(time_range[0] or now - self._recent_ns, now - self._lookback_ns)
        end = time_range[1] or now + CREATION_GRACE_SECONDS * 1_000_000_000
        if start >= end:
            return RecentLaunches([], "", {})
        series = await self._loki.series(logql.selector_of_label(names.LAUNCH_ID), start, end)
        known = self.launches_of(series)
        labels = labels_of(known.values())
        ids = [one for one in sorted(known, reverse=True) if not before or one < before]
        ids = [one for one in ids if wanted.matches_labels(known[one])]
        found: list[dict[str, Any]] = []
        for position in range(0, len(ids), _LAUNCHES_AT_A_TIME):
            newest = ids[position : position + _LAUNCHES_AT_A_TIME]
            for launch in await self.with_states({one: known[one] for one in newest}, start):
                if wanted.matches(launch):
                    if len(found) == limit:
                        return RecentLaunches(found, str(found[-1]["launchId"]), labels)
                    found.append(launch)
        return RecentLaunches(found, "", labels)

    async def with_states(
        self, known: dict[str, dict[str, Any]], start: int = 0, *, with_phases: bool = False
    ) -> list[dict[str, Any]]:
        """Return launches in the given order, with the events applied that change their states.

        Args:
            known: the launches by launchId.
            start: a time before which there is none of these events, in nanoseconds; 0: unknown.
            with_phases: whether the phases of the start are wanted, too.

        """
        if not known:
            return []
        start = start or self.range()[0]
        query = logql.log_query(
            logql.selector_of_values(names.LAUNCH_ID, list(known)),
            matches=_STATE_OR_PHASE_EVENT if with_phases else _STATE_EVENT,
            metadata=launches.EVENT_METADATA,
        )
        await self._apply_events(known, query, Key(earliest(list(known.values()), start)))
        await self.contact.update(known.values())
        return list(known.values())

    async def _apply_events(self, known: dict[str, dict[str, Any]], query: str, position: Key) -> None:
        """Apply the events that the query finds from the position on."""
        for _ in range(_EVENTS_MAX // _EVENTS_PAGE):
            page = await self._reader.forward(query, position, limit=_EVENTS_PAGE)
            launches.apply_events(known, page.entries)
            if not page.more:
                break
            position = page.entries[-1].key.next


def earliest(series: list[dict[str, str]], default: int) -> int:
    """Return a time before the first line of these streams, from the times in their launchIds; else the default.

    A launchId holds the local time of its machine, so the result is a day earlier.
    """
    times = []
    for labels in series:
        match = _LAUNCH_TIME.match(labels.get(names.LAUNCH_ID, ""))
        if not match or not is_launch_id(labels[names.LAUNCH_ID]):
            return default
        try:
            launched = datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return default
        times.append(int(launched.timestamp()) * 1_000_000_000 - _DAY_NS)
    return max(default, min(times, default=default))


def labels_of(launches: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the values of the fields that launches can be filtered by, each once."""
    found = list(launches)
    return {name: sorted({one[name] for one in found if one.get(name)}) for name in LABEL_FIELDS}


def source_labels(series: list[dict[str, str]]) -> tuple[str, ...]:
    """Return the labels that determine the source (see entry.Stream.source) of each line of these streams."""
    if all(labels.get(names.LAUNCH_ID) for labels in series):
        return (names.LAUNCH_ID,)
    return tuple(sorted({name for labels in series for name in labels}))


def sources(series: list[dict[str, str]]) -> dict[str, Mapping[str, str]]:
    """Return for each log of a trace, by source (see entry.Stream.source), the labels that select this log only."""
    every_name = {name for labels in series for name in labels}
    found: dict[str, Mapping[str, str]] = {}
    for labels in series:
        if labels.get(names.LAUNCH_ID):
            selected = {names.TRACE_ID: labels[names.TRACE_ID], names.LAUNCH_ID: labels[names.LAUNCH_ID]}
        else:
            selected = dict.fromkeys(every_name, "") | labels
        found[source_of(labels)] = selected
    return found


def positions(series: list[dict[str, str]], page: list[Entry]) -> dict[str, Key]:
    """Return the position in each log of the trace of a viewer that has this page, which holds the newest lines.

    A log without a line in the page gets the start of the page as its position: older lines are read by paging back.
    """
    first = Key(page[0].time_ns) if page else FIRST_KEY
    found = dict.fromkeys(sources(series), first)
    source_by_stream: dict[int, str] = {}
    for entry in page:
        stream = id(entry.stream)
        if stream not in source_by_stream:
            source_by_stream[stream] = next(
                (source_of(labels) for labels in series if labels.items() <= entry.stream.fields.items()),
                entry.stream.source,
            )
        found[source_by_stream[stream]] = entry.key
    return found
