"""Finds the root cause of a failure in a launch's log. Pure but for `diagnose_log`, which reads the log's end.

A cause is recognised only in a message that the engine printed as an error: its pattern must match from the beginning
of the message, and a line whose header has the level info or debug is never a cause. So the text of a logged prompt
is not taken for one.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tracetail.contract.engine_lines import LEVELS, split_header
from tracetail.contract.logline import MARK_EVENT, parse_line
from tracetail.contract.masking import mask_text
from tracetail.contract.safe_open import open_file
from tracetail.launcher.engines import Cause, Engine

READ_MAX_BYTES = 8 * 1024 * 1024
"""Bytes at the end of the log that are searched: all of a start's log, or what a crash after days printed."""
LINE_MAX_BYTES = 4096
"""Bytes of a line that are searched: causes stand at its beginning."""
_HARMLESS_NAMES = [name for name, level in LEVELS.items() if level in ("debug", "info")]
_HARMLESS_NAME = re.compile(rb"\b(?:" + "|".join(_HARMLESS_NAMES).encode() + rb")\b")


class Finding(NamedTuple):
    """A root cause."""

    cause: str
    hint: str
    evidence: list[str]
    """Lines of the log that name it, as printed; secrets masked, as in the other texts."""
    about_port: bool = False


class _Message(NamedTuple):
    """One line of a message, without header."""

    line: bytes
    """As printed, with header."""
    text: bytes
    harmless: bool
    """Its header names a level below warning."""


def diagnose_log(engine: Engine, segments: Sequence[str]) -> Finding | None:
    """Return the root cause that the end of a log names, or None. segments: the paths of all its segments."""
    return diagnose(engine, _last_texts(segments))


def diagnose(engine: Engine, lines: Iterable[bytes]) -> Finding | None:
    """Return the root cause that these lines (texts, without stamp and prefix) name, or None.

    The first root cause wins: later ones are its consequences.
    """
    consequence: Finding | None = None
    for line in lines:
        for message in _messages(line):
            if message.harmless:
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
                return Finding(
                    mask_text(cause.text.format(**values)),
                    mask_text(cause.hint.format(**values)),
                    [mask_text(message.line.decode(errors="replace"))],
                    cause.about_port,
                )
    return None


def _messages(line: bytes) -> Iterator[_Message]:
    """Yield the messages of one printed line: one, or for a line that is JSON each line of its message."""
    line = line[:LINE_MAX_BYTES]
    if line.startswith(b"{"):
        yield from _json_messages(line)
        return
    level, text = split_header(line)
    header = line[: len(line) - len(text)]
    # split_header also returns info for a header without a level, as SGLang's.
    yield _Message(line, text, level in ("debug", "info") and _HARMLESS_NAME.search(header) is not None)


def _json_messages(line: bytes) -> Iterator[_Message]:
    try:
        fields = json.loads(line)
        message, level = str(fields["message"]), str(fields.get("levelname", fields.get("level", "")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    for text in message.split("\n"):
        yield _Message(text.encode(), text.encode(), level.upper() in _HARMLESS_NAMES)


def _last_texts(segments: Sequence[str]) -> Iterator[bytes]:
    """Yield the server's texts at the end of a log."""
    left = READ_MAX_BYTES
    parts: list[tuple[Path, int]] = []
    for path in map(Path, reversed(segments)):
        size = path.stat().st_size if path.exists() else 0
        parts.insert(0, (path, max(0, size - left)))
        left -= size
        if left <= 0:
            break
    for path, offset in parts:
        if not path.exists():
            continue
        with os.fdopen(open_file(path), "rb") as file:
            file.seek(offset)
            for line in file:
                parsed = parse_line(line.rstrip(b"\n"))
                if parsed is not None and parsed.mark != MARK_EVENT:
                    yield parsed.text
