"""Lines to columns: the time, the text and the metadata of every entry.

A parser belongs to one source and remembers what later lines depend on: the last time, the record at hand, the ids.
Its state is saved with the position in the journal, so that a restart yields the same entries.

Lines are taken many at a time, column by column: no object is made per line but the columns' own bytes. What is out
of the ordinary (an event, a mark, a stamp that is not later than the one before) is taken line by line.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tracetail.agent.parsing import scan
from tracetail.agent.parsing.header import JSON_TIME, Headers, Ids, Told, json_time
from tracetail.agent.parsing.level_tracker import Records, Taken
from tracetail.agent.parsing.scan_plain import OFFSET_AT
from tracetail.agent.parsing.times import AHEAD_MAX_NS, EngineTimes
from tracetail.contract import events
from tracetail.contract.logline import LINE_PATTERN, MARK_CUT, MARK_EVENT, STAMP_BYTES, parse_event, parse_stamp
from tracetail.loki import original_time
from tracetail.loki.entries import NS_PER_SECOND, Columns, encode_second

_BEGINNING_LINES = 1000
_SECONDS_MAX = 16
_KEEPERS_LINE = re.compile(LINE_PATTERN, re.DOTALL)
_IDS_BEGIN = b" [traceId="
_IDS = slice(STAMP_BYTES, STAMP_BYTES + len(_IDS_BEGIN))
_EVENT = MARK_EVENT.encode()
_CUT = MARK_CUT.encode()
PIECE_TAIL_BYTES = 4096
"""So much of a line that was cut is remembered, for a secret that begins in it and ends in the next piece."""
_GRAVE_EVENTS = {events.FAILED: "error", events.REFUSED: "error", events.DROPPED: "warning", events.GAP: "warning"}


class Piece(NamedTuple):
    """What an entry is a piece of: a line that was cut."""

    before: bytes
    """What stands before it in its line, or the end of that; empty for the first piece."""
    goes_on: bool
    """The line goes on after it."""


@dataclass(slots=True)
class Stream:
    """The entries of lines with the same ids, and what observers want to know of them."""

    ids: Ids | None
    """None: none were told so far."""
    entries: Columns = field(default_factory=Columns)
    rows: list[tuple[int, int]] = field(default_factory=list)
    """Which line of the block an entry is: entry and line, for the first of every run of lines."""
    events: list[tuple[int, bytes]] = field(default_factory=list)
    """Time and text of the keeper's events."""
    stats: list[tuple[int, bytes]] = field(default_factory=list)
    """Time and text of the engine's statistics."""
    pieces: dict[int, Piece] = field(default_factory=dict)
    """By the number of the entry."""


@dataclass(slots=True)
class Parsed:
    """The entries of some lines, one per line."""

    streams: dict[Ids | None, Stream] = field(default_factory=dict)

    def stream(self, ids: Ids | None) -> Stream:
        """Return the stream with these ids, which is there from now on."""
        found = self.streams.get(ids)
        if found is None:
            found = self.streams[ids] = Stream(ids)
        return found

    def in_order(self) -> Iterator[tuple[Stream, int]]:
        """Yield the stream and the number of its entry for each line, as they stand in the log."""
        runs = []
        for stream in self.streams.values():
            ends = [entry for entry, _ in stream.rows[1:]] + [len(stream.entries.texts)]
            runs += [(row, stream, entry, end) for (entry, row), end in zip(stream.rows, ends, strict=True)]
        for _, stream, entry, end in sorted(runs, key=lambda run: run[0]):
            for number in range(entry, end):
                yield stream, number


_NOTHING = Parsed()
_NO_STREAM = Stream(None)


class LineParser:
    """Parses the lines of one source."""

    def __init__(
        self,
        times: EngineTimes,
        headers: Headers,
        *,
        ids_from_lines: bool = False,
        plain: bool = False,
        state: dict[str, Any] | None = None,
    ) -> None:
        """Begin with the first line, or where `state` (what state() returned) was taken.

        plain: no format is looked for in the lines.
        ids_from_lines: a line's prefix may change the ids, and so the stream.
        """
        state = state or {}
        self._times = times
        self._ids_from_lines = ids_from_lines
        ids = state.get("ids")
        self.ids = Ids(*ids) if ids else None
        self.last_ns: int = state.get("last_ns", 0)
        self._engine_ns: int | None = state.get("engine_ns")
        self._headers = headers
        self._plain = plain
        self._records = Records(state.get("records", {}), headers, plain=plain)
        self._fixed = b""
        """What stands between the nanoseconds of a keeper's stamp and the text; empty before the first such line."""
        self._fixed_ids = self.ids
        """The ids in it."""
        self._seconds: dict[bytes, tuple[int, bytes]] = {}
        """By the stamp up to the nanoseconds: that second in nanoseconds since the epoch, and encoded."""
        before = state.get("before")
        self._before: bytes | None = None if before is None else before.encode("latin-1")
        """The end of the line that the next one continues; None if the last one was not cut."""
        self._parsed = _NOTHING
        self._stream = _NO_STREAM
        """Where entries go."""
        self._row = 0
        """The line of the block at hand."""
        self._has_returns = False
        """Some line of the block may end with CR."""
        self._now_ns = 0
        self._behind = False

    def state(self) -> dict[str, Any]:
        """Return what the next lines depend on, as JSON can hold it."""
        return {
            "ids": self.ids,
            "last_ns": self.last_ns,
            "engine_ns": self._engine_ns,
            "records": self._records.state(),
            "before": None if self._before is None else self._before.decode("latin-1"),
        }

    def begin(self, block: bytes, now_ns: int) -> None:
        """Look for the first time in the block a log begins with: lines before it that have none get the same."""
        self._now_ns = now_ns
        records = Records({}, self._headers, plain=self._plain)
        for line in block.split(b"\n", _BEGINNING_LINES)[:_BEGINNING_LINES]:
            if keepers := _keepers_line(line):
                self.last_ns = parse_stamp(keepers[1]) - 1
                return
            [told] = records.add(line).told
            when = json_time(line) if told.when is JSON_TIME else told.when
            if when is not None and (time_ns := self._engine_time(when)) is not None:
                self.last_ns = time_ns - 1
                return

    def parse(self, block: bytes, now_ns: int, *, behind: bool = False, unfinished: bool = False) -> Parsed:
        """Return the entries of a block of lines.

        Args:
            block: lines that end with LF each, but for the last if unfinished.
            now_ns: the time of reading, for lines without a time.
            behind: what is read was written earlier; a line without a time then follows the line before at once.
            unfinished: the last line has no line end (yet): it becomes a `cut`.

        """
        parsed = self._parsed = Parsed()
        self._row = 0
        self._now_ns = now_ns
        self._behind = behind
        self._turn_to(self.ids)
        self._has_returns = block.find(b"\r") >= 0
        lines = block.split(b"\n")
        last_line = lines.pop()
        if self._records.headers_suffice(block):
            self._take(lines)
        else:
            for line in lines:
                self._take_one(line)
        if unfinished and last_line:
            self._take_one(last_line, MARK_CUT)
        parsed.streams = {ids: stream for ids, stream in parsed.streams.items() if stream.entries.texts}
        self._parsed, self._stream = _NOTHING, _NO_STREAM  # a quiet source holds on to no lines
        return parsed

    def event(self, text: bytes, now_ns: int) -> Columns:
        """Return the one entry of an event that the agent itself has to tell, after all lines so far."""
        self.last_ns = max(now_ns, self.last_ns + 1)
        columns = Columns()
        columns.add(self.last_ns, text, self._event_meta(text))
        return columns

    def _take(self, lines: list[bytes]) -> None:
        """Take lines: together, wherever they are alike."""
        while lines and not self._fixed:
            taken = self._take_unstamped(lines)
            if taken < len(lines):
                self._take_one(lines[taken])
            lines = lines[taken + 1 :]
        fixed = self._fixed
        at = ordinary = 0
        while at < len(lines):
            taken = self._take_stamped(lines, at)
            ordinary += taken
            at += taken
            if at < len(lines):
                self._take_one(lines[at])
                at += 1
        if lines and not ordinary and self._fixed == fixed:
            self._fixed = b""

    def _take_stamped(self, lines: list[bytes], start: int) -> int:
        """Take ordinary lines of a keeper from start on; return how many that are."""
        runs, nanos, texts = scan.stamped(lines, start, self._fixed)
        seconds: list[bytes] = []
        base = 0
        for before_nanos, count in runs:
            known = self._second(before_nanos)
            if known is None:
                break
            base, encoded = known
            if not seconds and base + nanos[0] <= self.last_ns:
                for line in lines[start : start + len(nanos)]:
                    self._take_one(line)
                return len(nanos)
            seconds += [encoded] * count
        count = len(seconds)
        if not count:
            return 0
        del nanos[count:], texts[count:]
        if self._ids_from_lines and self._fixed_ids != self.ids:
            self._turn_to(self._fixed_ids)
        self.last_ns = base + nanos[-1]
        taken = self._records.take(texts)
        self._note_piece(texts[0])
        self._add(seconds, nanos, texts, taken)
        return count

    def _second(self, before_nanos: bytes) -> tuple[int, bytes] | None:
        """Return the second that a stamp is in, in nanoseconds and encoded; None if it is not a stamp."""
        known = self._seconds.get(before_nanos)
        if known is None:
            keepers = _keepers_line(before_nanos + b"000000000" + self._fixed)
            if keepers is None:
                return None
            if len(self._seconds) >= _SECONDS_MAX:
                self._seconds.clear()
            base = parse_stamp(keepers[1])
            known = self._seconds[before_nanos] = base, encode_second(base // NS_PER_SECOND)
        return known

    def _take_unstamped(self, lines: list[bytes]) -> int:
        """Take lines up to the first that a keeper wrote; return how many that are."""
        keepers = (place for place, line in enumerate(lines) if line[_IDS] == _IDS_BEGIN and _keepers_line(line))
        count = next(keepers, len(lines))
        texts = lines[:count]
        if self._has_returns:
            texts = [line.removesuffix(b"\r") for line in texts]
        self._place(texts, self._records.take(texts))
        return count

    def _take_one(self, line: bytes, mark: str | None = None) -> None:
        """Take any line."""
        keepers = _keepers_line(line)
        if keepers is not None:
            self._take_kept(line, keepers)
        else:
            text = line[:-1] if line.endswith(b"\r") else line
            self._place([text], self._records.add(text, mark), cut=mark == MARK_CUT)

    def _take_kept(self, line: bytes, keepers: re.Match[bytes]) -> None:
        """Take any line of a keeper."""
        ids = Ids(keepers[2].decode(), keepers[3].decode())
        if self._ids_from_lines and ids != self.ids:
            self._turn_to(ids)
        mark, text = keepers[4], keepers[5]
        if mark is None and (fixed := line[OFFSET_AT : keepers.start(5)]) != self._fixed:
            self._fixed = fixed
            self._fixed_ids = ids
            self._seconds.clear()
        own_ns = parse_stamp(keepers[1])
        self.last_ns = max(own_ns, self.last_ns + 1)
        if mark == _EVENT:
            taken = Taken([self._event_meta(text)], [], [])
            self._stream.events.append((self.last_ns, text))
        else:
            taken = self._records.add(text, mark.decode() if mark else None)
            self._note_piece(text, cut=mark == _CUT)
        texts = [text]
        if own_ns != self.last_ns:
            self._tell_own_time(0, own_ns, texts, taken)
        seconds, nanos = divmod(self.last_ns, NS_PER_SECOND)
        self._add([encode_second(seconds)], [nanos], texts, taken)

    def _place(self, texts: list[bytes], taken: Taken, *, cut: bool = False) -> None:
        """Add lines without a stamp: the engine's time is theirs, and the ids that stand in front of them.

        cut: the only one of them goes on.
        """
        times: list[int] = []
        turns: list[tuple[int, Ids]] = []
        late: list[tuple[int, int]] = []
        ids = self.ids
        previous: Told | None = None
        known_when: bytes | None = None
        known_ns: int | None = None
        time_ns: int | None = None
        last_ns = self.last_ns
        for place, told in enumerate(taken.told):
            if told is not previous:
                previous = told
                when = told.when
                if when is None or when is JSON_TIME:
                    time_ns = None
                else:
                    if when != known_when:
                        known_when, known_ns = when, self._engine_time(when)
                    time_ns = known_ns
                if self._ids_from_lines and told.ids is not None and told.ids != ids:
                    ids = told.ids
                    turns.append((place, ids))
            if when is JSON_TIME:
                known_when = when
                time_ns = self._engine_time(json_time(texts[place]))
            if time_ns is not None:
                if time_ns > last_ns:
                    last_ns = time_ns
                else:
                    last_ns += 1
                    if last_ns - time_ns > AHEAD_MAX_NS:
                        late.append((place, time_ns))
            elif (self._behind and last_ns) or self._now_ns <= last_ns:
                last_ns += 1
            else:
                last_ns = self._now_ns
            times.append(last_ns)
        seconds, nanos = _seconds_and_nanos(times)
        self.last_ns = last_ns
        whole = texts[0] if texts else b""
        for place, own_ns in late:
            self._tell_own_time(place, own_ns, texts, taken)
        start = 0
        for end, next_ids in (*turns, (len(texts), None)):
            if start < end:
                if start == 0:
                    self._note_piece(whole, cut=cut)
                here = slice(start, end)
                self._add(seconds[here], nanos[here], texts[here], taken.part(start, end))
            if next_ids is not None:
                self._turn_to(next_ids)
            start = end

    def _note_piece(self, text: bytes, *, cut: bool = False) -> None:
        """Note of the next entry, before it is added, what it is a piece of, if it is one."""
        if not cut and self._before is None:
            return
        before = self._before or b""
        self._stream.pieces[len(self._stream.entries.texts)] = Piece(before, cut)
        self._before = (before + text[-PIECE_TAIL_BYTES:])[-PIECE_TAIL_BYTES:] if cut else None

    def _tell_own_time(self, place: int, own_ns: int, texts: list[bytes], taken: Taken) -> None:
        """Let a line that is moved behind the one before it tell its own time."""
        structured = self._headers.structured_metadata
        texts[place], meta = original_time.with_original_time(texts[place], own_ns, structured_metadata=structured)
        taken.metas[place] += meta

    def _turn_to(self, ids: Ids | None) -> None:
        """Let entries go to the stream with these ids from now on."""
        self.ids = ids
        self._stream = self._parsed.stream(ids)
        self._stream.rows.append((len(self._stream.entries.texts), self._row))

    def _add(self, seconds: list[bytes], nanos: list[int], texts: list[bytes], taken: Taken) -> None:
        """Add lines to the stream at hand."""
        entries = self._stream.entries
        first = len(entries.texts)
        entries.extend(seconds, nanos, texts, taken.metas)
        for place in taken.stats:
            self._stream.stats.append((entries.time_ns(first + place), texts[place]))
        self._row += len(texts)

    def _engine_time(self, when: bytes) -> int | None:
        time_ns = self._times.parse(when, self._engine_ns)
        if time_ns is None or time_ns > self._now_ns + AHEAD_MAX_NS:
            return None
        self._engine_ns = time_ns
        return time_ns

    def _event_meta(self, text: bytes) -> bytes:
        event = parse_event(text.decode(errors="replace"))
        level = _GRAVE_EVENTS.get(event.name, "info")
        if event.name == events.EXITED and event.fields.get("state") in ("crashed", "failed"):
            level = "error"
        return self._headers.encode(level=level, kind=MARK_EVENT)


def _seconds_and_nanos(times: list[int]) -> tuple[list[bytes], list[int]]:
    """Return the columns of times, in nanoseconds since the epoch, that never go back."""
    seconds: list[bytes] = []
    nanos: list[int] = []
    start = 0
    while start < len(times):
        second = times[start] // NS_PER_SECOND
        base = second * NS_PER_SECOND
        end = bisect_left(times, base + NS_PER_SECOND, start)
        seconds += [encode_second(second)] * (end - start)
        nanos += [time_ns - base for time_ns in times[start:end]]
        start = end
    return seconds, nanos


def _keepers_line(line: bytes) -> re.Match[bytes] | None:
    """Return the groups of a line that a keeper wrote; None if it is none."""
    if not line[:1].isdigit():
        return None
    found = _KEEPERS_LINE.fullmatch(line)
    if found is not None:
        try:
            parse_stamp(found[1])
        except ValueError:
            return None
    return found
