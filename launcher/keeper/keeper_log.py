"""What a keeper prints about itself, which is in keeper.log beside the record; in a container on its stderr."""

import contextlib
import os

_STDERR = 2


def report(text: str) -> None:
    """Print a line. That may fail, most likely on the full disk that is reported: the keeper goes on without it."""
    with contextlib.suppress(OSError):
        os.write(_STDERR, f"{text}\n".encode(errors="backslashreplace"))
