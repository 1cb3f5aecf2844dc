"""A Loki without structured metadata: lines and times are served, and the lack of metadata is reported."""

import time

import pytest
from support.panel_browser import SEEN, opened, part, until
from support.panel_stream import Viewing

A = {"traceId": "t1", "instanceId": "i1", "launchId": "20261122T120000-aaaaaa", "service_name": "m", "host": "h"}


@pytest.fixture
async def panel(loki, start_panel):
    start = time.time_ns() - 10**9
    for index, text in enumerate(("started port=8000", "ready seconds=1", "ERROR no memory", "loading 5%")):
        loki.add(A, start + index, text)
    async with start_panel(loki.url, structured_metadata=False) as started:
        yield started


async def test_all_lines_are_returned_and_the_state_is_unknown(panel):
    page = await panel.get("/api/logs", traceId="t1")
    assert [line["text"] for line in page["lines"]][2:] == ["ERROR no memory", "loading 5%"]
    assert page["metadata"] is False
    (launch,) = (await panel.get("/api/launches", traceId="t1"))["launches"]
    assert launch["state"] == "unknown"
    assert [each["state"] for each in (await panel.get("/api/launches"))["launches"]] == ["unknown"]
    async with Viewing(panel.session, panel.url, "t1") as viewing:
        await viewing.until(lambda v: len(v.lines) == 4)
        assert viewing.named("launches")[-1]["launches"][0]["state"] == "unknown"
    answer = await panel.get("/llm/logs", instanceId="i1")
    assert (answer["nextLine"], answer["state"], answer["finished"]) == (4, "unknown", False)


@pytest.mark.parametrize("filters", [{"level": "error"}, {"process": "P1"}, {"kind": "event"}, {"requestId": "r1"}])
async def test_a_filter_on_metadata_is_refused(panel, filters):
    for route in ("", "/index", "/histogram", "/facets", "/stats", "/download", "/search"):
        params = {"traceId": "t1", **({"q": "x"} if route == "/search" else {})}
        answer = await panel.get(f"/api/logs{route}", status=400, **params, **filters)
        assert answer["error"]["code"] == "no_metadata"
    assert (await panel.get("/api/logs/search", traceId="t1", q="memory"))["count"] == 1


async def test_a_stream_of_one_request_is_refused(panel):
    answer = await panel.get("/api/logs/stream", status=400, traceId="t1", requestId="r1")
    assert answer["error"]["code"] == "no_metadata"


@pytest.mark.needs("chromium")
async def test_the_component_reports_it_and_offers_no_filters(panel, browser):
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{SEEN}.length === 4")
        assert await page.get_by_text("keeps no structured metadata").is_visible()
        assert not await page.get_by_label("Level", exact=True).is_visible()
        await until(page, f"{part('.head .state')}.textContent === 'Unknown'")
        assert page.wrong == []
