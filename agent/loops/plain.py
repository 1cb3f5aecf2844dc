"""The three loops over lines in which the agent spends most of its time, in Python.

They say what `_compiled.pyx` does, and run where that could not be built. Both return the same.
"""

import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import chain, islice
from operator import add, lt
from typing import TYPE_CHECKING

from agent.formats import REQUEST
from agent.protobuf import varint

if TYPE_CHECKING:
    from agent.headers import Headers, Known, Level, Told

HEAD_BYTES = 10
"""So long is the beginning of every line of uvicorn: `INFO:     `, `CRITICAL: `."""
JSON_MESSAGE = b', "message": "'
STATS = b"throughput"
TRACEBACK_END = b"(most recent call last):"
NANOS_AT = 20
"""Where the nanoseconds stand in a keeper's stamp."""
OFFSET_AT = 29
"""And the zone's offset behind them."""
SHORT_MAX = 2048
"""The length of an entry's line takes two bytes if line and metadata together are shorter."""

_BEHIND_DIGITS = b":"


def look_up(
    texts: list[bytes],
    headers: "Headers",
    open_tracebacks: set[bytes],
    level: "Level",
    resolve: Callable[[bytes, "Level", bool], "tuple[Known, Told]"],
) -> "tuple[list[bytes], list[Told], list[int], list[int], Level]":
    """Return what is known of lines by their headers.

    Args:
        texts: the lines.
        headers: those that were seen.
        open_tracebacks: by what stands before their lines; resolve may change it.
        level: of the line before.
        resolve: is asked about a line that cannot be looked up: line, level of the line before, is it the first?

    Returns:
        metadata and what the beginning tells about time and ids, per line; the lines that speak of requests; those
        that are the engine's statistics; the level of the last line.

    """
    metas: list[bytes] = []
    told: list[Told] = []
    requests: list[int] = []
    stats: list[int] = []
    add_meta, tell = metas.append, told.append
    heads, fronts, json_head, json_line = headers.heads, headers.fronts, headers.json_head, headers.json_line
    head: Told
    for place, text in enumerate(texts):
        known = heads.get(text[:HEAD_BYTES])
        if known is None:
            if text[:1] == b" ":
                if b"" not in open_tracebacks and not text.endswith(TRACEBACK_END):
                    head = known = level.unheaded
            else:
                before, bracket, body = text.partition(b" [")
                front = fronts.get(before) if bracket else None
                if front:
                    known = front.sources.get(body.partition(b"] ")[0])
                    head = front
        elif known is json_head:
            known = json_line(text)
            if known:
                head = known
        else:
            head = known
        if known is None:
            known, head = resolve(text, level, place == 0)
        level = known.level
        tell(head)
        add_meta(known.meta)
        if not known.tells_nothing_else:
            if text.find(REQUEST) >= 0:
                requests.append(place)
            if known.may_be_stats and text.find(STATS) >= 0:
                stats.append(place)
    return metas, told, requests, stats, level


def stamped(lines: list[bytes], start: int, fixed: bytes) -> tuple[list[tuple[bytes, int]], list[int], list[bytes]]:
    """Take the lines from start on that are alike: stamps that strictly increase, and fixed behind the nanoseconds.

    Returns:
        what stands before the nanoseconds, with the number of lines in a row that have it in common; the nanoseconds
        and the texts of the lines.

    """
    text_at = OFFSET_AT + len(fixed)
    end = next((place for place in range(start, len(lines)) if lines[place][OFFSET_AT:text_at] != fixed), len(lines))
    alike = lines[start:end]
    stamps = [line[:OFFSET_AT] for line in alike]
    digits = [stamp[NANOS_AT:] for stamp in stamps]
    if not b"".join(digits).isdigit():
        digits = digits[: next((place for place, some in enumerate(digits) if not some.isdigit()), len(digits))]
    if not all(map(lt, stamps, islice(stamps, 1, None))):
        end = next(place for place in range(1, len(stamps)) if stamps[place - 1] >= stamps[place])
        digits = digits[:end]
    runs = []
    at = 0
    while at < len(digits):
        before_nanos = stamps[at][:NANOS_AT]
        behind = bisect_left(stamps, before_nanos + _BEHIND_DIGITS, at, len(digits))
        runs.append((before_nanos, behind - at))
        at = behind
    return runs, list(map(int, digits)), [line[text_at:] for line in alike[: len(digits)]]


def _head(length: int) -> bytes:
    return b"\x12" + varint(length)


def _short_head(length: int) -> bytes:
    return bytes((0x12, length & 0x7F | 0x80, length >> 7))


SECOND_BYTES = 9
"""So long is the part of an encoded timestamp that all of one second have in common."""
_NO_NANOS = bytes(5)
_TIMESTAMP_BYTES = SECOND_BYTES + len(_NO_NANOS)
_TEXT_HEADS = [_short_head(n) for n in range(SHORT_MAX)]
"""Tag and length of a line in an entry: field 2. All are equally long."""
_ENTRY_HEADS = [_head(n + _TIMESTAMP_BYTES + len(_TEXT_HEADS[0])) for n in range(SHORT_MAX)]
"""Tag and length of an entry in a stream, field 2 as well, by the length of line and metadata."""
_PARTS = 5
"""Of an encoded entry: its head, time, the head of its line, line, metadata."""
_LANE_BYTES = 8
_LANES = 1024
_GROUPS = [(0x7F << 7 * group, group) for group in range(5)]
_MASKS = [(int.from_bytes(mask.to_bytes(_LANE_BYTES, "little") * _LANES, "little"), shift) for mask, shift in _GROUPS]
_CONTINUED = int.from_bytes(bytes((0x80, 0x80, 0x80, 0x80, 0, 0, 0, 0)) * _LANES, "little")
_CUT_AT_ONCE = 64
_CUT = struct.Struct(f"{_TIMESTAMP_BYTES}s" * _CUT_AT_ONCE)


def encoded(seconds: list[bytes], nanos: list[int], texts: list[bytes], metas: list[bytes]) -> bytes:
    """Return entries as they stand in a stream; see agent.encoding.Columns for the columns.

    The varints of a timestamp are five bytes long, and the length of a line two, unless it is very long.
    """
    lengths = list(map(len, texts))
    sizes = list(map(add, lengths, map(len, metas)))
    long = []
    if max(sizes) >= SHORT_MAX:
        for place in [place for place, size in enumerate(sizes) if size >= SHORT_MAX]:
            text_head = _head(lengths[place])
            long.append((place * _PARTS, _head(_TIMESTAMP_BYTES + len(text_head) + sizes[place]), text_head))
            lengths[place] = sizes[place] = 0
    parts = [b""] * (_PARTS * len(lengths))
    parts[0::_PARTS] = [_ENTRY_HEADS[size] for size in sizes]
    parts[1::_PARTS] = timestamps(seconds, nanos)
    parts[2::_PARTS] = [_TEXT_HEADS[length] for length in lengths]
    parts[3::_PARTS] = texts
    parts[4::_PARTS] = metas
    for at, head, text_head in long:
        parts[at] = head
        parts[at + 2] = text_head
    return b"".join(parts)


def timestamps(seconds: Sequence[bytes], nanos: Sequence[int]) -> list[bytes]:
    """Return encoded timestamps: the seconds as given, and the nanoseconds as a varint of five bytes.

    The numbers stand in lanes of eight bytes of one large integer, so that a shift moves the groups of seven bits of
    all of them at once. Their bytes are then laid between the seconds, again for all of them at once.
    """
    count = len(seconds)
    fields = bytearray(_NO_NANOS.join(seconds))
    fields += bytes(-count % _CUT_AT_ONCE * _TIMESTAMP_BYTES + len(_NO_NANOS))
    for start in range(0, len(nanos), _LANES):
        part = nanos[start : start + _LANES]
        size = len(part) * _LANE_BYTES
        lanes = array("Q", part)
        if sys.byteorder == "big":
            lanes.byteswap()
        number = int.from_bytes(lanes.tobytes(), "little")
        spread = _CONTINUED >> (_LANES - len(part)) * _LANE_BYTES * 8
        for mask, shift in _MASKS:
            spread |= (number & mask) << shift
        data = spread.to_bytes(size, "little")
        first = start * _TIMESTAMP_BYTES + SECOND_BYTES
        end = first + len(part) * _TIMESTAMP_BYTES
        for group in range(len(_NO_NANOS)):
            fields[first + group : end : _TIMESTAMP_BYTES] = data[group::_LANE_BYTES]
    return list(islice(chain.from_iterable(_CUT.iter_unpack(fields)), count))
