"""The file in which Kubernetes looks for the reason why a container ended (its terminationMessagePath)."""

import sys
from pathlib import Path

TERMINATION_LOG = "/dev/termination-log"
"""A container's terminationMessagePath by default; the kubelet makes the file."""
TERMINATION_LOG_BYTES = 4096
"""What Kubernetes keeps of it ("Determine the Reason for Pod Failure")."""


def write_termination_log(path: str, text: str) -> None:
    """Write the reason of a failure for the kubelet, as far as it keeps it. path: "" for the default, if it exists.

    A file that cannot be written is reported on stderr.
    """
    try:
        if path or Path(TERMINATION_LOG).exists():
            data = text.encode()[:TERMINATION_LOG_BYTES].decode(errors="ignore").encode()
            Path(path or TERMINATION_LOG).write_bytes(data)
    except OSError as error:
        print(f"cannot write {error.filename}: {error.strerror}", file=sys.stderr)  # noqa: T201
