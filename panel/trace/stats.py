"""The figures in vLLM's and SGLang's own stats lines: throughput, queue, cache. Pure."""

from collections.abc import Iterable
from typing import Any

from tracetail.contract.engine_stats import find_stats
from tracetail.panel.trace.entry import Entry

_NAMES = {
    "prompt_tokens_per_second": "prompt",
    "generation_tokens_per_second": "generation",
    "requests_running": "running",
    "requests_waiting": "waiting",
}


def point(entry: Entry) -> dict[str, Any] | None:
    """Return the figures of one line with its time and source; None if it has none."""
    stats = next(find_stats(entry.text.encode()), None)
    if stats is None:
        return None
    found = {_NAMES[name]: value for name, value in stats.values.items() if name in _NAMES}
    if (ratio := stats.values.get("kv_cache_usage_ratio")) is not None:
        found["cache"] = round(ratio * 100, 6)
    return {"time": str(entry.key.time_ns), "source": entry.stream.source, **found}


def thinned(points: Iterable[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return at most this many points: of each run of neighbours the one that generated most, so that peaks stay."""
    every = list(points)
    step = -(-len(every) // most) if every else 1
    runs = (every[i : i + step] for i in range(0, len(every), step))
    return [max(run, key=lambda each: float(each.get("generation", 0.0))) for run in runs]
