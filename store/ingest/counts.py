"""The writer's counters, for /metrics."""

from dataclasses import dataclass, replace


@dataclass(slots=True)
class Counts:
    """Totals since the start. One instance is shared by all parts of the writer."""

    entries: int = 0
    text_bytes: int = 0
    duplicates: int = 0
    refused: int = 0
    pushes: int = 0
    commits: int = 0
    failed_commits: int = 0
    merges: int = 0
    deleted_blocks: int = 0

    def copy(self) -> "Counts":
        """Return a copy, for restore."""
        return replace(self)

    def restore(self, saved: "Counts") -> None:
        """Set all counters to the saved values, after a transaction was rolled back."""
        for name in self.__slots__:
            setattr(self, name, getattr(saved, name))
