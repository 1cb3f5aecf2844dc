"""Where the writing of a launch's log stands: a file that the next keeper reads if this one dies."""

import contextlib
import os
import struct
from pathlib import Path
from typing import NamedTuple

from tracetail.contract.owned_files import open_owned

_POSITION = struct.Struct("<qqqq")


class Position(NamedTuple):
    """What the keeper is about to write: from it the next keeper finds out how much of it was written."""

    segment: int
    """Number of the segment, from 1."""
    size: int
    """Bytes in it before the lines."""
    consumed: int
    """Bytes of the FIFO that the lines were made from; 0 if they are taken out already."""
    first_ns: int
    """The first line's stamp."""


class PositionFile:
    """The last position, in a file that survives a crash of the keeper (not of the machine, as the FIFO does not)."""

    def __init__(self, path: Path) -> None:
        self._descriptor = open_owned(path.parent, path.name, os.O_RDWR | os.O_CREAT, ours=True)

    def read(self) -> Position | None:
        """Return the position; None if none was ever written."""
        data = b""
        while part := os.pread(self._descriptor, _POSITION.size - len(data), len(data)):
            data += part
        return Position(*_POSITION.unpack(data)) if len(data) == _POSITION.size else None

    def write(self, position: Position) -> None:
        """Write the position. A full disk costs the safety of a takeover, not the launch."""
        data = _POSITION.pack(*position)
        with contextlib.suppress(OSError):
            at = 0
            while at < len(data):  # of a part, the next keeper would take old fields for new ones
                at += os.pwrite(self._descriptor, data[at:], at)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
