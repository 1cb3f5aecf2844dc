"""How long starts took, by phase and in comparison with those before: what `tracetail history` and the panel show."""

import statistics
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

NOTABLE = 0.2
"""A start that took so much longer than those before it, as a share, is marked."""
COMPARED = 10
"""A start is compared with the median of so many starts before it."""


def seconds_by_phase(phases: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the seconds of each phase of a start; those of one name (of several workers) are summed."""
    found: dict[str, float] = {}
    for phase in phases:
        if phase.get("seconds") is not None:
            found[phase["name"]] = round(found.get(phase["name"], 0.0) + phase["seconds"], 3)
    return found


def changes(starts: Iterable[tuple[Hashable, float | None]]) -> list[float | None]:
    """Return how much longer each start took than those before it.

    Args:
        starts: the oldest first: what was started, equal for starts that are compared; and the seconds until it was
            ready, None if it never was.

    Returns:
        For each start 0.35 if it took 35 % longer than the median of the ten before it; None if it never was ready,
        or none before it was.

    """
    earlier: dict[Hashable, list[float]] = {}
    found: list[float | None] = []
    for started, seconds in starts:
        before = earlier.setdefault(started, [])
        is_comparable = seconds is not None and bool(before)
        found.append(_change(seconds or 0.0, before[-COMPARED:]) if is_comparable else None)
        if seconds is not None:
            before.append(seconds)
    return found


def _change(seconds: float, before: list[float]) -> float:
    return round(seconds / max(statistics.median(before), 0.001) - 1, 3)
