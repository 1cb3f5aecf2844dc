"""Points of the engine statistics chart, parsed from the stats lines of vLLM and SGLang. Pure."""

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
    """Return the figures of one line with its time and source; None if it is not a stats line."""
    stats = next(find_stats(entry.text.encode()), None)
    if stats is None:
        return None
    figures = {_NAMES[name]: value for name, value in stats.values.items() if name in _NAMES}
    if (ratio := stats.values.get("kv_cache_usage_ratio")) is not None:
        figures["cache"] = round(ratio * 100, 6)
    return {"time": str(entry.key.time_ns), "source": entry.stream.source, **figures}


def downsampled(points: Iterable[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """Return at most `limit` points: of each run of neighbours the one with the highest generation, to keep peaks."""
    every = list(points)
    step = -(-len(every) // limit) if every else 1
    runs = (every[i : i + step] for i in range(0, len(every), step))
    return [max(run, key=lambda each: float(each.get("generation", 0.0))) for run in runs]
