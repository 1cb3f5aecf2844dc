"""Which record a line belongs to, and so which level it has; its metadata, encoded.

A line with a header is a record of its own. An indented or empty line without one continues the record before it.
A traceback is an error from its `Traceback` line to its exception line, whatever other processes print in between.
"""

import re
from typing import Any, NamedTuple

import orjson

from tracetail.agent.parsing import scan
from tracetail.agent.parsing.header import Headers, Known, Level, Told
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

_OPEN_MAX = 64
_MAY_HAVE_PREFIX = b"([\x1b"
_TRACEBACK_UNDER_HEADER = b"] " + TRACEBACK
_MILD = re.compile(rb"\b(?:DEBUG|INFO|WARNING) |\[\d{4}-\d\d-\d\d ")


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


class Records:
    """Remembers the record at hand and the open tracebacks of one log, line by line."""

    def __init__(self, state: dict[str, Any], headers: Headers, *, plain: bool = False) -> None:
        """Go on where `state` (what state() returned) was taken; {} for a log's beginning.

        plain: every line is a record of its own, of level info.
        """
        self._plain = plain
        self._headers = headers
        self._info = headers.levels["info"]
        self._error = headers.levels["error"]
        self.level = headers.levels[state.get("level", "info")]
        """Of the record at hand."""
        self.cut: bool = state.get("cut", False)
        """The line before was cut: this one continues it."""
        self._open: set[bytes] = {key.encode() for key in state.get("open", ())}
        self._open_headed: set[bytes] = {key.encode() for key in state.get("open_headed", ())}
        self._suffice = True

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

    def take(self, texts: list[bytes]) -> Taken:
        """Take the next lines; only if headers_suffice() said so."""
        if self._plain:
            return Taken([self._info.meta] * len(texts), [self._info.unheaded] * len(texts), [])
        headers = self._headers
        metas, told, requests, stats, self.level = scan.look_up(texts, headers, self._open, self.level, self._resolve)
        for place in requests:
            metas[place] = headers.with_request(metas[place], texts[place])
        self.cut = self.cut and not texts
        return Taken(metas, told, stats)

    def add(self, text: bytes, mark: str | None = None) -> Taken:
        """Take one line, with the keeper's mark if it has one."""
        if self._suffice:
            taken = self.take([text])
        else:
            known = self._add_unknown(text)
            self.level = known.level
            meta = known.meta if known.tells_nothing_else else self._headers.with_request(known.meta, text)
            taken = Taken([meta], [known], [0] if known.may_be_stats and STATS in text else [])
        self.cut = mark == MARK_CUT
        if mark:
            taken.metas[0] += self._headers.encode(kind=mark)
        return taken

    def _resolve(self, text: bytes, level: Level, first: bool) -> tuple[Known, Told]:
        """Take a line that scan.look_up could not look up, behind one of this level."""
        self.level = level
        self.cut = self.cut and first
        if text[:1] == b" ":
            known = self._indented(text)
            return known, known
        before, bracket, behind = text.partition(b" [")
        if bracket and (front := self._headers.front_of_another_second(before)):
            known_source = front.sources.get(behind.partition(b"] ")[0])
            if known_source:
                return known_source, front
        known = self._add_unknown(text)
        return known, known

    def _add_unknown(self, text: bytes) -> Known:
        """Take any line, by looking at it closely; the caller keeps level and cut."""
        if self._plain:
            return self._info.unheaded
        first = text[:1]
        if not first or first.isspace():
            return self._indented(text)
        if first == b"{":
            return self._json_line(text)
        if first == b"[" and self._suffice and (known := self._headers.bracketed(text)):
            return known
        prefix = PREFIX.match(text) if first in _MAY_HAVE_PREFIX else None
        at = prefix.end() if prefix else 0
        header = parse_header(text, at, loads=orjson.loads)
        if header is NO_HEADER and not at and not self._open and first not in TRACEBACK_STARTS:
            return (self.level if self.cut else self._info).unheaded
        return self._headers.known(text, header, self._level_of(text, at, header), prefix)

    def _indented(self, text: bytes) -> Known:
        """Return what is known of an indented or empty line: it continues the record or the traceback."""
        if b"" in self._open or (text.endswith(TRACEBACK_END) and starts_traceback(text)):
            return self._error.unheaded
        return self.level.unheaded

    def _json_line(self, text: bytes) -> Known:
        """Return what is known of a line that begins as JSON."""
        return self._headers.json_line(text) or (self.level if self.cut else self._info).unheaded

    def _level_of(self, text: bytes, prefix_end: int, header: Header) -> Level:
        """Return the level of a line: its own, that of the record or of the traceback that it continues, or info."""
        own = header.level
        if own in ("error", "critical"):
            return self._headers.levels[own]
        body = header.body if own else prefix_end
        first = text[body : body + 1]
        continues = self.cut or not first or first.isspace()
        key = text[:prefix_end] + (header.source or b"")
        opened = self._open_headed if own else self._open
        if starts_traceback(text, body):
            if not is_exception_group(text, body) and len(opened) < _OPEN_MAX:
                opened.add(key)
            return self._error
        if key in opened:
            if continues:
                return self._error
            opened.discard(key)
            if EXCEPTION_LINE.match(text, body):
                return self._error
        if own:
            return self._headers.levels[own]
        return self.level if continues else self._info
