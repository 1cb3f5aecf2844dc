"""When a file was created, by statx(2), which Python does not offer."""

import ctypes
import os
import struct
from pathlib import Path

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_STATX_BTIME = 0x800
_BUFFER_BYTES = 256
_MASK = struct.Struct("I")
_BIRTH_AT = 80
_TIMESTAMP = struct.Struct("qI")
"""Of struct statx: seconds, nanoseconds."""


def birth_time_ns(file: int | Path) -> int | None:
    """Return when a file was created, in nanoseconds since the epoch; None if its file system does not say.

    file: a descriptor, or a path.
    """
    statx = getattr(ctypes.CDLL(None), "statx", None)
    if statx is None:
        return None
    buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
    at = (file, b"", _AT_EMPTY_PATH) if isinstance(file, int) else (_AT_FDCWD, os.fsencode(file), 0)
    if statx(*at, _STATX_BTIME, buffer) or not _MASK.unpack_from(buffer)[0] & _STATX_BTIME:
        return None
    seconds, nanos = _TIMESTAMP.unpack_from(buffer, _BIRTH_AT)
    return int(seconds) * 1_000_000_000 + int(nanos)


def was_replaced(old: os.stat_result, old_path: str, new_birth_ns: int | None, *, created: bool) -> bool:
    """Return whether a file replaced another one by a rename over it, as editors save, not after its deletion.

    Then the new file existed before the old one lost its name. old, old_path: of the old file, which is still open.
    created: the new one is known to have been created at the path; the times alone may be those of one clock tick.
    """
    if old_path.endswith("~"):
        return True  # an editor's backup
    if old.st_nlink:
        return False  # it was rotated
    if new_birth_ns is None or new_birth_ns == old.st_ctime_ns:
        return not created
    return new_birth_ns < old.st_ctime_ns
