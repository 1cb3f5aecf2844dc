"""Lines to columns: the time, the text and the metadata of every entry.

A parser belongs to one source and remembers what later lines depend on: the last time, the record at hand, the ids.
Its state is saved with the position in the journal, so that a restart yields the same entries.

The lines of a keeper take a short path when their header was seen before: no object is made per line but the
columns' own bytes, no regular expression runs.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from agent import encoding, formats
from agent.encoding import Columns
from agent.records import HEAD_BYTES, JSON_TIME, Ids, Records
from agent.times import AHEAD_MAX_NS, EngineTimes
from contract import events
from contract.logline import LINE_PATTERN, MARK_CUT, MARK_EVENT, parse_event, parse_stamp

_SECONDS_MAX = 4096
_KEEPERS_LINE = re.compile(LINE_PATTERN, re.DOTALL)
_NANOS_AT = 20
_OFFSET_AT = 29
_NO_KEEPER = b"\n"
"""Equals no part of a line: the short path is closed until a keeper's line was seen."""
_EVENT = MARK_EVENT.encode()
_CUT = MARK_CUT.encode()
_STATS = b"throughput"
_GRAVE_EVENTS = {events.FAILED: "error", events.REFUSED: "error", events.DROPPED: "warning", events.GAP: "warning"}


@dataclass(slots=True)
class Parsed:
    """The entries of some lines, and what observers want to know of them."""

    entries: Columns = field(default_factory=Columns)
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
        plain: bool = False,
        state: dict[str, Any] | None = None,
    ) -> None:
        """Begin with the first line, or where `state` (what state() returned) was taken.

        plain: no format is looked for in the lines.
        ids_from_lines: a line's prefix may change the ids, and so end a run of lines of one stream.
        """
        state = state or {}
        self._times = times
        self._ids_from_lines = ids_from_lines
        ids = state.get("ids")
        self.ids = Ids(*ids) if ids else None
        self.last_ns: int = state.get("last_ns", 0)
        self._engine_ns: int | None = state.get("engine_ns")
        self._records = Records(state.get("records", {}), structured_metadata=structured_metadata, plain=plain)
        self._fixed = _NO_KEEPER
        """What stands between the nanoseconds of a stamp and the text: offset, ids."""
        self._seconds: dict[bytes, tuple[int, bytes]] = {}
        """By the stamp up to the nanoseconds: that second in nanoseconds since the epoch, and encoded."""
        self._short_path = True

    def state(self) -> dict[str, Any]:
        """Return what the next lines depend on, as JSON can hold it."""
        return {
            "ids": self.ids,
            "last_ns": self.last_ns,
            "engine_ns": self._engine_ns,
            "records": self._records.state(),
        }

    def parse(self, block: bytes, now_ns: int, *, behind: bool = False, unfinished: bool = False) -> Parsed:
        """Return the entries of a block of lines.

        Args:
            block: lines that end with LF each, but for the last if unfinished.
            now_ns: the time of reading, for lines without a time.
            behind: what is read was written earlier; a line without a time then follows the line before at once.
            unfinished: the last line has no line end (yet): it becomes a `cut`.

        """
        parsed = Parsed()
        lines = block.split(b"\n")
        last_line = lines.pop()
        self._short_path = self._records.headers_suffice(block)
        if self._short_path:
            taken = self._parse_fast(lines, parsed, now_ns, behind)
        else:
            taken = self._parse_each(lines, parsed, now_ns, behind)
        if taken < len(lines):
            parsed.stopped_at = sum(map(len, lines[:taken])) + taken
        elif unfinished and last_line and not self._parse_line(last_line, parsed, now_ns, behind, MARK_CUT):
            parsed.stopped_at = len(block) - len(last_line)
        return parsed

    def event(self, text: bytes, now_ns: int) -> Columns:
        """Return the one entry of an event that the agent itself has to tell, after all lines so far."""
        self.last_ns = max(now_ns, self.last_ns + 1)
        columns = Columns()
        columns.add(self.last_ns, text, self._event_meta(text))
        return columns

    def _parse_fast(self, lines: list[bytes], parsed: Parsed, now_ns: int, behind: bool) -> int:
        """Take lines; return how many were taken. `self._parse_line` is for lines that no keeper wrote as usual."""
        entries = parsed.entries
        add_second, add_nanos = entries.seconds.append, entries.nanos.append
        add_text, add_meta = entries.texts.append, entries.metas.append
        records = self._records
        heads, headers, further_on, json = records.heads, records.headers, records.further_on, records.json
        seconds = self._seconds
        fixed = self._fixed
        start = _OFFSET_AT + len(fixed)
        last_ns = self.last_ns
        for index, line in enumerate(lines):
            if line[_OFFSET_AT:start] != fixed or (second := seconds.get(line[:_NANOS_AT])) is None:
                self.last_ns = last_ns
                if not self._parse_line(line, parsed, now_ns, behind):
                    return index
                last_ns = self.last_ns
                fixed = self._fixed
                start = _OFFSET_AT + len(fixed)
                continue
            text = line[start:]
            nanos = int(line[_NANOS_AT:_OFFSET_AT])
            time_ns = second[0] + nanos
            if time_ns > last_ns:
                last_ns = time_ns
                add_second(second[1])
                add_nanos(nanos)
            else:
                last_ns += 1
                add_second(encoding.second(last_ns // encoding.SECOND))
                add_nanos(last_ns % encoding.SECOND)
            add_text(text)
            known = heads.get(text[:HEAD_BYTES])
            if known is None:
                if text[:1] == b" ":
                    known = records.indented(text)
                else:
                    end = text.find(b"]") + 2
                    known = headers.get(text[:end])
                    if known is further_on:
                        end = text.find(b"]", end) + 2
                        known = headers.get(text[:end])
                    if known is None:
                        known = records.add_unknown(text)
            elif known is json:
                known = records.json_line(text)
            records.level = known.level
            records.cut = False
            if known.tells_nothing_else:
                add_meta(known.meta)
                continue
            if (request := text.find(formats.REQUEST)) >= 0:
                add_meta(records.with_request(known.meta, text, request))
            else:
                add_meta(known.meta)
            if known.may_be_stats and _STATS in text:
                parsed.stats.append((last_ns, text))
        self.last_ns = last_ns
        return len(lines)

    def _parse_each(self, lines: list[bytes], parsed: Parsed, now_ns: int, behind: bool) -> int:
        for index, line in enumerate(lines):
            if not self._parse_line(line, parsed, now_ns, behind):
                return index
        return len(lines)

    def _parse_line(self, line: bytes, parsed: Parsed, now_ns: int, behind: bool, mark: str | None = None) -> bool:
        """Take any line; False if it begins other ids while there are entries of others: it was not taken."""
        keepers = _KEEPERS_LINE.fullmatch(line) if line[:1].isdigit() else None
        if keepers and (time_ns := _time_of(keepers[1])) is not None:
            return self._parse_kept(line, keepers, time_ns, parsed)
        text = line[:-1] if line.endswith(b"\r") else line
        known = self._records.add(text)
        if known.ids is not None and self._ids_from_lines and not self._begins(known.ids, parsed):
            return False
        time_ns = None
        if known.when is not None:
            time_ns = self._engine_time(self._records.json_when if known.when is JSON_TIME else known.when, now_ns)
        if time_ns is None:
            time_ns = self.last_ns + 1 if behind and self.last_ns else now_ns
        self.last_ns = last_ns = time_ns if time_ns > self.last_ns else self.last_ns + 1
        meta = known.meta
        if not known.tells_nothing_else:
            meta = self._records.with_request(meta, text, 0)
        if mark:
            meta += self._records.encode(kind=mark)
            self._records.cut = mark == MARK_CUT
        parsed.entries.add(last_ns, text, meta)
        if known.may_be_stats and _STATS in text:
            parsed.stats.append((last_ns, text))
        return True

    def _parse_kept(self, line: bytes, keepers: re.Match[bytes], time_ns: int, parsed: Parsed) -> bool:
        """Take a line of a keeper that is not an ordinary one, or the first of its second."""
        ids = Ids(keepers[2].decode(), keepers[3].decode())
        if self._ids_from_lines and not self._begins(ids, parsed):
            return False
        self._learn(line, keepers, time_ns)
        self.last_ns = max(time_ns, self.last_ns + 1)
        text = keepers[5]
        mark = keepers[4]
        if mark == _EVENT:
            parsed.entries.add(self.last_ns, text, self._event_meta(text))
            parsed.events.append((self.last_ns, text))
            return True
        known = self._records.add(text)
        meta = known.meta
        if not known.tells_nothing_else:
            meta = self._records.with_request(meta, text, 0)
        if mark:
            meta += self._records.encode(kind=mark)
            self._records.cut = mark == _CUT
        parsed.entries.add(self.last_ns, text, meta)
        if known.may_be_stats and _STATS in text:
            parsed.stats.append((self.last_ns, text))
        return True

    def _begins(self, ids: Ids, parsed: Parsed) -> bool:
        """Take up the ids of a line; False if they are others than those of the entries before it."""
        if ids != self.ids:
            if parsed.entries.texts:
                return False
            self.ids = ids
        return True

    def _learn(self, line: bytes, keepers: re.Match[bytes], time_ns: int) -> None:
        """Keep what the short path needs: what stands between stamp and text, and the second of the stamp."""
        if keepers[4] is None:
            fixed = line[_OFFSET_AT : keepers.start(5)]
            if fixed != self._fixed or len(self._seconds) >= _SECONDS_MAX:
                self._fixed = fixed
                self._seconds.clear()
            base = time_ns - time_ns % encoding.SECOND
            self._seconds[line[:_NANOS_AT]] = base, encoding.second(base // encoding.SECOND)

    def _engine_time(self, when: bytes, now_ns: int) -> int | None:
        time_ns = self._times.parse(when, self._engine_ns)
        if time_ns is None or time_ns > now_ns + AHEAD_MAX_NS:
            return None
        self._engine_ns = time_ns
        return time_ns

    def _event_meta(self, text: bytes) -> bytes:
        event = parse_event(text.decode(errors="replace"))
        level = _GRAVE_EVENTS.get(event.name, "info")
        if event.name == events.EXITED and event.fields.get("state") in ("crashed", "failed"):
            level = "error"
        return self._records.encode(level=level, kind=MARK_EVENT)


def _time_of(stamp: bytes) -> int | None:
    try:
        return parse_stamp(stamp)
    except ValueError:
        return None
