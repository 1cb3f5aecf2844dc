"""Figures about a log: histogram, facets, engine statistics; and the count of a search."""

import asyncio

from support.trace_lines import LABELS, fill

STATS = (
    "Engine 000: Avg prompt throughput: {} tokens/s, Avg generation throughput: {} tokens/s, "
    "Running: 3 reqs, Waiting: 1 reqs, GPU KV cache usage: 12.5%, Prefix cache hit rate: 0.0%"
)


async def test_concurrent_requests_for_figures_share_one_query(loki, panel):
    fill(loki, 100)
    for path in ("histogram", "facets", "stats"):
        await panel.get(f"/api/logs/{path}", traceId="t2")
        alone = -len(loki.queries)
        await panel.get(f"/api/logs/{path}", traceId="t3")
        alone += len(loki.queries)
        before = len(loki.queries)
        answers = await asyncio.gather(*(panel.get(f"/api/logs/{path}", traceId="t1") for _ in range(50)))
        assert all(answer == answers[0] for answer in answers)
        assert len(loki.queries) - before <= alone + 2, path


async def test_a_search_counts_all_matches_and_returns_the_next_or_previous(loki, panel):
    fill(loki, 1200)
    found = await panel.get("/api/logs/search", traceId="t1", q="LINE 11")
    assert (found["count"], found["number"], found["line"]["text"]) == (111, 1, "line 11")
    found = await panel.get("/api/logs/search", traceId="t1", q="line 11", after=found["line"]["id"])
    assert (found["number"], found["line"]["text"]) == (2, "line 110")
    found = await panel.get("/api/logs/search", traceId="t1", q="line 11", before=found["line"]["id"])
    assert (found["number"], found["line"]["text"]) == (1, "line 11")
    found = await panel.get("/api/logs/search", traceId="t1", q="line 11$", regex="true", case="true")
    assert found["count"] == 1
    assert (await panel.get("/api/logs/search", traceId="t1", q="nowhere"))["line"] is None


async def test_the_histogram_counts_every_line_once(loki, panel):
    fill(loki, 1000, step_ns=50 * 10**6)
    answer = await panel.get("/api/logs/histogram", traceId="t1", buckets=60)
    assert sum(sum(part["counts"].values()) for part in answer["slices"]) == 1000
    assert sum(part["counts"].get("error", 0) for part in answer["slices"]) == 100
    assert len(answer["slices"]) <= 61


async def test_facets_count_lines_by_process_and_level(loki, panel):
    fill(loki, 100)
    answer = await panel.get("/api/logs/facets", traceId="t1")
    assert answer == {"processes": {"P0": 50, "P1": 50}, "levels": {"info": 90, "error": 10}}


async def test_stats_lines_are_parsed_into_points(loki, panel):
    start = fill(loki, 10)
    for index in range(5):
        loki.add(LABELS, start + index * 10**9 + 7, STATS.format(index, index * 10), level="info")
    points = (await panel.get("/api/logs/stats", traceId="t1"))["points"]
    assert [point["generation"] for point in points] == [0.0, 10.0, 20.0, 30.0, 40.0]
    assert points[0]["cache"] == 12.5
    assert points[0]["waiting"] == 1.0
