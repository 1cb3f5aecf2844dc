"""Assigns to each line a level, encoded metadata and header fields, with the state that continuation lines depend on.

A line with a header is a record of its own. An indented or empty line without one continues the record before it.
A traceback has the level `error` from its `Traceback` line to its exception line, also if lines of other processes
are printed between them.
"""

import re
from typing import Any, NamedTuple

import orjson

from tracetail.agent.parsing import scan
from tracetail.agent.parsing.header import HeaderFields, KnownHeader, Level
from tracetail.agent.parsing.header_cache import HeaderCache
from tracetail.agent.parsing.scan_plain import STATS, TRACEBACK_END
from tracetail.contract.engine_lines import (
    EXCEPTION_LINE,
    NO_HEADER,
    PREFIX,
    TRACEBACK,
    TRACEBACK_STARTS,
    Header,
    is_exception_group,
    parse_header,
    starts_traceback,
)
from tracetail.contract.logline import MARK_CUT

_OPEN_TRACEBACKS_MAX = 64
_PREFIX_STARTS = b"([\x1b"
_TRACEBACK_AFTER_HEADER = b"] " + TRACEBACK
_MILD_HEADER = re.compile(rb"\b(?:DEBUG|INFO|WARNING) |\[\d{4}-\d\d-\d\d ")


class LineAttributes(NamedTuple):
    """Columns: one item per line in `metas`, `levels` and `fields`."""

    metas: list[bytes]
    """Encoded structured metadata."""
    levels: list[str]
    fields: list[HeaderFields]
    stats: list[int]
    """Indices of the lines of engine statistics."""

    def part(self, start: int, end: int) -> "LineAttributes":
        """Return the attributes of the lines from start to end."""
        here = slice(start, end)
        stats = [index - start for index in self.stats if start <= index < end]
        return LineAttributes(self.metas[here], self.levels[here], self.fields[here], stats)


class LevelTracker:
    """Tracks the current record and the open tracebacks of one log."""

    def __init__(self, state: dict[str, Any], cache: HeaderCache, *, plain: bool = False) -> None:
        """Continue from `state`, which state() returned; {} at the beginning of a log.

        plain: do not parse headers; every line is a record of its own with the level info.
        """
        self._plain = plain
        self._cache = cache
        self._info = cache.levels["info"]
        self._error = cache.levels["error"]
        self.level = cache.levels[state.get("level", "info")]
        """Of the current record."""
        self.cut: bool = state.get("cut", False)
        """The line before was cut: the next one continues it."""
        self._open: set[bytes] = {key.encode() for key in state.get("open", ())}
        """Open tracebacks whose lines have no header, by the text before their lines."""
        self._open_headed: set[bytes] = {key.encode() for key in state.get("open_headed", ())}
        """Open tracebacks whose lines have a header."""
        self._headers_suffice = True

    def state(self) -> dict[str, Any]:
        """Return what later lines depend on, for the journal; JSON-serialisable."""
        return {
            "level": self.level.name,
            "cut": self.cut,
            "open": [key.decode(errors="replace") for key in sorted(self._open)],
            "open_headed": [key.decode(errors="replace") for key in sorted(self._open_headed)],
        }

    def headers_suffice(self, block: bytes) -> bool:
        """Return whether each header in block has its own level: no traceback is printed with a milder header.

        Call it before add_all() and add(), which depend on the result.
        """
        self._headers_suffice = not self._open_headed and not self._has_traceback_with_mild_header(block)
        return self._headers_suffice

    def _has_traceback_with_mild_header(self, block: bytes) -> bool:
        at = block.find(_TRACEBACK_AFTER_HEADER)
        while at >= 0:
            if _MILD_HEADER.search(block, block.rfind(b"\n", 0, at) + 1, at):
                return True
            at = block.find(_TRACEBACK_AFTER_HEADER, at + 1)
        return False

    def add_all(self, texts: list[bytes]) -> LineAttributes:
        """Return the attributes of the next lines; only if headers_suffice() returned True."""
        if self._plain:
            count = len(texts)
            return LineAttributes(
                [self._info.meta] * count, ["info"] * count, [self._info.without_header] * count, []
            )
        cache = self._cache
        metas, levels, fields, requests, stats, self.level = scan.look_up(
            texts, cache, self._open, self.level, self._resolve
        )
        for index in requests:
            metas[index] = cache.with_request_id(metas[index], texts[index])
        self.cut = self.cut and not texts
        return LineAttributes(metas, levels, fields, stats)

    def add(self, text: bytes, mark: str | None = None) -> LineAttributes:
        """Return the attributes of the next line, with the keeper's mark if it has one."""
        if self._headers_suffice:
            attributes = self.add_all([text])
        else:
            known = self._parse(text)
            self.level = known.level
            meta = known.meta if known.level_only else self._cache.with_request_id(known.meta, text)
            stats = [0] if known.may_be_stats and STATS in text else []
            attributes = LineAttributes([meta], [known.level.name], [known], stats)
        self.cut = mark == MARK_CUT
        if mark:
            attributes.metas[0] += self._cache.encode(kind=mark)
        return attributes

    def _resolve(self, text: bytes, level: Level, first: bool) -> tuple[KnownHeader, HeaderFields]:
        """Return the header of a line that scan.look_up did not find; level: of the line before."""
        self.level = level
        self.cut = self.cut and first
        if text[:1] == b" ":
            known = self._indented(text)
            return known, known
        before, bracket, rest = text.partition(b" [")
        if bracket and (start := self._cache.start_of_another_second(before)):
            known_source = start.sources.get(rest.partition(b"] ")[0])
            if known_source:
                return known_source, start
        known = self._parse(text)
        return known, known

    def _parse(self, text: bytes) -> KnownHeader:
        """Return the header of any line; the caller updates level and cut."""
        if self._plain:
            return self._info.without_header
        first = text[:1]
        if not first or first.isspace():
            return self._indented(text)
        if first == b"{":
            return self._json_line(text)
        if first == b"[" and self._headers_suffice and (known := self._cache.bracketed(text)):
            return known
        prefix = PREFIX.match(text) if first in _PREFIX_STARTS else None
        at = prefix.end() if prefix else 0
        header = parse_header(text, at, loads=orjson.loads)
        if header is NO_HEADER and not at and not self._open and first not in TRACEBACK_STARTS:
            return (self.level if self.cut else self._info).without_header
        return self._cache.known(text, header, self._level_of(text, at, header), prefix)

    def _indented(self, text: bytes) -> KnownHeader:
        """Return the header of an indented or empty line: it continues the record or the traceback."""
        if b"" in self._open or (text.endswith(TRACEBACK_END) and starts_traceback(text)):
            return self._error.without_header
        return self.level.without_header

    def _json_line(self, text: bytes) -> KnownHeader:
        """Return the header of a line that begins as JSON."""
        return self._cache.json_line(text) or (self.level if self.cut else self._info).without_header

    def _level_of(self, text: bytes, prefix_end: int, header: Header) -> Level:
        """Return the level of a line: its own, that of the record or traceback that it continues, or info."""
        own = header.level
        if own in ("error", "critical"):
            return self._cache.levels[own]
        body = header.body if own else prefix_end
        first = text[body : body + 1]
        continues = self.cut or not first or first.isspace()
        key = text[:prefix_end] + (header.source or b"")
        opened = self._open_headed if own else self._open
        if starts_traceback(text, body):
            if not is_exception_group(text, body) and len(opened) < _OPEN_TRACEBACKS_MAX:
                opened.add(key)
            return self._error
        if key in opened:
            if continues:
                return self._error
            opened.discard(key)
            if EXCEPTION_LINE.match(text, body):
                return self._error
        if own:
            return self._cache.levels[own]
        return self.level if continues else self._info
