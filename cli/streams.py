"""The standard streams of a command, whatever its caller has made of them."""

import io
import os
import select
import sys
from typing import Any, TextIO


class _LossyFile(io.FileIO):
    """Writes to a descriptor. From the first write that fails on, everything is discarded."""

    def write(self, data: Any, /) -> int:
        """Write, and wait where the descriptor is non-blocking and full; return how many bytes are dealt with."""
        try:
            written = super().write(data)
            while written is None:
                poll = select.poll()
                poll.register(self.fileno(), select.POLLOUT)
                poll.poll()
                written = super().write(data)
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(data)
        return written


def open_closed() -> None:
    """Open descriptors 0 to 2 that the caller has closed: the next files would get their numbers, and their texts."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  (for the whole process)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def lossy(stream: TextIO) -> TextIO:
    """Return a stream to the same descriptor that never fails; a stream without a descriptor as it is.

    A scheduler may stop reading a job's output before the job has ended (its log collector was restarted, its disk is
    full): the operation and its exit status do not depend on that.
    """
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    try:
        descriptor = stream.fileno()
    except OSError:
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_LossyFile(descriptor, "wb", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
