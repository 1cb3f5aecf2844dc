"""How long earlier starts of a model took, from the records of this machine: for a progress bar."""

import itertools
import statistics
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from tracetail.contract.record import Record
from tracetail.launcher import registry

_LAUNCHES_READ = 300
"""The newest records among which earlier starts are looked for."""
_STARTS_COUNTED = 5


def seconds_to_ready(record: Record) -> float | None:
    """Return how long a launch took to be ready; None if it never was."""
    try:
        began, ready = datetime.fromisoformat(record["startedAt"]), datetime.fromisoformat(record["readyAt"])
    except (KeyError, ValueError):
        return None
    return (ready - began).total_seconds()


def earlier_starts(state_dir: Path, record: Record) -> Iterator[Record]:
    """Yield the records of launches of the same model and engine that have been ready, newest first, without it."""
    for launch in itertools.islice(registry.launches(state_dir), _LAUNCHES_READ):
        found = launch.record
        same = all(found.get(name) == record.get(name) for name in ("modelName", "engine"))
        if same and found["launchId"] != record.get("launchId") and "readyAt" in found:
            yield found


def expected_seconds(state_dir: Path, record: Record) -> float | None:
    """Return how long a start will take, by the median of the last five of the same model; None if there was none."""
    seconds = (seconds_to_ready(found) for found in earlier_starts(state_dir, record))
    known = [each for each in itertools.islice(seconds, _STARTS_COUNTED) if each is not None]
    return statistics.median(known) if known else None
