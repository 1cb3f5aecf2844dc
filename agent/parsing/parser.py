"""Parses blocks of lines into columns of entries: timestamp, text, metadata, level.

A parser belongs to one source and holds the state that later lines depend on: the last timestamp, the current record,
the ids. The state is saved in the journal with the position, so that a restart gives the same entries.

Lines are parsed many at a time, column by column: no object is created per line except for the columns' own bytes.
Lines that are not ordinary (an event, a mark, a stamp that is not later than the one before) are parsed one by one.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tracetail.agent.model import Ids
from tracetail.agent.parsing import scan
from tracetail.agent.parsing.container_lines import ContainerLines, Unwrapped
from tracetail.agent.parsing.header import HeaderFields  # noqa: TC001  (the annotation of a variable)
from tracetail.agent.parsing.header_cache import JSON_TIME, HeaderCache, json_time
from tracetail.agent.parsing.keeper_lines import event_level, match_keeper_line
from tracetail.agent.parsing.level_tracker import LevelTracker, LineAttributes
from tracetail.agent.parsing.parsed import Parsed, Piece, Stream
from tracetail.agent.parsing.scan_plain import OFFSET_AT
from tracetail.agent.parsing.times import AHEAD_MAX_NS, EngineTimes
from tracetail.contract.logline import MARK_CUT, MARK_EVENT, STAMP_BYTES, parse_stamp
from tracetail.contract.secret_lines import SecretLines
from tracetail.loki import original_time
from tracetail.loki.entries import NS_PER_SECOND, Columns, encode_second

_FIRST_TIME_LINES_MAX = 1000
_SECONDS_MAX = 16
_IDS_START = b" [traceId="
_IDS_PLACE = slice(STAMP_BYTES, STAMP_BYTES + len(_IDS_START))
_EVENT = MARK_EVENT.encode()
_CUT = MARK_CUT.encode()
PIECE_TAIL_BYTES = 4096
"""How much of a cut line is kept, for a secret that begins in it and ends in the next piece."""

_EMPTY = Parsed()
_EMPTY_STREAM = Stream(None)


class LineParser:
    """Parses the lines of one source."""

    def __init__(
        self,
        times: EngineTimes,
        cache: HeaderCache,
        *,
        by_keeper: bool = True,
        ids_from_lines: bool = False,
        plain: bool = False,
        state: dict[str, Any] | None = None,
    ) -> None:
        """Begin with the first line, or where `state`, which state() returned, was taken.

        by_keeper: a keeper wrote the log. In any other file a line that looks like a keeper's is text: whoever can
        make a server print a line must neither make events nor choose the time of other lines.
        ids_from_lines: a prefix with ids before a log header changes the ids, and so the stream.
        plain: do not parse headers.
        """
        state = state or {}
        self._times = times
        self._by_keeper = by_keeper
        self._ids_from_lines = ids_from_lines
        ids = state.get("ids")
        self.ids = Ids(*ids) if ids else None
        self.last_ns: int = state.get("last_ns", 0)
        """The last entry's timestamp; the next one is later."""
        self._engine_ns: int | None = state.get("engine_ns")
        self._cache = cache
        self._plain = plain
        self._container = None if by_keeper or plain else ContainerLines(state.get("container"))
        self._levels = LevelTracker(state.get("records", {}), cache, plain=plain)
        self._fixed = b""
        """The bytes between the nanoseconds of a keeper's stamp and the text; empty before the first such line."""
        self._seconds: dict[bytes, tuple[int, bytes]] = {}
        """By a stamp up to its nanoseconds: that second in nanoseconds since the epoch, and encoded."""
        before = state.get("before")
        self._before: bytes | None = None if before is None else before.encode("latin-1")
        """The end of the line that the next one continues; None if the last one was not cut."""
        self.secret_lines = SecretLines(state.get("private_key_lines", 0), state.get("secret_value", ""))
        """Whether the next line may be one of a secret that began in a line before; for redaction."""
        self._parsed = _EMPTY
        self._stream = _EMPTY_STREAM
        """The stream that entries are added to."""
        self._row = 0
        """Index of the current line in the block."""
        self._has_carriage_returns = False
        self._now_ns = 0
        self._behind = False

    def state(self) -> dict[str, Any]:
        """Return what the next lines depend on, for the journal; JSON-serialisable."""
        return {
            "ids": self.ids,
            "last_ns": self.last_ns,
            "engine_ns": self._engine_ns,
            "records": self._levels.state(),
            "before": None if self._before is None else self._before.decode("latin-1"),
            "container": self._container.state() if self._container else None,
            "private_key_lines": self.secret_lines.key.lines_left,
            "secret_value": self.secret_lines.expected,
        }

    def begin(self, block: bytes, now_ns: int) -> None:
        """Find the first time in the first block of a log: lines before it that have no time get the same."""
        self._now_ns = now_ns
        if self._container and (first := self._container.first_time(block)) and first > 0:
            self.last_ns = first - 1
            return
        levels = LevelTracker({}, self._cache, plain=self._plain)
        for line in _first_lines(block):
            if keeper_line := self._match_keeper_line(line):
                self.last_ns = parse_stamp(keeper_line[1]) - 1
                return
            [fields] = levels.add(line).fields
            timestamp = json_time(line) if fields.timestamp is JSON_TIME else fields.timestamp
            if timestamp is not None and (time_ns := self._engine_time(timestamp)) is not None:
                self.last_ns = time_ns - 1
                return

    def parse(
        self, block: bytes, now_ns: int, *, behind: bool = False, unfinished: bool = False, caught_up: bool = True
    ) -> Parsed:
        """Return the entries of a block of lines.

        Args:
            block: lines that end with LF each, except for the last one if unfinished.
            now_ns: the time of reading, for lines without a time.
            behind: the lines were written earlier; a line without a time gets the timestamp after the line before.
            unfinished: the last line has no line end (yet): it becomes a `cut`.
            caught_up: no more lines were written, as far as is known.

        """
        parsed = self._parsed = Parsed()
        self._row = 0
        self._now_ns = now_ns
        self._behind = behind
        self._switch_stream(self.ids)
        end = block.rfind(b"\n") + 1
        whole_lines, last_line = block[:end], block[end:]
        if self._container and self._container.is_wrapped(whole_lines):
            self._parse_container(list(self._container.unwrap(_split(whole_lines), caught_up=caught_up)))
        elif not self._levels.headers_suffice(block):
            for line in _split(whole_lines):
                self._parse_one(line)
        elif not scan.COMPILED or self._ids_from_lines or self._plain:
            self._has_carriage_returns = block.find(b"\r") >= 0
            self._parse_all(_split(whole_lines))
        elif self._by_keeper:
            self._scan_stamped(whole_lines)
        else:
            self._scan_unstamped(whole_lines)
        if unfinished and last_line:
            self._parse_one(last_line, MARK_CUT)
        parsed.streams = {ids: stream for ids, stream in parsed.streams.items() if len(stream.entries)}
        self._parsed, self._stream = _EMPTY, _EMPTY_STREAM  # the parser of an idle source must not hold lines
        return parsed

    def event(self, text: bytes, now_ns: int) -> Columns:
        """Return the entry of an event that the agent itself reports, later than all lines so far."""
        self.last_ns = max(now_ns, self.last_ns + 1)
        columns = Columns()
        columns.add(self.last_ns, text, self._encode_event(event_level(text)))
        return columns

    def _scan_stamped(self, block: bytes) -> None:
        """Parse the lines of a keeper's log, runs of ordinary ones together."""
        stream = self._stream
        fixed = self._fixed
        at = ordinary = 0
        while at < len(block):
            if self._fixed and self._before is None:
                at, count, self.last_ns = scan.add_stamped(
                    stream.entries,
                    block,
                    at,
                    self._fixed,
                    self.last_ns,
                    self._second_ns,
                    stream.levels,
                    stream.stats,
                    self._levels,
                )
                ordinary += count
                self._row += count
            if at < len(block):
                end = block.index(b"\n", at)
                self._parse_one(block[at:end])
                at = end + 1
        if block and not ordinary and self._fixed == fixed:
            self._fixed = b""

    def _scan_unstamped(self, block: bytes) -> None:
        """Parse the lines of a log that no keeper wrote."""
        if self._before is not None and block:
            first, _, block = block.partition(b"\n")
            self._parse_one(first)
        stream = self._stream
        count, self.last_ns = scan.add_unstamped(
            stream.entries,
            block,
            self.last_ns,
            self._now_ns,
            self._behind,
            self._engine_time,
            self._with_own_time,
            stream.levels,
            stream.stats,
            self._levels,
        )
        self._row += count

    def _parse_all(self, lines: list[bytes]) -> None:
        """Parse lines, runs of ordinary ones together."""
        while lines and not self._fixed:
            count = self._parse_unstamped(lines)
            if count < len(lines):
                self._parse_one(lines[count])
            lines = lines[count + 1 :]
        fixed = self._fixed
        at = ordinary = 0
        while at < len(lines):
            count = self._parse_stamped(lines, at)
            ordinary += count
            at += count
            if at < len(lines):
                self._parse_one(lines[at])
                at += 1
        if lines and not ordinary and self._fixed == fixed:
            self._fixed = b""

    def _parse_stamped(self, lines: list[bytes], start: int) -> int:
        """Parse ordinary lines of a keeper from index start on; return their number."""
        runs, nanos, texts = scan.split_stamps(lines, start, self._fixed)
        seconds: list[bytes] = []
        base = 0
        for before_nanos, count in runs:
            known = self._second(before_nanos)
            if known is None:
                break
            base, encoded = known
            if not seconds and base + nanos[0] <= self.last_ns:
                for line in lines[start : start + len(nanos)]:
                    self._parse_one(line)
                return len(nanos)
            seconds += [encoded] * count
        count = len(seconds)
        if not count:
            return 0
        del nanos[count:], texts[count:]
        self.last_ns = base + nanos[-1]
        attributes = self._levels.add_all(texts)
        self._record_piece(texts[0])
        self._add(seconds, nanos, texts, attributes)
        return count

    def _second(self, before_nanos: bytes) -> tuple[int, bytes] | None:
        """Return the second of a stamp, in nanoseconds and encoded; None if it is not a stamp."""
        known = self._seconds.get(before_nanos)
        if known is None:
            keeper_line = match_keeper_line(before_nanos + b"000000000" + self._fixed)
            if keeper_line is None:
                return None
            if len(self._seconds) >= _SECONDS_MAX:
                self._seconds.clear()
            base = parse_stamp(keeper_line[1])
            known = self._seconds[before_nanos] = base, encode_second(base // NS_PER_SECOND)
        return known

    def _second_ns(self, before_nanos: bytes) -> int | None:
        """Return the second of a stamp in nanoseconds since the epoch; None if it is not a stamp."""
        known = self._second(before_nanos)
        return None if known is None else known[0]

    def _parse_unstamped(self, lines: list[bytes]) -> int:
        """Parse lines up to the first that a keeper wrote; return their number."""
        keeper_lines = (
            index for index, line in enumerate(lines) if line[_IDS_PLACE] == _IDS_START and match_keeper_line(line)
        )
        count = next(keeper_lines, len(lines)) if self._by_keeper else len(lines)
        texts = lines[:count]
        if self._has_carriage_returns:
            texts = [line.removesuffix(b"\r") for line in texts]
        self._add_unstamped(texts, self._levels.add_all(texts))
        return count

    def _parse_container(self, lines: list[Unwrapped]) -> None:
        """Parse the lines of a program in a container; their times are the container runtime's."""
        self._levels.headers_suffice(b"\n".join(line.text for line in lines))
        for line in lines:
            text = line.text.removesuffix(b"\r")
            attributes = self._levels.add(text, MARK_CUT if line.cut else None)
            self._add_unstamped([text], attributes, cut=line.cut, own_ns=line.time_ns)

    def _parse_one(self, line: bytes, mark: str | None = None) -> None:
        """Parse any line."""
        keeper_line = self._match_keeper_line(line)
        if keeper_line is not None:
            self._parse_keeper_line(line, keeper_line)
        else:
            text = line[:-1] if line.endswith(b"\r") else line
            self._add_unstamped([text], self._levels.add(text, mark), cut=mark == MARK_CUT)

    def _match_keeper_line(self, line: bytes) -> re.Match[bytes] | None:
        return match_keeper_line(line) if self._by_keeper else None

    def _parse_keeper_line(self, line: bytes, match: re.Match[bytes]) -> None:
        """Parse any line of a keeper."""
        mark, text = match[4], match[5]
        if mark is None and (fixed := line[OFFSET_AT : match.start(5)]) != self._fixed:
            self._fixed = fixed
            self._seconds.clear()
        own_ns = parse_stamp(match[1])
        self.last_ns = max(own_ns, self.last_ns + 1)
        if mark == _EVENT:
            level = event_level(text)
            attributes = LineAttributes([self._encode_event(level)], [level], [], [])
            self._stream.events.append((self.last_ns, text))
        else:
            attributes = self._levels.add(text, mark.decode() if mark else None)
            self._record_piece(text, cut=mark == _CUT)
        texts = [text]
        if own_ns != self.last_ns:
            self._add_original_time(0, own_ns, texts, attributes)
        seconds, nanos = divmod(self.last_ns, NS_PER_SECOND)
        self._add([encode_second(seconds)], [nanos], texts, attributes)

    def _add_unstamped(
        self, texts: list[bytes], attributes: LineAttributes, *, cut: bool = False, own_ns: int | None = None
    ) -> None:
        """Add lines without a stamp, with the engine's time and the ids from their prefixes.

        cut: texts has one item, and its line continues. own_ns: the time of all of them, better than the engine's.
        """
        if own_ns is not None and not self._is_possible(own_ns):
            own_ns = None
        times: list[int] = []
        switches: list[tuple[int, Ids]] = []
        late: list[tuple[int, int]] = []
        ids = self.ids
        previous: HeaderFields | None = None
        parsed_timestamp: bytes | None = None
        parsed_ns: int | None = None
        time_ns: int | None = None
        last_ns = self.last_ns
        for index, fields in enumerate(attributes.fields):
            if fields is not previous:
                previous = fields
                timestamp = fields.timestamp
                if timestamp is None or timestamp is JSON_TIME:
                    time_ns = None
                else:
                    if timestamp != parsed_timestamp:
                        parsed_timestamp, parsed_ns = timestamp, self._engine_time(timestamp)
                    time_ns = parsed_ns
                if self._ids_from_lines and fields.ids is not None and fields.ids != ids:
                    ids = fields.ids
                    switches.append((index, ids))
            if timestamp is JSON_TIME:
                parsed_timestamp = timestamp
                time_ns = self._engine_time(json_time(texts[index]))
            if own_ns is not None:
                time_ns = own_ns
            if time_ns is not None:
                if time_ns > last_ns:
                    last_ns = time_ns
                else:
                    last_ns += 1
                    if last_ns - time_ns > AHEAD_MAX_NS:
                        late.append((index, time_ns))
            elif (self._behind and last_ns) or self._now_ns <= last_ns:
                last_ns += 1
            else:
                last_ns = self._now_ns
            times.append(last_ns)
        seconds, nanos = _seconds_and_nanos(times)
        self.last_ns = last_ns
        first_text = texts[0] if texts else b""
        for index, own_ns in late:
            self._add_original_time(index, own_ns, texts, attributes)
        start = 0
        for end, next_ids in (*switches, (len(texts), None)):
            if start < end:
                if start == 0:
                    self._record_piece(first_text, cut=cut)
                here = slice(start, end)
                self._add(seconds[here], nanos[here], texts[here], attributes.part(start, end))
            if next_ids is not None:
                self._switch_stream(next_ids)
            start = end

    def _record_piece(self, text: bytes, *, cut: bool = False) -> None:
        """Record, before it is added, that the next entry is a piece of a cut line, if it is one."""
        if not cut and self._before is None:
            return
        before = self._before or b""
        self._stream.pieces[len(self._stream.entries)] = Piece(before, cut)
        self._before = (before + text[-PIECE_TAIL_BYTES:])[-PIECE_TAIL_BYTES:] if cut else None

    def _add_original_time(self, index: int, own_ns: int, texts: list[bytes], attributes: LineAttributes) -> None:
        """Add the own time of a line that gets the timestamp after the line before it."""
        texts[index], meta = self._with_own_time(texts[index], own_ns)
        attributes.metas[index] += meta

    def _with_own_time(self, text: bytes, own_ns: int) -> tuple[bytes, bytes]:
        """Return a text, and the metadata to add, of which one has the time of its own."""
        structured = self._cache.structured_metadata
        return original_time.with_original_time(text, own_ns, structured_metadata=structured)

    def _switch_stream(self, ids: Ids | None) -> None:
        """Add the next entries to the stream with these ids."""
        self.ids = ids
        self._stream = self._parsed.stream(ids)
        self._stream.rows.append((len(self._stream.entries), self._row))

    def _add(self, seconds: list[bytes], nanos: list[int], texts: list[bytes], attributes: LineAttributes) -> None:
        """Add lines to the current stream."""
        stream = self._stream
        entries = stream.entries
        first = len(entries)
        entries.extend(seconds, nanos, texts, attributes.metas)
        for level, count in Counter(attributes.levels).items():
            stream.levels[level] = stream.levels.get(level, 0) + count
        for index in attributes.stats:
            stream.stats.append((entries.time_ns(first + index), texts[index]))
        self._row += len(texts)

    def _engine_time(self, timestamp: bytes) -> int | None:
        time_ns = self._times.parse(timestamp, self._engine_ns)
        if time_ns is None or not self._is_possible(time_ns):
            return None
        self._engine_ns = time_ns
        return time_ns

    def _is_possible(self, time_ns: int) -> bool:
        """Return whether a line may have been printed then: no entry can have a time before the epoch."""
        return 0 <= time_ns <= self._now_ns + AHEAD_MAX_NS

    def _encode_event(self, level: str) -> bytes:
        return self._cache.encode(level=level, kind=MARK_EVENT)


def _split(block: bytes) -> list[bytes]:
    """Return the lines of a block that ends with a line end."""
    return block.split(b"\n")[:-1]


def _first_lines(block: bytes) -> Iterator[bytes]:
    """Yield the first lines of a block: most often the first one has a time."""
    start = 0
    for _ in range(_FIRST_TIME_LINES_MAX):
        end = block.find(b"\n", start)
        if end < 0:
            yield block[start:]
            return
        yield block[start:end]
        start = end + 1


def _seconds_and_nanos(times: list[int]) -> tuple[list[bytes], list[int]]:
    """Return the columns `seconds` and `nanos` of increasing timestamps in nanoseconds since the epoch."""
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
