"""The messages of Kafka that an intent becomes: one JSON object for each entry, with labels, metadata and text."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import orjson

from tracetail.agent.shipping.entry_identity import identity_of, source_of
from tracetail.contract.labels import METADATA_JSON_NAMES, METADATA_KIND
from tracetail.contract.logline import MARK_CUT
from tracetail.loki.entries import Entry, decode_metadata

PART_MIN_CHARACTERS = 64
"""A text that is shorter is not split: it is not what makes a message too large."""
_CACHED_METADATA = 4096


class Message(NamedTuple):
    """One message, as it is sent."""

    key: bytes
    """The launch, or the file: messages of one key keep their order."""
    value: bytes
    """A JSON object in UTF-8."""
    identity: bytes
    """Of the entry, the same each time it is sent."""
    time_ms: int
    """Of the entry, since the epoch; 0: the time of sending."""

    def halves(self) -> "list[Message]":
        """Return two messages with one half of the text each; [] if the text is not what makes it large.

        The first one is marked as `cut`. The same message has the same halves each time.
        """
        fields = orjson.loads(self.value)
        text = fields["text"]
        middle = len(text) // 2
        if middle < PART_MIN_CHARACTERS:
            return []
        first = {**fields, METADATA_KIND: MARK_CUT, "text": text[:middle]}
        second = {**fields, "text": text[middle:]}
        return [
            self._replace(value=orjson.dumps(half), identity=b"%b.%d" % (self.identity, number))
            for number, half in enumerate((first, second))
        ]

    def within(self, max_bytes: int) -> "Iterator[Message]":
        """Yield the message, or the parts of it that are no larger than max_bytes, as far as it can be split."""
        halves = [] if len(self.value) <= max_bytes else self.halves()
        if not halves:
            yield self
        for half in halves:
            yield from half.within(max_bytes)


def messages_of(labels: Mapping[str, str], entries: Sequence[Entry]) -> Iterator[Message]:
    """Yield the message of each entry of a stream."""
    key = source_of(labels)
    start = orjson.dumps(labels)[:-1] + (b"," if labels else b"")
    for time_ns, text, meta in entries:
        shown = orjson.dumps(text.decode(errors="replace"))
        value = b'%b"time":"%d"%b,"text":%b}' % (start, time_ns, _fields(meta), shown)
        yield Message(key, value, identity_of(key, time_ns, text), time_ns // 1_000_000)


@functools.lru_cache(_CACHED_METADATA)
def _fields(meta: bytes) -> bytes:
    """Return encoded structured metadata as fields of a JSON object, each with a comma before it."""
    pairs = {METADATA_JSON_NAMES.get(name, name): value for name, value in decode_metadata(meta).items()}
    return b"," + orjson.dumps(pairs)[1:-1] if pairs else b""
