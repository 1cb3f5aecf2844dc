"""The lines that programs printed, without what was put around them: labels, progress bars, JSON. Pure."""

import re
from collections.abc import Iterable, Iterator

from tracetail.contract.engine_lines import EngineLine, json_message, outermost_header, read_line
from tracetail.contract.tracebacks import FRAME_START, TRACEBACK

LINE_MAX_BYTES = 4096
"""Bytes of a line that are searched: causes stand at its beginning."""
JSON_MAX_BYTES = 256 * 1024
"""A line that is JSON is read whole: a traceback is one of its fields."""
_JSON_WITHIN = 320
"""Bytes within which JSON begins behind what docker, systemd or a platform puts in front of it."""

HARMLESS = ("debug", "info")
"""Levels of lines that report no error."""

_BAR_MARK = b"%|"
_BAR = re.compile(rb".{0,400}?%\|[^\]]{0,300}\d(?:it/s|s/it)\](?=[A-Za-z(\[])")
"""A progress bar, behind which something was printed."""
_REPEATED_MARK = b"x across cluster]"
_REPEATED = re.compile(rb"(?:\x1b\[\d{1,3}m)? ?\[repeated \d{1,9}x across cluster\].{0,300}$")
"""Ray appends to a line how many workers printed the same."""
_LABEL_MAX = 240
_LABELLED_FRAME = re.compile(rb"(?P<label>[^\"]{1,200}?[^\"\s|] ?)  File \"[^\"]{1,500}\", line \d")
_DIGITS_OR_STREAM = re.compile(rb"\d+|stdout|stderr")
_FRAMES_TRIED = 20


def printed_lines(lines: Iterable[bytes]) -> Iterator[tuple[int, EngineLine, bytes]]:
    """Yield the lines of a log: number, parsed line, and the text to show to users, without colours.

    Several lines have the same number where the message of a line that is JSON has several.
    """
    printed = _dedented(list(lines))
    label = _unknown_label(printed)
    for at, line in enumerate(printed):
        labelled = label.match(line) if label is not None else None
        if labelled is None and _BAR_MARK in line:
            labelled = _BAR.match(line)
        said = line[labelled.end() :] if labelled else line
        if _REPEATED_MARK in said:
            said = _REPEATED.sub(b"", said)
        for parsed, shown in _parse(said):
            yield at, parsed, shown if said is line else line[:LINE_MAX_BYTES]


def _unknown_label(lines: list[bytes]) -> re.Pattern[bytes] | None:
    """Return what a program put in front of every line, that is no header: `0: ` of srun, `[1,0]<stderr>:` of mpirun.

    It is found by the frames of a traceback, which begin with two blanks: of two lines in a row the same stands in
    front, but for its digits.
    """
    tried = 0
    for at, line in enumerate(lines[:-1]):
        if FRAME_START not in line[:_LABEL_MAX] or (found := _LABELLED_FRAME.match(line)) is None:
            continue
        tried += 1
        text = read_line(line[:LINE_MAX_BYTES]).message
        if not text[:1].isspace() and not text.startswith(FRAME_START):
            parts = (re.escape(part) for part in _DIGITS_OR_STREAM.split(found["label"]))
            label = re.compile(rb"(?:\d+|stdout|stderr)".join(parts))
            if label.match(lines[at + 1]):
                return label
        if tried == _FRAMES_TRIED:
            break
    return None


def without_info_headers(lines: list[bytes]) -> list[bytes]:
    """Return the lines without headers of level info, and without the label that is in front of a traceback there.

    TorchServe, for example, logs its worker's output as `<time> [INFO ] W-9000-model-stdout MODEL_LOG - <line>`.
    """
    label, raw = b"", []
    for line in lines:
        parsed = read_line(line[:LINE_MAX_BYTES])
        if not parsed.is_headed or parsed.header.level not in HARMLESS:
            raw.append(line)
            continue
        text = parsed.message
        if not label and (at := text.find(TRACEBACK)) > 0:
            label = text[:at]
        raw.append(text.removeprefix(label))
    return raw


def _dedented(lines: list[bytes]) -> list[bytes]:
    """Return the lines without the indentation that all of them have: what passes a log on may indent it."""
    widths = (len(line) - len(line.lstrip(b" ")) for line in lines if line.strip())
    indent = next(widths, 0)
    for width in widths:
        indent = min(indent, width)
        if not indent:
            return lines
    return [line[indent:] for line in lines] if indent else lines


def _parse(line: bytes) -> Iterator[tuple[EngineLine, bytes]]:
    """Yield the lines of a printed line, and the text to show: one, or each of a JSON message."""
    parsed = read_line(line if b"{" in line[:_JSON_WITHIN] and len(line) <= JSON_MAX_BYTES else line[:LINE_MAX_BYTES])
    at = parsed.prefix_end
    if parsed.header.body > at and parsed.text.startswith(b"{", parsed.header.body):
        stamp = outermost_header(parsed)
        at = at if stamp.named or stamp.cacheable else stamp.body
    if not parsed.text.startswith(b"{", at):
        yield parsed, line[:LINE_MAX_BYTES] if b"\x1b" not in line else parsed.message
        return
    message = json_message(parsed.text[at:])
    if message is None:
        yield parsed, parsed.text
        return
    for text in message.split("\n"):
        inner = text.encode(errors="replace")[:LINE_MAX_BYTES]
        yield EngineLine(inner, parsed.header._replace(body=0), 0, None), inner
