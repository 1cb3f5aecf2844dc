"""Unpacks a log that was compressed after its rotation, to read its rest."""

import bz2
import gzip
import logging
import lzma
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tracetail.contract.safe_open import open_file

log = logging.getLogger(__name__)

_OPENERS: dict[str, Callable[[IO[bytes]], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
ENDINGS = tuple(_OPENERS)
"""Of the names of logs that can be unpacked."""
_COPY_BYTES = 1 << 20
_FREE_SHARE = 0.5
"""Of the free space of the directory for temporary files: whoever may write the log could pack a bomb."""


def unpack(packed: Path, beginnings: tuple[bytes, ...] | None, open_unpacked: Callable[[Path], Any]) -> Any | None:
    """Return what open_unpacked returns for the unpacked file, whose name is deleted afterwards.

    beginnings: only unpack a file that begins with one of these; None for any. None if it does not, or is unreadable.
    """
    opener = _OPENERS[packed.suffix]
    try:
        with os.fdopen(open_file(packed), "rb") as raw, opener(raw) as content:
            if beginnings is not None:
                head = content.read(max(map(len, beginnings), default=0))
                if not head.startswith(beginnings):
                    return None
                content.seek(0)
            with tempfile.NamedTemporaryFile() as unpacked:
                left = int(shutil.disk_usage(unpacked.name).free * _FREE_SHARE)
                while data := content.read(_COPY_BYTES):
                    left -= len(data)
                    if left < 0:
                        log.warning("cannot unpack %s: there is too little space for it in %s", packed, unpacked.name)
                        return None
                    unpacked.write(data)
                unpacked.flush()
                return open_unpacked(Path(unpacked.name))
    except (OSError, EOFError, lzma.LZMAError) as error:
        log.warning("cannot unpack %s: %s", packed, error)
        return None
