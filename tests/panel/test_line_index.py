"""Line numbers: how many lines of each launch precede a position."""

import asyncio
import time
from itertools import pairwise

from support.trace_lines import LABELS, OTHER, fill


async def index_of(panel, **params):
    async with asyncio.timeout(60):
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


async def test_a_log_of_bursts_has_checkpoints_within_them(loki, panel):
    """A start of 12,000 lines in a second, and then a line an hour: no step of time suits both."""
    start = time.time_ns() - 48 * 3600 * 10**9
    for index in range(12_000):
        loki.add(LABELS, start + index * 80_000, f"line {index}")
    for index in range(1, 47):
        loki.add(OTHER, start + index * 3600 * 10**9, f"hour {index}")
    before = len(loki.queries)
    answer = await index_of(panel, traceId="t1")
    assert len(loki.queries) - before < 20
    assert answer["counts"] == {LABELS["launchId"]: 12_000, OTHER["launchId"]: 46}
    numbers = [0, *(sum(each["counts"].values()) for each in answer["checkpoints"]), 12_046]
    assert max(after - before for before, after in pairwise(numbers)) <= 2500
    # What is counted is what is before: the lines of the page at a checkpoint have the numbers that follow.
    middle = answer["checkpoints"][4]
    page = await panel.get("/api/logs", traceId="t1", start=middle["time"], limit=1, direction="forward")
    assert page["lines"][0]["text"] == f"line {sum(middle['counts'].values())}"


async def test_lines_of_files_are_counted_by_their_streams(loki, panel):
    file = {"traceId": "t1", "instanceId": "i9", "service_name": "proxy", "filename": "/var/log/a.log"}
    start = fill(loki, 2000)
    fill(loki, 1500, labels=file, start=start + 500)
    page = await panel.get("/api/logs", traceId="t1", limit=2)
    answer = await index_of(panel, traceId="t1")
    sources = {line["source"]: line["id"] for line in page["lines"]}
    assert sorted(answer["counts"].values()) == [1500, 2000]
    newest = page["lines"][-1]
    assert answer["last"][newest["source"]] == newest["id"]
    assert sources.keys() <= answer["counts"].keys() == answer["last"].keys()


async def test_the_last_line_of_each_log_is_before_what_comes_later(loki, panel):
    """A viewer counts a line that arrives unless it is at most the last one that was counted."""
    start = fill(loki, 1500)
    fill(loki, 3000, labels=OTHER, start=start + 2 * 10**9)
    answer = await index_of(panel, traceId="t1")
    last_ns = int(answer["last"][LABELS["launchId"]].split("-")[0])
    assert start + 1499 * 10**6 <= last_ns < start + 1510 * 10**6


async def test_viewers_that_ask_together_share_a_count(loki, panel):
    fill(loki, 3000)
    await index_of(panel, traceId="t1")
    before = len(loki.queries)
    answers = await asyncio.gather(*(index_of(panel, traceId="t1") for _ in range(30)))
    assert all(answer == answers[0] for answer in answers)
    counting = [query for query in loki.queries[before:] if query.startswith("sum")]
    assert len(counting) < 10, "one would do, but those that ask once it has ended share another"


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
    assert 1000 <= answer["checkpoints"][0]["counts"][LABELS["launchId"]] < 1010


async def test_counts_are_complete_while_the_log_grows(loki, panel):
    start = fill(loki, 300, start=time.time_ns() - 10**9, step_ns=1)
    for index in range(20):
        loki.add(LABELS, start + 1000 + index, f"more {index}")
        answer = await panel.get("/api/logs/index", traceId="t1")
        assert answer["complete"]
        assert answer["counts"] == {LABELS["launchId"]: 301 + index}
        assert answer["last"][LABELS["launchId"]].startswith(f"{start + 1000 + index}-")
