"""Which record a line belongs to, and so which level it has; its metadata, encoded.

A line with a header is a record of its own. An indented or empty line without one continues the record before it.
A traceback is an error from its `Traceback` line to its exception line, whatever other processes print in between.

What a header means is kept by the bytes that it depends on, encoded: the same few headers come again and again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agent import encoding, formats
from contract.labels import METADATA_REQUEST_ID
from contract.logline import MARK_CUT

_KNOWN_MAX = 4096
_CLOCK_BYTES = len(b"11-22 13:12:10")
_CLOCK_SHAPE = b"00-00 00:00:00"
_DIGITS_ALIKE = bytes.maketrans(b"0123456789", b"0000000000")
_OPEN_MAX = 64
_HEAD_BYTES = 10
"""So long is the beginning of every line of uvicorn: `INFO:     `, `CRITICAL: `."""
_UVICORN_LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_JSON_START = b'{"asctime": "'
_JSON_TIME_AT = len(_JSON_START)
_MAY_HAVE_PREFIX = b"([\x1b"
_TRACEBACK_UNDER_HEADER = b"] " + formats.TRACEBACK
_TRACEBACK_END = b"(most recent call last):"
_MILD = re.compile(rb"\b(?:DEBUG|INFO|WARNING) |\[\d{4}-\d\d-\d\d ")
_STATS = b"throughput"
_REQUEST_PAIR = [encoding.metadata({METADATA_REQUEST_ID: b"x" * n})[: -n or None] for n in range(128)]
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


class Taken(NamedTuple):
    """What is known of some lines, one item per line in `metas` and `told`."""

    metas: list[bytes]
    told: list[Told]
    stats: list[int]
    """Which lines are the engine's statistics."""

    def part(self, start: int, end: int) -> "Taken":
        """Return what is known of the lines from start to end."""
        here = slice(start, end)
        return Taken(
            self.metas[here], self.told[here], [place - start for place in self.stats if start <= place < end]
        )


JSON_TIME = b"{"
"""As `when`: the time is what json_time() finds in the line."""


class Records:
    """Remembers the record at hand and the open tracebacks of one log, line by line."""

    def __init__(self, state: dict[str, Any], *, structured_metadata: bool = True, plain: bool = False) -> None:
        """Go on where `state` (what state() returned) was taken; {} for a log's beginning.

        plain: every line is a record of its own, of level info.
        """
        self._plain = plain
        self.structured_metadata = structured_metadata
        names = dict.fromkeys(formats.LEVELS.values())
        self._levels = {name: Level(name, self.encode(level=name)) for name in names}
        self._info = self._levels["info"]
        self._error = self._levels["error"]
        self.level = self._levels[state.get("level", "info")]
        """Of the record at hand."""
        self.cut: bool = state.get("cut", False)
        """The line before was cut: this one continues it."""
        self._open: set[bytes] = {key.encode() for key in state.get("open", ())}
        self._open_headed: set[bytes] = {key.encode() for key in state.get("open_headed", ())}
        self._heads = {
            f"{name}:".ljust(_HEAD_BYTES).encode(): Known(meta=level.meta, level=level, tells_nothing_else=True)
            for name in _UVICORN_LEVELS
            for level in (self._levels[formats.LEVELS[name]],)
        }
        """By the first ten bytes."""
        self._json_head = Known(level=self._info)
        """In `_heads`: this is vLLM's JSON, ask _json_line()."""
        self._heads[_JSON_START[:_HEAD_BYTES]] = self._json_head
        if plain:
            self._heads.clear()
        self._fronts: dict[bytes, Front] = {}
        """By the text up to ` [`."""
        self._timeless: dict[bytes, Front] = {}
        """By the same without the clock: a front of some second."""
        self._bracketed: dict[bytes, Known] = {}
        """SGLang's headers: a bracket in front is all of it."""
        self._json: dict[bytes, Known] = {}
        self._suffice = True
        self._metas: dict[tuple[str, bytes | None, bytes | None, bytes | None], bytes] = {}

    def state(self) -> dict[str, Any]:
        """Return what later lines depend on, as JSON can hold it."""
        return {
            "level": self.level.name,
            "cut": self.cut,
            "open": [key.decode(errors="replace") for key in sorted(self._open)],
            "open_headed": [key.decode(errors="replace") for key in sorted(self._open_headed)],
        }

    def headers_suffice(self, block: bytes) -> bool:
        """Say whether headers in block mean what they say: no traceback stands under a milder one."""
        self._suffice = not self._open_headed and self._nothing_below_a_mild_header(block)
        return self._suffice

    def _nothing_below_a_mild_header(self, block: bytes) -> bool:
        at = block.find(_TRACEBACK_UNDER_HEADER)
        while at >= 0:
            if _MILD.search(block, block.rfind(b"\n", 0, at) + 1, at):
                return False
            at = block.find(_TRACEBACK_UNDER_HEADER, at + 1)
        return True

    def take(self, texts: Sequence[bytes]) -> Taken:
        """Take the next lines; only if headers_suffice() said so.

        The agent spends most of its time here. A line whose header was seen before costs two look-ups, and no object
        is made for it.
        """
        metas: list[bytes] = []
        told: list[Told] = []
        head: Told
        stats: list[int] = []
        add_meta, tell = metas.append, told.append
        heads, fronts, json_head = self._heads, self._fronts, self._json_head
        level = self.level
        request = formats.REQUEST
        for text in texts:
            known = heads.get(text[:_HEAD_BYTES])
            if known is None:
                if text[:1] == b" ":
                    self.level = level
                    head = known = self._indented(text)
                else:
                    before, _, body = text.partition(b" [")
                    front = fronts.get(before)
                    if front and (known := front.sources.get(body.partition(b"] ")[0])):
                        head = front
                    else:
                        self.level = level
                        self.cut = self.cut and not metas
                        known, head = self._unknown(text, before, body)
            elif known is json_head:
                head = known = self._json_line(text)
            else:
                head = known
            level = known.level
            tell(head)
            if known.tells_nothing_else:
                add_meta(known.meta)
                continue
            if text.find(request) >= 0:
                add_meta(self._with_request(known.meta, text))
            else:
                add_meta(known.meta)
            if known.may_be_stats and _STATS in text:
                stats.append(len(metas) - 1)
        if metas:
            self.level = level
            self.cut = False
        return Taken(metas, told, stats)

    def add(self, text: bytes, mark: str | None = None) -> Taken:
        """Take one line, with the keeper's mark if it has one."""
        if self._suffice:
            taken = self.take((text,))
        else:
            known = self._add_unknown(text)
            self.level = known.level
            meta = known.meta if known.tells_nothing_else else self._with_request(known.meta, text)
            taken = Taken([meta], [known], [0] if known.may_be_stats and _STATS in text else [])
        self.cut = mark == MARK_CUT
        if mark:
            taken.metas[0] += self.encode(kind=mark)
        return taken

    def _unknown(self, text: bytes, before: bytes, behind: bytes) -> tuple[Known, Told]:
        """Take a line whose header, if it has one, was not seen before in this second.

        before, behind: the text up to the first ` [`, and from there on.
        """
        if like := self._timeless.get(before[:-_CLOCK_BYTES]):
            when = before[-_CLOCK_BYTES:]
            if when.translate(_DIGITS_ALIKE) == _CLOCK_SHAPE:
                front = self._keep_front(before, Front(when, like.ids, like.sources))
                if known := front.sources.get(behind.partition(b"] ")[0]):
                    return known, front
        known = self._add_unknown(text)
        return known, known

    def _keep_front(self, key: bytes, front: Front) -> Front:
        if len(self._fronts) >= _KNOWN_MAX:
            self._fronts.clear()
        self._fronts[key] = front
        return front

    def _add_unknown(self, text: bytes) -> Known:
        """Take any line, by looking at it closely; the caller keeps level and cut."""
        if self._plain:
            return self._info.unheaded
        first = text[:1]
        if not first or first.isspace():
            return self._indented(text)
        if first == b"{":
            return self._json_line(text)
        if first == b"[" and self._suffice and (known := self._bracketed.get(text[: text.find(b"] ") + 2])):
            return known
        at = 0
        prefix = None
        if first in _MAY_HAVE_PREFIX:
            prefix = formats.PREFIX.match(text)
            assert prefix is not None
            at = prefix.end()
        header = formats.header_of(text, at)
        level = self._level_of(text, at, header)
        process = pid = ids = None
        if prefix:
            process, pid = prefix[3], prefix[4]
            ids = _ids_of(prefix)
        if header is formats.NONE and process is None and ids is None:
            return level.unheaded
        meta = self._meta(level, header.process or process, header.pid or pid, header.source)
        known = Known(header.when, ids, meta, level=level, may_be_stats=formats.may_be_stats(header))
        if header.exact and level.name == header.level:
            self._keep(text, header, known)
        return known

    def _indented(self, text: bytes) -> Known:
        """Return what is known of an indented or empty line: it continues the record or the traceback."""
        if b"" in self._open or (text.endswith(_TRACEBACK_END) and formats.starts_traceback(text)):
            return self._error.unheaded
        return self.level.unheaded

    def _keep(self, text: bytes, header: formats.Header, known: Known) -> None:
        """Keep what an exact header means, where it has one of the two shapes that are looked up."""
        if text.startswith(b"[") and header.source is None:
            if len(self._bracketed) >= _KNOWN_MAX:
                self._bracketed.clear()
            self._bracketed[text[: header.body]] = known
            return
        before, _, behind = text.partition(b" [")
        if header.when is not None and header.source is not None and before.endswith(header.when):
            if not behind.startswith(header.source + b"] "):
                return
            timeless = before[:-_CLOCK_BYTES]
            like = self._timeless.get(timeless)
            if like is None or len(like.sources) >= _KNOWN_MAX:
                if len(self._timeless) >= _KNOWN_MAX:
                    self._timeless.clear()
                like = self._timeless[timeless] = Front(header.when, known.ids)
            like.sources[header.source] = known
            self._keep_front(before, Front(header.when, known.ids, like.sources))

    def _json_line(self, text: bytes) -> Known:
        """Take a JSON line. What stands before and after the message is the same in many lines, but for the time.

        Neither `", "` nor `, "message"` can stand inside a JSON string: a quote in it has a backslash before it.
        """
        before, _, rest = text.partition(b'", "')
        fields, message, rest = rest.partition(b', "message": "')
        key = fields + b"\n" + rest.rpartition(b'", "')[2]
        known = self._json.get(key)
        if known is None:
            known = self._known_of(formats.json_header(text))
            if not message or not before.startswith(_JSON_START) or not text.endswith(b'"}'):
                return known
            if known.when is not None:
                known.when = JSON_TIME
            if len(self._json) >= _KNOWN_MAX:
                self._json.clear()
            self._json[key] = known
        return known

    def _known_of(self, header: formats.Header) -> Known:
        if header.level is None:
            return (self.level if self.cut else self._info).unheaded
        level = self._levels[header.level]
        meta = self._meta(level, header.process, header.pid, header.source)
        return Known(header.when, None, meta, level=level, may_be_stats=True)

    def _level_of(self, text: bytes, prefix_end: int, header: formats.Header) -> Level:
        """Return the level of a line: its own, that of the record or of the traceback that it continues, or info."""
        own = header.level
        if own in ("error", "critical"):
            return self._levels[own]
        body = header.body if own else prefix_end
        first = text[body : body + 1]
        continues = self.cut or not first or first.isspace()
        key = text[:prefix_end] + (header.source or b"")
        opened = self._open_headed if own else self._open
        if formats.starts_traceback(text, body):
            if not formats.is_exception_group(text, body) and len(opened) < _OPEN_MAX:
                opened.add(key)
            return self._error
        if key in opened:
            if continues:
                return self._error
            opened.discard(key)
            if formats.EXCEPTION_LINE.match(text, body):
                return self._error
        if own:
            return self._levels[own]
        return self.level if continues else self._info

    def _with_request(self, meta: bytes, text: bytes) -> bytes:
        """Return meta with the id of the request that text speaks of, if it does."""
        request_id = formats.request_id(text)
        if request_id is None or not self.structured_metadata:
            return meta
        return meta + _REQUEST_PAIR[len(request_id)] + request_id

    def _meta(self, level: Level, process: bytes | None, pid: bytes | None, source: bytes | None) -> bytes:
        key = (level.name, process, pid, source)
        meta = self._metas.get(key)
        if meta is None:
            if len(self._metas) >= _KNOWN_MAX:
                self._metas.clear()
            meta = self._metas[key] = self.encode(level=level.name, process=process, pid=pid, source=source)
        return meta

    def encode(self, **pairs: str | bytes | None) -> bytes:
        """Return metadata, encoded; nothing for a Loki without structured metadata."""
        return encoding.metadata(pairs) if self.structured_metadata else b""


def json_time(text: bytes) -> bytes:
    """Return the time in a line of vLLM's JSON, of which JSON_TIME was told."""
    return text[_JSON_TIME_AT : text.find(b'", "')]


def _ids_of(prefix: re.Match[bytes]) -> Ids | None:
    """Return the ids that a server itself printed in front of its line."""
    trace_id, instance_id = (prefix[1], prefix[2]) if prefix[1] else (prefix[5], prefix[6])
    return Ids(trace_id.decode(), instance_id.decode()) if trace_id else None
