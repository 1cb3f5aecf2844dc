"""Which record a line belongs to, and so which level it has; its metadata, encoded.

A line with a header is a record of its own. An indented or empty line without one continues the record before it.
A traceback is an error from its `Traceback` line to its exception line, whatever other processes print in between.

What a header means is kept by the bytes that it depends on, encoded: the same few headers come again and again.
"""

import re
from typing import Any, NamedTuple

from agent import encoding, formats
from contract.labels import METADATA_REQUEST_ID

_KNOWN_MAX = 4096
_CLOCK_BYTES = len(b"11-22 13:12:10")
_CLOCK_SHAPE = b"00-00 00:00:00"
_DIGITS_ALIKE = bytes.maketrans(b"0123456789", b"0000000000")
_OPEN_MAX = 64
HEAD_BYTES = 10
"""So long is the beginning of every line of uvicorn: `INFO:     `, `CRITICAL: `."""
_UVICORN_LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_JSON_START = b'{"asctime": "'
_JSON_TIME_AT = len(_JSON_START)
_MAY_HAVE_PREFIX = b"([\x1b"
_TRACEBACK_UNDER_HEADER = b"] " + formats.TRACEBACK
_TRACEBACK_END = b"(most recent call last):"
_MILD = re.compile(rb"\b(?:DEBUG|INFO|WARNING) ")


_REQUEST_PAIR = [encoding.metadata({METADATA_REQUEST_ID: b"x" * n})[: -n or None] for n in range(128)]
"""What stands before a request's id of so many bytes."""


class Level(NamedTuple):
    """A level with its encoded metadata, for lines that tell nothing else."""

    name: str
    meta: bytes


class Ids(NamedTuple):
    """The ids that a line's prefix tells."""

    trace_id: str
    instance_id: str


class Known(NamedTuple):
    """What a header means."""

    meta: bytes
    level: Level
    may_be_stats: bool = False
    when: bytes | None = None
    tells_nothing_else: bool = False
    """It is a level and no more: an access line of uvicorn, or a line without a header."""
    ids: Ids | None = None
    """What VLLM_LOGGING_PREFIX printed in front."""


JSON_TIME = b"{"
"""As `when`: the time is in Records.json_when."""


class Records:
    """Remembers the record at hand and the open tracebacks of one log, line by line."""

    further_on = Known(b"", Level("", b""))
    """In `headers`: these bytes are only a prefix, the header proper ends at the next `]`."""
    json = Known(b"", Level("", b""))
    """In `heads`: this is vLLM's JSON, ask json_line()."""

    def __init__(self, state: dict[str, Any], *, structured_metadata: bool = True, plain: bool = False) -> None:
        """Go on where `state` (what state() returned) was taken; {} for a log's beginning.

        plain: every line is a record of its own, of level info.
        """
        self._plain = plain
        self._structured = structured_metadata
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
        self.headers: dict[bytes, Known] = {}
        """By the text up to the first `]` and the blank behind it."""
        self.heads = {
            f"{name}:".ljust(HEAD_BYTES).encode(): Known(level.meta, level, tells_nothing_else=True)
            for name in _UVICORN_LEVELS
            for level in (self._levels[formats.LEVELS[name]],)
        }
        """By the first ten bytes."""
        self.heads[_JSON_START[:HEAD_BYTES]] = self.json
        if plain:
            self.heads.clear()
        self.json_when = b""
        """The time in the last JSON line."""
        self._json: dict[bytes, Known] = {}
        self._suffice = True
        self._timeless: dict[bytes, Known] = {}
        """Headers without the time in them."""
        self._metas: dict[tuple[str, bytes | None, bytes | None, bytes | None], bytes] = {}
        self._unheaded = {level: Known(level.meta, level, tells_nothing_else=True) for level in self._levels.values()}

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

    def add(self, text: bytes) -> Known:
        """Take the next line; return what is known of it (without the id of a request)."""
        known = None
        if self._suffice and (known := self.heads.get(text[:HEAD_BYTES])) is not self.json:
            end = text.find(b"]") + 2
            known = known or self.headers.get(text[:end])
            if known is self.further_on:
                known = self.headers.get(text[: text.find(b"]", end) + 2])
        if known is None or known is self.json:
            known = self.add_unknown(text)
        self.level = known.level
        self.cut = False
        return known

    def add_unknown(self, text: bytes) -> Known:
        """Take a line whose header is not in `heads` or `headers`; the caller keeps level and cut."""
        if self._plain:
            return self._unheaded[self._info]
        first = text[:1]
        if not first or first.isspace():
            return self.indented(text)
        if first == b"{":
            return self.json_line(text)
        if self._suffice and (known := self._same_but_later(text)):
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
            return self._unheaded[level]
        meta = self._meta(level, header.process or process, header.pid or pid, header.source)
        known = Known(meta, level, formats.may_be_stats(header), header.when, ids=ids)
        if header.exact and level.name == header.level:
            self._keep(text, header, known)
        return known

    def indented(self, text: bytes) -> Known:
        """Return what is known of an indented or empty line: it continues the record or the traceback."""
        if b"" in self._open or (text.endswith(_TRACEBACK_END) and formats.starts_traceback(text)):
            return self._unheaded[self._error]
        return self._unheaded[self.level]

    def _keep(self, text: bytes, header: formats.Header, known: Known) -> None:
        if len(self.headers) >= _KNOWN_MAX:
            self.headers.clear()
        self.headers[text[: header.body]] = known
        first_end = text.find(b"]") + 2
        if first_end < header.body:
            self.headers[text[:first_end]] = self.further_on
        clock_end = text.rfind(b" [", 0, header.body)
        if text[clock_end - _CLOCK_BYTES : clock_end] == header.when:
            if len(self._timeless) >= _KNOWN_MAX:
                self._timeless.clear()
            self._timeless[text[: clock_end - _CLOCK_BYTES] + text[clock_end : header.body]] = known

    def _same_but_later(self, text: bytes) -> Known | None:
        """Return what is known of a header that was seen before with another time."""
        end = text.find(b"]") + 2
        if self.headers.get(text[:end]) is self.further_on:
            end = text.find(b"]", end) + 2
        clock_end = text.rfind(b" [", 0, end)
        known = self._timeless.get(text[: clock_end - _CLOCK_BYTES] + text[clock_end:end])
        if known is None or clock_end < _CLOCK_BYTES:
            return None
        when = text[clock_end - _CLOCK_BYTES : clock_end]
        if when.translate(_DIGITS_ALIKE) != _CLOCK_SHAPE:
            return None
        known = Known(known.meta, known.level, known.may_be_stats, when, ids=known.ids)
        if len(self.headers) >= _KNOWN_MAX:
            self.headers.clear()
        self.headers[text[:end]] = known
        return known

    def json_line(self, text: bytes) -> Known:
        """Take a JSON line. What stands before and after the message is the same in many lines, but for the time.

        Neither `", "` nor `, "message"` can stand inside a JSON string: a quote in it has a backslash before it.
        """
        time_end = text.find(b'", "')
        message = text.find(b', "message": "', time_end)
        rest = text.rfind(b'", "')
        key = text[time_end:message] + text[rest:]
        known = self._json.get(key)
        if known is None:
            known = self._known_of(formats.json_header(text))
            if message < 0 or rest < message or not text.startswith(_JSON_START) or not text.endswith(b'"}'):
                return known
            if known.when is not None:
                known = known._replace(when=JSON_TIME)
            if len(self._json) >= _KNOWN_MAX:
                self._json.clear()
            self._json[key] = known
        self.json_when = text[_JSON_TIME_AT:time_end]
        return known

    def _known_of(self, header: formats.Header) -> Known:
        if header.level is None:
            return self._unheaded[self.level if self.cut else self._info]
        level = self._levels[header.level]
        meta = self._meta(level, header.process, header.pid, header.source)
        return Known(meta, level, may_be_stats=True, when=header.when)

    def _level_of(self, text: bytes, prefix_end: int, header: formats.Header) -> Level:
        """Return the level of a line: its own, that of the record or of the traceback that it continues, or info."""
        own = header.level
        if own in ("error", "critical"):
            return self._levels[own]
        body = header.body if own else prefix_end
        continues = self.cut or not text[body:] or text[body : body + 1].isspace()
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

    def with_request(self, meta: bytes, text: bytes, at: int) -> bytes:
        """Return meta with the id of the request that text speaks of, if it does, from `at` on."""
        request_id = formats.request_id(text, at)
        if request_id is None or not self._structured:
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
        return encoding.metadata(pairs) if self._structured else b""


def _ids_of(prefix: re.Match[bytes]) -> Ids | None:
    """Return the ids that a server itself printed in front of its line."""
    trace_id, instance_id = (prefix[1], prefix[2]) if prefix[1] else (prefix[5], prefix[6])
    return Ids(trace_id.decode(), instance_id.decode()) if trace_id else None
