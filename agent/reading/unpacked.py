"""Unpacks logs that were compressed after their rotation, to read their rest.

A large one is unpacked in a thread, one at a time: the agent's loop must not wait for it.
"""

import bz2
import gzip
import importlib
import logging
import lzma
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

from tracetail.agent.reading.trusted_links import open_trusted

log = logging.getLogger(__name__)

_T = TypeVar("_T")


def _zstd() -> Any | None:
    """Return the module for zstd: Python's own from 3.14 on, or its backport (the extra `zstd`); None without it."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


_ZSTD = _zstd()
_OPENERS: dict[str, Callable[[IO[bytes]], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_DAMAGED: tuple[type[Exception], ...] = (OSError, EOFError, lzma.LZMAError)
if _ZSTD is not None:
    _OPENERS[".zst"] = _ZSTD.open
    _DAMAGED += (_ZSTD.ZstdError,)
ENDINGS = tuple(_OPENERS)
"""Of the names of logs that can be unpacked."""
COMPRESSED = (*ENDINGS, ".zst", ".lz4", ".zip", ".Z", ".lzma", ".7z", ".br", ".tgz")
"""Of the names of all that is compressed."""
HINTS = {".zst": "pip install 'tracetail[zstd]'"}
"""What to do to have a file of this ending read."""
IN_PLACE_BYTES = 64 * 1024
"""A smaller file is unpacked at once."""
_COPY_BYTES = 1 << 20
_FREE_SHARE = 0.5
"""Of the free space of the directory for temporary files: whoever may write the log could pack a bomb."""
_KEEP_SECONDS = 30.0
"""An unpacked file that nobody asks for is deleted after this time."""


def unpacked_name(name: str) -> str:
    """Return the name that a file had before it was compressed; its own if it can be read as it is, or not at all."""
    ending = next((ending for ending in ENDINGS if name.endswith(ending)), "")
    return name.removesuffix(ending)


class StillUnpackingError(BlockingIOError):
    """A file is being unpacked; ask for it again a moment later."""


class _Job:
    """One file that is unpacked in a thread."""

    def __init__(self, packed: Path, key: tuple[int, ...]) -> None:
        self.key = key
        self.unpacked: IO[bytes] | None = None
        self.done_at = 0.0
        """0 while it is being unpacked."""
        threading.Thread(target=self._run, args=(packed,), name=f"unpack {packed.name}", daemon=True).start()

    def _run(self, packed: Path) -> None:
        self.unpacked = _unpack(packed)
        self.done_at = time.monotonic()


class Unpacker:
    """Unpacks files for all sources."""

    def __init__(self) -> None:
        self._job: _Job | None = None

    def unpack(self, packed: Path, beginning: bytes, open_unpacked: Callable[[Path], _T]) -> _T | None:
        """Return what open_unpacked returns for the unpacked file, whose name is deleted afterwards.

        beginning: only a file that begins with it is unpacked. Return None if it does not, or is unreadable. Raises
        StillUnpackingError, and what open_unpacked raises.
        """
        try:
            status = packed.stat()
            if not _begins_with(packed, beginning):
                return None
        except _DAMAGED as error:
            log.warning("cannot unpack %s: %s", packed, error)
            return None
        key = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        unpacked = _unpack(packed) if status.st_size <= IN_PLACE_BYTES else self._in_thread(packed, key)
        if unpacked is None:
            return None
        with unpacked:
            return open_unpacked(Path(unpacked.name))

    def _in_thread(self, packed: Path, key: tuple[int, ...]) -> IO[bytes] | None:
        job = self._job
        if job is not None and job.key != key and job.done_at and time.monotonic() - job.done_at > _KEEP_SECONDS:
            if job.unpacked is not None:
                job.unpacked.close()
            job = None
        if job is None:
            job = self._job = _Job(packed, key)
        if job.key != key or not job.done_at:
            raise StillUnpackingError(f"{packed} waits to be unpacked")
        self._job = None
        return job.unpacked


def _begins_with(packed: Path, beginning: bytes) -> bool:
    with os.fdopen(open_trusted(packed), "rb") as raw, _OPENERS[packed.suffix](raw) as content:
        return bool(content.read(len(beginning)) == beginning)


def _unpack(packed: Path) -> IO[bytes] | None:
    """Return a temporary file with the content of a packed one, which is deleted when it is closed."""
    unpacked = tempfile.NamedTemporaryFile()  # noqa: SIM115  (returned open)
    try:
        with os.fdopen(open_trusted(packed), "rb") as raw, _OPENERS[packed.suffix](raw) as content:
            left = int(shutil.disk_usage(unpacked.name).free * _FREE_SHARE)
            while data := content.read(_COPY_BYTES):
                left -= len(data)
                if left < 0:
                    raise OSError(f"there is too little space for it in {unpacked.name}")
                unpacked.write(data)
        unpacked.flush()
    except _DAMAGED as error:
        log.warning("cannot unpack %s: %s", packed, error)
        unpacked.close()
        return None
    return unpacked
