"""What the agent says of a launch in `shipped.json`, beside the record: how much of its log Loki has acknowledged."""

import json
from pathlib import Path
from typing import TypedDict, cast

SCHEMA = 1


class Shipped(TypedDict):
    """The content of shipped.json."""

    schema: int
    segments: dict[str, int]
    """Bytes acknowledged, or kept among the rejected lines, from the start of each segment; by its path."""
    lines: int
    rejected: int
    redacted: int
    complete: bool
    """The launch has ended and nothing of its log is left to send."""


def read_shipped(path: Path) -> Shipped | None:
    """Return the content of a shipped.json; None if there is none that can be understood."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        return None
    return cast("Shipped", content)
