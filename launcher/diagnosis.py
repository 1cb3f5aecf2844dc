"""Finds the root cause of a failure in a launch's log. Pure but for `of_log`, which reads the log's end."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from contract.logline import MARK_EVENT, parse_line
from contract.record import Record
from launcher.engines import Engine

READ_MAX_BYTES = 8 * 1024 * 1024
"""How much of the log's end is searched: a start-up's whole log, or what a crash after days printed."""
EVIDENCE_MAX_LINES = 5


class Finding(NamedTuple):
    """A root cause."""

    cause: str
    hint: str
    evidence: list[str]


def of_log(engine: Engine, segments: Iterable[str], record: Record) -> Finding | None:
    """Return the root cause that the last segments of a log name, or None."""
    del record
    blocks: list[bytes] = []
    room = READ_MAX_BYTES
    for path in reversed(list(segments)):
        if room <= 0:
            break
        try:
            with Path(path).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - room))
                blocks.insert(0, file.read())
        except OSError:
            continue
        room -= len(blocks[0])
    lines = []
    for line in b"".join(blocks).split(b"\n"):
        parsed = parse_line(line)
        if parsed is not None and parsed.mark != MARK_EVENT:
            lines.append(parsed.text)
    return diagnose(engine, lines)


def diagnose(engine: Engine, lines: list[bytes]) -> Finding | None:
    """Return the first root cause that these lines (texts, without stamp and prefix) name, or None."""
    for line in lines:
        for cause in engine.causes:
            if cause.anchor in line:
                match = re.match(engine.header + cause.pattern, line)
                if match is not None:
                    values = {k: (v or b"").decode(errors="replace") for k, v in match.groupdict().items()}
                    text = line.decode(errors="replace")
                    return Finding(cause.text.format(**values), cause.hint.format(**values), [text])
    return None
