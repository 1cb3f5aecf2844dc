"""Line numbers: how many lines of each launch precede a position."""

import asyncio
import time

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


async def test_counts_are_the_lines_of_each_launch_before_a_key(loki, panel):
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


async def test_lines_that_arrive_late_are_counted(loki, panel):
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


async def test_counts_are_complete_while_the_log_grows(loki, panel):
    start = fill(loki, 300, start=time.time_ns() - 10**9, step_ns=1)
    for index in range(20):
        loki.add(LABELS, start + 1000 + index, f"more {index}")
        answer = await panel.get("/api/logs/index", traceId="t1")
        assert answer["complete"]
        assert answer["counts"] == {LABELS["launchId"]: 301 + index}
        assert answer["last"][LABELS["launchId"]].startswith(f"{start + 1000 + index}-")
