"""One line as Loki returns it, its key in the order of its trace, and its JSON in the panel's API."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from tracetail.contract import labels as names
from tracetail.loki.client import without_internal

_ADDED_BY_LOKI = frozenset({"detected_level"})
"""Structured metadata that Loki adds itself; it is not part of the pushed entry."""
SHARD_LABEL = "__stream_shard__"
POST = "post"
"""Structured metadata of lines that were posted to the panel: the id of their post."""
_METADATA = frozenset(names.METADATA_NAMES) | _ADDED_BY_LOKI | {POST}


class InvalidKeyError(ValueError):
    """A text is not a key; the message describes the format."""


class Key(NamedTuple):
    """The position of an entry in the order of its trace: by time, then by a digest of its labels, metadata and text.

    Loki returns entries of the same nanosecond in no fixed order; the digest gives them one. A key with an empty
    digest precedes every entry of its nanosecond.
    """

    time_ns: int
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.time_ns}-{self.digest}" if self.digest else str(self.time_ns)

    @property
    def next(self) -> "Key":
        """The key directly after this one: after its entry, and before every following entry."""
        return Key(self.time_ns, self.digest + "0")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the result of str(), or a time in nanoseconds. Raises InvalidKeyError."""
        time_text, dash, digest = text.partition("-")
        if (
            not (time_text.isascii() and time_text.isdigit() and len(time_text) <= 19)
            or bool(dash) != bool(digest)
            or not all(c in "0123456789abcdef" for c in digest)
            or len(digest) > 17
            or int(time_text) >= 1 << 63
        ):
            raise InvalidKeyError(f"{text[:60]!r} is not a position in a log: nanoseconds, or the id of a line")
        return cls(int(time_text), digest)


FIRST_KEY = Key(0)
LAST_KEY = Key((1 << 63) - 1)


class Stream(NamedTuple):
    """What all entries of one element of Loki's result share: labels and structured metadata, merged."""

    source: str
    """The id of the log that it belongs to: the launchId, else `~` and a digest of the labels."""
    launch_id: str
    fields: Mapping[str, str]
    canonical: bytes
    """Labels and metadata in canonical form, independent of Loki's order: part of the digest of every entry."""
    is_sharded: bool = False
    """It is one of the streams that Loki has divided a stream into."""

    @classmethod
    def of(cls, merged: Mapping[str, str]) -> Self:
        """Return the stream for the `stream` object of a result."""
        fields = {name: value for name, value in without_internal(merged).items() if name not in _ADDED_BY_LOKI}
        canonical = "\x00".join(f"{name}\x01{fields[name]}" for name in sorted(fields)).encode() + b"\x02"
        return cls(source_of(fields), fields.get(names.LAUNCH_ID, ""), fields, canonical, SHARD_LABEL in merged)


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
        """Return the entry's JSON, without empty fields. Times are strings, because they exceed 2^53."""
        fields = self.stream.fields
        result: dict[str, Any] = {
            "id": str(self.key),
            "time": str(self.key.time_ns),
            "text": self.text,
            "source": self.stream.source,
        }
        result |= {name: value for name, label in _JSON_FIELDS if (value := fields.get(label))}
        return result


_JSON_FIELDS = tuple((names.METADATA_JSON_NAMES.get(label, label), label) for label in names.METADATA_NAMES)


def source_of(merged: Mapping[str, str]) -> str:
    """Return the source (see Stream.source) for labels; structured metadata among them is ignored."""
    launch_id = merged.get(names.LAUNCH_ID)
    if launch_id:
        return launch_id
    pairs = sorted((name, value) for name, value in without_internal(merged).items() if name not in _METADATA)
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
