"""The lines of one request to the server: pages, figures, search, download and the live stream."""

import time

import pytest
from support.panel_stream import Viewing

A = {"traceId": "t1", "instanceId": "i1", "launchId": "20261122T120000-aaaaaa", "service_name": "m", "host": "h"}
ASKED = ["job-17", "cmpl-job-17-0", "cmpl-job-17-0-9f31c2ab"]
"""The three forms of an id that a person may have at hand: vLLM 0.11, X-Request-Id and its own."""


@pytest.fixture
def start(loki):
    """Two requests in turn, which two processes write about; the id of one is the beginning of the other's."""
    start = time.time_ns() - 10**10
    for index in range(8):
        request_id = ("cmpl-job-17-0-9f31c2ab", "cmpl-job-171-0-11111111")[index % 2]
        process = ("APIServer", "EngineCore")[index // 4]
        loki.add(A, start + index, f"line {index}", request_id=request_id, process=process, level="info")
    loki.add(A, start + 8, "INFO of nobody", level="info")
    return start


@pytest.mark.parametrize("request_id", ASKED)
async def test_a_page_has_the_lines_of_one_request(loki, panel, start, request_id):
    page = await panel.get("/api/logs", traceId="t1", requestId=request_id)
    assert [line["text"] for line in page["lines"]] == ["line 0", "line 2", "line 4", "line 6"]
    assert {line["requestId"] for line in page["lines"]} == {"cmpl-job-17-0-9f31c2ab"}


async def test_figures_search_and_download_are_of_one_request(loki, panel, start):
    wanted = {"traceId": "t1", "requestId": "job-17"}
    histogram = await panel.get("/api/logs/histogram", **wanted)
    assert sum(part["counts"]["info"] for part in histogram["slices"]) == 4
    assert (await panel.get("/api/logs/facets", **wanted))["processes"] == {"APIServer": 2, "EngineCore": 2}
    assert (await panel.get("/api/logs/index", **wanted))["counts"] == {A["launchId"]: 4}
    assert (await panel.get("/api/logs/search", q="line", **wanted))["count"] == 4
    async with panel.session.get(f"{panel.url}/api/logs/download", params=wanted) as response:
        assert await response.text() == "line 0\nline 2\nline 4\nline 6\n"


async def test_a_search_within_a_request_joins_its_cut_lines_only(loki, panel, start):
    for index, request_id in enumerate(("job-17", "job-18")):
        loki.add(A, start + 100 + index * 10, "a long li", kind="cut", request_id=request_id, level="info")
        loki.add(A, start + 101 + index * 10, "ne", request_id=request_id, level="info")
    found = await panel.get("/api/logs/search", traceId="t1", requestId="job-17", q="long line")
    assert found["count"] == 1
    assert found["line"]["requestId"] == "job-17"


async def test_a_stream_has_the_lines_of_one_request(loki, panel, start):
    async with Viewing(panel.session, panel.url, "t1", requestId="job-17") as viewing:
        await viewing.until(lambda v: len(v.lines) == 4)
        for index in range(10, 20):
            request_id = ("cmpl-job-17-1", "cmpl-job-18-0")[index % 2]
            loki.add(A, start + index, f"new {index}", request_id=request_id, level="info")
        await viewing.until(lambda v: len(v.lines) >= 9)
        assert viewing.texts == [f"line {i}" for i in (0, 2, 4, 6)] + [f"new {i}" for i in (10, 12, 14, 16, 18)]
        cursor = viewing.cursor
    loki.add(A, start + 30, "of another", request_id="cmpl-job-18-0")
    loki.add(A, start + 31, "resumed", request_id="cmpl-job-17-1")
    async with Viewing(panel.session, panel.url, "t1", cursor=cursor, requestId="job-17") as viewing:
        await viewing.until(lambda v: v.lines)
        assert viewing.texts == ["resumed"]
