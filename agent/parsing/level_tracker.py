"""Assigns to each line a level, encoded metadata and header fields, with the state that continuation lines depend on.

A line with a header is a record of its own. An indented or empty line without one continues the record before it.
A traceback has the level `error` from its `Traceback` line to its exception line, also if lines of other processes
are printed between them.
"""

import re
from typing import Any, NamedTuple

from tracetail.agent.parsing import scan
from tracetail.agent.parsing.header import HeaderFields, KnownHeader, Level
from tracetail.agent.parsing.header_cache import HeaderCache
from tracetail.agent.parsing.scan_plain import STATS
from tracetail.contract.engine_lines import (
    ANSI,
    NO_HEADER,
    PREFIX,
    EngineLine,
)
from tracetail.contract.logline import HEAD_PATTERN, MARK_CUT
from tracetail.contract.tracebacks import FRAME_START, NEEDLE, TRACEBACK, Tracebacks

_SEVERE = ("error", "critical")
_BRACKETED_STARTS = b"([DIWEC\x1b"
_WITHOUT_HEADER = re.compile(rb"(?:%b)?%b[ |+]*" % (HEAD_PATTERN, PREFIX.pattern))


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
        self.plain = plain
        self.cache = cache
        self._info = cache.levels["info"]
        self._error = cache.levels["error"]
        self.level = cache.levels[state.get("level", "info")]
        """Of the current record."""
        self.cut: bool = state.get("cut", False)
        """The line before was cut: the next one continues it."""
        self.tracebacks = Tracebacks(state.get("tracebacks"))
        self._headers_suffice = True

    def state(self) -> dict[str, Any]:
        """Return what later lines depend on, for the journal; JSON-serialisable."""
        return {
            "level": self.level.name,
            "cut": self.cut,
            "tracebacks": self.tracebacks.state(),
        }

    def headers_suffice(self, block: bytes) -> bool:
        """Return whether each header in block has its own level: no traceback is printed with a milder header.

        Call it before add_all() and add(), which depend on the result.
        """
        self._headers_suffice = not self.tracebacks.headed and not _has_traceback_behind_a_mild_header(block)
        return self._headers_suffice

    def add_all(self, texts: list[bytes]) -> LineAttributes:
        """Return the attributes of the next lines; only if headers_suffice() returned True."""
        if self.plain:
            count = len(texts)
            return LineAttributes(
                [self._info.meta] * count, ["info"] * count, [self._info.without_header] * count, []
            )
        cache = self.cache
        metas, levels, fields, requests, stats, self.level = scan.look_up(
            texts, cache, self.tracebacks, self.level, self.resolve
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
            meta = known.meta if known.level_only else self.cache.with_request_id(known.meta, text)
            stats = [0] if known.may_be_stats and STATS in text else []
            attributes = LineAttributes([meta], [known.level.name], [known], stats)
        self.cut = mark == MARK_CUT
        if mark:
            attributes.metas[0] += self.cache.encode(kind=mark)
        return attributes

    def resolve(self, text: bytes, level: Level, first: bool) -> tuple[KnownHeader, HeaderFields]:
        """Return the header of a line that scan.look_up did not find; level: of the line before."""
        self.level = level
        self.cut = self.cut and first
        if text[:1] == b" ":
            known = self._indented(text)
            return known, known
        before, bracket, rest = text.partition(b" [")
        if bracket and (start := self.cache.start_of_another_second(before)):
            known_source = start.sources.get(rest.partition(b"] ")[0])
            if known_source:
                return known_source, start
        known = self._parse(text)
        return known, known

    def _parse(self, text: bytes) -> KnownHeader:
        """Return the header of any line; the caller updates level and cut."""
        if self.plain:
            return self._info.without_header
        first = text[:1]
        if not first or first.isspace():
            return self._indented(text)
        if first == b"{":
            return self._json_line(text)
        if first in _BRACKETED_STARTS and self._headers_suffice and (known := self.cache.bracketed(text)):
            return known
        line = self.cache.line(text)
        # Else the result depends on the lines before, too.
        is_repeatable = not (
            self.cut or self.level.severe or self.tracebacks.open or self.tracebacks.headed or NEEDLE in text
        )
        if (
            line.header is NO_HEADER
            and not line.prefix_end
            and b"" not in self.tracebacks.open
            and NEEDLE not in text
        ):
            known = (self.level if self.cut else self._info).without_header
        else:
            known = self.cache.known(text, line, self._level_of(line))
        if is_repeatable and line.header.timestamp is None and not _continues(line):
            self.cache.put_text(text, known)
        return known

    def _indented(self, text: bytes) -> KnownHeader:
        """Return the header of an indented or empty line: it continues the record or the traceback."""
        tracebacks = self.tracebacks
        if NEEDLE not in text:
            if b"" not in tracebacks.open and not (self.level.severe and FRAME_START in text):
                return self.level.without_header
            if tracebacks.has_frames(b""):
                return self._error.without_header
        part = tracebacks.add(EngineLine(text, NO_HEADER, 0, None), after_error=self.level.severe)
        return (self.level if part is None else self._error).without_header

    def _json_line(self, text: bytes) -> KnownHeader:
        """Return the header of a line that begins as JSON."""
        return self.cache.json_line(text) or (self.level if self.cut else self._info).without_header

    def _level_of(self, line: EngineLine) -> Level:
        """Return the level of a line: its own, that of the record or traceback that it continues, or info."""
        header, tracebacks = line.header, self.tracebacks
        own = header.level
        if own in _SEVERE and not header.weak:
            return self.cache.levels[own]
        if own and not header.weak and not tracebacks.headed and NEEDLE not in line.text:
            return self.cache.levels[own]
        part = tracebacks.add(line, after_error=self.level.severe)
        if part is not None and own != "critical":
            return self._error
        if own:
            return self.cache.levels[own]
        return self.level if self.cut or _continues(line) else self._info


def _continues(line: EngineLine) -> bool:
    """Return whether a line continues the record before it: it is empty, or indented, if only behind a stamp."""
    if line.header.level is None and line.header.body > line.prefix_end:
        return True
    first = line.text[line.prefix_end : line.prefix_end + 1]
    return not first or first.isspace()


def _has_traceback_behind_a_mild_header(block: bytes) -> bool:
    """Return whether a traceback begins in a line with another header than an error's."""
    at = scan.find(block, TRACEBACK, 0)
    while at >= 0:
        start = block.rfind(b"\n", 0, at) + 1
        before = ANSI.sub(b"", block[start:at])
        if b"ERROR" not in before and not _WITHOUT_HEADER.fullmatch(before):
            return True
        at = scan.find(block, TRACEBACK, at + 1)
    return False
