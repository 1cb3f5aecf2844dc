"""Finds where a dead keeper stopped writing, and finishes the line in the midst of which it died.

A keeper notes what it is about to write (launch_log.Position), writes, and only then takes the bytes out of
the FIFO. So after its death the lines that are whole in the segment are compared with what the FIFO still holds: what
is written is taken out, what is not will be written by the new keeper.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from tracetail.contract.logline import (
    HEAD_PATTERN,
    MARK_CUT,
    MARK_EVENT,
    MARK_REDRAW,
    STAMP_BYTES,
    TEXT_MAX_BYTES,
    Event,
    local_offset_seconds,
    parse_event,
    parse_line,
    parse_stamp,
    render_stamp,
)
from tracetail.launcher.keeper.fifo import Output
from tracetail.launcher.keeper.launch_log import Position
from tracetail.launcher.keeper.line_splitter import split
from tracetail.launcher.keeper.stamper import Stamper
from tracetail.launcher.plan import LogPlan, segment_path

_TAIL_BYTES = 2 * TEXT_MAX_BYTES + 4096
"""Enough to hold the last whole line and a torn one."""
_HEAD = re.compile(HEAD_PATTERN)


class Found(NamedTuple):
    """Where a log stands."""

    path: Path
    segment: int
    size: int
    last_ns: int
    """The stamp of the last whole line."""
    torn: bytes
    """The start of a line after it that was not finished."""
    block: bytes | None
    """What stands in the segment of the last lines that the FIFO may still hold; None if it holds none."""
    position: Position | None
    last_event: Event | None
    """What the keeper said in the last whole line, if it is the keeper's."""


def find(log: LogPlan, position: Position | None) -> Found:
    """Look at the segments of a launch without a keeper."""
    number = last_segment(log, position)
    path = segment_path(log, number)
    tail = _read_from(path, -_TAIL_BYTES)
    size = path.stat().st_size if path.exists() else 0
    last_ns = _last_stamp(tail)
    if last_ns == 0 and number > 1:
        last_ns = _last_stamp(_read_from(segment_path(log, number - 1), -_TAIL_BYTES))
    block = None
    if position is not None and position.segment == number and position.consumed and position.size <= size:
        block = _read_from(path, position.size)
    torn = tail[tail.rfind(b"\n") + 1 :]
    return Found(path, number, size, last_ns, torn, block, position, _last_event(tail))


def last_segment(log: LogPlan, position: Position | None) -> int:
    """Return the number of the segment that was opened last: the oldest may be deleted, so the end is looked for."""
    name = re.compile(re.escape(log["stem"]) + r"(?:\.(\d+))?\.log")
    directory = Path(log["directory"])
    found = (
        [match for path in directory.iterdir() if (match := name.fullmatch(path.name))] if directory.is_dir() else []
    )
    return max([int(match[1] or 1) for match in found], default=position.segment if position else 1)


def complete(found: Found, output: Output, stamper: Stamper) -> int:
    """Finish a torn line and take out of the FIFO what is written; return by how many bytes the segment grew."""
    raw = output.peek()
    written = None if found.block is None else written_bytes(raw, found.block[: len(found.block) - len(found.torn)])
    ending = b""
    if found.torn:
        rest = b"" if written is None else raw[written:]
        head, ending_of_head = _head_of(found, stamper)
        ending, consumed = finish_line(found.torn, head, ending_of_head, rest)
        written = None if written is None else written + consumed
        descriptor = os.open(found.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        with os.fdopen(descriptor, "wb") as segment:
            segment.write(ending)
    if written:
        output.discard(written)
    return len(ending)


def written_bytes(raw: bytes, block: bytes) -> int | None:
    """Return how much of raw (the FIFO's beginning) the whole lines of block stand for.

    None if they are something else: then their bytes are out of the FIFO already.
    """
    at = 0
    for line in block.split(b"\n")[:-1]:
        parsed = parse_line(line)
        if parsed is None or parsed.mark == MARK_EVENT:
            continue
        found = _find_text(raw, at, parsed.text, parsed.mark)
        if found is None:
            return None
        at = found
    return at


def _find_text(raw: bytes, at: int, text: bytes, mark: str | None) -> int | None:
    """Return where the bytes of a line end in raw; states of a progress bar before it may have been left out."""
    endings = {MARK_CUT: (b"",), MARK_REDRAW: (b"\r",)}.get(mark or "", (b"\n", b"\r\n"))
    while True:
        for ending in endings:
            if raw.startswith(text + ending, at):
                return at + len(text) + len(ending)
        redraw = raw.find(b"\r", at)
        if redraw < 0 or raw.find(b"\n", at, redraw) >= 0:
            return None
        at = redraw + 1


def finish_line(torn: bytes, head: bytes, rest_of_head: bytes, rest: bytes) -> tuple[bytes, int]:
    """Return what completes a torn line, and how many bytes of the FIFO (rest) the completed line stands for.

    Args:
        torn: what stands in the segment.
        head: the line's stamp and prefix.
        rest_of_head: what of the head is not in torn.
        rest: the FIFO, from where this line begins; empty if its bytes are lost.

    """
    text = b"" if rest_of_head else torn[len(head) :]
    mark = head.removesuffix(b"] ").rpartition(b" ")[2]
    lines = split(rest) if rest else None
    if mark == MARK_EVENT.encode() or lines is None or not lines.texts or not lines.texts[0].startswith(text):
        return rest_of_head + b"\n", 0
    if mark == MARK_CUT.encode() or (lines.marks and lines.marks[0] == MARK_CUT):
        return rest_of_head + b"\n", len(text)
    whole = lines.texts[0]
    ending = rest[len(whole) : len(whole) + 2]
    if mark == MARK_REDRAW.encode() and not ending.startswith(b"\r"):
        return rest_of_head + b"\n", len(text)
    length = 1 if ending[:1] == b"\n" or mark == MARK_REDRAW.encode() else 2
    return rest_of_head + whole[len(text) :] + b"\n", len(whole) + length


def _head_of(found: Found, stamper: Stamper) -> tuple[bytes, bytes]:
    """Return the torn line's head, and what of it is missing.

    A head that is torn itself is completed: its stamp was the one after the last, or the block's first.
    """
    match = _HEAD.match(found.torn)
    if match is not None:
        stamper.last_ns = max(stamper.last_ns, parse_stamp(found.torn[:STAMP_BYTES]))
        return match[0], b""
    candidates = [found.last_ns + 1, *([found.position.first_ns] if found.position else [])]
    for time_ns in candidates:
        head = render_stamp(time_ns, local_offset_seconds(time_ns)) + stamper.prefix
        if head.startswith(found.torn):
            stamper.last_ns = time_ns
            return head, head[len(found.torn) :]
    return found.torn, b""


def _last_event(tail: bytes) -> Event | None:
    line = parse_line(tail[: max(0, tail.rfind(b"\n"))].rpartition(b"\n")[2])
    return parse_event(line.text.decode(errors="replace")) if line is not None and line.mark == MARK_EVENT else None


def _last_stamp(tail: bytes) -> int:
    for line in reversed(tail.split(b"\n")[:-1]):
        parsed = parse_line(line)
        if parsed is not None:
            return parsed.time_ns
    return 0


def _read_from(path: Path, offset: int) -> bytes:
    """Return a file from an offset (negative: from its end) on; empty if there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size + offset) if offset < 0 else offset)
            return file.read()
    except FileNotFoundError:
        return b""
