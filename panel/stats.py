"""The figures in vLLM's and SGLang's own stats lines: throughput, queue, cache. Pure."""

import re
from collections.abc import Iterable
from typing import Any

from panel.entry import Entry

STATS_LINE = r"(?:Avg prompt throughput|gen throughput \(token/s\)): "
"""What a line with figures has in it (RE2)."""

_FIELDS = (
    ("prompt", re.compile(r"Avg prompt throughput: ([\d.]+) tokens/s")),
    (
        "generation",
        re.compile(r"(?:Avg generation throughput: ([\d.]+) tokens/s|gen throughput \(token/s\): ([\d.]+))"),
    ),
    ("running", re.compile(r"(?:Running: (\d+) reqs|#running-req: (\d+))")),
    ("waiting", re.compile(r"(?:Waiting: (\d+) reqs|#queue-req: (\d+))")),
    ("cache", re.compile(r"(?:KV cache usage: ([\d.]+)%|token usage: ([\d.]+))")),
)
_FRACTION = re.compile(r"token usage: ")


def point(entry: Entry) -> dict[str, Any] | None:
    """Return the figures of one line with its time and source; None if it has none."""
    found: dict[str, Any] = {}
    for name, pattern in _FIELDS:
        match = pattern.search(entry.text)
        if match:
            found[name] = float(next(group for group in match.groups() if group is not None))
    if not found:
        return None
    if "cache" in found and _FRACTION.search(entry.text):
        found["cache"] *= 100  # SGLang tells a fraction, vLLM per cent
    return {"time": str(entry.key.time_ns), "source": entry.stream.source, **found}


def thinned(points: Iterable[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return at most this many points: of each run of neighbours the one that generated most, so that peaks stay."""
    every = list(points)
    step = -(-len(every) // most) if every else 1
    runs = (every[i : i + step] for i in range(0, len(every), step))
    return [max(run, key=lambda each: float(each.get("generation", 0.0))) for run in runs]
