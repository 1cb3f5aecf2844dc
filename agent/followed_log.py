"""One log that the agent follows: its source, its parser, and its counts in the journal."""

import contextlib
import errno
import math
import time
from collections.abc import Mapping
from typing import Any

from tracetail.agent.model import Batch, Outcome
from tracetail.agent.parsing.parser import LineParser  # noqa: TC001  (the annotation of an attribute)
from tracetail.agent.reading.source import Source

RETRY_SECONDS = 2.0
"""Wait before a log that could not be read is tried again."""
_STALE = (errno.ESTALE, errno.EBADF, errno.ENODEV, errno.ENXIO)
"""Errors of a descriptor that is of no use any more: the file has to be opened again."""


class FollowedLog:
    """A source with the state that shipping it needs.

    `id`, `parser` and the counts are those of the journal; Resumer loads them when the log is opened.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.id = 0
        self.parser: LineParser | None = None
        """None until the log is opened, and while its source is asleep."""
        self.lines = 0
        self.bytes = 0
        self.rejected = 0
        self.redacted = 0
        self._backlog = 0
        self.busy = False
        """A task ships it."""
        self.error = ""
        """Why it cannot be followed; empty if it can."""
        self.not_before = 0.0
        """Monotonic time before which it is not shipped: to gather lines, or after an error."""
        self.due_at = 0.0
        """Monotonic time of its next poll, while it is in use."""
        self.watched = False
        """It waits for a change of its files, and everything before is acknowledged."""
        self.woken_at = -math.inf
        """Monotonic time at which a change of its files was noticed last."""
        self.watch_after = 0.0
        """Monotonic time before which its files are polled, not watched."""

    @property
    def key(self) -> str:
        """The source's key in the journal."""
        return self.source.key

    @property
    def open(self) -> bool:
        """The journal's state is loaded, and what a crash left of its last batch is delivered."""
        return self.parser is not None

    def poll(self) -> bool:
        """Return whether there may be something to ship. Raises OSError."""
        if not self.open and not self.source.asleep:
            return True
        found = self.source.poll()
        self._drop_parser_if_asleep()
        return found

    def acknowledge(self, batch: Batch, outcome: Outcome) -> None:
        """Advance position and counts by a delivered batch."""
        assert self.parser is not None
        self.lines += batch.lines
        self.bytes += batch.end - batch.start
        self.rejected += outcome.rejected
        self.redacted += batch.redacted
        self.parser.last_ns = max(self.parser.last_ns, outcome.last_ns)
        self.source.acknowledge(batch)
        self._drop_parser_if_asleep()

    def _drop_parser_if_asleep(self) -> None:
        if self.source.asleep:
            self.parser = None  # the journal has its state

    def labels(self) -> Mapping[str, str]:
        """Return the labels of the stream that the next line goes to."""
        return self.source.labels(self.parser.ids) if self.parser else self.source.own_labels

    def backlog(self) -> int:
        """Return the number of bytes that are written and not acknowledged; the last one if that cannot be seen."""
        with contextlib.suppress(OSError):
            self._backlog = 0 if self.source.asleep else self.source.backlog()
        return self._backlog

    def fail(self, error: Exception) -> bool:
        """Delay the next attempt; return whether the error is a new one.

        If the source has read more than is acknowledged, or is in an unknown state, the next attempt continues from
        the journal.
        """
        is_new = self.error != repr(error)
        self.error = repr(error)
        self.not_before = time.monotonic() + RETRY_SECONDS
        is_stale = isinstance(error, OSError) and error.errno in _STALE
        if self.open and (not isinstance(error, OSError) or is_stale or self.source.is_ahead()):
            self.parser = None
            self.source.reset()
        return is_new

    def status(self) -> dict[str, Any]:
        """Return what /status shows of it."""
        return {
            "key": self.key,
            "kind": self.source.kind,
            "labels": dict(self.labels()),
            "lines": self.lines,
            "bytes": self.bytes,
            "rejected": self.rejected,
            "redacted": self.redacted,
            "backlogBytes": self.backlog(),
            "complete": self.source.complete,
        }
