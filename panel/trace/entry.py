"""One line as Loki returned it, its place in the order of its trace, and its form in the panel's JSON."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from tracetail.contract import labels as names

_LOKI_ADDS = frozenset({"detected_level"})
"""Structured metadata that Loki puts in by itself: no part of what was pushed."""
POST = "post"
"""Structured metadata of lines that were posted to the panel: which post they came with."""
_METADATA = frozenset(names.METADATA_NAMES) | _LOKI_ADDS | {POST}


class InvalidKeyError(ValueError):
    """A text is not a key; the message says what one looks like."""


class Key(NamedTuple):
    """The place of an entry in the order of its trace: by time, then by a digest of what it is.

    Loki keeps entries of the same nanosecond in no order that a query could rely on; the digest gives them one.
    An empty digest stands before every entry of its nanosecond.
    """

    time_ns: int
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.time_ns}-{self.digest}" if self.digest else str(self.time_ns)

    @property
    def next(self) -> "Key":
        """The place right behind the entry of this key: before every other entry that follows it."""
        return Key(self.time_ns, self.digest + "0")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse what str() made, or a bare time in nanoseconds. Raises InvalidKeyError."""
        time_text, dash, digest = text.partition("-")
        if (
            not (time_text.isascii() and time_text.isdigit() and len(time_text) <= 19)
            or bool(dash) != bool(digest)
            or not all(c in "0123456789abcdef" for c in digest)
            or len(digest) > 17
            or int(time_text) >= 1 << 63
        ):
            raise InvalidKeyError(f"{text[:60]!r} is not a place in a log: nanoseconds, or the id of a line")
        return cls(int(time_text), digest)


FIRST_KEY = Key(0)
LAST_KEY = Key((1 << 63) - 1)


class Stream(NamedTuple):
    """What all entries of one of Loki's results have in common: labels and structured metadata, merged."""

    source: str
    """Which of the trace's logs it belongs to: the launchId, else a digest of the labels with a `~` before it."""
    launch_id: str
    fields: Mapping[str, str]
    canonical: bytes
    """Labels and metadata in one form, however Loki ordered them: part of every entry's identity."""

    @classmethod
    def of(cls, merged: Mapping[str, str]) -> Self:
        """Describe one result's `stream`."""
        fields = {name: value for name, value in merged.items() if name not in _LOKI_ADDS}
        canonical = "\x00".join(f"{name}\x01{fields[name]}" for name in sorted(fields)).encode() + b"\x02"
        return cls(source_of(fields), fields.get(names.LAUNCH_ID, ""), fields, canonical)


class Entry(NamedTuple):
    """One line of the trace."""

    key: Key
    stream: Stream
    text: str

    @property
    def time_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return self.key.time_ns

    def as_json(self) -> dict[str, Any]:
        """Return the entry as the API shows it, without what it has not. Times are strings: they exceed 2^53."""
        fields = self.stream.fields
        shown: dict[str, Any] = {"id": str(self.key), "time": str(self.key.time_ns), "text": self.text}
        shown["source"] = self.stream.source
        for name, label in _SHOWN:
            if value := fields.get(label):
                shown[name] = value
        return shown


_SHOWN = (
    ("level", names.METADATA_LEVEL),
    ("process", names.METADATA_PROCESS),
    ("pid", names.METADATA_PID),
    ("code", names.METADATA_SOURCE),
    ("requestId", names.METADATA_REQUEST_ID),
    ("kind", names.METADATA_KIND),
    ("originalTime", names.METADATA_ORIGINAL_TIME),
)


def source_of(merged: Mapping[str, str]) -> str:
    """Return which of a trace's logs the labels speak of (see Stream.source); metadata among them is ignored."""
    launch_id = merged.get(names.LAUNCH_ID)
    if launch_id:
        return launch_id
    pairs = sorted((name, value) for name, value in merged.items() if name not in _METADATA)
    return "~" + hashlib.blake2b(repr(pairs).encode(), digest_size=6).hexdigest()


def entries_from(result: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """Return the entries of the `result` of a log query, in no particular order."""
    found = []
    for group in result:
        stream = Stream.of(group["stream"])
        seed = hashlib.blake2b(stream.canonical, digest_size=8)
        for value in group["values"]:
            time_text, text = value[0], value[1]
            digest = seed.copy()
            digest.update(text.encode())
            found.append(Entry(Key(int(time_text), digest.hexdigest()), stream, text))
    return found
