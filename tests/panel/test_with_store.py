"""The panel with the embedded store as its Loki, in a child process."""

import asyncio
import contextlib
import itertools
import re
import signal
import time

import aiohttp
import pytest
from support import commands
from support.environment import environment, kept_port
from support.panel_stream import Viewing

from tracetail.loki.client import LokiClient
from tracetail.loki.settings import LokiSettings

A = {
    "traceId": "t1",
    "instanceId": "i1",
    "launchId": "20261122T120000-aaaaaa",
    "service_name": "m",
    "env": "test",
    "engine": "vllm",
    "host": "h",
}
B = {**A, "launchId": "20261122T120001-bbbbbb", "instanceId": "i2"}
STATS = (
    "Avg prompt throughput: 1.5 tokens/s, Avg generation throughput: 20.0 tokens/s, Running: 3 reqs, Waiting: 1 reqs"
)


class Store:
    """`tracetail store` as a child process, and a client to push with."""

    def __init__(self, state_dir, port):
        self._environ = environment(
            TRACETAIL_STATE_DIR=str(state_dir), TRACETAIL_STORE_LISTEN=f"127.0.0.1:{port.getsockname()[1]}"
        )
        self._process = None
        self.url = ""
        self._client = None

    async def start(self):
        self._process = await commands.create("store", env=self._environ, stdout=asyncio.subprocess.PIPE)
        async with asyncio.timeout(60):
            line = (await self._process.stdout.readline()).decode()
        self.url = re.search(r"http://\S+", line)[0]
        self._client = LokiClient(LokiSettings(url=self.url))

    async def stop(self):
        await self._client.close()
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        await self._process.wait()

    async def restart(self):
        await self.stop()
        await self.start()

    async def push(self, labels, values):
        await self._client.push_entries(labels, values)


@pytest.fixture
async def store(tmp_path):
    with kept_port() as port:
        started = Store(tmp_path, port)
        await started.start()
        yield started
        await started.stop()


@pytest.fixture
async def panel(store, start_panel):
    async with start_panel(store.url) as started:
        yield started


async def fill(store, labels, count, *, start, same_ns=1, step_ns=1):
    values = [
        (
            start + index // same_ns * step_ns,
            f"line {index} of {labels['launchId'][-6:]}",
            {"level": "error" if index % 10 == 3 else "info", "process": f"P{index % 3}"},
        )
        for index in range(count)
    ]
    for at in range(0, count, 5000):
        await store.push(labels, values[at : at + 5000])
    return [text for _, text, _ in values]


@pytest.mark.parametrize("same_ns", [1, 40])
async def test_paging_in_both_directions(store, panel, same_ns):
    start = time.time_ns() - 60 * 10**9
    written = await fill(store, A, 3000, start=start, same_ns=same_ns)
    written += await fill(store, B, 1000, start=start + 7, same_ns=same_ns)
    for direction, edge, place in (("forward", "after", -1), ("backward", "before", 0)):
        pages, bound = [], {"start": "0"} if direction == "forward" else {}
        while True:
            page = await panel.get("/api/logs", traceId="t1", direction=direction, limit=333, **bound)
            pages.append(page["lines"])
            if not page["more"]:
                break
            bound = {edge: page["lines"][place]["id"]}
        lines = list(itertools.chain(*(pages if direction == "forward" else reversed(pages))))
        assert sorted(line["text"] for line in lines) == sorted(written)
        assert [line["id"] for line in lines] == sorted(line["id"] for line in lines)


async def test_a_stream_survives_a_restart_of_the_store(store, panel):
    start = time.time_ns() - 30 * 10**9
    written = await fill(store, A, 100, start=start)
    async with Viewing(panel.session, panel.url, "t1") as viewing:
        await viewing.until(lambda v: len(v.lines) == 100)
        await store.restart()
        written += await fill(store, A, 50, start=start + 1000)
        await viewing.until(lambda v: len(v.lines) >= 150)
        assert viewing.texts == written


async def test_no_line_is_lost_or_repeated_through_restarts_and_a_delayed_agent(store, start_panel):
    """Two machines write one trace, the second ten seconds late; connection, panel and store fail in turn."""
    start = time.time_ns() - 120 * 10**9
    written = {A["launchId"]: [], B["launchId"]: []}
    got, cursor = {A["launchId"]: [], B["launchId"]: []}, ""

    async def push(second):
        for labels, behind in ((A, 0), (B, 10)):
            at = start + int((second - behind) * 10**9)
            values = [(at + i, f"{labels['launchId']} {second} {i}", {"level": "info"}) for i in range(100)]
            await store.push(labels, values)
            written[labels["launchId"]] += [text for _, text, _ in values]

    def missing():
        return sum(map(len, written.values())) - sum(map(len, got.values()))

    def take(viewing):
        for line in viewing.lines:
            got[line["source"]].append(line["text"])
        return viewing.cursor

    async with contextlib.AsyncExitStack() as stack:
        panel = await stack.enter_async_context(start_panel(store.url))
        for second in range(30):
            if second % 10 == 4:
                await stack.aclose()
                panel = await stack.enter_async_context(start_panel(store.url))
            async with Viewing(panel.session, panel.url, "t1", cursor=cursor) as viewing:
                await push(second)
                if second % 10 == 7:
                    await viewing.until(lambda v: len(v.lines) > 20)  # then the connection is closed
                elif second % 10 == 9:
                    await store.restart()
                    await push(second + 0.5)
                else:
                    await viewing.until(lambda v: len(v.lines) >= missing())
                cursor = take(viewing)
        async with Viewing(panel.session, panel.url, "t1", cursor=cursor) as viewing:
            await viewing.until(lambda v: len(v.lines) >= missing())
            take(viewing)
    assert got == written


async def test_figures_and_line_numbers(store, panel):
    start = time.time_ns() - 600 * 10**9
    await fill(store, A, 2500, start=start, step_ns=10**8)
    await store.push(
        A, [(start + 10**7, STATS, {"level": "info"}), (start + 10**7 + 1, "started port=8000", {"kind": "event"})]
    )
    found = await panel.get("/api/logs/search", traceId="t1", q="LINE 24", before=str(start + 400 * 10**9))
    assert (found["count"], found["number"]) == (111, 111)
    answer = await panel.get("/api/logs/histogram", traceId="t1")
    assert sum(sum(part["counts"].values()) for part in answer["slices"]) == 2502
    facets = await panel.get("/api/logs/facets", traceId="t1")
    assert facets["levels"]["error"] == 250
    assert facets["processes"]["P1"] == 833
    assert (await panel.get("/api/logs/stats", traceId="t1"))["points"][0]["generation"] == 20.0
    async with asyncio.timeout(60):
        while not (index := await panel.get("/api/logs/index", traceId="t1"))["complete"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert sum(index["counts"].values()) == 2502
    answer = await panel.get("/llm/logs", instanceId="i1", fromLine=2000, limit=1)
    assert answer["lines"] == ["line 1999 of aaaaaa"]
    launches = await panel.get("/api/launches", traceId="t1")
    assert launches["launches"][0]["port"] == 8000
    assert (await panel.get("/api/launches"))["launches"][0]["launchId"] == A["launchId"]


async def test_posted_callbacks_and_lines_are_returned(store, panel):
    await panel.post("/api/report/llm-start", {"model": "Qwen/Qwen2", "port": 1, "traceId": "t9", "eventId": "e"})
    assert (await panel.post("/api/report/llm-start", {"model": "Qwen/Qwen2", "traceId": "t9", "eventId": "e"}))[
        "repeated"
    ]
    await panel.post("/api/log/append", {"instanceId": 5, "lines": ["a", "a"]})
    assert [line["text"] for line in (await panel.get("/api/logs", instanceId="5"))["lines"]] == ["a", "a"]
    assert len((await panel.get("/api/logs", traceId="t9"))["lines"]) == 1


async def test_secrets_in_posts_are_masked(store, panel):
    report = {"model": "m", "traceId": "t9", "event": "failed", "exit": {"cause": "cannot use --api-key zz1"}}
    await panel.post("/api/report/llm-start", report)
    long_line = "x" * 262_140 + " password: zz2"  # the secret would begin in one piece and end in the next
    await panel.post("/api/log/append", {"instanceId": 5, "lines": ["HF_TOKEN=zz3\r\nnext", long_line]})

    found = [await panel.get("/api/logs", **run) for run in ({"traceId": "t9"}, {"instanceId": "5"})]
    texts = "".join(line["text"] for answer in found for line in answer["lines"])

    assert "zz" not in texts
    assert 'cause="cannot use --api-key ***"' in texts
    assert "HF_TOKEN=***next" in texts
    assert texts.endswith(" password: ***")


async def test_an_invalid_expression_is_a_400_with_the_reason(store, panel):
    await fill(store, A, 1, start=time.time_ns())
    answer = await panel.get("/api/logs", traceId="t1", q="(", regex="true", status=400)
    assert (answer["error"]["code"], "RE2" in answer["error"]["message"]) == ("bad_parameter", True)
    answer = await panel.get("/api/logs", traceId="t1", q="(", regex="true", kind="cut", status=400)
    assert answer["error"]["code"] == "loki_refused"
    async with aiohttp.ClientSession() as session, session.get(store.url + "/ready") as response:
        assert response.status == 200


async def test_a_machine_is_lost_when_its_heartbeats_in_the_store_end(store, panel):
    now = time.time_ns()
    event = {"kind": "event", "level": "info"}
    for labels, ago in ((A, 300), (B, 5)):
        await store.push(
            labels, [(now - 3600 * 10**9, "started port=1", event), (now - 3599 * 10**9, "ready", event)]
        )
        beats = [(now - at * 10**9, f"heartbeat seconds=30 launches={labels['launchId']}", {}) for at in (330, ago)]
        await store.push({"service_name": "tracetail-agent", "host": "h"}, beats)
    lost, heard = (await panel.get("/api/launches", traceId="t1"))["launches"]
    assert (lost["lostContact"], lost["lastHeardAt"]) == (True, str(now - 300 * 10**9))
    assert ("lostContact" in heard, heard["lastHeardAt"]) == (False, str(now - 5 * 10**9))
    (listed,) = (await panel.get("/api/launches", state="lost"))["launches"]
    assert listed["launchId"] == A["launchId"]
