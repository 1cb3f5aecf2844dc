"""Splits what a server prints into lines and marks. Pure: bytes in, lines out.

The server's output is, for each line in order: its text, and then nothing (`cut`), a CR (`redraw`) or a LF; a CR
before a LF is left out.
"""

import re
from typing import NamedTuple

from tracetail.contract.logline import MARK_CUT, MARK_REDRAW, TEXT_MAX_BYTES

LINES_MAX = 4096
"""So many lines are split off at once: each grows by its prefix, and the keeper has to stay small."""
REDRAW_SECONDS = 1.0
"""A progress bar's states are written at most this often, and the last of them always."""

# A CR at the very end is undecided: a LF may follow. Possessive, and matched from line to line rather than searched,
# so that a long line without an end costs one pass.
_LINE = re.compile(rb"([^\r\n]*+)(?:\r?\n|(\r)(?!\Z))")


class Split(NamedTuple):
    """The lines at the beginning of some output."""

    texts: list[bytes]
    marks: list[str | None] | None
    """One per text; None if no line has a mark (which is nearly always)."""
    consumed: int
    """How many bytes of the output they are."""


def split(data: bytes) -> Split:
    """Split off the lines that are complete, and the pieces of a line that is too long to wait for its end."""
    if data.count(b"\n") > LINES_MAX:
        data = data[: len(data) - len(data.split(b"\n", LINES_MAX)[-1])]
    end = data.rfind(b"\n") + 1
    # With a line end in this window no line can be too long, whatever else there is.
    if len(data) <= TEXT_MAX_BYTES or data.find(b"\n", len(data) - TEXT_MAX_BYTES, TEXT_MAX_BYTES) >= 0:
        if b"\r" not in data:
            return Split(data[: end - 1].split(b"\n") if end else [], None, end)
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
    """Split off the start of a line that has stood unfinished for long enough, or that nothing follows (final)."""
    if not data:
        return Split([], None, 0)
    if data.endswith(b"\r"):
        return Split([data[:-1]], [MARK_REDRAW], len(data))
    length = len(data) if final else character_boundary(data)
    return Split([data[:length]], [MARK_CUT], length)


def character_boundary(data: bytes) -> int:
    """Return the length of data without a UTF-8 character that is only begun at its end (all of it otherwise)."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            break
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if needed > back and len(data) > back else len(data)
    return len(data)


class Redraws:
    """Thins out the states of a progress bar: at most one a second, and the last of each run."""

    def __init__(self) -> None:
        self._written_at = float("-inf")
        self._held: bytes | None = None
        self._after_cut = False
        self.running = False
        """The last line ended with a bare CR: what follows is probably the bar's next state."""

    def thin(self, lines: Split, now: float) -> Split:
        """Return the lines without the states that nobody would have seen. now: seconds, monotonic."""
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
            if mark == MARK_REDRAW:  # ends a line whose start is written: without it the two would become one
                self.running = True
                self._written_at = now
            elif mark is None:
                self.running = False
            self._after_cut = mark == MARK_CUT
            texts.append(text)
            marks.append(mark)
        return Split(texts, marks if any(marks) else None, lines.consumed)

    def due(self, now: float) -> float | None:
        """Return in how many seconds release will have something, None if nothing is held."""
        return None if self._held is None else max(0.0, self._written_at + REDRAW_SECONDS - now)

    def release(self, now: float, *, final: bool = False) -> Split:
        """Return the held state if its time has come (or nothing will follow)."""
        due = self.due(now)
        if due is None or (due > 0 and not final):
            return Split([], None, 0)
        assert self._held is not None
        text, self._held = self._held, None
        self._written_at = now
        return Split([text], [MARK_REDRAW], 0)

    def may_cut(self, now: float) -> bool:
        """Say whether an unfinished line may be written now: a bar that prints its CR first counts as a redraw."""
        return not self.running or now - self._written_at >= REDRAW_SECONDS
