"""One open live stream: its position in each log, and the queue of messages that wait for it."""

import asyncio
from collections.abc import Mapping

from tracetail.panel.trace.entry import FIRST_KEY, Entry, Key
from tracetail.panel.trace.request_filter import RequestFilter
from tracetail.panel.trace.stream_messages import Message, late_messages, lines_messages

_QUEUE_MESSAGES = 400
_QUEUE_BYTES = 4 * 1024 * 1024
"""A viewer whose queue is longer than this, or holds more, drops the queue and reads from Loki again."""


class Viewer:
    """The receiving end of a feed."""

    def __init__(self, positions: Mapping[str, Key], wanted: RequestFilter | None = None) -> None:
        self.wanted = wanted
        """Selects the lines of one request; None for all lines."""
        self.positions = dict(positions)
        """The last line of each log that was sent, or is not wanted, by source."""
        self._queue: asyncio.Queue[Message] = asyncio.Queue(_QUEUE_MESSAGES)
        self.queued_bytes = 0
        self.needs_backfill = True
        """Whether lines are missing from the queue and must be read from Loki."""
        self.backfilled: set[Key] = set()
        """The last lines of sharded logs that were read from Loki: those that may come again, as late ones."""

    def enqueue(self, message: Message) -> None:
        """Append a message. If the queue is full, empty it and request a backfill."""
        size = len(message.encoded)
        if self._queue.full() or (self.queued_bytes and self.queued_bytes + size > _QUEUE_BYTES):
            self.needs_backfill = True
            while not self._queue.empty():
                self._queue.get_nowait()
            self.queued_bytes = 0
            return
        self._queue.put_nowait(message)
        self.queued_bytes += size

    async def next_message(self) -> Message:
        """Wait for the first message of the queue, and take it out."""
        message = await self._queue.get()
        self.queued_bytes -= len(message.encoded)
        return message

    def without_sent(self, message: Message) -> Message | None:
        """Return the message without lines that were sent already, or are not wanted; advance the positions.

        Returns None if nothing is left, and the same object, with its encoding shared by all viewers, if all is.
        """
        sent = self.positions
        if message.late:
            return self._without_backfilled(message)
        ends = {source: max(sent.get(source, FIRST_KEY), each[-1].key) for source, each in message.parts.items()}
        repeated = any(sent.get(source, FIRST_KEY) >= entries[0].key for source, entries in message.parts.items())
        remaining: Message | None = message
        if message.parts and (repeated or self.wanted is not None):
            parts = {
                source: new
                for source, entries in message.parts.items()
                if (new := [e for e in entries if e.key > sent.get(source, FIRST_KEY) and self._is_wanted(e)])
            }
            remaining = next(lines_messages(parts, sent, [])) if parts else None
        sent.update(ends)
        return remaining

    def _is_wanted(self, entry: Entry) -> bool:
        return self.wanted is None or self.wanted.matches(entry)

    def _without_backfilled(self, message: Message) -> Message | None:
        """Return the message without lines that were read from Loki, or will be."""
        parts = {
            source: new
            for source, entries in message.parts.items()
            if (new := [e for e in entries if e.key <= self.positions.get(source, FIRST_KEY)])
            and (new := [e for e in new if e.key not in self.backfilled and self._is_wanted(e)])
        }
        return next(late_messages(parts), None)
