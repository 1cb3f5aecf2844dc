"""The loops over lines in plain Python, with the same results as `_scan.pyx`."""

from bisect import bisect_left
from collections.abc import Callable
from itertools import islice
from operator import lt

from tracetail.agent.parsing.header import HeaderFields, KnownHeader, Level
from tracetail.agent.parsing.header_cache import HEAD_BYTES, JSON_MESSAGE, JSON_TIME, JSON_TIME_AT, HeaderCache
from tracetail.agent.parsing.times import AHEAD_MAX_NS
from tracetail.contract.engine_lines import REQUEST
from tracetail.contract.tracebacks import FRAME_START, FRAME_STATES, NEEDLE, Tracebacks
from tracetail.loki.entries import NS_PER_SECOND

__all__ = [
    "AHEAD_MAX_NS",
    "FRAME_START",
    "FRAME_STATES",
    "HEAD_BYTES",
    "JSON_MESSAGE",
    "JSON_TIME",
    "JSON_TIME_AT",
    "NEEDLE",
    "NS_PER_SECOND",
    "REQUEST",
    "look_up",
    "split_stamps",
]

STATS = b"throughput"
TRACEBACK_END = b"(most recent call last):"
NANOS_AT = 20
"""Offset of the nanoseconds in a keeper's stamp."""
OFFSET_AT = 29
"""Offset of the time zone's offset, after the nanoseconds."""

_AFTER_DIGITS = b":"


def look_up(
    texts: list[bytes],
    cache: HeaderCache,
    tracebacks: Tracebacks,
    level: Level,
    resolve: Callable[[bytes, Level, bool], tuple[KnownHeader, HeaderFields]],
) -> tuple[list[bytes], list[str], list[HeaderFields], list[int], list[int], Level]:
    """Return the attributes of lines, by their headers.

    Args:
        texts: the lines.
        cache: the headers seen so far.
        tracebacks: those that have not ended; resolve may change them.
        level: of the line before.
        resolve: called with a line that is not in the cache, the level of the line before, and whether it is the
            first of texts.

    Returns:
        per line: encoded metadata, level, header fields. The indices of lines that contain "equest", and of lines of
        engine statistics. The level of the last line.

    """
    metas: list[bytes] = []
    levels: list[str] = []
    fields: list[HeaderFields] = []
    requests: list[int] = []
    stats: list[int] = []
    add_meta, add_level, add_fields = metas.append, levels.append, fields.append
    heads, starts, json_head, json_line = cache.heads, cache.starts, cache.json_head, cache.json_line
    found: HeaderFields
    for index, text in enumerate(texts):
        known = heads.get(text[:HEAD_BYTES])
        if known is None:
            if text[:1] == b" ":
                if (
                    b"" not in tracebacks.open
                    and not text.endswith(TRACEBACK_END)
                    and not (level.severe and FRAME_START in text)
                ):
                    found = known = level.without_header
            else:
                before, bracket, rest = text.partition(b" [")
                start = starts.get(before) if bracket else None
                if start:
                    known = start.sources.get(rest.partition(b"] ")[0])
                    found = start
        elif known is json_head:
            known = json_line(text)
            if known:
                found = known
        else:
            found = known
        if known is None:
            known, found = resolve(text, level, index == 0)
        level = known.level
        add_fields(found)
        add_meta(known.meta)
        add_level(level.name)
        if not known.level_only:
            if text.find(REQUEST) >= 0:
                requests.append(index)
            if known.may_be_stats and text.find(STATS) >= 0:
                stats.append(index)
    return metas, levels, fields, requests, stats, level


def split_stamps(
    lines: list[bytes], start: int, fixed: bytes
) -> tuple[list[tuple[bytes, int]], list[int], list[bytes]]:
    """Split the lines of a keeper from index start on, up to the first that is not ordinary.

    Ordinary: its stamp is later than the one before, and the bytes `fixed` follow its nanoseconds.

    Returns:
        runs of lines with the same second: the stamp up to the nanoseconds, and the number of lines; per line the
        nanoseconds, and the text.

    """
    text_at = OFFSET_AT + len(fixed)
    end = next((index for index in range(start, len(lines)) if lines[index][OFFSET_AT:text_at] != fixed), len(lines))
    alike = lines[start:end]
    stamps = [line[:OFFSET_AT] for line in alike]
    digits = [stamp[NANOS_AT:] for stamp in stamps]
    if not b"".join(digits).isdigit():
        digits = digits[: next((index for index, some in enumerate(digits) if not some.isdigit()), len(digits))]
    if not all(map(lt, stamps, islice(stamps, 1, None))):
        end = next(index for index in range(1, len(stamps)) if stamps[index - 1] >= stamps[index])
        digits = digits[:end]
    runs = []
    at = 0
    while at < len(digits):
        before_nanos = stamps[at][:NANOS_AT]
        after = bisect_left(stamps, before_nanos + _AFTER_DIGITS, at, len(digits))
        runs.append((before_nanos, after - at))
        at = after
    return runs, list(map(int, digits)), [line[text_at:] for line in alike[: len(digits)]]
