"""The file in which Kubernetes looks for the reason why a container ended (its terminationMessagePath)."""

import os
import sys
from pathlib import Path

from tracetail.contract.safe_open import open_file

TERMINATION_LOG = "/dev/termination-log"
"""A container's terminationMessagePath by default; the kubelet makes the file."""
TERMINATION_LOG_BYTES = 4096
"""What Kubernetes keeps of it ("Determine the Reason for Pod Failure")."""


def write_termination_log(path: str, text: str) -> None:
    """Write the reason of a failure for the kubelet, as far as it keeps it. path: "" for the default, if it exists.

    The kubelet mounts a regular file. Another user may have put a FIFO in its place, which would keep the launcher
    from ending, or a link to a file of the launcher's user: these are not written. A file that cannot be written is
    reported on stderr.
    """
    try:
        if path or Path(TERMINATION_LOG).exists():
            data = text.encode()[:TERMINATION_LOG_BYTES].decode(errors="ignore").encode()
            _write(Path(path or TERMINATION_LOG), data)
    except OSError as error:
        print(f"cannot write {path or TERMINATION_LOG}: {error.strerror}", file=sys.stderr)  # noqa: T201


def _write(path: Path, data: bytes) -> None:
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(open_file(path.name, flags, 0o644, directory=directory), "wb") as file:
            file.write(data)
    finally:
        os.close(directory)
