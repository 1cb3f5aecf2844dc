"""The recorded lines of tests/data/known-causes: what engines print, where that is from, and the cause it names."""

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

_TRACEBACK = (
    b"Traceback (most recent call last):",
    b'  File "/opt/llm/lib/python3.11/site-packages/engine.py", line 1, in start',
    b"    start()",
)
_EXCEPTION = re.compile(rb"(?:[A-Za-z_][\w.]*)?(?:Error|Exception|Exit)\b(?:\([\w.]+\))?(?::|$)")
LINES = Path(__file__).parents[1] / "data" / "known-causes"


class Recorded(NamedTuple):
    table: str
    code: str
    engine: str
    source: str
    """File and line of the source that prints it, or the public issue that it was taken from."""
    text: str
    cause: str

    bare: bool = False
    """It has a header of its own, or never has one."""

    @property
    def lines(self) -> list[bytes]:
        """The recorded lines; those of an exception stand at the end of a traceback."""
        lines = self.text.encode().split(b"\n")
        return [*_TRACEBACK, *lines] if _EXCEPTION.match(lines[0]) else lines


RECORDED = [
    Recorded(path.stem, **line)
    for path in sorted(LINES.glob("*.toml"))
    for line in tomllib.loads(path.read_text(encoding="utf-8"))["line"]
]
IDS = [f"{one.table}-{one.code}-{number}" for number, one in enumerate(RECORDED)]
