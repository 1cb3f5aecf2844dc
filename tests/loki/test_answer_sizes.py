"""Queries ask for as many lines as make an answer of some megabytes."""

import time

from support.panel_loki import nasty_loki

from tracetail.loki.client import LokiClient
from tracetail.loki.settings import LokiSettings

LABELS = {"traceId": "t1", "launchId": "20261122T120000-aaaaaa"}


async def read_all(loki, size: int, lines: int) -> list[int]:
    """Add lines of this size and read them; return how many lines each query asked for."""
    start = time.time_ns() - 60 * 10**9
    for number in range(lines):
        loki.add(LABELS, start + number, f"{number} ".ljust(size, "x"))
    async with LokiClient(LokiSettings(url=loki.url)) as client:
        entries = await client.all_entries('{traceId="t1"}', start, time.time_ns())
    assert len(entries) == lines
    return loki.asked


async def test_long_lines_are_asked_for_in_answers_that_loki_does_not_refuse():
    async with nasty_loki() as loki:
        loki.answer_max_bytes = 4 << 20
        asked = await read_all(loki, size=50_000, lines=1000)
    assert max(asked) * 50_000 < 4 << 20
    assert len(asked) < 1000 * 50_000 / (1 << 20)


async def test_short_lines_are_asked_for_by_as_many_as_loki_allows():
    async with nasty_loki() as loki:
        asked = await read_all(loki, size=100, lines=12_000)
    assert max(asked) == 5000
    assert len(asked) <= 6
