import asyncio
import time

import orjson

LABELS = {
    "traceId": "t1",
    "instanceId": "i1",
    "launchId": "20261122T120000-aaaaaa",
    "service_name": "m",
    "env": "test",
    "engine": "vllm",
    "host": "h",
}
OTHER = {**LABELS, "launchId": "20261122T120001-bbbbbb", "instanceId": "i2"}
STATS = (
    "Engine 000: Avg prompt throughput: {} tokens/s, Avg generation throughput: {} tokens/s, "
    "Running: 3 reqs, Waiting: 1 reqs, GPU KV cache usage: 12.5%, Prefix cache hit rate: 0.0%"
)


def fill(loki, count, *, step_ns=10**6, labels=LABELS, start=None):
    start = start or time.time_ns() - 300 * 10**9
    for index in range(count):
        level = "error" if index % 10 == 3 else "info"
        loki.add(labels, start + index * step_ns, f"line {index}", level=level, process=f"P{index % 2}")
    return start


async def index_of(panel, **params):
    async with asyncio.timeout(20):
        while True:
            answer = await panel.get("/api/logs/index", **params)
            if answer["complete"]:
                return answer
            await asyncio.sleep(0.01)


async def test_line_numbers_are_the_lines_of_each_launch_before_a_place(loki, panel):
    start = fill(loki, 3500)
    fill(loki, 1700, labels=OTHER, start=start + 500)
    page = await panel.get("/api/logs", traceId="t1", limit=100)
    answer = await index_of(panel, traceId="t1", before=page["lines"][0]["id"])
    assert sum(answer["counts"].values()) == 3500 + 1700 - 100
    ids = sorted(
        ((start + i * 10**6, 0) for i in range(3500)),
    )
    for checkpoint in answer["checkpoints"]:
        at = int(checkpoint["time"])
        assert checkpoint["counts"][LABELS["launchId"]] == sum(time_ns < at for time_ns, _ in ids)
    assert len(answer["checkpoints"]) >= 4


async def test_an_index_counts_lines_that_arrived_late(loki, panel):
    start = fill(loki, 1500, start=time.time_ns() - 20 * 10**9)
    await index_of(panel, traceId="t1")
    loki.add(LABELS, start + 5, "late")
    assert sum((await index_of(panel, traceId="t1"))["counts"].values()) == 1501


async def test_a_line_that_arrives_minutes_late_is_counted_at_once(loki, panel):
    start = fill(loki, 2500)
    assert sum((await index_of(panel, traceId="t1"))["counts"].values()) == 2500
    loki.add(LABELS, start + 5, "delivered after an outage")
    answer = await index_of(panel, traceId="t1")
    assert sum(answer["counts"].values()) == 2501
    assert answer["checkpoints"][0]["counts"] == {LABELS["launchId"]: 1000}


async def test_numbers_are_there_while_the_log_goes_on(loki, panel):
    start = fill(loki, 300, start=time.time_ns() - 10**9, step_ns=1)
    for index in range(20):
        loki.add(LABELS, start + 1000 + index, f"more {index}")
        answer = await panel.get("/api/logs/index", traceId="t1")
        assert answer["complete"]
        assert answer["counts"] == {LABELS["launchId"]: 301 + index}
        assert answer["last"][LABELS["launchId"]].startswith(f"{start + 1000 + index}-")


async def test_many_who_look_at_a_trace_share_its_views_from_afar(loki, panel):
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


async def test_the_search_counts_all_matches_and_finds_the_next_and_the_previous(loki, panel):
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


async def test_the_histogram_holds_every_line_once(loki, panel):
    fill(loki, 1000, step_ns=50 * 10**6)
    answer = await panel.get("/api/logs/histogram", traceId="t1", buckets=60)
    assert sum(sum(part["counts"].values()) for part in answer["slices"]) == 1000
    assert sum(part["counts"].get("error", 0) for part in answer["slices"]) == 100
    assert len(answer["slices"]) <= 61


async def test_facets_name_processes_and_levels(loki, panel):
    fill(loki, 100)
    answer = await panel.get("/api/logs/facets", traceId="t1")
    assert answer == {"processes": {"P0": 50, "P1": 50}, "levels": {"info": 90, "error": 10}}


async def test_stats_lines_become_figures(loki, panel):
    start = fill(loki, 10)
    for index in range(5):
        loki.add(LABELS, start + index * 10**9 + 7, STATS.format(index, index * 10), level="info")
    points = (await panel.get("/api/logs/stats", traceId="t1"))["points"]
    assert [point["generation"] for point in points] == [0.0, 10.0, 20.0, 30.0, 40.0]
    assert points[0]["cache"] == 12.5
    assert points[0]["waiting"] == 1.0


async def test_a_download_is_what_the_servers_printed(loki, panel):
    start = time.time_ns() - 10**9
    for index, (text, kind) in enumerate(
        [
            ("started x", "event"),
            ("a", ""),
            ("b1", "cut"),
            ("b2", ""),
            ("50%", "redraw"),
            ("100%", "redraw"),
            ("z", "cut"),
        ]
    ):
        loki.add(LABELS, start + index * 2, text, **({"kind": kind} if kind else {}))
    loki.add(OTHER, start + 5, "other")
    async with panel.session.get(
        panel.url + "/api/logs/download", params={"launchId": LABELS["launchId"]}
    ) as response:
        assert await response.text() == "a\nb1b2\n50%\r100%\rz"
        assert LABELS["launchId"] in response.headers["Content-Disposition"]
    async with panel.session.get(
        panel.url + "/api/logs/download", params={"traceId": "t1", "format": "jsonl"}
    ) as response:
        lines = [orjson.loads(line) for line in (await response.text()).splitlines()]
        assert len(lines) == 8


async def test_appended_lines_are_found_under_their_instance(loki, panel):
    body = {"instanceId": 1008611, "timestamp": 1795350000000, "lines": ["one", "two", "two"]}
    body["timestamp"] = time.time_ns() // 10**6 - 1000
    answer = await panel.post("/api/log/append", body)
    assert answer == {"appended": 3, "traceId": "1008611", "instanceId": "1008611"}
    page = await panel.get("/api/logs", instanceId="1008611")
    assert [line["text"] for line in page["lines"]] == ["one", "two", "two"]


async def test_a_repeated_post_writes_the_very_same_entries(loki, panel):
    body = {"instanceId": "7", "timestamp": time.time_ns() // 10**6, "lines": ["a", "b"]}
    await panel.post("/api/log/append", body)
    await panel.post("/api/log/append", {**body, "lines": ["c"]})
    await panel.post("/api/log/append", body)
    page = await panel.get("/api/logs", instanceId="7")
    assert [line["text"] for line in page["lines"]] == ["a", "b", "c"]


async def test_two_panels_take_the_posts_of_one_run_as_one_would(loki, panel, start_panel):
    now_ms = time.time_ns() // 10**6
    posts = [
        {"instanceId": "7", "timestamp": now_ms + i // 3, "lines": [f"{i} a", "same", f"{i} b"]} for i in range(12)
    ]
    async with start_panel(loki.url) as other:
        for index, post in enumerate(posts):
            await (panel, other)[index % 2].post("/api/log/append", post)
            # The answer was lost on its way: the platform sends it again, and gets the other panel.
            await (other, panel)[index % 2].post("/api/log/append", post)
        await panel.post("/api/log/append", posts[3])
        page = await other.get("/api/logs", instanceId="7")
        assert [line["text"] for line in page["lines"]] == [text for post in posts for text in post["lines"]]
        assert len({line["source"] for line in page["lines"]}) == 1


async def test_two_panels_that_take_posts_at_once_lose_no_line(loki, panel, start_panel):
    async with start_panel(loki.url) as other:
        at = time.time_ns() // 10**6
        body = [{"instanceId": "7", "timestamp": at, "lines": ["same", f"{i}"]} for i in range(20)]
        await asyncio.gather(*((panel, other)[i % 2].post("/api/log/append", each) for i, each in enumerate(body)))
        texts = [line["text"] for line in (await panel.get("/api/logs", instanceId="7"))["lines"]]
        assert sorted(texts) == sorted(["same"] * 20 + [str(i) for i in range(20)])


async def test_appended_lines_join_the_trace_of_their_instance(loki, panel):
    fill(loki, 3)
    answer = await panel.post("/api/log/append", {"instanceId": "i1", "lines": ["from the scheduler"]})
    assert answer["traceId"] == "t1"
    page = await panel.get("/api/logs", traceId="t1")
    assert page["lines"][-1]["text"] == "from the scheduler"


async def test_a_long_appended_line_arrives_in_pieces_that_belong_together(loki, panel):
    text = "é" * 150_000
    await panel.post("/api/log/append", {"instanceId": "9", "lines": [text]})
    async with panel.session.get(panel.url + "/api/logs/download", params={"traceId": "9"}) as response:
        assert await response.text() == text + "\n"


async def test_llm_logs_gives_increments_by_line_number(loki, panel):
    start = time.time_ns() - 100 * 10**9
    loki.add(LABELS, start, "started port=1", kind="event")
    written, got, line = [], [], 0
    for index in range(2500):
        written.append(f"line {index}")
        loki.add(LABELS, start + 1 + index, written[-1])
        if index % 400 == 399:
            answer = await panel.get("/llm/logs", instanceId="i1", fromLine=line)
            assert answer["fromLine"] == line
            got += answer["lines"]
            line = answer["nextLine"]
    while True:
        answer = await panel.get("/llm/logs", instanceId="i1", fromLine=line)
        got += answer["lines"]
        line = answer["nextLine"]
        if not answer["more"]:
            break
    assert got == written
    assert (answer["state"], answer["finished"]) == ("starting", False)
    assert (await panel.get("/llm/logs", instanceId="i1", fromLine=2500))["lines"] == []


async def test_another_panel_knows_the_same_line_numbers(loki, panel, start_panel):
    fill(loki, 2500)
    async with start_panel(loki.url) as other:
        answer = await other.get("/llm/logs", instanceId="i1", fromLine=2345, limit=2)
        assert answer["lines"] == ["line 2345", "line 2346"]
        assert (await other.get("/llm/logs", instanceId="i1", fromLine=99999))["lines"] == []
