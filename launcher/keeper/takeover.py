"""Finds where a dead keeper stopped writing, and completes the line in the middle of which it died.

A keeper records in the position file what it is about to write (position.Position), writes the lines, and only then
takes their bytes out of the FIFO. After its death the whole lines in the segment are compared with what the FIFO
still holds: bytes that are written are taken out, the others are left for the new keeper to write.
"""

import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from tracetail.contract.logline import (
    HEAD_PATTERN,
    MARK_CUT,
    MARK_EVENT,
    MARK_REDRAW,
    STAMP_BYTES,
    local_offset_seconds,
    parse_line,
    parse_stamp,
    render_stamp,
)
from tracetail.contract.owned_files import open_ours
from tracetail.contract.processes import CLOCK_TICKS, boot_id
from tracetail.contract.record import Record
from tracetail.contract.safe_open import read_file
from tracetail.launcher.keeper.exit_reason import Failure
from tracetail.launcher.keeper.fifo import Output
from tracetail.launcher.keeper.keeper_log import report
from tracetail.launcher.keeper.line_splitter import split
from tracetail.launcher.keeper.position import Position
from tracetail.launcher.log.log_end import LogEnd, find_log_end, read_from
from tracetail.launcher.log.stamper import Stamper
from tracetail.launcher.plan import LogPlan
from tracetail.launcher.result import EXITED_BEFORE_READY

_HEAD = re.compile(HEAD_PATTERN)


class Unfinished(NamedTuple):
    """What a dead keeper left: the end of its log, and what it was about to write."""

    end: LogEnd
    block: bytes | None
    """The bytes in the segment from the last position on, which the FIFO may still hold; None if it does not."""
    position: Position | None


def find_unfinished(log: LogPlan, position: Position | None) -> Unfinished:
    """Return where the dead keeper of a launch stopped. position: its last one."""
    end = find_log_end(log, position.segment if position else 1)
    block = None
    if position is not None and position.segment == end.segment and position.consumed and position.size <= end.size:
        block = read_from(end.path, position.size)
    return Unfinished(end, block, position)


def complete(unfinished: Unfinished, output: Output, stamper: Stamper) -> tuple[int, bytes]:
    """Complete a torn line, and take out of the FIFO what is written.

    Returns by how many bytes the segment grew, and what is still to be appended: what a full disk did not take.
    """
    end, block, _ = unfinished
    raw = output.peek()
    written = None if block is None else written_bytes(raw, block[: len(block) - len(end.torn)])
    ending = left = b""
    if end.torn:
        rest = b"" if written is None else raw[written:]
        head, rest_of_head = _head_of(unfinished, stamper)
        ending, consumed = finish_line(end.torn, head, rest_of_head, rest)
        written = None if written is None else written + consumed
        left = _append(end.path, ending)
    if written:
        output.discard(written)
    return len(ending) - len(left), left


def _append(path: Path, data: bytes) -> bytes:
    """Append data to a segment, and return what its disk did not take."""
    descriptor = open_ours(path, os.O_WRONLY | os.O_APPEND)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError as error:
        report(f"cannot complete a line of {path}: {error}")
    finally:
        os.close(descriptor)
    return data


def seconds_since_start(launch: Record) -> float:
    """Return for how many seconds a launch has run: by its server's age if there is one, else by its record.

    The wall clock may have jumped since the record was written.
    """
    server = launch.get("server")
    if server is not None and server["bootId"] == boot_id():
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - server["startTime"] / CLOCK_TICKS)
    return max(0.0, (time.time_ns() - parse_stamp(launch["startedAt"].encode())) / 1e9)


def failure_without_server(keeper_log: Path) -> Failure:
    """Return the failure of a launch whose keeper died before it started the server.

    keeper_log: what the dead keeper, or systemd-run in its place, printed.
    """
    last_line = read_file(keeper_log).decode(errors="replace").strip().rpartition("\n")[2][:200]
    cause = last_line or "its keeper, or its start, was ended"
    return Failure(
        EXITED_BEFORE_READY,
        f"the server was not started: {cause}",
        "see keeper.log beside its record",
        cause_zh=f"服务没有启动：{cause}",
        hint_zh="查看记录旁边的 keeper.log",
    )


def written_bytes(raw: bytes, block: bytes) -> int | None:
    """Return how many bytes of raw (the beginning of the FIFO) the whole lines of block were made from.

    None if raw does not begin with these lines: then their bytes were taken out of the FIFO already.
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
    """Return where a line ends in raw, at or behind `at`; redraws before it may have been left out of the log."""
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
    """Return the bytes that complete a torn line, and how many bytes of the FIFO (rest) the line was made from.

    Args:
        torn: the part of the line in the segment.
        head: the line's stamp and prefix.
        rest_of_head: the part of the head that torn lacks.
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


def _head_of(unfinished: Unfinished, stamper: Stamper) -> tuple[bytes, bytes]:
    """Return the torn line's stamp and prefix, and what of them is missing in the segment.

    If they are torn themselves, their stamp was the one after the log's last, or the first of the position.
    """
    torn, position = unfinished.end.torn, unfinished.position
    match = _HEAD.match(torn)
    if match is not None:
        stamper.last_ns = max(stamper.last_ns, parse_stamp(torn[:STAMP_BYTES]))
        return match[0], b""
    for time_ns in [unfinished.end.last_ns + 1, *([position.first_ns] if position else [])]:
        head = render_stamp(time_ns, local_offset_seconds(time_ns)) + stamper.prefix
        if head.startswith(torn):
            stamper.last_ns = time_ns
            return head, head[len(torn) :]
    return torn, b""
