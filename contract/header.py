"""A parsed header: what stands before a message of an inference server."""

from typing import NamedTuple


class Header(NamedTuple):
    """The fields of a line's header. A field is None where the header does not contain it."""

    level: str | None = None
    """One of LEVELS' values; None if the line has no header, or only a stamp before an indented text, which continues
    the record before it."""
    process: bytes | None = None
    pid: bytes | None = None
    source: bytes | None = None
    """`file:line`, or a logger's name."""
    timestamp: bytes | None = None
    """The engine's own time, as printed."""
    body: int = 0
    """Offset of the message in the line."""
    cacheable: bool = False
    """The header ends with the first `] ` and depends on the text before it only: equal text, equal header."""
    named: bool = True
    """The header names its level; False: it does not, and info is assumed."""
    weak: bool = False
    """The level follows from the message's own words: the line may also be part of a traceback."""
    node: bytes | None = None
    """The address of the machine that printed it, where Ray brings the lines of other machines."""
    time: tuple[int, int] | None = None
    """Where its time stands, if it ends with a certain bracket and depends on its own bytes only: any other line with
    these bytes, and a time of the same shape, has the same header at another time."""


NO_HEADER = Header()
