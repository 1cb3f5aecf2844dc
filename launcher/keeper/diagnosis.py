"""Finds the root cause of a failure in a launch's log. Pure but for `of_log`, which reads the log's end.

A cause is named only by a line that the engine itself printed as an error: the pattern must match from the beginning
of the message, and a line whose header says INFO or DEBUG is never a cause. So a prompt that was logged names none.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tracetail.contract.logline import MARK_EVENT, parse_line
from tracetail.launcher.engines import Cause, Engine

READ_MAX_BYTES = 8 * 1024 * 1024
"""How much of the log's end is searched: a start-up's whole log, or what a crash after days printed."""
LINE_MAX_BYTES = 4096
"""Causes stand at the beginning of a line."""
_NOT_A_CAUSE = (b"DEBUG", b"INFO")


class Finding(NamedTuple):
    """A root cause."""

    cause: str
    hint: str
    evidence: list[str]
    about_port: bool = False


class _Message(NamedTuple):
    """One line of a message, without header."""

    line: bytes
    """As it was printed."""
    text: bytes
    level: bytes


def of_log(engine: Engine, segments: Sequence[str]) -> Finding | None:
    """Return the root cause that the end of a log names, or None."""
    return diagnose(engine, _last_texts(segments))


def diagnose(engine: Engine, lines: Iterable[bytes]) -> Finding | None:
    """Return the root cause that these lines (texts, without stamp and prefix) name, or None.

    The first root cause wins: what comes after it is its consequence.
    """
    consequence: Finding | None = None
    for line in lines:
        for message in _messages(engine, line):
            if message.level in _NOT_A_CAUSE:
                continue
            found = _match(engine.causes, message)
            if found is not None:
                return found
            consequence = consequence or _match(engine.consequences, message)
    return consequence


def _match(causes: Iterable[Cause], message: _Message) -> Finding | None:
    for cause in causes:
        if cause.anchor in message.text:
            match = re.match(cause.pattern, message.text)
            if match is not None:
                values = {name: (value or b"?").decode(errors="replace") for name, value in match.groupdict().items()}
                evidence = [message.line.decode(errors="replace")]
                return Finding(cause.text.format(**values), cause.hint.format(**values), evidence, cause.about_port)
    return None


def _messages(engine: Engine, line: bytes) -> Iterator[_Message]:
    """Yield the messages of one printed line: of a JSON line, each line of its message."""
    line = line[:LINE_MAX_BYTES]
    if line.startswith(b"{"):
        try:
            record = json.loads(line)
            message, level = str(record["message"]), str(record.get("levelname", record.get("level", "")))
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        else:
            for text in message.split("\n"):
                yield _Message(text.encode(), text.encode(), level.upper().encode())
            return
    match = re.match(engine.header, line)
    if match is None:
        yield _Message(line, line, b"")
    else:
        yield _Message(line, line[match.end() :], match.groupdict().get("level") or b"")


def _last_texts(segments: Sequence[str]) -> Iterator[bytes]:
    """Yield the server's texts at the end of a log."""
    room = READ_MAX_BYTES
    parts: list[tuple[Path, int]] = []
    for path in map(Path, reversed(segments)):
        size = path.stat().st_size if path.exists() else 0
        parts.insert(0, (path, max(0, size - room)))
        room -= size
        if room <= 0:
            break
    for path, offset in parts:
        if not path.exists():
            continue
        with path.open("rb") as file:
            file.seek(offset)
            for line in file:
                parsed = parse_line(line.rstrip(b"\n"))
                if parsed is not None and parsed.mark != MARK_EVENT:
                    yield parsed.text
