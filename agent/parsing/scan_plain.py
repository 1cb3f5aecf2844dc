"""The loops over lines in plain Python: what `_scan.pyx` does, where that could not be built. Same result."""

from bisect import bisect_left
from collections.abc import Callable
from itertools import islice
from operator import lt
from typing import TYPE_CHECKING

from tracetail.contract.engine_lines import REQUEST

if TYPE_CHECKING:
    from tracetail.agent.parsing.header import Headers, Known, Level, Told

HEAD_BYTES = 10
"""So long is the beginning of every line of uvicorn: `INFO:     `, `CRITICAL: `."""
JSON_MESSAGE = b', "message": "'
STATS = b"throughput"
TRACEBACK_END = b"(most recent call last):"
NANOS_AT = 20
"""Where the nanoseconds stand in a keeper's stamp."""
OFFSET_AT = 29
"""And the zone's offset behind them."""

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
