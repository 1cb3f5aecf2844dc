"""Follows one trace for all its viewers: one poller per trace, whatever the number of viewers.

A Feed queries Loki every tick for new lines of each of the trace's logs, and puts each batch, encoded once, into the
queue of every Viewer. A viewer that connects with a cursor, or whose queue overflowed, first reads the lines that it
lacks from Loki, up to the feed's position, and then continues with its queue. So it gets every line exactly once.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from tracetail.contract import labels as names
from tracetail.contract import record
from tracetail.loki import logql
from tracetail.loki.client import LokiError
from tracetail.panel.settings import PanelSettings
from tracetail.panel.trace import launches
from tracetail.panel.trace.entry import FIRST_KEY, Entry, Key
from tracetail.panel.trace.reader import Page, Reader
from tracetail.panel.trace.stream_messages import Message, gaps_json, lines_messages
from tracetail.panel.trace.traces import Traces, sources
from tracetail.panel.trace.viewer import Viewer

log = logging.getLogger(__name__)

DISCOVERY_SECONDS = 2.0
"""Interval of the query for new launches of a trace."""
IDLE_AFTER_SECONDS = 60.0
IDLE_SECONDS = 1.0
"""Polling interval of a log without new lines for IDLE_AFTER_SECONDS."""
ENDED_SECONDS = 5.0
"""Polling interval of a log that its agent has reported as completely shipped."""
RETRY_MIN_SECONDS = 0.1
RETRY_MAX_SECONDS = 2.0
_PAGE = 4000


class Feed:
    """Follows one trace."""

    def __init__(self, trace_id: str, reader: Reader, traces: Traces, settings: PanelSettings) -> None:
        self.trace_id = trace_id
        self._reader = reader
        self._traces = traces
        self._tick_seconds = settings.tick_seconds
        self._viewers: set[Viewer] = set()
        self._sources: dict[str, Mapping[str, str]] = {}
        """The labels that select each log, by source."""
        self._positions: dict[str, Key] = {}
        """The last line read of each log."""
        self._last_line_at: dict[str, float] = {}
        self._polled_at: dict[str, float] = {}
        self._launches: dict[str, dict[str, Any]] = {}
        self._discovered_at = 0.0
        self._ready = asyncio.Event()
        self._healthy = True
        self._task: asyncio.Task[None] | None = None

    def add(self, viewer: Viewer) -> None:
        """Add a viewer; the first one starts the poller."""
        self._viewers.add(viewer)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"feed {self.trace_id}")

    def remove(self, viewer: Viewer) -> None:
        """Remove a viewer."""
        self._viewers.discard(viewer)

    @property
    def has_viewers(self) -> bool:
        """Whether anyone watches the feed."""
        return bool(self._viewers)

    async def stop(self) -> None:
        """Stop the poller."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def messages(self, viewer: Viewer, heartbeat_seconds: float) -> AsyncIterator[Message | None]:
        """Yield the messages that the viewer lacks, then new ones; None is a heartbeat."""
        while not self._ready.is_set():
            try:
                await asyncio.wait_for(self._ready.wait(), heartbeat_seconds)
            except TimeoutError:
                yield None
        yield Message("launches", {"launches": launches.in_order(self._launches)})
        if not self._healthy:
            yield Message("status", {"loki": "unreachable"})
        while True:
            if viewer.needs_backfill:
                viewer.needs_backfill = False
                async for message in self._backfill(viewer):
                    yield message
            try:
                message = await asyncio.wait_for(viewer.queue.get(), heartbeat_seconds)
            except TimeoutError:
                yield None
                continue
            unsent = viewer.without_sent(message)
            if unsent is not None:
                yield unsent

    async def _backfill(self, viewer: Viewer) -> AsyncIterator[Message]:
        """Yield the lines between the viewer's positions and the feed's at this moment, log by log."""
        ends = dict(self._positions)
        labels = dict(self._sources)
        retry = RETRY_MIN_SECONDS
        for source, end in ends.items():
            position = viewer.positions.get(source, FIRST_KEY)
            while position < end:
                try:
                    page = await self._read(labels[source], position, end.next)
                except LokiError:
                    await asyncio.sleep(retry)
                    retry = min(RETRY_MAX_SECONDS, retry * 2)
                    continue
                position = page.entries[-1].key if page.more else end
                if page.entries or page.crowded:
                    for message in lines_messages({source: page.entries}, viewer.positions, gaps_json(page)):
                        yield message
                viewer.positions[source] = position

    async def _run(self) -> None:
        retry = RETRY_MIN_SECONDS
        while True:
            began = time.monotonic()
            try:
                has_more = await self._tick(began)
            except LokiError as error:
                if self._healthy:
                    log.warning("trace %s: %s", self.trace_id, error)
                    self._healthy = False
                    self._broadcast(Message("status", {"loki": "unreachable", "message": str(error)}))
                await asyncio.sleep(retry)
                retry = min(RETRY_MAX_SECONDS, retry * 2)
                continue
            retry = RETRY_MIN_SECONDS
            if not self._healthy:
                self._healthy = True
                self._broadcast(Message("status", {"loki": "ok"}))
            if not has_more:
                await asyncio.sleep(max(0.0, self._tick_seconds - (time.monotonic() - began)))

    async def _tick(self, now: float) -> bool:
        """Read new lines once; return whether there are more to read immediately."""
        if now - self._discovered_at >= DISCOVERY_SECONDS or not self._ready.is_set():
            await self._discover()
            self._discovered_at = now
        due = [
            source
            for source in self._sources
            if now - self._polled_at.get(source, 0.0) >= self._interval(source, now)
        ]
        pages = await asyncio.gather(
            *(self._read(self._sources[source], self._positions.get(source, FIRST_KEY)) for source in due)
        )
        for source, page in zip(due, pages, strict=True):
            self._polled_at[source] = now
            if page.entries:
                self._last_line_at[source] = now
        parts = {source: page.entries for source, page in zip(due, pages, strict=True) if page.entries}
        gaps = [gap for page in pages for gap in gaps_json(page)]
        if parts or gaps:
            for message in lines_messages(parts, self._positions, gaps):
                self._broadcast(message)
            self._positions |= {source: entries[-1].key for source, entries in parts.items()}
            self._apply_events(entry for entries in parts.values() for entry in entries)
        return any(page.more for page in pages)

    async def _discover(self) -> None:
        """Find new logs; the first time also the launches, and the last line of each log, where following begins."""
        series = await self._traces.streams(self.trace_id)
        found = sources(series)
        if not self._ready.is_set():
            known = {launch["launchId"]: launch for launch in await self._traces.launches(self.trace_id)}
            last_keys = await asyncio.gather(*(self._last_key(labels) for labels in found.values()))
            self._launches = known
            self._positions = dict(zip(found, last_keys, strict=True))
            self._sources = found
            self._ready.set()
            return
        new = {source: labels for source, labels in found.items() if source not in self._sources}
        if new:
            for launch_id, launch in self._traces.launches_of(series).items():
                self._launches.setdefault(launch_id, launch)
            self._sources |= new
            self._broadcast_launches()

    async def _last_key(self, labels: Mapping[str, str]) -> Key:
        page = await self._reader.backward(
            logql.selector(labels), Key(self._traces.range()[1]), self._range_start(), limit=1
        )
        return page.entries[-1].key if page.entries else FIRST_KEY

    async def _read(self, labels: Mapping[str, str], after: Key, end: Key | None = None) -> Page:
        start = after.next if after > FIRST_KEY else self._range_start()
        query = logql.selector(labels)
        if end is None:
            return await self._reader.forward(query, start, limit=_PAGE)
        return await self._reader.forward(query, start, end, limit=_PAGE)

    def _range_start(self) -> Key:
        return Key(self._traces.range()[0])

    def _interval(self, source: str, now: float) -> float:
        """Return the seconds between two queries for one log."""
        launch = self._launches.get(source, {})
        if launch.get("state") in record.ENDED_STATES and "receipt" in launch:
            return ENDED_SECONDS
        idle = now - self._last_line_at.setdefault(source, now) > IDLE_AFTER_SECONDS
        return max(IDLE_SECONDS, self._tick_seconds) if idle else 0.0

    def _apply_events(self, entries: Iterable[Entry]) -> None:
        event_entries = [entry for entry in entries if entry.stream.fields.get(names.METADATA_KIND) == "event"]
        if event_entries:
            launches.apply_events(self._launches, event_entries)
            self._broadcast_launches()

    def _broadcast_launches(self) -> None:
        self._broadcast(Message("launches", {"launches": launches.in_order(self._launches)}))

    def _broadcast(self, message: Message) -> None:
        for viewer in self._viewers:
            viewer.enqueue(message)
