"""The lines of a log around the one that a cause was read from."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tracetail.contract.logline import MARK_EVENT, parse_line
from tracetail.contract.masking import mask_text
from tracetail.contract.owned_files import open_ours

BEFORE = 6
AFTER = 4
_MASK = "***"
_LINE_MAX = 256 * 1024 + 256
"""Bytes of a line of a segment: its text and what the keeper puts in front."""


class Excerpt(NamedTuple):
    """Some successive lines of a log."""

    lines: list[str]
    """Without stamp and prefix, secrets masked."""
    at: int
    """Which of them was looked for."""


def excerpt_of(segments: Sequence[str], evidence: str) -> Excerpt | None:
    """Return the lines around the first one that has the evidence in it; None if there is none.

    segments: paths of the log's segments, in order.
    """
    wanted = evidence.partition(_MASK)[0].strip().encode()  # of a masked line what stands before the secret
    if not wanted:
        return None
    recent: deque[bytes] = deque(maxlen=BEFORE)
    lines = _texts(segments)
    for text in lines:
        if wanted in text:
            found = [*recent, text, *(following for following, _ in zip(lines, range(AFTER), strict=False))]
            return Excerpt([mask_text(one.decode(errors="replace")) for one in found], len(recent))
        recent.append(text)
    return None


def _texts(segments: Sequence[str]) -> Iterator[bytes]:
    """Yield what the server printed, line by line. A segment that cannot be read is left out."""
    for path in segments:
        try:
            file = os.fdopen(open_ours(Path(path)), "rb")
        except OSError:
            continue
        with file:
            while line := file.readline(_LINE_MAX):
                parsed = parse_line(line.rstrip(b"\n"))
                if parsed is not None and parsed.mark != MARK_EVENT:
                    yield parsed.text
