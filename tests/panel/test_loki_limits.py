"""A Loki that allows less than usual, or divides streams between shards, is read all the same.

What it answers is what a Loki of August 2026 answered: max_query_length, max_entries_limit_per_query, gRPC's message
size, and the label `__stream_shard__`.
"""

import asyncio
import time

import pytest
from support.panel_stream import Viewing
from support.trace_lines import LABELS

from tracetail.loki.client import LokiClient
from tracetail.loki.settings import LokiSettings

HOUR_NS = 3600 * 1_000_000_000


def fill(loki, lines: int, *, hours: int = 60, size: int = 0) -> list[str]:
    """Add lines over so many hours; return their texts."""
    start = time.time_ns() - hours * HOUR_NS
    texts = [f"line {number} {'x' * size}" for number in range(lines)]
    for number, text in enumerate(texts):
        loki.add(LABELS, start + number * (hours * HOUR_NS // lines), text, level="info")
    return texts


@pytest.fixture(params=["a day at a time", "100 entries", "100 KB", "all of it"])
def limited(request, loki):
    if request.param in ("a day at a time", "all of it"):
        loki.length_max_ns = 24 * HOUR_NS
    if request.param in ("100 entries", "all of it"):
        loki.entries_max = 100
    if request.param in ("100 KB", "all of it"):
        loki.answer_max_bytes = 100_000
    return loki


async def test_every_reader_of_the_panel_keeps_to_the_limits(limited, panel):
    texts = fill(limited, 1500, size=2000)
    found, where = [], {}
    more = True
    while more:
        page = await panel.get("/api/logs", traceId="t1", limit=1000, **where)
        found = [line["text"] for line in page["lines"]] + found
        more = page["more"]
        where = {"before": page["lines"][0]["id"]}
    assert found == texts
    async with panel.session.get(f"{panel.url}/api/logs/download", params={"traceId": "t1"}) as answer:
        assert (await answer.text()).splitlines() == texts
    index = await panel.get("/api/logs/index", traceId="t1")
    assert sum(index["counts"].values()) == 1500
    histogram = await panel.get("/api/logs/histogram", traceId="t1")
    assert sum(count for part in histogram["slices"] for count in part["counts"].values()) == 1500
    async with Viewing(panel.session, panel.url, "t1") as viewing:
        await viewing.until(lambda v: len(v.lines) == 1500)
        assert viewing.texts == texts


async def test_a_step_of_the_histogram_may_be_longer_than_a_query(loki, panel):
    loki.length_max_ns = 5 * HOUR_NS
    fill(loki, 600, hours=60)
    for buckets, step_hours in ((12, 8), (2, 24)):
        histogram = await panel.get("/api/logs/histogram", traceId="t1", buckets=buckets)
        assert histogram["stepMs"] == step_hours * 3_600_000
        assert sum(part["counts"]["info"] for part in histogram["slices"]) == 600
        complete = [part["counts"]["info"] for part in histogram["slices"][1:-1]]
        assert all(abs(count - step_hours * 10) <= 1 for count in complete)


async def test_a_client_learns_the_limits_once(limited):
    texts = fill(limited, 1500, size=200)
    async with LokiClient(LokiSettings(url=limited.url)) as client:
        start, end = time.time_ns() - 100 * HOUR_NS, time.time_ns() + HOUR_NS
        assert [entry.line for entry in await client.all_entries('{traceId="t1"}', start, end)] == texts
        before = client.requests
        assert sum(int(item["value"][1]) for item in await client.counts('{traceId="t1"}', start, end)) == 1500
        assert client.requests - before <= 6
        assert await client.series('{traceId="t1"}', start, end) == [LABELS]


async def test_the_lines_of_shards_that_appear_late_are_followed_once(loki, panel):
    """A push becomes visible shard by shard: lines of the second one are older than lines that were seen."""
    start = time.time_ns() - 10 * 1_000_000_000
    for number in range(10):
        loki.add(LABELS, start + number, f"before {number}")
    async with Viewing(panel.session, panel.url, "t1") as viewing:
        await viewing.until(lambda v: len(v.lines) == 10)
        for push in range(5):
            for shard in (1, 0):
                for number in range(shard, 40, 2):
                    labels = {**LABELS, "__stream_shard__": str(shard)}
                    loki.add(labels, start + 1000 + push * 100 + number, f"{push} {number}")
                last = f"{push} {38 + shard}"
                await viewing.until(lambda v, last=last: last in v.texts)
            await asyncio.sleep(0.1)
        texts = viewing.texts[10:]
        assert len(texts) == len(set(texts)) == 200
        assert {line["source"] for line in viewing.lines} == {LABELS["launchId"]}
        page = await panel.get("/api/launches", traceId="t1")
        assert len(page["launches"]) == 1


async def test_a_stream_that_waits_for_loki_says_so_and_goes_on(loki, panel):
    fill(loki, 10, hours=1)
    loki.hold = asyncio.Event()
    async with Viewing(panel.session, panel.url, "t1") as viewing:
        await viewing.until(lambda v: v.beats or v.named("status"))
        loki.hold.set()
        await viewing.until(lambda v: len(v.lines) == 10)
