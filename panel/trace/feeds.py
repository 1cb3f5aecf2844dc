"""The feeds of all traces that have viewers, and the limit on the number of viewers."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tracetail.panel.settings import PanelSettings
from tracetail.panel.trace.entry import Key
from tracetail.panel.trace.feed import Feed
from tracetail.panel.trace.reader import Reader
from tracetail.panel.trace.request_filter import RequestFilter
from tracetail.panel.trace.traces import Traces
from tracetail.panel.trace.viewer import Viewer

KEEP_SECONDS = 5.0
"""A feed stays for this long after its last viewer has left, so that a viewer that reconnects finds it running."""


class TooManyViewersError(Exception):
    """The limit of open streams is reached."""


class Feeds:
    """Starts a feed for the first viewer of a trace, and stops it after the last one."""

    def __init__(self, reader: Reader, traces: Traces, settings: PanelSettings) -> None:
        self._reader = reader
        self._traces = traces
        self._settings = settings
        self._feeds: dict[str, Feed] = {}
        self._closers: set[asyncio.Task[None]] = set()
        self.viewers = 0
        self._by_holder: Counter[str] = Counter()
        self._by_trace: Counter[str] = Counter()

    @contextmanager
    def watch(
        self, trace_id: str, positions: Mapping[str, Key], holder: str = "", wanted: RequestFilter | None = None
    ) -> Iterator[tuple[Feed, Viewer]]:
        """Yield the trace's feed and a new viewer of it, removed at the end. Raises TooManyViewersError.

        Args:
            trace_id: the trace.
            positions: the last line that the viewer has of each log.
            holder: whose streams are counted together; "" for somebody without a share of his own.
            wanted: the request whose lines the viewer gets; None for all lines.

        """
        self._check_shares(trace_id, holder)
        feed = self._feeds.get(trace_id)
        if feed is None:
            feed = self._feeds[trace_id] = Feed(trace_id, self._reader, self._traces, self._settings)
        viewer = Viewer(positions, wanted)
        feed.add(viewer)
        self._count(trace_id, holder, 1)
        try:
            yield feed, viewer
        finally:
            self._count(trace_id, holder, -1)
            feed.remove(viewer)
            closer = asyncio.create_task(self._close_later(feed))
            self._closers.add(closer)
            closer.add_done_callback(self._closers.discard)

    def _check_shares(self, trace_id: str, holder: str) -> None:
        """Raise TooManyViewersError if nobody, this trace or this token may open a further stream."""
        every, of_token = self._settings.viewers, self._settings.viewers_per_token
        if self.viewers >= every:
            raise TooManyViewersError(f"{self.viewers} streams are open, more are not allowed (panel.viewers)")
        if holder and self._by_holder[holder] >= of_token:
            raise TooManyViewersError(f"{of_token} streams are open with this token (panel.viewers_per_token)")
        if self._by_trace[trace_id] >= (every + 1) // 2:
            raise TooManyViewersError(f"{(every + 1) // 2} streams of this trace are open: half of panel.viewers")

    def _count(self, trace_id: str, holder: str, change: int) -> None:
        self.viewers += change
        for counter, key in ((self._by_trace, trace_id), (self._by_holder, holder)):
            counter[key] += change
            if not counter[key]:
                del counter[key]

    @property
    def followed(self) -> int:
        """The number of traces that are followed."""
        return len(self._feeds)

    async def _close_later(self, feed: Feed) -> None:
        await asyncio.sleep(KEEP_SECONDS)
        if not feed.has_viewers and self._feeds.get(feed.trace_id) is feed:
            del self._feeds[feed.trace_id]
            await feed.stop()

    async def stop(self) -> None:
        """Stop every feed."""
        for closer in list(self._closers):
            closer.cancel()
        await asyncio.gather(*self._closers, return_exceptions=True)
        await asyncio.gather(*(feed.stop() for feed in self._feeds.values()))
        self._feeds.clear()
