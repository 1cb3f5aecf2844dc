"""Value types that the agent's packages exchange: ids, blocks, files, batches, intents, outcomes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tracetail.loki.push import Body, Rows

LOKI = "loki"
KAFKA = "kafka"
OTLP = "otlp"
"""The names of the outputs."""


class Ids(NamedTuple):
    """The ids in a line's prefix."""

    trace_id: str
    instance_id: str


class Block(NamedTuple):
    """Consecutive bytes of a file: whole lines, except for the last one if `unfinished`."""

    data: bytes
    start: int
    """Offset of the first byte in the file."""
    end: int
    unfinished: bool
    behind: bool
    """The file holds more data that can be read at once."""


@dataclass(slots=True)
class FileRow:
    """A file of a source, as in the journal's table `files`."""

    path: str
    device: int
    inode: int
    head: bytes
    """The first bytes of the file, to recognise it."""
    tail: bytes = b""
    """The bytes before the position, to detect that the content was replaced."""
    position: int = 0
    """Every byte before this offset is acknowledged or among the rejected lines."""
    size: int = 0
    """The largest size seen."""
    seen_ns: int = 0
    """When the file was first seen."""
    real_path: str = ""
    """Of the file itself, if `path` is a link to it."""
    done: bool = False
    """It was read to its end and will not grow."""
    id: int = 0
    """In the journal; 0 before it is written there."""


class Fingerprint(NamedTuple):
    """What identifies a file's content up to a position."""

    head: bytes
    """The first bytes."""
    tail: bytes
    """The bytes before the position."""
    size: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A byte range of a file that was lost before it could be read: from the row's position to `end`."""

    row: FileRow
    end: int
    reason: str
    ends_file: bool = True
    """Nothing more is read of the file."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A byte range of a file to be delivered, and what changes in the journal once it is acknowledged."""

    source_id: int
    file: FileRow | None
    start: int
    end: int
    fingerprint: Fingerprint
    """Of the file, at the position `end`."""
    lines: int
    """0 for an event of the agent's own."""
    redacted: int
    state: Mapping[str, Any]
    """The parser's state after the last line."""
    bodies: list[Body]
    completes: bool = False
    """The source is complete once this batch is acknowledged."""


@dataclass(slots=True)
class Intent:
    """The body of one push request that is in the journal and not acknowledged yet."""

    id: int
    batch_id: int
    labels: Mapping[str, str]
    body: bytes
    first_ns: int
    last_ns: int
    entries: int
    rows: Rows
    retimed: bool
    """Its entries were refused for their time and have a later one now."""
    may_wait: bool = False
    """Its acknowledgement: it is the only one of its batch, and more of the log will follow."""


@dataclass(slots=True)
class Outcome:
    """The result of a batch's delivery."""

    rejected: int = 0
    """Entries that Loki refused."""
    last_ns: int = 0
    """The newest timestamp sent; later than the batch's own if entries were sent again with a later time."""


@dataclass(slots=True)
class BatchSummary:
    """What an acknowledged batch contained, for the metrics of servers."""

    labels: Mapping[str, str]
    """Of the source, without ids from its lines."""
    lines: int = 0
    levels: dict[str, int] = field(default_factory=dict)
    """Number of lines by level."""
    events: list[tuple[int, bytes]] = field(default_factory=list)
    """Timestamp and text of each of the keeper's events; contract.logline.parse_event parses the text."""
    stats: list[tuple[int, bytes]] = field(default_factory=list)
    """Timestamp and text of each line of engine statistics."""
