"""Lines to columns: the time, the text and the metadata of every entry.

A parser belongs to one source and remembers what later lines depend on: the last time, the level of the record that
an indented line continues, open tracebacks, the ids. Its state is saved with the position in the journal, so that a
restart yields the same entries.

The common lines take a short path: stamped by the keeper, with a header that was seen before. It makes no object
per line but the columns' own bytes, and one dictionary knows the encoded metadata of every header.
"""

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agent import encoding, formats
from agent.times import AHEAD_MAX_NS, EngineTimes
from contract import events
from contract.logline import LINE_PATTERN, MARK_CUT, MARK_EVENT, parse_event, parse_stamp

_HEADERS_MAX = 8192
_SECONDS_MAX = 4096
_OPEN_TRACEBACKS_MAX = 64
_KEEPERS_LINE = re.compile(LINE_PATTERN, re.DOTALL)
_NANOS_AT = 20
_OFFSET_AT = 29
_NO_KEEPER = b"\n"
"""Equals no part of a line: the short path is closed until a keeper's line was seen."""
_TRACEBACK_UNDER_HEADER = re.compile(rb"(?:DEBUG|INFO|WARNING) [^\n]{1,200}\] " + re.escape(formats.TRACEBACK))
_UVICORN_HEAD_BYTES = 10
_UVICORN_HEADS = {
    f"{level}:".ljust(_UVICORN_HEAD_BYTES).encode(): formats.LEVELS[level]
    for level in ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
}
_STATS = b"throughput"
_GRAVE_EVENTS = {events.FAILED: "error", events.REFUSED: "error", events.DROPPED: "warning", events.GAP: "warning"}


class Ids(NamedTuple):
    """The ids that a line's prefix tells."""

    trace_id: str
    instance_id: str


class _Level(NamedTuple):
    """A level with its encoded metadata, for lines that tell nothing else."""

    name: str
    meta: bytes


class _Known(NamedTuple):
    """What a header that was seen before means."""

    meta: bytes
    level: _Level
    may_be_stats: bool


_FURTHER_ON = _Known(b"", _Level("", b""), may_be_stats=False)
"""The text before the first `] ` is only a prefix; the header proper begins behind it."""


@dataclass(slots=True)
class Columns:
    """The entries of some lines, one item per entry in each column; and what observers want to know of them."""

    stamps: list[bytes] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    metas: list[bytes] = field(default_factory=list)
    first_ns: int = 0
    last_ns: int = 0
    stopped_at: int | None = None
    """The byte of the block at which a line with other ids begins; what follows was not taken."""
    events: list[tuple[int, bytes]] = field(default_factory=list)
    stats: list[tuple[int, bytes]] = field(default_factory=list)


class LineParser:
    """Parses the lines of one source."""

    def __init__(
        self,
        times: EngineTimes,
        *,
        structured_metadata: bool = True,
        ids_from_lines: bool = False,
        state: dict[str, Any] | None = None,
    ) -> None:
        """Begin with the first line, or where `state` (what state() returned) was taken.

        ids_from_lines: a line's prefix may change the ids, and so end a run of lines of one stream.
        """
        state = state or {}
        self._times = times
        self._structured = structured_metadata
        self._ids_from_lines = ids_from_lines
        ids = state.get("ids")
        self.ids = Ids(*ids) if ids else None
        self.last_ns: int = state.get("last_ns", 0)
        self._engine_ns: int | None = state.get("engine_ns")
        self._open: set[str] = set(state.get("open", ()))
        self._open_headed: set[str] = set(state.get("open_headed", ()))
        names = dict.fromkeys(formats.LEVELS.values())
        self._levels = {name: _Level(name, self._meta(level=name)) for name in names}
        self._level = self._levels[state.get("level", "info")]
        self._cut: bool = state.get("cut", False)
        self._fixed = _NO_KEEPER
        self._seconds: dict[bytes, tuple[int, bytes]] = {}
        self._headers: dict[bytes, _Known] = {}
        """By the text before the first `] `, which is all that they depend on."""
        self._uvicorn = {
            head: _Known(self._levels[name].meta, self._levels[name], may_be_stats=False)
            for head, name in _UVICORN_HEADS.items()
        }

    def state(self) -> dict[str, Any]:
        """Return what the next lines depend on, as JSON can hold it."""
        return {
            "ids": self.ids,
            "last_ns": self.last_ns,
            "engine_ns": self._engine_ns,
            "open": sorted(self._open),
            "open_headed": sorted(self._open_headed),
            "level": self._level.name,
            "cut": self._cut,
        }

    def parse(self, block: bytes, now_ns: int, *, behind: bool = False, unfinished: bool = False) -> Columns:
        """Return the entries of a block of lines.

        Args:
            block: lines that end with LF each, but for the last if unfinished.
            now_ns: the time of reading, for lines without a time.
            behind: what is read was written earlier; a line without a time then follows the line before at once.
            unfinished: the last line has no line end (yet): it becomes a `cut`.

        """
        columns = Columns()
        lines = block.split(b"\n")
        last_line = lines.pop()
        headed_traceback = formats.TRACEBACK in block and _TRACEBACK_UNDER_HEADER.search(block)
        if headed_traceback or self._open_headed:
            taken = self._parse_each(lines, columns, now_ns, behind=behind)
        else:
            taken = self._parse_fast(lines, columns, now_ns, behind=behind)
        if taken < len(lines):
            columns.stopped_at = sum(map(len, lines[:taken])) + taken
        elif unfinished and last_line and not self._parse_line(last_line, columns, now_ns, behind, MARK_CUT):
            columns.stopped_at = len(block) - len(last_line)
        columns.last_ns = self.last_ns
        return columns

    def event(self, text: bytes, now_ns: int) -> Columns:
        """Return the one entry of an event that the agent itself has to tell, after all lines so far."""
        self.last_ns = max(now_ns, self.last_ns + 1)
        return Columns([encoding.stamp(self.last_ns)], [text], [self._event_meta(text)], last_ns=self.last_ns)

    def _parse_fast(self, lines: list[bytes], columns: Columns, now_ns: int, *, behind: bool) -> int:
        """Take lines; return how many were taken. The short path is all that stands before `self._parse_line`."""
        add_stamp, add_text, add_meta = columns.stamps.append, columns.texts.append, columns.metas.append
        low, high = encoding.nanos_tables()
        seconds, headers, uvicorn = self._seconds, self._headers, self._uvicorn
        fixed = self._fixed
        start = _OFFSET_AT + len(fixed)
        last_ns = self.last_ns
        for index, line in enumerate(lines):
            if line[_OFFSET_AT:start] == fixed and (second := seconds.get(line[:_NANOS_AT])) is not None:
                end = line.find(b"] ", start)
                if end < 0:
                    known = uvicorn.get(line[start : start + _UVICORN_HEAD_BYTES])
                else:
                    known = headers.get(line[start:end])
                    if known is _FURTHER_ON:
                        end = line.find(b"] ", end + 2)
                        known = headers.get(line[start:end])
                if known is not None:
                    nanos = int(line[_NANOS_AT:_OFFSET_AT])
                    time_ns = second[0] + nanos
                    if time_ns > last_ns:
                        last_ns = time_ns
                        add_stamp(second[1] + low[nanos & 0x3FFF] + high[nanos >> 14])
                    else:
                        last_ns += 1
                        add_stamp(encoding.stamp(last_ns))
                    add_text(line[start:])
                    if end > 0 and line.find(b"equest", end) > 0:
                        add_meta(self._with_request(known.meta, line, end + 2))
                    else:
                        add_meta(known.meta)
                    self._level = known.level
                    self._cut = False
                    if known.may_be_stats and _STATS in line:
                        columns.stats.append((last_ns, line[start:]))
                    continue
            self.last_ns = last_ns
            if not self._parse_line(line, columns, now_ns, behind):
                return index
            last_ns = self.last_ns
            fixed = self._fixed
            start = _OFFSET_AT + len(fixed)
        self.last_ns = last_ns
        return len(lines)

    def _parse_each(self, lines: list[bytes], columns: Columns, now_ns: int, *, behind: bool) -> int:
        for index, line in enumerate(lines):
            if not self._parse_line(line, columns, now_ns, behind):
                return index
        return len(lines)

    def _parse_line(self, line: bytes, columns: Columns, now_ns: int, behind: bool, mark: str | None = None) -> bool:
        """Take any line; False if it begins other ids while columns already hold entries, and was not taken."""
        text = line
        time_ns = None
        ids = None
        if keepers := _KEEPERS_LINE.fullmatch(line):
            time_ns = _time_of(keepers[1])
            if time_ns is not None:
                text = keepers[5]
                mark = keepers[4].decode() if keepers[4] else mark
                ids = Ids(keepers[2].decode(), keepers[3].decode())
        elif text.endswith(b"\r"):
            text = text[:-1]
        prefix = formats.PREFIX.match(text)
        assert prefix is not None
        if self._ids_from_lines:
            if ids is None and (trace_id := prefix[1] or prefix[5]):
                ids = Ids(trace_id.decode(), (prefix[2] or prefix[6]).decode())
            if ids is not None and ids != self.ids:
                if columns.texts:
                    return False
                self.ids = ids
        if keepers and time_ns is not None:
            self._learn(line, keepers, time_ns)
        if mark == MARK_EVENT:
            meta = self._event_meta(text)
        else:
            header = formats.header_of(text, prefix.end())
            level = self._level_of(text, prefix.end(), header)
            meta = self._remember(text, prefix, header, level, mark)
            self._level = level
            self._cut = mark == MARK_CUT
            if time_ns is None and header.when is not None:
                time_ns = self._engine_time(header.when, now_ns)
        if time_ns is None:
            time_ns = self.last_ns + 1 if behind and self.last_ns else now_ns
        self.last_ns = max(time_ns, self.last_ns + 1)
        columns.stamps.append(encoding.stamp(self.last_ns))
        columns.texts.append(text)
        columns.metas.append(meta)
        if mark == MARK_EVENT:
            columns.events.append((self.last_ns, text))
        elif _STATS in text:
            columns.stats.append((self.last_ns, text))
        return True

    def _learn(self, line: bytes, keepers: re.Match[bytes], time_ns: int) -> None:
        """Keep what the short path needs: what stands between stamp and text, and the second of the stamp."""
        if keepers[4] is None:
            fixed = line[_OFFSET_AT : keepers.start(5)]
            if fixed != self._fixed or len(self._seconds) >= _SECONDS_MAX:
                self._fixed = fixed
                self._seconds.clear()
            base = time_ns - time_ns % encoding.SECOND
            self._seconds[line[:_NANOS_AT]] = base, encoding.stamp_second(base // encoding.SECOND)

    def _engine_time(self, when: bytes, now_ns: int) -> int | None:
        time_ns = self._times.parse(when, self._engine_ns)
        if time_ns is None or time_ns > now_ns + AHEAD_MAX_NS:
            return None
        self._engine_ns = time_ns
        return time_ns

    def _level_of(self, text: bytes, prefix_end: int, header: formats.Header) -> _Level:
        """Return the level of a line: its own, that of the record or of the traceback that it continues, or info."""
        own = header.level
        body = header.body if own else prefix_end
        continues = self._cut or not text[body:] or text[body : body + 1].isspace()
        if own in ("error", "critical"):
            return self._levels[own]
        key = (text[:prefix_end] + (header.source or b"")).decode(errors="replace")
        opened = self._open_headed if own else self._open
        if formats.starts_traceback(text, body):
            if not formats.is_exception_group(text, body) and len(opened) < _OPEN_TRACEBACKS_MAX:
                opened.add(key)
            return self._levels["error"]
        if key in opened:
            if continues:
                return self._levels["error"]
            opened.discard(key)
            if formats.EXCEPTION_LINE.match(text, body):
                return self._levels["error"]
        if own:
            return self._levels[own]
        return self._level if continues else self._levels["info"]

    def _remember(
        self, text: bytes, prefix: re.Match[bytes], header: formats.Header, level: _Level, mark: str | None
    ) -> bytes:
        """Return the metadata of a line, and keep that of its header for the short path."""
        meta = self._meta(
            level=level.name,
            process=header.process or prefix[3],
            pid=header.pid or prefix[4],
            source=header.source,
        )
        if header.exact and level.name == header.level:
            if len(self._headers) >= _HEADERS_MAX:
                self._headers.clear()
            self._headers[text[: header.body - 2]] = _Known(meta, level, formats.may_be_stats(header))
            ids_end = text.find(b"] ")
            if ids_end + 2 < header.body:
                self._headers[text[:ids_end]] = _FURTHER_ON
        meta = self._with_request(meta, text, header.body) if header.level else meta
        return meta + self._meta(kind=mark) if mark else meta

    def _with_request(self, meta: bytes, text: bytes, at: int) -> bytes:
        match = formats.REQUEST_ID.search(text, at)
        return meta + self._meta(request_id=match[1]) if match else meta

    def _event_meta(self, text: bytes) -> bytes:
        event = parse_event(text.decode(errors="replace"))
        level = _GRAVE_EVENTS.get(event.name, "info")
        if event.name == events.EXITED and event.fields.get("state") in ("crashed", "failed"):
            level = "error"
        return self._meta(level=level, kind=MARK_EVENT)

    def _meta(self, **pairs: str | bytes | None) -> bytes:
        return encoding.metadata(pairs) if self._structured else b""


def _time_of(stamp: bytes) -> int | None:
    try:
        return parse_stamp(stamp)
    except ValueError:
        return None
