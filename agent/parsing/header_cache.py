"""A cache of parsed headers, by the bytes that they consist of: a server prints the same few again and again."""

from typing import Any, TypeVar

import orjson

from tracetail.agent.model import Ids
from tracetail.agent.parsing.header import HeaderStart, KnownHeader, Level
from tracetail.contract.engine_lines import (
    ANSI,
    LEVELS,
    UVICORN_LEVELS,
    EngineLine,
    Header,
    find_request_id,
    may_have_header,
    parse_json_header,
    read_line,
)
from tracetail.contract.labels import METADATA_REQUEST_ID
from tracetail.contract.tracebacks import NEEDLE
from tracetail.loki.entries import encode_metadata

HEAD_BYTES = 10
"""Every header of uvicorn has this length: `INFO:     `, `CRITICAL: `."""
JSON_MESSAGE = b', "message": "'
JSON_TIME = b"{"
"""As `timestamp`: json_time() extracts it from the line."""

_ESCAPE = b"\x1b"
_COLOURED_BRACKET = b"]\x1b[0m "
_ENTRIES_MAX = 2048
_KEY_MAX_BYTES = 512
_CLOCK_BYTES = len(b"11-22 13:12:10")
_CLOCK_SHAPE = b"00-00 00:00:00"
_DIGITS_TO_ZERO = bytes.maketrans(b"0123456789", b"0000000000")
_JSON_START = b'{"asctime": "'
JSON_TIME_AT = len(_JSON_START)
"""Offset of the time in a line of vLLM's JSON."""
REQUEST_PAIRS = [encode_metadata({METADATA_REQUEST_ID: b"x" * n})[: -n or None] for n in range(128)]
"""By a request id's length: the encoded metadata pair up to the id."""


class HeaderCache:
    """Headers that were seen. All logs share one: what a header means does not depend on the log."""

    def __init__(self, *, structured_metadata: bool = True) -> None:
        """structured_metadata: if False, every `meta` is empty."""
        self.structured_metadata = structured_metadata
        self.levels = {name: Level(name, self.encode(level=name)) for name in dict.fromkeys(LEVELS.values())}
        self.json_head = KnownHeader(level=self.levels["info"])
        """The value in `heads` for vLLM's JSON: json_line() returns the header."""
        self.heads = {
            f"{name}:".ljust(HEAD_BYTES).encode(): KnownHeader(meta=level.meta, level=level, level_only=True)
            for name in UVICORN_LEVELS
            for level in (self.levels[LEVELS[name]],)
        }
        """By the first HEAD_BYTES of the line."""
        self.heads[_JSON_START[:HEAD_BYTES]] = self.json_head
        self.starts: dict[bytes, HeaderStart] = {}
        """By the text up to ` [`."""
        self._starts_without_clock: dict[bytes, HeaderStart] = {}
        """By the same text without the clock: the start of an arbitrary second."""
        self.bracketed_headers: dict[bytes, KnownHeader] = {}
        """Headers that end with the first `] `, without ` [` before it: SGLang's, those of older versions of vLLM."""
        self.known_headers: Any = None
        """What the compiled loops found here, by a whole header's bytes; None before the first."""
        self._lines: dict[bytes, EngineLine] = {}
        """Lines whose header has no time, by their text."""
        self.by_text: dict[bytes, KnownHeader] = {}
        """Of whole lines whose header has no time, behind a line that is no error's, outside a traceback."""
        self.json: dict[bytes, KnownHeader] = {}
        """vLLM's JSON: by the text between time and message, and after the message."""
        self._metas: dict[tuple[str, bytes | None, bytes | None, bytes | None, bytes | None], bytes] = {}

    def start_of_another_second(self, start: bytes) -> HeaderStart | None:
        """Return the start of a header (the line up to ` [`) if it was seen with another clock."""
        known = self._starts_without_clock.get(start[:-_CLOCK_BYTES])
        timestamp = start[-_CLOCK_BYTES:]
        if known is None or timestamp.translate(_DIGITS_TO_ZERO) != _CLOCK_SHAPE:
            return None
        found = HeaderStart(timestamp, known.ids, known.sources)
        _put(self.starts, start, found)
        return found

    def bracketed(self, text: bytes) -> KnownHeader | None:
        """Return the header of a line that ends with the first bracket, if it was seen and no other follows."""
        end = _bracket_end(text)
        known = self.bracketed_headers.get(text[:end])
        if known is None or (known.may_be_followed and _may_be_followed(text, end)):
            return None
        return known

    def json_line(self, text: bytes) -> KnownHeader | None:
        """Return the header of a JSON line; None if it is not JSON.

        The text before and after the message repeats, except for the time. Neither `", "` nor `, "message"` can
        occur inside a JSON string: a quote in it is preceded by a backslash.
        """
        start, _, rest = text.partition(b'", "')
        fields, message, rest = rest.partition(JSON_MESSAGE)
        key = fields + b"\n" + rest.rpartition(b'", "')[2]
        known = self.json.get(key)
        if known is None:
            header = parse_json_header(text, loads=orjson.loads)
            if header.level is None:
                return None
            level = self.levels[header.level]
            known = KnownHeader(header.timestamp, None, self.meta(level, header), level=level)
            known.may_be_stats = may_be_stats(header)
            if message and header.timestamp is not None and start.startswith(_JSON_START) and text.endswith(b'"}'):
                known.timestamp = JSON_TIME
                _put(self.json, key, known)
        return known

    def line(self, text: bytes) -> EngineLine:
        """Return the line, parsed. Programs repeat lines without a time: warnings, banners, notes of a retry."""
        line = self._lines.get(text)
        if line is None:
            line = read_line(text, loads=orjson.loads)
            if line.header.timestamp is None:
                _put(self._lines, text, line)
        return line

    def put_text(self, text: bytes, known: KnownHeader) -> None:
        """Cache the meaning of a whole line."""
        _put(self.by_text, text, known)

    def known(self, text: bytes, line: EngineLine, level: Level) -> KnownHeader:
        """Return the meaning of a line's parsed header; cache it if other lines can share it.

        Args:
            text: the line as printed.
            line: what read_line returned for it.
            level: of the line; it differs from the header's level within a traceback.

        """
        header = line.header
        # Ids count before a log header only: any other text may be what somebody made the server print.
        behind_ids = header.level is not None and not header.weak
        ids = Ids(line.ids[0].decode(), line.ids[1].decode()) if line.ids and behind_ids else None
        if ids is None and not (header.process or header.pid or header.node or header.source or header.timestamp):
            return level.without_header
        meta = self.meta(level, header)
        known = KnownHeader(header.timestamp, ids, meta, level=level, may_be_stats=may_be_stats(header))
        known.may_be_followed = not header.named
        if level.name == header.level:
            if header.cacheable:
                self._cache(text, header, known)
            elif header.time and not line.prefix_end and line.text is text:
                known.place = (*header.time, header.body)
        return known

    def _cache(self, text: bytes, header: Header, known: KnownHeader) -> None:
        """Cache a header that has one of the two shapes by which scan.look_up and bracketed() search."""
        start, _, rest = text.partition(b" [")
        timestamp, source = header.timestamp, header.source
        if (
            timestamp is None
            or source is None
            or len(timestamp) != _CLOCK_BYTES
            or not start.endswith(timestamp)
            or not rest.startswith(source + b"] ")
        ):
            key = text[: _bracket_end(text)]
            if len(ANSI.sub(b"", key)) == header.body:
                _put(self.bracketed_headers, key, known)
            return
        without_clock = start[:-_CLOCK_BYTES]
        shared = self._starts_without_clock.get(without_clock)
        if shared is None:
            shared = HeaderStart(timestamp, known.ids)
            _put(self._starts_without_clock, without_clock, shared)
        _put(shared.sources, source, known)
        _put(self.starts, start, HeaderStart(timestamp, known.ids, shared.sources))

    def with_request_id(self, meta: bytes, text: bytes) -> bytes:
        """Return meta with the request id in text, if there is one."""
        request_id = find_request_id(text)
        if request_id is None or not self.structured_metadata:
            return meta
        return meta + REQUEST_PAIRS[len(request_id)] + request_id

    def meta(self, level: Level, header: Header) -> bytes:
        """Return the encoded metadata of a header."""
        process, pid = header.process, header.pid
        key = (level.name, process, pid, header.node, header.source)
        meta = self._metas.get(key)
        if meta is None:
            meta = self.encode(level=level.name, process=process, pid=pid, node=header.node, source=header.source)
            _put(self._metas, key, meta)
        return meta

    def encode(self, **pairs: str | bytes | None) -> bytes:
        """Return encoded metadata; b"" for a Loki without structured metadata."""
        return encode_metadata(pairs) if self.structured_metadata else b""


def may_be_stats(header: Header) -> bool:
    """Return whether lines with this header may be engine statistics.

    vLLM prints them from loggers.py. SGLang's header has a timestamp and no source; in JSON the source may be the
    name of a logger.
    """
    if header.source is None:
        return header.timestamp is not None
    return header.source.startswith((b"loggers.py", b"metrics.py")) or b":" not in header.source


def json_time(text: bytes) -> bytes:
    """Return the time of a line of vLLM's JSON whose header has the timestamp JSON_TIME."""
    return text[JSON_TIME_AT : text.find(b'", "')]


_K = TypeVar("_K", bytes, tuple[str, bytes | None, bytes | None, bytes | None, bytes | None])
_V = TypeVar("_V")


def _put(cache: dict[_K, _V], key: _K, value: _V) -> None:
    """Add to a cache, within bounds: the content of a line is up to whoever makes the server print it."""
    if isinstance(key, bytes) and len(key) > _KEY_MAX_BYTES:
        return
    if len(cache) >= _ENTRIES_MAX:
        cache.clear()
    cache[key] = value


def _bracket_end(text: bytes) -> int:
    """Return the offset after the first bracket and the blank that follows it; 0 if there is none."""
    end = _COLOURED_BRACKET if _ESCAPE in text else b"] "
    at = text.find(end)
    return at + len(end) if at >= 0 else 0


def _may_be_followed(text: bytes, at: int) -> bool:
    """Return whether a level or a traceback may follow the header that ends at offset `at`."""
    return may_have_header(text, at) or text.find(NEEDLE, at) >= 0
