"""Splits a server's output into lines with marks. Pure: bytes in, lines out.

The output is the lines' texts in order, each followed by nothing (mark `cut`), a CR (`redraw`) or a LF (no mark); a
CR before a LF is dropped.
"""

import re
from typing import NamedTuple

from tracetail.contract.logline import MARK_CUT, MARK_REDRAW, TEXT_MAX_BYTES

LINES_MAX = 4096
"""Lines that are split off at once: each grows by its prefix, and the keeper has to stay small."""
REDRAW_SECONDS = 1.0
"""Least time between two written redraws of a progress bar; the last one is always written."""

# A CR at the very end is left: a LF may follow. Possessive, and matched from line to line rather than searched,
# so that a long line without an end costs one pass.
_LINE = re.compile(rb"([^\r\n]*+)(?:\r?\n|(\r)(?!\Z))")


class Split(NamedTuple):
    """Lines split off the beginning of some output."""

    texts: list[bytes]
    marks: list[str | None] | None
    """One per text; None if no line has a mark (which is nearly always)."""
    consumed: int
    """The number of bytes of the output that they were made from."""


def split(data: bytes) -> Split:
    """Split off the complete lines, and pieces of a line that is longer than TEXT_MAX_BYTES."""
    texts = data.split(b"\n", LINES_MAX)
    rest = texts.pop()
    end = len(data) - len(rest)
    if len(texts) == LINES_MAX and b"\n" in rest:
        data = data[:end]
    # With a line end in this window no line can be too long, whatever else there is.
    if len(data) <= TEXT_MAX_BYTES or data.find(b"\n", len(data) - TEXT_MAX_BYTES, TEXT_MAX_BYTES) >= 0:
        if b"\r" not in data:
            return Split(texts, None, end)
        head = data[:end].replace(b"\r\n", b"\n")
        if b"\r" not in head and b"\r" not in data[end:-1]:
            return Split(head[:-1].split(b"\n") if end else [], None, end)
    return _split_slowly(data)


def _split_slowly(data: bytes) -> Split:
    texts: list[bytes] = []
    marks: list[str | None] = []
    position = 0
    while (match := _LINE.match(data, position)) is not None:
        text, redraw = match.groups()
        _add(text, MARK_REDRAW if redraw else None, texts, marks)
        position = match.end()
    while len(data) - position > TEXT_MAX_BYTES:
        piece = data[position : position + character_boundary(data[position : position + TEXT_MAX_BYTES])]
        texts.append(piece)
        marks.append(MARK_CUT)
        position += len(piece)
    return Split(texts, marks if any(marks) else None, position)


def _add(text: bytes, mark: str | None, texts: list[bytes], marks: list[str | None]) -> None:
    while len(text) > TEXT_MAX_BYTES:
        length = character_boundary(text[:TEXT_MAX_BYTES])
        texts.append(text[:length])
        marks.append(MARK_CUT)
        text = text[length:]
    texts.append(text)
    marks.append(mark)


def split_unfinished(data: bytes, *, final: bool = False) -> Split:
    """Split off the start of a line without an end. final: nothing follows, not even the rest of a character."""
    if not data:
        return Split([], None, 0)
    if data.endswith(b"\r"):
        return Split([data[:-1]], [MARK_REDRAW], len(data))
    length = len(data) if final else character_boundary(data)
    return Split([data[:length]], [MARK_CUT], length)


def character_boundary(data: bytes) -> int:
    """Return the length of data without an incomplete UTF-8 character at its end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            break
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if needed > back and len(data) > back else len(data)
    return len(data)


class Redraws:
    """Drops redraws of a progress bar: keeps at most one a second, and the last of each run."""

    def __init__(self) -> None:
        self._written_at = float("-inf")
        self._held: bytes | None = None
        self._after_cut = False
        self.running = False
        """The last line ended with a bare CR, so the next one is probably a redraw."""

    def thin(self, lines: Split, now: float) -> Split:
        """Return the lines without the redraws that come too soon. now: monotonic seconds."""
        if lines.marks is None and self._held is None:
            if lines.texts:
                self.running = self._after_cut = False
            return lines
        texts: list[bytes] = []
        marks: list[str | None] = []
        for text, mark in zip(lines.texts, lines.marks or [None] * len(lines.texts), strict=True):
            if mark == MARK_REDRAW and not self._after_cut:
                self.running = True
                if now - self._written_at < REDRAW_SECONDS:
                    self._held = text
                    continue
                self._written_at = now
                self._held = None
            elif self._held is not None:
                texts.append(self._held)
                marks.append(MARK_REDRAW)
                self._held = None
            if mark == MARK_REDRAW:  # ends a line whose start is written: the next must not continue it
                self.running = True
                self._written_at = now
            elif mark is None:
                self.running = False
            self._after_cut = mark == MARK_CUT
            texts.append(text)
            marks.append(mark)
        return Split(texts, marks if any(marks) else None, lines.consumed)

    def due(self, now: float) -> float | None:
        """Return in how many seconds release() returns a line; None if none is held back."""
        return None if self._held is None else max(0.0, self._written_at + REDRAW_SECONDS - now)

    def release(self, now: float, *, final: bool = False) -> Split:
        """Return the redraw that is held back, if it is due or final is set."""
        due = self.due(now)
        if due is None or (due > 0 and not final):
            return Split([], None, 0)
        assert self._held is not None
        text, self._held = self._held, None
        self._written_at = now
        return Split([text], [MARK_REDRAW], 0)

    def may_cut(self, now: float) -> bool:
        """Return whether an unfinished line may be written now: it may be a redraw that prints its CR first."""
        return not self.running or now - self._written_at >= REDRAW_SECONDS
