"""Figures about a log, computed by Loki: counts of lines by level over time and by label, engine statistics."""

import time
from typing import Any

from tracetail.contract import labels as names
from tracetail.contract.engine_stats import STATS_LINE
from tracetail.loki import logql
from tracetail.loki.client import LokiClient
from tracetail.loki.limits import CREATION_GRACE_SECONDS
from tracetail.panel.trace import stats
from tracetail.panel.trace.entry import FIRST_KEY, LAST_KEY, Key
from tracetail.panel.trace.reader import Reader

_MS = 1_000_000
_STEPS_MS = (
    *(100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000),
    *(1_800_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000, 86_400_000),
)
STATS_POINTS_MAX = 600
STATS_FILTER = f"|~ {logql.quote(STATS_LINE)}"
_STATS_LINES_MAX = 20_000
_STATS_PAGE = 4900


class Overview:
    """Computes figures with metric queries. All methods raise LokiError."""

    def __init__(self, loki: LokiClient, reader: Reader) -> None:
        self._loki = loki
        self._reader = reader

    async def histogram(
        self, query: str, start: Key, buckets: int, part: tuple[Key, Key] = (FIRST_KEY, LAST_KEY)
    ) -> dict[str, Any]:
        """Return the lines by level in about this many slices of time.

        Args:
            query: a log query.
            start: a key before the log's first line.
            buckets: how many slices at most, of those that have lines.
            part: the range of keys that is wanted; by default from the log's first line to its last.

        """
        end = min(part[1], Key(time.time_ns() + CREATION_GRACE_SECONDS * 1_000_000_000))
        first = await self._reader.forward(query, max(start, part[0]), end, limit=1)
        if not first.entries:
            return {"stepMs": 1000, "slices": []}
        last = await self._reader.backward(query, end, first.entries[0].key, limit=1)
        first_ms = first.entries[0].key.time_ns // _MS
        last_ms = last.entries[-1].key.time_ns // _MS
        step = next((step for step in _STEPS_MS if step * buckets >= last_ms - first_ms), _STEPS_MS[-1])
        # Loki's windows are (t - step, t]; every Loki evaluates them at multiples of the step.
        begin = first_ms // step * step + step
        until = last_ms // step * step + step
        slices: dict[int, dict[str, int]] = {}
        levels = await self._loki.counts_over_time(
            query, begin * _MS, until * _MS, step * _MS, by=(names.METADATA_LEVEL,)
        )
        for (level,), steps in levels.items():
            for end_ns, count in steps.items():
                slices.setdefault(end_ns - step * _MS, {})[level or "none"] = count
        return {
            "stepMs": step,
            "slices": [{"time": str(time_ns), "counts": counts} for time_ns, counts in sorted(slices.items())],
        }

    async def count(
        self, query: str, start: Key, end_ns: int | None = None, by: tuple[str, ...] = ()
    ) -> dict[str, int]:
        """Return the number of lines from start to end_ns (included), by the values of the labels `by`.

        Keys of the result are the values joined by NUL; without `by` there is one key, the empty text.
        """
        end = end_ns if end_ns is not None else time.time_ns() + CREATION_GRACE_SECONDS * 1_000_000_000
        result = await self._loki.counts(query, start.time_ns, end, by)
        counts: dict[str, int] = {}
        for series in result:
            name = "\x00".join(series["metric"].get(label, "") for label in by)
            counts[name] = counts.get(name, 0) + int(float(series["value"][1]))
        return counts

    async def stats(self, query: str, start: Key) -> list[dict[str, Any]]:
        """Return the figures in the stats lines that the query finds, at most STATS_POINTS_MAX of them."""
        points: list[dict[str, Any]] = []
        position = start
        for _ in range(_STATS_LINES_MAX // _STATS_PAGE + 1):
            page = await self._reader.forward(query, position, limit=_STATS_PAGE)
            points += [point for entry in page.entries if (point := stats.point(entry)) is not None]
            if not page.more:
                break
            position = page.entries[-1].key.next
        return stats.downsampled(points, STATS_POINTS_MAX)
