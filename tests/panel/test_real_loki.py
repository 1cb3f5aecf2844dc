"""Every reader in front of a real Loki: one that divides streams, allows less than usual, or holds long lines."""

import asyncio
import contextlib
import random
import time
from collections.abc import Mapping, Sequence

import pytest
from support.panel_stream import Viewing
from support.real_loki import RealLoki
from support.waiting import eventually

from tracetail.cli import log_reader
from tracetail.cli.log_reader import LogReader, Selection
from tracetail.loki.client import LokiClient
from tracetail.loki.settings import LokiSettings

pytestmark = [pytest.mark.loki, pytest.mark.timeout(300)]

LABELS = {
    "traceId": "t1",
    "instanceId": "i1",
    "launchId": time.strftime("%Y%m%dT%H%M%S") + "-aaaaaa",
    "service_name": "m",
    "env": "test",
    "engine": "vllm",
    "host": "h1",
}
SECOND_NS = 10**9
HOUR_NS = 3600 * SECOND_NS
WITHOUT_LIMITS = {
    "ingestion_rate_mb": 1000,
    "ingestion_burst_size_mb": 1000,
    "per_stream_rate_limit": "1GB",
    "per_stream_rate_limit_burst": "1GB",
}
"""For tests that push faster than an agent, which waits when Loki asks for it."""


async def push(
    loki: RealLoki, lines: Sequence[tuple[int, str]], labels: Mapping[str, str] = LABELS, **metadata: str
) -> None:
    """Push lines (time and text) in requests of at most a megabyte, as the agent does."""
    async with LokiClient(LokiSettings(url=loki.url)) as client:
        batch: list[tuple[int, str, Mapping[str, str]]] = []
        size = 0
        for time_ns, text in lines:
            batch.append((time_ns, text, {"level": "info", **metadata}))
            size += len(text) + 50
            if size > 1_000_000:
                await client.push_entries(labels, batch)
                batch, size = [], 0
        if batch:
            await client.push_entries(labels, batch)


async def pages(panel, limit: int = 1000, **where: str) -> list[str]:
    """Return the texts of all pages, backward from the end, or forward from `start`."""
    found: list[str] = []
    backward = "start" not in where
    while True:
        page = await panel.get("/api/logs", traceId="t1", limit=limit, **where)
        texts = [line["text"] for line in page["lines"]]
        found = texts + found if backward else found + texts
        if not page["more"]:
            return found
        where = {"before": page["lines"][0]["id"]} if backward else {"after": page["lines"][-1]["id"]}


async def line_numbers(panel):
    """Return the index of the trace; None while Loki still counts."""
    index = await panel.get("/api/logs/index", traceId="t1")
    return index if index["complete"] else None


@contextlib.asynccontextmanager
async def following(loki: RealLoki):
    """Yield the texts that `tracetail logs -f` prints, as they come."""
    start_ns = time.time_ns() - HOUR_NS
    selection = Selection({"traceId": "t1"}, start_ns, levels=(), grep=None, regex=None, ignore_case=False)
    texts: list[str] = []

    async def follow(client: LokiClient) -> None:
        reader = LogReader(client, selection)
        for reading in (reader.stored(), reader.new()):
            async for entry in reading:
                texts.append(entry.text)  # noqa: PERF401  (they are looked at while it reads)

    async with LokiClient(LokiSettings(url=loki.url)) as client:
        task = asyncio.create_task(follow(client))
        yield texts
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_stream_that_loki_divides_is_followed_once_by_logs_and_panel(start_loki, start_panel):
    loki = await start_loki(shard_streams={"enabled": True, "desired_rate": "64KB"}, **WITHOUT_LIMITS)
    written = 0
    async with start_panel(loki.url) as panel, following(loki) as printed:
        await push(loki, [(time.time_ns(), "before")])
        await eventually(lambda: printed == ["before"], "the first line")
        async with Viewing(panel.session, panel.url, "t1") as viewing:
            await viewing.until(lambda v: v.texts == ["before"])
            for _ in range(40):
                now = time.time_ns()
                await push(loki, [(now + number, f"line {written + number} {'x' * 200}") for number in range(2000)])
                written += 2000
            await eventually(lambda: len(printed) > written, "all lines in logs -f", 120)
            await viewing.until(lambda v: len(v.lines) > written, 120)
            wanted = ["before", *(f"line {number} {'x' * 200}" for number in range(written))]
            assert sorted(printed) == sorted(wanted)
            assert sorted(viewing.texts) == sorted(wanted)
            assert {line["source"] for line in viewing.lines} == {LABELS["launchId"]}
        assert len((await panel.get("/api/launches", traceId="t1"))["launches"]) == 1
        shards = await loki.get("series", **{"match[]": '{traceId="t1"}'})
        assert len(shards) > 1, "Loki did not divide the stream"


@pytest.mark.parametrize(
    "limits",
    [{"max_query_length": "6h"}, {"max_entries_limit_per_query": 100}],
    ids=["6 hours at a time", "100 entries"],
)
async def test_every_reader_keeps_to_the_limits_that_loki_names(start_loki, start_panel, limits):
    loki = await start_loki(**limits, **WITHOUT_LIMITS)
    start = time.time_ns() - 30 * HOUR_NS
    labels = {**LABELS, "launchId": time.strftime("%Y%m%dT%H%M%S", time.localtime(start / 1e9)) + "-aaaaaa"}
    texts = [f"line {number} {'x' * 500}" for number in range(1500)]
    await push(loki, [(start + number * 72 * SECOND_NS, text) for number, text in enumerate(texts)], labels)
    async with start_panel(loki.url) as panel:
        assert await pages(panel) == texts
        assert await pages(panel, start="1") == texts
        async with panel.session.get(f"{panel.url}/api/logs/download", params={"traceId": "t1"}) as answer:
            assert (await answer.text()).splitlines() == texts
        index = await eventually(lambda: line_numbers(panel), "line numbers", 120)
        assert index["counts"] == {labels["launchId"]: 1500}
        for buckets in (120, 2):  # steps of 15 minutes, and of a day
            histogram = await panel.get("/api/logs/histogram", traceId="t1", buckets=buckets)
            assert sum(part["counts"]["info"] for part in histogram["slices"]) == 1500
        assert (await panel.get("/api/logs/search", traceId="t1", q="line 1499"))["count"] == 1
        async with Viewing(panel.session, panel.url, "t1") as viewing:
            await viewing.until(lambda v: len(v.lines) == 1500, 120)
            assert viewing.texts == texts


async def test_logs_follows_pages_until_nothing_is_left(start_loki, monkeypatch):
    """A pause after each page of 1,000 lines would bound the lines a second: to 4,000, with the usual one."""
    monkeypatch.setattr(log_reader, "POLL_SECONDS", 3600)
    loki = await start_loki(**WITHOUT_LIMITS)
    start = time.time_ns() - 60 * SECOND_NS
    lines = [(start + number, f"line {number}") for number in range(25_000)]
    await push(loki, lines)
    selection = Selection({"traceId": "t1"}, start - 1, levels=(), grep=None, regex=None, ignore_case=False)
    texts: list[str] = []
    async with LokiClient(LokiSettings(url=loki.url)) as client:
        async for entry in LogReader(client, selection).new():
            texts.append(entry.text)
            if len(texts) == len(lines):
                break
    assert texts == [text for _, text in lines]


async def test_the_lines_of_a_request_are_found_by_any_form_of_its_id(start_loki, start_panel):
    loki = await start_loki()
    start = time.time_ns() - 10 * SECOND_NS
    for number, request_id in enumerate(("cmpl-a.b/7-0-9f31c2ab", "cmpl-a-b/7-0", "cmpl-a.b/71-0")):
        await push(loki, [(start + number, f"line {number}")], request_id=request_id)
    async with start_panel(loki.url) as panel:
        for wanted in ("a.b/7", "cmpl-a.b/7-0", "cmpl-a.b/7-0-9f31c2ab"):
            selected = {"traceId": "t1", "requestId": wanted}
            page = await panel.get("/api/logs", **selected)
            assert [line["text"] for line in page["lines"]] == ["line 0"]
            histogram = await panel.get("/api/logs/histogram", **selected)
            assert sum(part["counts"]["info"] for part in histogram["slices"]) == 1
        async with Viewing(panel.session, panel.url, "t1", requestId="a.b/7") as viewing:
            await viewing.until(lambda v: v.texts == ["line 0"])
            await push(loki, [(start + 10, "of another")], request_id="cmpl-x-0")
            await push(loki, [(start + 11, "line 11")], request_id="cmpl-a.b/7-0-9f31c2ab")
            await viewing.until(lambda v: len(v.lines) >= 2)
            assert viewing.texts == ["line 0", "line 11"]


async def test_line_numbers_are_counted_by_loki(start_loki, start_panel):
    loki = await start_loki(**WITHOUT_LIMITS)
    other = {**LABELS, "launchId": LABELS["launchId"][:-6] + "bbbbbb"}
    start = time.time_ns() - HOUR_NS
    await push(loki, [(start + number * 100_000, f"line {number}") for number in range(30_000)])
    await push(loki, [(start + number * 50_000_000 + 1, f"other {number}") for number in range(1000)], other)
    async with start_panel(loki.url) as panel:
        index = await eventually(lambda: line_numbers(panel), "line numbers", 120)
        assert index["counts"] == {LABELS["launchId"]: 30_000, other["launchId"]: 1000}
        for checkpoint in index["checkpoints"][:: len(index["checkpoints"]) // 5]:
            page = await panel.get(
                "/api/logs",
                traceId="t1",
                launchId=LABELS["launchId"],
                start=checkpoint["time"],
                limit=1,
                direction="forward",
            )
            if page["lines"]:
                assert page["lines"][0]["text"] == f"line {checkpoint['counts'][LABELS['launchId']]}"


@pytest.mark.timeout(900)
async def test_a_trace_of_long_lines_is_read_to_its_end(start_loki, start_panel):
    """2,500 lines of 50 KB, before a Loki whose components send each other 4 MiB at most, as by default."""
    loki = await start_loki(messages_of_default_size=True, **WITHOUT_LIMITS)
    dice = random.Random(7)
    texts = [f"{number} {dice.randbytes(24_990).hex()}" for number in range(2500)]
    start = time.time_ns() - 60 * SECOND_NS
    await push(loki, [(start + number * 1000, text) for number, text in enumerate(texts)])
    async with start_panel(loki.url) as panel:
        assert await pages(panel, limit=5000) == texts
        async with panel.session.get(f"{panel.url}/api/logs/download", params={"traceId": "t1"}) as answer:
            assert (await answer.text()).splitlines() == texts
        index = await eventually(lambda: line_numbers(panel), "line numbers", 120)
        assert index["counts"] == {LABELS["launchId"]: 2500}
        async with Viewing(panel.session, panel.url, "t1") as viewing:
            await viewing.until(lambda v: len(v.lines) == 2500, 300)
            assert viewing.texts == texts
    async with following(loki) as printed:
        await eventually(lambda: len(printed) == 2500, "all lines in logs", 300)
        assert printed == texts


@pytest.mark.parametrize("limits", [{}, {"max_query_length": "6h", "max_entries_limit_per_query": 20}])
async def test_contact_and_comparison_are_read_from_a_real_loki(start_loki, start_panel, limits):
    loki = await start_loki(**limits)
    now = time.time_ns()

    async def add(launch_id: str, trace_id: str, hours_ago: int, *texts: str) -> None:
        labels = {**LABELS, "launchId": launch_id, "traceId": trace_id}
        lines = [(now - hours_ago * HOUR_NS + place * SECOND_NS, text) for place, text in enumerate(texts)]
        await push(loki, lines, labels, kind="event")

    async def beat(seconds_ago: int, *launch_ids: str) -> None:
        line = f"heartbeat seconds=30 launches={','.join(launch_ids)}"
        await push(loki, [(now - seconds_ago * SECOND_NS, line)], {"service_name": "tracetail-agent", "host": "h1"})

    lost, running, failed = (f"20261122T12000{number}-aaaaaa" for number in range(3))
    await add(lost, "lost", 20, 'started command="vllm serve m --a 1"', "ready seconds=9")
    await add(running, "running", 3, "started port=1")
    await add(failed, "failed", 1, 'started command="vllm serve m --a 2"', "exited state=failed seconds=1 exitCode=1")
    for hours in (19, 18):
        await beat(hours * 3600, lost)
    await beat(20, running, failed)
    async with start_panel(loki.url) as panel:
        answer = await panel.get("/api/launches")
        found = {one["traceId"]: one for one in answer["launches"]}
        assert found["lost"]["lostContact"]
        assert found["lost"]["lastHeardAt"] == str(now - 18 * HOUR_NS)
        assert found["running"]["lastHeardAt"] == str(now - 20 * SECOND_NS)
        assert "lostContact" not in found["running"]
        assert "lastHeardAt" not in found["failed"]
        comparison = await panel.get(f"/api/launches/{failed}/comparison")
        assert comparison["other"]["launchId"] == lost
        assert comparison["arguments"] == [{"name": "--a", "launch": "2", "other": "1"}]
