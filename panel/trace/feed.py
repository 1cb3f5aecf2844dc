"""Follows a trace for all who watch it: one poller per trace, whatever the number of viewers.

A Feed asks Loki every tick for what is new of each of the trace's logs, and hands each batch, encoded once, to every
Viewer. A Viewer that comes with a cursor, or that fell behind, reads from Loki what it lacks, up to where the feed
stood when it began to listen, and from there on listens. So a line reaches it once, whatever broke in between.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from tracetail.contract import labels as names
from tracetail.contract import record
from tracetail.loki import logql
from tracetail.panel.settings import PanelSettings
from tracetail.panel.trace import cursor, launches, traces
from tracetail.panel.trace.entry import FIRST_KEY, Entry, Key
from tracetail.panel.trace.loki import LokiError
from tracetail.panel.trace.reader import Page, Reader
from tracetail.panel.trace.traces import Traces

_log = logging.getLogger(__name__)

DISCOVERY_SECONDS = 2.0
"""How often a trace is asked for new launches."""
IDLE_AFTER_SECONDS = 60.0
IDLE_SECONDS = 1.0
"""How often a log is asked for that has been silent for IDLE_AFTER_SECONDS."""
ENDED_SECONDS = 5.0
"""How often a log is asked for whose agent has confirmed that it is complete."""
LINGER_SECONDS = 5.0
"""A feed outlives its last viewer this long: a reconnecting one finds it where it was."""
RETRY_MAX_SECONDS = 2.0
_PAGE = 4000
_MESSAGE_LINES = 250
_QUEUE_MESSAGES = 400
"""A viewer that is further behind than this lets go of the queue and reads from Loki again."""


class TooManyViewersError(Exception):
    """No further stream may be opened now."""


class Message:
    """One event of the stream: a name, its JSON, and for lines the cursor behind them."""

    def __init__(self, name: str, data: Any, *, parts: Mapping[str, list[Entry]] | None = None, at: str = "") -> None:
        self.parts = parts or {}
        """The lines by the log that they belong to, each in order; empty if the message does not bring lines."""
        head = f"id: {at}\n" if at else ""
        self.encoded = f"{head}event: {name}\ndata: ".encode() + orjson.dumps(data) + b"\n\n"


def lines_messages(
    parts: Mapping[str, list[Entry]], positions: Mapping[str, Key], gaps: list[dict[str, Any]]
) -> Iterator[Message]:
    """Yield the messages that bring these lines, each with the cursor behind it; positions are those before them.

    They are short, so that a connection that breaks again and again still gets on.
    """
    behind = dict(positions)
    tagged = sorted(
        ((entry, source) for source, entries in parts.items() for entry in entries), key=lambda pair: pair[0].key
    )
    for first in range(0, max(len(tagged), 1), _MESSAGE_LINES):
        chosen = tagged[first : first + _MESSAGE_LINES]
        part: dict[str, list[Entry]] = {}
        for entry, source in chosen:
            part.setdefault(source, []).append(entry)
            behind[source] = entry.key
        data: dict[str, Any] = {"lines": [entry.as_json() for entry, _ in chosen]}
        if gaps and first + _MESSAGE_LINES >= len(tagged):
            data["gaps"] = gaps
        yield Message("lines", data, parts=part, at=cursor.encode(behind))


def gaps_of(page: Page) -> list[dict[str, Any]]:
    """Return what could not be read of a page."""
    return [{"time": str(time_ns), "reason": "crowded"} for time_ns in page.crowded]


class Viewer:
    """One open stream: where it stands, and what waits for it."""

    def __init__(self, positions: Mapping[str, Key]) -> None:
        self.positions = dict(positions)
        self.queue: asyncio.Queue[Message] = asyncio.Queue(_QUEUE_MESSAGES)
        self.behind = True
        """It lacks lines that are not in its queue."""

    def offer(self, message: Message) -> None:
        """Put a message into the queue; if it is full, give the queue up and let the viewer read from Loki."""
        try:
            self.queue.put_nowait(message)
        except asyncio.QueueFull:
            self.behind = True
            while not self.queue.empty():
                self.queue.get_nowait()


class Feed:
    """Follows one trace."""

    def __init__(self, trace_id: str, reader: Reader, found: Traces, settings: PanelSettings) -> None:
        self.trace_id = trace_id
        self.ticks = 0
        self._reader = reader
        self._traces = found
        self._tick_seconds = settings.tick_seconds
        self._viewers: set[Viewer] = set()
        self._sources: dict[str, Mapping[str, str]] = {}
        self._heads: dict[str, Key] = {}
        self._last_line: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._launches: dict[str, dict[str, Any]] = {}
        self._discovered = 0.0
        self._ready = asyncio.Event()
        self._healthy = True
        self._task: asyncio.Task[None] | None = None
        self.abandoned_at: float | None = None

    def add(self, viewer: Viewer) -> None:
        """Let a viewer listen."""
        self._viewers.add(viewer)
        self.abandoned_at = None
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"feed {self.trace_id}")

    def remove(self, viewer: Viewer) -> None:
        """Let a viewer go."""
        self._viewers.discard(viewer)
        if not self._viewers:
            self.abandoned_at = time.monotonic()

    async def stop(self) -> None:
        """End the poller."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def messages(self, viewer: Viewer, heartbeat_seconds: float) -> AsyncIterator[Message | None]:
        """Yield all that the viewer lacks, then what comes; None is a sign of life."""
        while not self._ready.is_set():
            try:
                await asyncio.wait_for(self._ready.wait(), heartbeat_seconds)
            except TimeoutError:
                yield None
        yield Message("launches", {"launches": launches.in_order(self._launches)})
        if not self._healthy:
            yield Message("status", {"loki": "unreachable"})
        while True:
            if viewer.behind:
                viewer.behind = False
                async for message in self._missed(viewer):
                    yield message
            try:
                message = await asyncio.wait_for(viewer.queue.get(), heartbeat_seconds)
            except TimeoutError:
                yield None
                continue
            unseen = _unseen(viewer, message)
            if unseen is not None:
                yield unseen

    async def _missed(self, viewer: Viewer) -> AsyncIterator[Message]:
        """Yield what lies between the viewer's positions and the feed's at this moment, log by log."""
        heads = dict(self._heads)
        sources = dict(self._sources)
        retry = 0.1
        for source, head in heads.items():
            position = viewer.positions.get(source, FIRST_KEY)
            while position < head:
                try:
                    page = await self._read(sources[source], position, head.next)
                except LokiError:
                    await asyncio.sleep(retry)
                    retry = min(RETRY_MAX_SECONDS, retry * 2)
                    continue
                position = page.entries[-1].key if page.more else head
                if page.entries or page.crowded:
                    for message in lines_messages({source: page.entries}, viewer.positions, gaps_of(page)):
                        yield message
                viewer.positions[source] = position

    async def _run(self) -> None:
        retry = 0.1
        while True:
            began = time.monotonic()
            try:
                full = await self._tick(began)
            except LokiError as error:
                if self._healthy:
                    _log.warning("trace %s: %s", self.trace_id, error)
                    self._healthy = False
                    self._broadcast(Message("status", {"loki": "unreachable", "message": str(error)}))
                await asyncio.sleep(retry)
                retry = min(RETRY_MAX_SECONDS, retry * 2)
                continue
            retry = 0.1
            if not self._healthy:
                self._healthy = True
                self._broadcast(Message("status", {"loki": "ok"}))
            if not full:
                await asyncio.sleep(max(0.0, self._tick_seconds - (time.monotonic() - began)))

    async def _tick(self, now: float) -> bool:
        """Read what is new once; say whether there is more to read at once."""
        if now - self._discovered >= DISCOVERY_SECONDS or not self._ready.is_set():
            await self._discover()
            self._discovered = now
        due = [source for source in self._sources if now - self._asked.get(source, 0.0) >= self._pause(source, now)]
        pages = await asyncio.gather(
            *(self._read(self._sources[source], self._heads.get(source, FIRST_KEY)) for source in due)
        )
        self.ticks += 1
        for source, page in zip(due, pages, strict=True):
            self._asked[source] = now
            if page.entries:
                self._last_line[source] = now
        parts = {source: page.entries for source, page in zip(due, pages, strict=True) if page.entries}
        gaps = [gap for page in pages for gap in gaps_of(page)]
        if parts or gaps:
            for message in lines_messages(parts, self._heads, gaps):
                self._broadcast(message)
            self._heads |= {source: entries[-1].key for source, entries in parts.items()}
            self._fold(entry for entries in parts.values() for entry in entries)
        return any(page.more for page in pages)

    async def _discover(self) -> None:
        """Learn of new logs; at the first time also where each one ends and what its events tell."""
        series = await self._traces.streams(self.trace_id)
        found = traces.sources(series)
        if not self._ready.is_set():
            known = {launch["launchId"]: launch for launch in await self._traces.launches(self.trace_id)}
            heads = await asyncio.gather(*(self._last_key(labels) for labels in found.values()))
            self._launches = known
            self._heads = dict(zip(found, heads, strict=True))
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
            logql.selector(labels), Key(self._traces.range()[1]), self._from(), limit=1
        )
        return page.entries[-1].key if page.entries else FIRST_KEY

    async def _read(self, labels: Mapping[str, str], after: Key, end: Key | None = None) -> Page:
        start = after.next if after > FIRST_KEY else self._from()
        query = logql.selector(labels)
        if end is None:
            return await self._reader.forward(query, start, limit=_PAGE)
        return await self._reader.forward(query, start, end, limit=_PAGE)

    def _from(self) -> Key:
        return Key(self._traces.range()[0])

    def _pause(self, source: str, now: float) -> float:
        """Return how long to wait between two queries for one log."""
        launch = self._launches.get(source, {})
        if launch.get("state") in record.ENDED_STATES and "receipt" in launch:
            return ENDED_SECONDS
        quiet = now - self._last_line.setdefault(source, now) > IDLE_AFTER_SECONDS
        return max(IDLE_SECONDS, self._tick_seconds) if quiet else 0.0

    def _fold(self, entries: Iterable[Entry]) -> None:
        spoken = [entry for entry in entries if entry.stream.fields.get(names.METADATA_KIND) == "event"]
        if spoken:
            launches.fold(self._launches, spoken)
            self._broadcast_launches()

    def _broadcast_launches(self) -> None:
        self._broadcast(Message("launches", {"launches": launches.in_order(self._launches)}))

    def _broadcast(self, message: Message) -> None:
        for viewer in self._viewers:
            viewer.offer(message)


def _unseen(viewer: Viewer, message: Message) -> Message | None:
    """Return the message without what the viewer has: the very same one where it has none of it."""
    seen = viewer.positions
    repeated = any(seen.get(source, FIRST_KEY) >= entries[0].key for source, entries in message.parts.items())
    if repeated:
        parts = {
            source: new
            for source, entries in message.parts.items()
            if (new := [entry for entry in entries if entry.key > seen.get(source, FIRST_KEY)])
        }
        message = next(lines_messages(parts, seen, []))
        if not parts:
            return None
    seen.update({source: entries[-1].key for source, entries in message.parts.items()})
    return message


class Feeds:
    """The feeds of all traces that are watched now."""

    def __init__(self, reader: Reader, found: Traces, settings: PanelSettings) -> None:
        self._reader = reader
        self._traces = found
        self._settings = settings
        self._feeds: dict[str, Feed] = {}
        self._closers: set[asyncio.Task[None]] = set()
        self.viewers = 0

    def watch(self, trace_id: str, positions: Mapping[str, Key]) -> tuple[Feed, Viewer, Callable[[], None]]:
        """Return the trace's feed, a viewer of it, and what ends the viewing. Raises TooManyViewersError."""
        if self.viewers >= self._settings.viewers:
            raise TooManyViewersError(f"{self.viewers} streams are open, more are not allowed (panel.viewers)")
        feed = self._feeds.get(trace_id)
        if feed is None:
            feed = self._feeds[trace_id] = Feed(trace_id, self._reader, self._traces, self._settings)
        viewer = Viewer(positions)
        feed.add(viewer)
        self.viewers += 1

        def leave() -> None:
            self.viewers -= 1
            feed.remove(viewer)
            closer = asyncio.create_task(self._close_later(feed))
            self._closers.add(closer)
            closer.add_done_callback(self._closers.discard)

        return feed, viewer, leave

    @property
    def watched(self) -> int:
        """How many traces are followed now."""
        return len(self._feeds)

    async def _close_later(self, feed: Feed) -> None:
        await asyncio.sleep(LINGER_SECONDS)
        if feed.abandoned_at is not None and self._feeds.get(feed.trace_id) is feed:
            del self._feeds[feed.trace_id]
            await feed.stop()

    async def stop(self) -> None:
        """End every poller."""
        for closer in list(self._closers):
            closer.cancel()
        await asyncio.gather(*self._closers, return_exceptions=True)
        await asyncio.gather(*(feed.stop() for feed in self._feeds.values()))
        self._feeds.clear()
