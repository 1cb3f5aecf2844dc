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
from tracetail.loki.errors import LokiError
from tracetail.panel.settings import PanelSettings
from tracetail.panel.trace import launches
from tracetail.panel.trace.entry import FIRST_KEY, Entry, Key
from tracetail.panel.trace.overlap import Overlap
from tracetail.panel.trace.reader import Page, Reader
from tracetail.panel.trace.request_filter import RequestFilter
from tracetail.panel.trace.stream_messages import (
    REACHABLE,
    Message,
    gaps_json,
    late_messages,
    lines_messages,
    unreachable,
)
from tracetail.panel.trace.traces import Traces, earliest, sources
from tracetail.panel.trace.viewer import Viewer

log = logging.getLogger(__name__)

DISCOVERY_SECONDS = 2.0
"""Interval of the query for new launches of a trace."""
CONTACT_SECONDS = 10.0
"""Interval of the query for heartbeats of the machines of a trace's launches."""
SLOW_SECONDS = 10.0
"""How long Loki may take for new lines until viewers are shown that it does not answer. A request may take longer
([loki] timeout_seconds): a Loki that hangs accepts it, and answers nothing."""
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
        self._read: dict[str, Overlap] = {}
        """What was read of each log."""
        self._last_line_at: dict[str, float] = {}
        self._polled_at: dict[str, float] = {}
        self._launches: dict[str, dict[str, Any]] = {}
        self._start = FIRST_KEY
        """Before the first line of the trace."""
        self._discovered_at = 0.0
        self._contact_at = 0.0
        self._ready = asyncio.Event()
        self._error = ""
        """Why Loki does not answer; empty if it does."""
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
        async for waiting in self._until_ready(heartbeat_seconds):
            yield waiting
        yield Message("launches", {"launches": launches.in_order(self._launches)})
        if self._error:
            yield unreachable(self._error)
        while True:
            if viewer.needs_backfill:
                viewer.needs_backfill = False
                async for missing in self._backfill(viewer, heartbeat_seconds):
                    yield missing
            try:
                message = await asyncio.wait_for(viewer.next_message(), heartbeat_seconds)
            except TimeoutError:
                yield None
                continue
            unsent = viewer.without_sent(message)
            if unsent is not None:
                yield unsent

    async def _until_ready(self, heartbeat_seconds: float) -> AsyncIterator[Message | None]:
        """Yield heartbeats until the trace's logs are known, and what that waits for."""
        while not self._ready.is_set():
            try:
                await asyncio.wait_for(self._ready.wait(), heartbeat_seconds)
            except TimeoutError:
                yield unreachable(self._error) if self._error else None

    async def _backfill(self, viewer: Viewer, heartbeat_seconds: float) -> AsyncIterator[Message | None]:
        """Yield the lines between the viewer's positions and the feed's at this moment, log by log.

        Meanwhile yield heartbeats, and why Loki does not answer.
        """
        ends = {source: read.position for source, read in self._read.items()}
        labels = dict(self._sources)
        viewer.backfilled.clear()
        for source, end in ends.items():
            position = self._read[source].resumed(viewer.positions.get(source, FIRST_KEY))
            while position < end:
                page = None
                query = _query(labels[source], viewer.wanted)
                async for found in self._page_with_heartbeats(query, position, end, heartbeat_seconds):
                    if isinstance(found, Page):
                        page = found
                    else:
                        yield found
                assert page is not None
                position = page.entries[-1].key if page.more else end
                if self._read[source].is_sharded:
                    viewer.backfilled.update(entry.key for entry in page.entries)
                if page.entries or page.crowded:
                    for message in lines_messages({source: page.entries}, viewer.positions, gaps_json(page)):
                        yield message
                viewer.positions[source] = position

    async def _page_with_heartbeats(
        self, query: str, after: Key, end: Key, heartbeat_seconds: float
    ) -> AsyncIterator[Page | Message | None]:
        """Yield the page at last, before that heartbeats and the reasons for which it was asked for again."""
        retry = RETRY_MIN_SECONDS
        began = time.monotonic()
        reported = False
        while True:
            reading = asyncio.create_task(self._page(query, after, end.next))
            try:
                while not (await asyncio.wait({reading}, timeout=heartbeat_seconds))[0]:
                    yield unreachable(f"Loki has not returned lines for {time.monotonic() - began:.0f} s")
                    reported = True
                page = reading.result()
            except LokiError as error:
                yield unreachable(str(error))
                reported = True
                await asyncio.sleep(retry)
                retry = min(RETRY_MAX_SECONDS, retry * 2)
                continue
            finally:
                reading.cancel()
            if reported:
                yield REACHABLE
            yield page
            return

    async def _run(self) -> None:
        retry = RETRY_MIN_SECONDS
        while True:
            began = time.monotonic()
            ticking = asyncio.create_task(self._tick(began))
            try:
                while not (await asyncio.wait({ticking}, timeout=SLOW_SECONDS))[0]:
                    self._fail(f"Loki has not returned lines for {time.monotonic() - began:.0f} s")
                has_more = ticking.result()
            except LokiError as error:
                self._fail(str(error))
                await asyncio.sleep(retry)
                retry = min(RETRY_MAX_SECONDS, retry * 2)
                continue
            finally:
                ticking.cancel()
            retry = RETRY_MIN_SECONDS
            if self._error:
                self._error = ""
                self._broadcast(REACHABLE)
            if not has_more:
                await asyncio.sleep(max(0.0, self._tick_seconds - (time.monotonic() - began)))

    def _fail(self, reason: str) -> None:
        """Keep why Loki does not answer; the first reason is sent to the viewers."""
        if not self._error:
            log.warning("trace %s: %s", self.trace_id, reason)
            self._broadcast(unreachable(reason))
        self._error = reason

    async def _tick(self, now: float) -> bool:
        """Read new lines once; return whether there are more to read immediately."""
        if now - self._discovered_at >= DISCOVERY_SECONDS or not self._ready.is_set():
            await self._discover()
            self._discovered_at = now
        if now - self._contact_at >= CONTACT_SECONDS:
            self._contact_at = now
            if await self._traces.contact.update(self._launches.values(), self._last_lines()):
                self._broadcast_launches()
        due = [
            source
            for source in self._sources
            if now - self._polled_at.get(source, 0.0) >= self._interval(source, now)
        ]
        positions = {source: read.position for source, read in self._read.items()}
        found = await asyncio.gather(*(self._next(source) for source in due))
        new: dict[str, list[Entry]] = {}
        late: dict[str, list[Entry]] = {}
        gaps: list[dict[str, Any]] = []
        for source, (fresh, last) in zip(due, found, strict=True):
            self._polled_at[source] = now
            gaps += gaps_json(last)
            if fresh:
                self._last_line_at[source] = now
                position = positions.get(source, FIRST_KEY)
                new[source] = [entry for entry in fresh if entry.key > position]
                late[source] = [entry for entry in fresh if entry.key <= position]
        if any(new.values()) or gaps:
            for message in lines_messages(new, positions, gaps):
                self._broadcast(message)
        for message in late_messages({source: entries for source, entries in late.items() if entries}):
            self._broadcast(message)
        self._apply_events(entry for entries in (*late.values(), *new.values()) for entry in entries)
        return any(last.more for _, last in found)

    async def _next(self, source: str) -> tuple[list[Entry], Page]:
        """Return new lines of a log, and the last page that was read of it."""
        read = self._read.setdefault(source, Overlap())
        after = read.base
        found: list[Entry] = []
        while True:
            page = await self._page(_query(self._sources[source]), after)
            found += sorted(read.add(page.entries), key=lambda entry: entry.key)
            if not page.more or found:
                return found, page
            after = page.entries[-1].key

    async def _discover(self) -> None:
        """Find new logs; the first time also the launches, and the last line of each log, where following begins."""
        series = await self._traces.streams(self.trace_id)
        self._start = Key(earliest(series, self._traces.range()[0]))
        found = sources(series)
        if not self._ready.is_set():
            known = {launch["launchId"]: launch for launch in await self._traces.launches(self.trace_id)}
            last_keys = await asyncio.gather(*(self._last_key(labels) for labels in found.values()))
            self._launches = known
            self._read = {source: Overlap(key) for source, key in zip(found, last_keys, strict=True)}
            self._sources = found
            self._ready.set()
            return
        new = {source: labels for source, labels in found.items() if source not in self._sources}
        if new:
            for launch_id, launch in self._traces.launches_of(series).items():
                self._launches.setdefault(launch_id, launch)
            self._sources |= new
            self._broadcast_launches()

    def _last_lines(self) -> dict[str, int]:
        """Return the time of the last line of each log, by source."""
        return {source: read.position.time_ns for source, read in self._read.items()}

    async def _last_key(self, labels: Mapping[str, str]) -> Key:
        page = await self._reader.backward(logql.selector(labels), Key(self._traces.range()[1]), self._start, limit=1)
        return page.entries[-1].key if page.entries else FIRST_KEY

    async def _page(self, query: str, after: Key, end: Key | None = None) -> Page:
        start = after.next if after > FIRST_KEY else self._start
        if end is None:
            return await self._reader.forward(query, start, limit=_PAGE)
        return await self._reader.forward(query, start, end, limit=_PAGE)

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


def _query(labels: Mapping[str, str], wanted: RequestFilter | None = None) -> str:
    """Return the log query for the lines of a log, or for those of one request."""
    patterns = {names.METADATA_REQUEST_ID: wanted.pattern} if wanted is not None else None
    return logql.log_query(logql.selector(labels), metadata_patterns=patterns)
