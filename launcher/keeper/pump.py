"""Moves the server's output from the FIFO into the log.

As long as the disk keeps up, bytes leave the FIFO only after their lines are written, so that a killed keeper loses
none. When a write takes too long, the bytes are taken into memory instead: the server is never held up, and what
memory cannot hold is dropped and counted.
"""

import time
from collections.abc import Callable

from tracetail.launcher.keeper.fifo import BLOCK_BYTES, Output
from tracetail.launcher.keeper.launch_log import LaunchLog
from tracetail.launcher.keeper.line_splitter import Redraws, Split, split, split_unfinished

UNFINISHED_SECONDS = 0.2
"""A line that stands unfinished for this long is written as far as it has come."""
POLL_SECONDS = 0.02
"""How often an unfinished line is looked at: the FIFO is readable all the time then."""
PATIENCE_SECONDS = 0.25
"""A write that takes longer is not waited for. Meanwhile the server lives on the FIFO's buffer of 1 MiB."""
FINISH_SECONDS = 5.0
_BLOCKS_PER_TURN = 8


class Pump:
    """Output in, log out."""

    def __init__(self, output: Output, log: LaunchLog, watch: Callable[[bytes], None]) -> None:
        """Args: watch: is shown every byte that is written, in order, in blocks of whole lines where possible."""
        self._output = output
        self._log = log
        self._watch = watch
        self._redraws = Redraws()
        self._taken = b""
        """Bytes that left the FIFO for memory and are not written yet."""
        self._draining = False
        self._unfinished_since: float | None = None
        self.clock = time.monotonic

    @property
    def ready_to_poll(self) -> bool:
        """The FIFO's readability means something new."""
        return self._unfinished_since is None

    def timeout(self) -> float | None:
        """Return in how many seconds run is to be called even if nothing arrives."""
        if self._unfinished_since is not None or self._draining:
            return POLL_SECONDS
        return self._redraws.due(self.clock())

    def run(self) -> None:
        """Move what there is, but not for so long that the keeper's other duties suffer."""
        for _ in range(_BLOCKS_PER_TURN):
            if not (self._drain() if self._draining else self._move()):
                break
        self._write(self._redraws.release(self.clock()))

    def finish(self) -> None:
        """Move everything: the server and all that belonged to it is gone, so there is time."""
        deadline = self.clock() + FINISH_SECONDS
        while True:
            self._log.writer.wait(max(0.0, deadline - self.clock()))
            rest = self._taken + self._output.peek()
            if not rest:
                break
            lines = split(rest)
            self._move_lines(rest, lines if lines.consumed else split_unfinished(rest, final=True))
        self._write(self._redraws.release(self.clock(), final=True))

    def _move(self) -> bool:
        data = self._taken + self._output.peek()
        if not data:
            self._unfinished_since = None
            return False
        lines = split(data)
        if not lines.consumed:
            lines = self._unfinished(data)
            if not lines.consumed:
                return False
        self._unfinished_since = None
        self._move_lines(data, lines)
        return True

    def _unfinished(self, data: bytes) -> Split:
        now = self.clock()
        if self._unfinished_since is None:
            self._unfinished_since = now
        stood_long = now - self._unfinished_since >= UNFINISHED_SECONDS and self._redraws.may_cut(now)
        if stood_long or len(data) > self._output.capacity // 2:
            return split_unfinished(data)
        return Split([], None, 0)

    def _move_lines(self, data: bytes, lines: Split) -> None:
        """Write the first lines of data and take their bytes away."""
        self._watch(data[: lines.consumed])
        in_fifo = 0 if self._taken else lines.consumed
        written = self._write(self._redraws.thin(lines, self.clock())._replace(consumed=in_fifo))
        from_memory = min(lines.consumed, len(self._taken))
        self._taken = self._taken[from_memory:]
        if lines.consumed > from_memory:
            self._output.discard(lines.consumed - from_memory)
        if written:
            self._log.taken()

    def _write(self, lines: Split) -> bool:
        """Write lines; begin to drain if the disk takes too long."""
        if not lines.texts:
            return False
        self._log.lines(lines.texts, lines.marks, lines.consumed)
        self._draining = not self._log.writer.wait(PATIENCE_SECONDS)
        return True

    def _drain(self) -> bool:
        """Take what waits into memory, and split it there."""
        if self._log.writer.idle:
            self._draining = False
            self._log.report_dropped()
            return self._move()
        # What is taken already comes first: of short lines a block is more than is split off at once.
        room = max(0, BLOCK_BYTES - len(self._taken))
        waiting = min(self._output.waiting(), room)
        data = self._taken + (self._output.take(waiting) if waiting else b"")
        lines = split(data)
        if not waiting and not lines.consumed:
            return False
        self._watch(data[: lines.consumed])
        self._taken = data[lines.consumed :]
        thinned = self._redraws.thin(lines, self.clock())
        if thinned.texts:
            self._log.lines(thinned.texts, thinned.marks, 0)
        return True
