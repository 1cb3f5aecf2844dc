"""One open live stream: its position in each log, and the queue of messages that wait for it."""

import asyncio
from collections.abc import Mapping

from tracetail.panel.trace.entry import FIRST_KEY, Key
from tracetail.panel.trace.stream_messages import Message, late_messages, lines_messages

_QUEUE_MESSAGES = 400
_QUEUE_BYTES = 4 * 1024 * 1024
"""A viewer whose queue is longer than this, or holds more, drops the queue and reads from Loki again."""


class Viewer:
    """The receiving end of a feed."""

    def __init__(self, positions: Mapping[str, Key]) -> None:
        self.positions = dict(positions)
        """The last line sent of each log, by source."""
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
        """Return the message without lines that were sent already, None if nothing is left; advance the positions.

        Returns the same object, with its encoding shared by all viewers, if it has no such line.
        """
        sent = self.positions
        if message.late:
            return self._without_backfilled(message)
        repeated = any(sent.get(source, FIRST_KEY) >= entries[0].key for source, entries in message.parts.items())
        if repeated:
            parts = {
                source: new
                for source, entries in message.parts.items()
                if (new := [entry for entry in entries if entry.key > sent.get(source, FIRST_KEY)])
            }
            if not parts:
                return None
            message = next(lines_messages(parts, sent, []))
        sent.update({source: entries[-1].key for source, entries in message.parts.items()})
        return message

    def _without_backfilled(self, message: Message) -> Message | None:
        """Return the message without lines that were read from Loki, or will be."""
        parts = {
            source: new
            for source, entries in message.parts.items()
            if (new := [e for e in entries if e.key <= self.positions.get(source, FIRST_KEY)])
            and (new := [e for e in new if e.key not in self.backfilled])
        }
        return next(late_messages(parts), None)
