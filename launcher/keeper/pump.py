"""Moves the server's output from the FIFO into the log.

As long as the disk keeps up, bytes leave the FIFO only after their lines are written, so that none are lost if the
keeper is killed. When a write takes too long, the bytes are drained into memory: the server never blocks, and what
the queue cannot hold is dropped and counted.
"""

import time
from collections.abc import Callable

from tracetail.launcher.keeper.fifo import BLOCK_BYTES, Output
from tracetail.launcher.keeper.launch_log import LaunchLog
from tracetail.launcher.keeper.line_splitter import Redraws, Split, split, split_unfinished

UNFINISHED_SECONDS = 0.2
"""An unfinished line is written as far as it has come after this time."""
POLL_SECONDS = 0.02
"""Interval of checks of an unfinished line: the FIFO stays readable meanwhile, so it cannot be polled."""
WRITE_WAIT_SECONDS = 0.25
"""A write that takes longer is not waited for. The FIFO's buffer of 1 MiB holds the output meanwhile."""
FINISH_SECONDS = 5.0
_SHORT_BLOCK_BYTES = 160 * 1024
"""Bytes that are moved at once if a line ends in them: lines are in memory three times, and the keeper has to stay
small."""
_BLOCKS_PER_RUN = 8


class Pump:
    """Reads the FIFO, splits lines, writes the log."""

    def __init__(self, output: Output, log: LaunchLog, search: Callable[[bytes, int], None]) -> None:
        """Args: search: called with output and the number of bytes at its beginning that are to be searched.

        It gets all output that is written, in order, in blocks of whole lines where possible.
        """
        self._output = output
        self._log = log
        self._search = search
        self._redraws = Redraws()
        self._drained = b""
        """Bytes drained from the FIFO that are not written yet."""
        self._draining = False
        self._unfinished_since: float | None = None
        self.clock = time.monotonic

    @property
    def ready_to_poll(self) -> bool:
        """Whether polling the FIFO for readability makes sense."""
        return self._unfinished_since is None

    def timeout(self) -> float | None:
        """Return in how many seconds run() is to be called even if nothing arrives; None for never."""
        if self._unfinished_since is not None or self._draining:
            return POLL_SECONDS
        return self._redraws.due(self.clock())

    def run(self) -> None:
        """Move what has arrived, in a limited number of blocks, so that the loop goes on."""
        for _ in range(_BLOCKS_PER_RUN):
            if not (self._drain() if self._draining else self._move()):
                break
        self._write(self._redraws.release(self.clock()))

    def finish(self) -> None:
        """Move everything that is left, after the server and all processes of the launch have ended."""
        deadline = self.clock() + FINISH_SECONDS
        while True:
            self._log.writer.wait(max(0.0, deadline - self.clock()))
            rest = self._drained + self._output.peek()
            if not rest:
                break
            lines = split(rest)
            lines = lines if lines.consumed else split_unfinished(rest, final=True)
            self._search(rest, lines.consumed)
            self._move_lines(lines)
        self._write(self._redraws.release(self.clock(), final=True))

    def _move(self) -> bool:
        data = self._drained + self._output.peek(_SHORT_BLOCK_BYTES)
        if not data:
            self._unfinished_since = None
            return False
        lines = split(data)
        if not lines.consumed and len(data) >= _SHORT_BLOCK_BYTES:
            data = self._drained + self._output.peek()
            lines = split(data)
        if not lines.consumed:
            lines = self._unfinished(data)
            if not lines.consumed:
                return False
        self._unfinished_since = None
        self._search(data, lines.consumed)
        del data  # the lines are copies, and grow when they are written: the keeper has to stay small
        self._move_lines(lines)
        return True

    def _unfinished(self, data: bytes) -> Split:
        now = self.clock()
        if self._unfinished_since is None:
            self._unfinished_since = now
        stood_long = now - self._unfinished_since >= UNFINISHED_SECONDS and self._redraws.may_cut(now)
        if stood_long or len(data) > self._output.capacity // 2:
            return split_unfinished(data)
        return Split([], None, 0)

    def _move_lines(self, lines: Split) -> None:
        """Write the first lines and remove their bytes from the FIFO or from memory."""
        in_fifo = 0 if self._drained else lines.consumed
        written = self._write(self._redraws.thin(lines, self.clock())._replace(consumed=in_fifo))
        from_memory = min(lines.consumed, len(self._drained))
        self._drained = self._drained[from_memory:]
        if lines.consumed > from_memory:
            self._output.discard(lines.consumed - from_memory)
        if written:
            self._log.confirm_taken()

    def _write(self, lines: Split) -> bool:
        """Write lines; begin to drain if that takes too long."""
        if not lines.texts:
            return False
        self._log.write_lines(lines.texts, lines.marks, lines.consumed)
        self._draining = not self._log.writer.wait(WRITE_WAIT_SECONDS)
        return True

    def _drain(self) -> bool:
        """Read the FIFO into memory, and split it there."""
        if self._log.writer.idle:
            self._draining = False
            self._log.report_dropped()
            return self._move()
        # Bytes drained earlier count: a block of short lines is more than is split off at once.
        space = max(0, BLOCK_BYTES - len(self._drained))
        waiting = min(self._output.waiting(), space)
        data = self._drained + (self._output.take(waiting) if waiting else b"")
        lines = split(data)
        if not waiting and not lines.consumed:
            return False
        self._search(data, lines.consumed)
        self._drained = data[lines.consumed :]
        thinned = self._redraws.thin(lines, self.clock())
        if thinned.texts:
            self._log.write_lines(thinned.texts, thinned.marks, 0)
        return True
