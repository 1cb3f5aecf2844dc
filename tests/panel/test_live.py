"""Live streams: resuming, delayed logs, outages, many viewers."""

import asyncio
import contextlib
import time

from support.panel_stream import Viewing

from tracetail.panel.trace import feed

A = {
    "traceId": "t1",
    "instanceId": "i1",
    "launchId": "20261122T120000-aaaaaa",
    "service_name": "m",
    "env": "test",
    "engine": "vllm",
    "host": "h1",
}
B = {**A, "launchId": "20261122T120005-bbbbbb", "host": "h2"}


async def test_a_viewer_without_a_cursor_gets_all_lines_then_new_ones(loki, panel):
    start = time.time_ns() - 10**10
    for index in range(500):
        loki.add(A, start + index, f"old {index}")
    async with Viewing(panel.session, panel.url, "t1") as viewing:
        await viewing.until(lambda v: len(v.lines) == 500)
        for index in range(50):
            loki.add(A, start + 1000 + index, f"new {index}")
        await viewing.until(lambda v: len(v.lines) >= 550)
        assert viewing.texts == [f"old {i}" for i in range(500)] + [f"new {i}" for i in range(50)]


async def test_a_stream_resumes_after_the_page_whose_cursor_it_gets(loki, panel):
    start = time.time_ns() - 10**10
    for index in range(20):
        loki.add(A, start + index, f"line {index}")
    page = await panel.get("/api/logs", traceId="t1", limit=5)
    loki.add(A, start + 100, "line 20")
    async with Viewing(panel.session, panel.url, "t1", cursor=page["cursor"]) as viewing:
        await viewing.until(lambda v: v.lines)
        assert viewing.texts == ["line 20"]


async def test_a_stream_resumes_after_a_page_without_a_line_of_another_launch(loki, panel):
    start = time.time_ns() - 10**10
    loki.add(A, start, "a 0")
    loki.add(B, start + 5, "b 0")
    page = await panel.get("/api/logs", traceId="t1", launchId=B["launchId"])
    loki.add(A, start + 5, "a 1")
    async with Viewing(panel.session, panel.url, "t1", cursor=page["cursor"]) as viewing:
        await viewing.until(lambda v: v.lines)
        assert viewing.texts == ["a 1"]


async def test_a_broken_connection_resumes_without_losing_or_repeating_a_line(loki, panel):
    start = time.time_ns() - 10**10
    written = []

    async def write():
        for index in range(600):
            written.append(f"line {index}")
            loki.add(A, start + len(written), written[-1])
            await asyncio.sleep(0.002)

    writer = asyncio.create_task(write())
    got, cursor = [], ""
    while len(got) < 600:
        async with Viewing(panel.session, panel.url, "t1", cursor=cursor) as viewing:
            before = len(got)
            await viewing.until(lambda v, n=before: n + len(v.lines) >= min(600, n + 60))
            got += viewing.texts
            cursor = viewing.cursor
    await writer
    assert got == written


async def test_lines_of_a_delayed_log_are_neither_skipped_nor_repeated(loki, panel):
    start = time.time_ns() - 60 * 10**9
    loki.add(A, start, "a 0")
    loki.add(B, start + 1, "b 0")
    page = await panel.get("/api/logs", traceId="t1")
    async with Viewing(panel.session, panel.url, "t1", cursor=page["cursor"]) as viewing:
        await viewing.until(lambda v: v.named("launches"))
        for index in range(1, 40):
            loki.add(A, start + index * 10**9, f"a {index}")
        await viewing.until(lambda v: len(v.lines) == 39)
        for index in range(1, 30):
            loki.add(B, start + index * 10**9 + 5, f"b {index}")
        await viewing.until(lambda v: len(v.lines) >= 68)
        assert sorted(viewing.texts) == sorted([f"a {i}" for i in range(1, 40)] + [f"b {i}" for i in range(1, 30)])
        cursor = viewing.cursor
    loki.add(B, start + 35 * 10**9, "b late")
    async with Viewing(panel.session, panel.url, "t1", cursor=cursor) as viewing:
        await viewing.until(lambda v: v.lines)
        assert viewing.texts == ["b late"]


async def test_a_launch_that_starts_later_is_followed(loki, panel):
    loki.add(A, time.time_ns() - 10**9, "a")
    async with Viewing(panel.session, panel.url, "t1") as viewing:
        await viewing.until(lambda v: v.texts == ["a"])
        loki.add(B, time.time_ns() - 5 * 10**9, "b")
        await viewing.until(lambda v: v.texts == ["a", "b"])


async def test_an_outage_of_loki_loses_no_line(loki, panel):
    start = time.time_ns() - 10**9
    loki.add(A, start, "before")
    async with Viewing(panel.session, panel.url, "t1") as viewing:
        await viewing.until(lambda v: v.texts == ["before"])
        loki.down = True
        await viewing.until(lambda v: v.named("status"))
        loki.add(A, start + 1, "meanwhile")
        loki.down = False
        await viewing.until(lambda v: len(v.named("status")) == 2)
        assert viewing.texts == ["before", "meanwhile"]
        assert [status["loki"] for status in viewing.named("status")] == ["unreachable", "ok"]


async def test_a_loki_that_hangs_is_reported_long_before_its_time_out_and_no_line_is_lost(loki, panel, monkeypatch):
    monkeypatch.setattr(feed, "SLOW_SECONDS", 0.3)  # the time-out of a request stays 30 s
    start = time.time_ns() - 10**9
    loki.add(A, start, "before")
    async with Viewing(panel.session, panel.url, "t1") as viewing:
        await viewing.until(lambda v: v.texts == ["before"])
        loki.hold = asyncio.Event()  # as after `kill -STOP`: connections are accepted, nothing is answered
        await viewing.until(lambda v: v.named("status"), seconds=20)
        assert viewing.named("status")[0]["loki"] == "unreachable"
        assert viewing.named("status")[0]["message"].startswith("Loki has not returned lines for ")
        loki.add(A, start + 1, "meanwhile")
        loki.hold.set()
        await viewing.until(lambda v: v.texts == ["before", "meanwhile"] and v.named("status")[-1]["loki"] == "ok")


async def test_a_restarted_panel_resumes_from_the_cursor(loki, panel, start_panel):
    start = time.time_ns() - 10**9
    loki.add(A, start, "one")
    async with Viewing(panel.session, panel.url, "t1") as viewing:
        await viewing.until(lambda v: v.texts == ["one"])
        cursor = viewing.cursor
    loki.add(A, start + 1, "two")
    async with (
        start_panel(loki.url) as other,
        Viewing(other.session, other.url, "t1", cursor=cursor) as viewing,
    ):
        await viewing.until(lambda v: v.lines)
        assert viewing.texts == ["two"]


async def test_many_viewers_share_the_queries_of_a_tick_and_get_every_line(loki, panel):
    start = time.time_ns() - 10**10
    loki.add(A, start, "line 0")
    async with contextlib.AsyncExitStack() as stack:
        viewings = [await stack.enter_async_context(Viewing(panel.session, panel.url, "t1")) for _ in range(40)]
        for viewing in viewings:
            await viewing.until(lambda v: v.lines)
        queries, began = len(loki.queries), time.monotonic()
        for index in range(1, 300):
            loki.add(A, start + index, f"line {index}")
            await asyncio.sleep(0.001)
        for viewing in viewings:
            await viewing.until(lambda v: len(v.lines) >= 300)
            assert viewing.texts == [f"line {i}" for i in range(300)]
        # Before the viewers leave: that takes a while, and the queries go on until the last one has left.
        asked, took = len(loki.queries) - queries, time.monotonic() - began
    # A tick with many lines has two: the first asks for a few, to learn how long they are.
    assert asked <= 2 * (took / panel.server.settings.tick_seconds + 1)


async def test_a_stream_has_headers_against_buffering_by_proxies(loki, panel):
    async with panel.session.get(panel.url + "/api/logs/stream?traceId=t1") as response:
        assert response.headers["X-Accel-Buffering"] == "no"
        assert response.headers["Cache-Control"] == "no-store, no-transform"
        assert "Content-Encoding" not in response.headers


async def test_an_idle_stream_has_heartbeats(loki, panel):
    async with Viewing(panel.session, panel.url, "nothing-yet") as viewing:
        await viewing.until(lambda v: v.beats >= 2)


async def test_events_update_the_launches_of_a_stream(loki, panel):
    start = time.time_ns() - 10**9
    loki.add(A, start, "started launchId=x engine=vllm model=m port=8000 pid=7", kind="event", level="info")
    async with Viewing(panel.session, panel.url, "t1") as viewing:
        await viewing.until(lambda v: v.named("launches"))
        loki.add(A, start + 1, "ready seconds=55.2 pid=7 port=8000", kind="event", level="info")
        await viewing.until(lambda v: v.named("launches")[-1]["launches"][0]["state"] == "ready")
        assert viewing.named("launches")[-1]["launches"][0]["readySeconds"] == 55.2


async def test_an_invalid_cursor_is_refused(panel):
    answer = await panel.get("/api/logs/stream", traceId="t1", cursor="nonsense", status=400)
    assert answer["error"]["code"] == "bad_cursor"
    answer = await panel.get("/api/logs/stream", traceId="t1", headers={"Last-Event-ID": "nonsense!"}, status=400)
    assert answer["error"]["code"] == "bad_cursor"
