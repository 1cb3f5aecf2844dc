"""`shipped.json`, which the agent writes beside a launch's record: how much of its log Loki has acknowledged."""

import json
from pathlib import Path
from typing import TypedDict, cast

from tracetail.contract.owned_files import ForeignFileError, read_owned
from tracetail.contract.safe_open import NotAFileError

SCHEMA = 1


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
        content = json.loads(read_owned(path.parent, path.name))
    except (FileNotFoundError, NotAFileError, ForeignFileError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        return None
    return cast("Shipped", content)
