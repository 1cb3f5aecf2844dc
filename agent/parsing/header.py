"""What the header of a line means, encoded, by the bytes that it depends on: the same few come again and again."""

import re
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import orjson

from tracetail.agent.parsing.scan_plain import HEAD_BYTES, JSON_MESSAGE
from tracetail.contract.engine_lines import LEVELS, UVICORN_LEVELS, Header, find_request_id, parse_json_header
from tracetail.contract.labels import METADATA_REQUEST_ID
from tracetail.loki import entries

_KNOWN_MAX = 2048
_KEY_MAX_BYTES = 512
_CLOCK_BYTES = len(b"11-22 13:12:10")
_CLOCK_SHAPE = b"00-00 00:00:00"
_DIGITS_ALIKE = bytes.maketrans(b"0123456789", b"0000000000")
_JSON_START = b'{"asctime": "'
_JSON_TIME_AT = len(_JSON_START)
_REQUEST_PAIR = [entries.encode_metadata({METADATA_REQUEST_ID: b"x" * n})[: -n or None] for n in range(128)]
"""What stands before a request's id of so many bytes."""


class Ids(NamedTuple):
    """The ids that a line's prefix tells."""

    trace_id: str
    instance_id: str


@dataclass(slots=True, eq=False)
class Told:
    """What the beginning of a line tells about time and ids; in one second it is the same for many lines."""

    when: bytes | None = None
    """The engine's own time, as it stands there."""
    ids: Ids | None = None
    """What VLLM_LOGGING_PREFIX printed in front."""


@dataclass(slots=True, eq=False)
class Known(Told):
    """What a header means."""

    meta: bytes = b""
    level: "Level" = field(kw_only=True)
    may_be_stats: bool = False
    tells_nothing_else: bool = False
    """It is a level and no more: an access line of uvicorn, or a line without a header."""


@dataclass(slots=True, eq=False)
class Front(Told):
    """What stands before the ` [` of a header: prefix, level and clock, of one second."""

    sources: dict[bytes, Known] = field(default_factory=dict)
    """By what stands in the bracket; the fronts of all seconds have them in common."""


class Level:
    """A level with its encoded metadata, for lines that tell nothing else."""

    __slots__ = ("meta", "name", "unheaded")

    def __init__(self, name: str, meta: bytes) -> None:
        self.name = name
        self.meta = meta
        self.unheaded = Known(meta=meta, level=self, tells_nothing_else=True)
        """Of a line without a header."""


JSON_TIME = b"{"
"""As `when`: the time is what json_time() finds in the line."""


class Headers:
    """The headers that were seen. All logs share them: what a header means does not depend on where it stands."""

    def __init__(self, *, structured_metadata: bool = True) -> None:
        """structured_metadata: without, every `meta` is empty."""
        self.structured_metadata = structured_metadata
        names = dict.fromkeys(LEVELS.values())
        self.levels = {name: Level(name, self.encode(level=name)) for name in names}
        self.json_head = Known(level=self.levels["info"])
        """In `heads`: this is vLLM's JSON, ask json_line()."""
        self.heads = {
            f"{name}:".ljust(HEAD_BYTES).encode(): Known(meta=level.meta, level=level, tells_nothing_else=True)
            for name in UVICORN_LEVELS
            for level in (self.levels[LEVELS[name]],)
        }
        """By the first ten bytes."""
        self.heads[_JSON_START[:HEAD_BYTES]] = self.json_head
        self.fronts: dict[bytes, Front] = {}
        """By the text up to ` [`."""
        self._timeless: dict[bytes, Front] = {}
        """By the same without the clock: a front of some second."""
        self._bracketed: dict[bytes, Known] = {}
        """SGLang's headers: a bracket in front is all of it."""
        self.json: dict[bytes, Known] = {}
        """Of vLLM's JSON: by what stands between the time and the message, and behind the message."""
        self._metas: dict[tuple[str, bytes | None, bytes | None, bytes | None], bytes] = {}

    def front_of_another_second(self, before: bytes) -> Front | None:
        """Return the front that a line begins with up to ` [`, if it was seen with another clock."""
        like = self._timeless.get(before[:-_CLOCK_BYTES])
        when = before[-_CLOCK_BYTES:]
        if like is None or when.translate(_DIGITS_ALIKE) != _CLOCK_SHAPE:
            return None
        front = Front(when, like.ids, like.sources)
        _keep(self.fronts, before, front)
        return front

    def bracketed(self, text: bytes) -> Known | None:
        """Return what the bracket means in which all of the header stands, if it was seen."""
        return self._bracketed.get(text[: text.find(b"] ") + 2])

    def json_line(self, text: bytes) -> Known | None:
        """Return what a JSON line means; None if it is not JSON.

        What stands before and after the message is the same in many lines, but for the time. Neither `", "` nor
        `, "message"` can stand inside a JSON string: a quote in it has a backslash before it.
        """
        before, _, rest = text.partition(b'", "')
        fields, message, rest = rest.partition(JSON_MESSAGE)
        key = fields + b"\n" + rest.rpartition(b'", "')[2]
        known = self.json.get(key)
        if known is None:
            header = parse_json_header(text, loads=orjson.loads)
            if header.level is None:
                return None
            level = self.levels[header.level]
            known = Known(header.timestamp, None, self.meta(level, header), level=level)
            known.may_be_stats = may_be_stats(header)
            if message and header.timestamp is not None and before.startswith(_JSON_START) and text.endswith(b'"}'):
                known.when = JSON_TIME
                _keep(self.json, key, known)
        return known

    def known(self, text: bytes, header: Header, level: Level, prefix: re.Match[bytes] | None) -> Known:
        """Return what is known of a line with this header, and keep what other lines can share.

        level: of the line; that of the header, unless it is part of a traceback. prefix: a match of PREFIX.
        """
        process, pid = (prefix[3], prefix[4]) if prefix else (None, None)
        ids = _ids_of(prefix) if prefix else None
        if ids is None and not (process or header.process or header.pid or header.source or header.timestamp):
            return level.unheaded
        meta = self.meta(level, header, process, pid)
        known = Known(header.timestamp, ids, meta, level=level, may_be_stats=may_be_stats(header))
        if header.cacheable and level.name == header.level:
            self._share(text, header, known)
        return known

    def _share(self, text: bytes, header: Header, known: Known) -> None:
        """Keep what an exact header means, where it has one of the two shapes that are looked up."""
        if header.source is None:
            _keep(self._bracketed, text[: header.body], known)
            return
        before, _, behind = text.partition(b" [")
        if (
            header.timestamp is None
            or not before.endswith(header.timestamp)
            or not behind.startswith(header.source + b"] ")
        ):
            return
        timeless = before[:-_CLOCK_BYTES]
        like = self._timeless.get(timeless)
        if like is None:
            like = Front(header.timestamp, known.ids)
            _keep(self._timeless, timeless, like)
        _keep(like.sources, header.source, known)
        _keep(self.fronts, before, Front(header.timestamp, known.ids, like.sources))

    def with_request(self, meta: bytes, text: bytes) -> bytes:
        """Return meta with the id of the request that text speaks of, if it does."""
        request_id = find_request_id(text)
        if request_id is None or not self.structured_metadata:
            return meta
        return meta + _REQUEST_PAIR[len(request_id)] + request_id

    def meta(self, level: Level, header: Header, process: bytes | None = None, pid: bytes | None = None) -> bytes:
        """Return the metadata of a line with this header; process and pid count where it tells none."""
        process, pid = header.process or process, header.pid or pid
        key = (level.name, process, pid, header.source)
        meta = self._metas.get(key)
        if meta is None:
            meta = self.encode(level=level.name, process=process, pid=pid, source=header.source)
            _keep(self._metas, key, meta)
        return meta

    def encode(self, **pairs: str | bytes | None) -> bytes:
        """Return metadata, encoded; nothing for a Loki without structured metadata."""
        return entries.encode_metadata(pairs) if self.structured_metadata else b""


def may_be_stats(header: Header) -> bool:
    """Return whether lines with this header may be the engine's statistics.

    vLLM prints them from loggers.py. SGLang's header has a timestamp and no source; in JSON the source may be the
    name of a logger.
    """
    if header.source is None:
        return header.timestamp is not None
    return header.source.startswith((b"loggers.py", b"metrics.py")) or b":" not in header.source


def json_time(text: bytes) -> bytes:
    """Return the time in a line of vLLM's JSON, of which JSON_TIME was told."""
    return text[_JSON_TIME_AT : text.find(b'", "')]


_K = TypeVar("_K", bytes, tuple[str, bytes | None, bytes | None, bytes | None])
_V = TypeVar("_V")


def _keep(known: dict[_K, _V], key: _K, value: _V) -> None:
    """Remember something, within bounds: what stands in a line is up to whoever wrote it."""
    if isinstance(key, bytes) and len(key) > _KEY_MAX_BYTES:
        return
    if len(known) >= _KNOWN_MAX:
        known.clear()
    known[key] = value


def _ids_of(prefix: re.Match[bytes]) -> Ids | None:
    """Return the ids that a server itself printed in front of its line."""
    trace_id, instance_id = (prefix[1], prefix[2]) if prefix[1] else (prefix[5], prefix[6])
    return Ids(trace_id.decode(), instance_id.decode()) if trace_id else None
