"""The report of `tracetail verify` about one launch: which of its lines are in Loki, and which bytes are not."""

from dataclasses import dataclass, field
from typing import Any

from tracetail.contract.record import ENDED_STATES


@dataclass(slots=True)
class MissingRange:
    """A byte range of a segment whose lines are neither in Loki nor among the rejected lines."""

    file: str
    start: int
    end: int
    lines: int


@dataclass(frozen=True, slots=True)
class LostRange:
    """A byte range of a segment that was deleted before the agent had read it, as the agent's event reports it."""

    file: str
    start: int
    end: int
    """Equal to start if the length is unknown."""
    reason: str


@dataclass(slots=True)
class Report:
    """The result of comparing one launch's segments with Loki."""

    launch_id: str
    trace_id: str
    state: str
    lines: int = 0
    """Lines in the segments that are still on disk."""
    found: int = 0
    """Number of these lines that are in Loki."""
    rejected: int = 0
    """Number of these lines that Loki refused and the journal keeps."""
    truncated: int = 0
    """Number of these lines of which Loki has the beginning only (max_line_size_truncate)."""
    truncated_bytes: int = 0
    """The size of the longest of these beginnings."""
    redacted: int = 0
    """Secrets that were masked in these lines."""
    missing: list[MissingRange] = field(default_factory=list)
    lost: list[LostRange] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    """Segments that are no longer on disk."""
    receipt: dict[str, str] | None = None
    """Fields of the agent's `receipt` event, which counts the lines of a completely shipped launch."""
    in_loki: int = 0
    """Entries of the launch that Loki returns, without the agent's own events."""

    @property
    def is_running(self) -> bool:
        """Whether the launch may still print lines."""
        return self.state not in ENDED_STATES

    @property
    def complete(self) -> bool:
        """Whether every line is in Loki, in full."""
        return self.accounted_for and not self.rejected and not self.truncated

    @property
    def accounted_for(self) -> bool:
        """Whether every line is in Loki, or Loki refused it or a part of it.

        Lines of segments that are gone can only be counted: the receipt has their number.
        """
        if self.missing or self.lost:
            return False
        if not self.gone:
            return True
        expected = int(self.receipt["lines"]) - int(self.receipt["rejected"]) if self.receipt else None
        return expected is not None and self.in_loki >= expected

    def as_json(self) -> dict[str, Any]:
        """Return the report as `tracetail verify --json` prints it."""
        return {
            "launchId": self.launch_id,
            "traceId": self.trace_id,
            "state": self.state,
            "complete": self.complete,
            "lines": self.lines,
            "found": self.found,
            "rejected": self.rejected,
            "truncated": self.truncated,
            "redacted": self.redacted,
            "inLoki": self.in_loki,
            "missing": [
                {"file": gap.file, "from": gap.start, "to": gap.end, "lines": gap.lines} for gap in self.missing
            ],
            "lost": [
                {"file": lost.file, "from": lost.start, "to": lost.end, "reason": lost.reason} for lost in self.lost
            ],
            "gone": self.gone,
            "receipt": self.receipt,
        }
