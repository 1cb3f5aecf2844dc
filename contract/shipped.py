"""`shipped.json`, which the agent writes beside a launch's record: how much of its log Loki has acknowledged."""

import errno
import json
from pathlib import Path
from typing import TypedDict, cast

from tracetail.contract.owned_files import ForeignFileError, read_with_owner
from tracetail.contract.safe_open import NotAFileError

SCHEMA = 1
_MAX_BYTES = 16 << 20
"""Of a file that may be another user's: a real one has some kilobytes."""


class Shipped(TypedDict):
    """The content of shipped.json."""

    schema: int
    segments: dict[str, int]
    """By the path of each segment: bytes from its start that are acknowledged, or stored as rejected lines."""
    lines: int
    rejected: int
    redacted: int
    complete: bool
    """The launch has ended, and all of its log is sent."""


def read_shipped(path: Path) -> Shipped | None:
    """Return the content of a shipped.json; None if there is none, or none of this schema."""
    try:
        content = json.loads(read_with_owner(path.parent, path.name, max_bytes=_MAX_BYTES)[0])
    except (FileNotFoundError, NotAFileError, ForeignFileError, ValueError, RecursionError):
        return None
    except OSError as error:
        if error.errno == errno.EFBIG:
            return None
        raise
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        return None
    segments = content.get("segments")
    if not isinstance(segments, dict) or not all(isinstance(position, int) for position in segments.values()):
        return None
    return cast("Shipped", content)
