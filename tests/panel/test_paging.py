"""Pages of lines, and filters."""

import asyncio
import itertools
import random
import time

import pytest
from support.trace_lines import LABELS


def fill(loki, count, *, labels=LABELS, same_ns=1, start=None):
    start = start or time.time_ns() - 60 * 10**9
    chooser = random.Random(count)
    for index in range(count):
        level = chooser.choice(["info", "info", "error", "warning"])
        loki.add(labels, start + index // same_ns, f"line {index}", level=level, process=f"P{index % 3}")
    return [f"line {index}" for index in range(count)]


async def pages(panel, direction, **params):
    """Read a whole trace page by page; return the pages."""
    found = []
    bound = {} if direction == "backward" else {"start": "0"}
    while True:
        page = await panel.get("/api/logs", traceId="t1", direction=direction, **params, **bound)
        found.append(page["lines"])
        if not page["more"]:
            return found
        edge, line = ("after", page["lines"][-1]) if direction == "forward" else ("before", page["lines"][0])
        bound = {edge: line["id"]}


@pytest.mark.parametrize("same_ns", [1, 7, 150])
@pytest.mark.parametrize("direction", ["forward", "backward"])
async def test_paging_neither_loses_nor_repeats_a_line(loki, panel, direction, same_ns):
    written = fill(loki, 1003, same_ns=same_ns)
    found = await pages(panel, direction, limit=100)
    if direction == "backward":
        found.reverse()
    lines = list(itertools.chain(*found))
    assert sorted(line["text"] for line in lines) == sorted(written)
    assert len({line["id"] for line in lines}) == len(written)
    times = [int(line["time"]) for line in lines]
    assert times == sorted(times)
    assert all(len(page) <= 100 for page in found)


async def test_both_directions_have_the_same_order(loki, panel):
    fill(loki, 400, same_ns=9)
    forward = [line["id"] for line in itertools.chain(*await pages(panel, "forward", limit=37))]
    backward = [line["id"] for line in itertools.chain(*reversed(await pages(panel, "backward", limit=41)))]
    assert forward == backward


async def test_a_nanosecond_with_too_many_entries_is_reported_as_a_gap(loki, panel):
    fill(loki, 5100, same_ns=5100)
    page = await panel.get("/api/logs", traceId="t1", start="0", limit="5000")
    assert page["gaps"][0]["reason"] == "crowded"


async def test_lines_that_differ_only_in_metadata_are_both_returned(loki, panel):
    at = time.time_ns()
    loki.add(LABELS, at, "same", level="info")
    loki.add(LABELS, at, "same", level="error")
    page = await panel.get("/api/logs", traceId="t1")
    assert [line["text"] for line in page["lines"]] == ["same", "same"]


async def test_filters_select_lines(loki, panel):
    fill(loki, 300)
    page = await panel.get("/api/logs", traceId="t1", level="error,critical", limit=5000)
    assert page["lines"]
    assert {line["level"] for line in page["lines"]} == {"error"}
    page = await panel.get("/api/logs", traceId="t1", process="P1", q="LINE 1", limit=5000)
    assert {line["process"] for line in page["lines"]} == {"P1"}
    assert not (await panel.get("/api/logs", traceId="t1", q="LINE 1", case="true"))["lines"]
    found = await panel.get("/api/logs", traceId="t1", q="^line (17|23)$", regex="true")
    assert [line["text"] for line in found["lines"]] == ["line 17", "line 23"]


async def test_parameters_are_quoted_in_logql(loki, panel):
    fill(loki, 5)
    loki.add({**LABELS, "traceId": "t2"}, time.time_ns(), "of another trace")
    page = await panel.get("/api/logs", traceId="t1", q='"} or {traceId="t2')
    assert page["lines"] == []
    answer = await panel.get("/api/logs", traceId='t1"} or {traceId=~".+', status=400)
    assert answer["error"]["code"] == "bad_parameter"


async def test_several_launches_are_merged_by_time(loki, panel):
    other = {**LABELS, "launchId": "20261122T120001-bbbbbb", "host": "h2"}
    start = time.time_ns() - 10**10
    for index in range(50):
        loki.add(LABELS if index % 2 else other, start + index, f"line {index}")
    page = await panel.get("/api/logs", traceId="t1")
    assert [line["text"] for line in page["lines"]] == [f"line {index}" for index in range(50)]
    assert {line["source"] for line in page["lines"]} == {LABELS["launchId"], other["launchId"]}
    page = await panel.get("/api/logs", launchId=other["launchId"])
    assert {line["source"] for line in page["lines"]} == {other["launchId"]}


async def test_cancelled_requests_cancel_their_queries_to_loki(loki, panel):
    fill(loki, 300)
    loki.hold = asyncio.Event()
    asked = [asyncio.create_task(panel.get("/api/logs", traceId="t1", start=str(at))) for at in range(100)]
    async with asyncio.timeout(60):
        while loki.held < 64:  # noqa: ASYNC110  (the panel's limit of concurrent requests)
            await asyncio.sleep(0.01)
    for request in asked[:-1]:
        request.cancel()
    async with asyncio.timeout(60):
        while loki.gone < loki.held - 1:  # noqa: ASYNC110  (what is waited for happens in the stand-in)
            await asyncio.sleep(0.01)
    loki.hold.set()
    assert len((await asked[-1])["lines"]) == 300


async def test_an_unknown_trace_is_empty_and_an_unavailable_loki_is_a_502(loki, panel):
    assert (await panel.get("/api/logs", traceId="nothing"))["lines"] == []
    loki.down = True
    assert (await panel.get("/api/logs", traceId="t1", status=502))["error"]["code"] == "loki_unavailable"
