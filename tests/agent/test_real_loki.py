"""The agent in front of a real Loki whose answers are lost, and whose limits are lower than usual."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from support.agent_loki import LokiStandIn, Stored, StoreFront
from support.agent_process import TRACE, AgentProcess, Launch
from support.waiting import eventually

from tracetail.agent.journal.database import journal_path
from tracetail.agent.journal.rejected import rejected_lines

pytestmark = [pytest.mark.loki, pytest.mark.timeout(240)]

SHARDED = {"shard_streams": {"enabled": True, "desired_rate": "64KB"}}
DAY_NS = 86_400 * 1_000_000_000
MINUTE_NS = 60 * 1_000_000_000


@pytest.fixture
async def start_front(start_loki) -> AsyncIterator[Callable]:
    """Return a function that starts a Loki with these limits and a proxy in front, which can lose answers."""
    fronts: list[StoreFront] = []

    async def start(**limits) -> StoreFront:
        loki = await start_loki(**limits)
        front = StoreFront(loki.url, since_ns=time.time_ns() - 6 * DAY_NS)
        fronts.append(front)
        await front.start()
        return front

    yield start
    for front in fronts:
        await front.stop()


def launch_now(state_dir: Path, *, minutes: float = 0, number: int = 1) -> Launch:
    launch = Launch(state_dir, number)
    launch.time_ns = time.time_ns() + int(minutes * MINUTE_NS)
    return launch


def long_lines(count: int, size: int = 100) -> list[str]:
    dice = random.Random(7)
    return [f"line {number} {dice.randbytes(size // 2).hex()}" for number in range(count)]


@pytest.mark.parametrize("limits", [{}, SHARDED], ids=["one stream", "shards"])
async def test_lines_whose_answers_are_lost_are_stored_and_counted_once(
    start_agent, start_front, state_dir: Path, limits
) -> None:
    front = await start_front(**limits)
    lost = 0

    async def pass_on_and_lose_some_answers(entries: list[Stored], loki: LokiStandIn) -> web.StreamResponse | None:
        nonlocal lost
        await asyncio.to_thread(loki.store, entries)
        lost += 1
        if lost % 3:
            raise ConnectionResetError
        return web.Response(status=204)

    front.always = pass_on_and_lose_some_answers
    launch = launch_now(state_dir)
    lines = long_lines(20_000)
    launch.print(*lines)
    await start_agent(url=front.url)
    await eventually(lambda: front.count_over_time('{traceId=~".+"} |= "line "') >= len(lines), "all lines", 120)
    launch.end()
    await eventually(lambda: front.count_over_time('{traceId=~".+"} |= "receipt "'), "the receipt", 60)
    assert front.count_over_time('{traceId=~".+"} |= "line "') == len(lines)
    assert front.lines() == lines


@pytest.mark.parametrize("sharded", [False, True], ids=["entry by entry", "stream as a whole"])
async def test_a_low_limit_of_a_stream_delays_it_and_no_more(
    start_agent, start_loki, state_dir: Path, sharded: bool
) -> None:
    """With sharding, Loki refuses a stream as a whole, and without it the entries that exceed the burst."""
    limits = {"per_stream_rate_limit": "200KB", "per_stream_rate_limit_burst": "400KB"}
    if sharded:
        limits["shard_streams"] = {"enabled": True, "desired_rate": "1GB"}
    loki = await start_loki(**limits)
    launch = launch_now(state_dir)
    lines = long_lines(20_000)
    launch.print(*lines)
    launch.end()
    began = time.monotonic()
    await start_agent(url=loki.url)
    await eventually(lambda: loki.count('{traceId=~".+"} |= "receipt "'), "the receipt", 120)
    assert await loki.count('{traceId=~".+"} |= "line "') == len(lines)
    assert time.monotonic() - began < 90


async def test_refused_lines_are_found_without_a_push_for_each(start_agent, start_loki, state_dir: Path) -> None:
    loki = await start_loki(max_line_size=1000)
    front = LokiCounter(loki.url)
    await front.start()
    launch = launch_now(state_dir)
    lines = long_lines(3000)
    for number in range(0, 3000, 50):
        lines[number] += " " + "x" * 2000
    launch.print(*lines)
    launch.end()
    await start_agent(url=front.url)
    await eventually(lambda: loki.count('{traceId=~".+"} |= "receipt "'), "the receipt")
    assert await loki.count('{traceId=~".+"} |= "line "') == 3000 - 60
    assert len(rejected_lines(journal_path(state_dir))) == 60
    assert len(front.bodies) < 10
    await front.stop()


class LokiCounter(StoreFront):
    """Passes on pushes with Loki's own answers, and counts them."""

    async def _push(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.bodies.append(body)
        url = self._store_url + "/loki/api/v1/push"
        async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=HEADERS) as answer:
            return web.Response(status=answer.status, body=await answer.read())


HEADERS = {"Content-Type": "application/x-protobuf"}


async def test_lines_ahead_and_behind_of_loki_are_stored_with_a_time_that_it_accepts(
    start_agent, start_loki, state_dir: Path
) -> None:
    loki = await start_loki(reject_old_samples_max_age="24h")
    ahead = launch_now(state_dir, minutes=50, number=1)
    ahead.print(*(f"line {number}" for number in range(303)))
    old = launch_now(state_dir, minutes=-25 * 60, number=2)
    old.print(*(f"line {number}" for number in range(200)))
    old.time_ns = time.time_ns()
    old.print(*(f"line {number}" for number in range(200, 303)))
    for launch in (ahead, old):
        launch.end()
    agent = await start_agent(url=loki.url)
    await eventually(lambda: loki.count('{traceId=~".+"} |= "receipt "'), "the receipts", 60)
    for launch in (ahead, old):
        selector = f'{{launchId="{launch.launch_id}"}}'
        await eventually(lambda s=selector: loki.count(s + ' |= "line "'), "lines")
        assert await loki.count(selector + ' |= "line "') == 303
    assert await loki.count(f'{{launchId="{ahead.launch_id}"}} | original_time != "" |= "line "') == 303
    assert await loki.count(f'{{launchId="{old.launch_id}"}} | original_time != "" |= "line "') == 200
    assert rejected_lines(journal_path(state_dir)) == []
    assert (await agent.status())["healthy"]


async def test_a_loki_that_refuses_every_line_makes_agent_verify_and_doctor_say_so(
    start_agent, start_loki, state_dir: Path, tracetail
) -> None:
    loki = await start_loki(max_label_names_per_series=5)
    launch = launch_now(state_dir)
    launch.print(*long_lines(2000))
    launch.end()
    agent = await start_agent(url=loki.url)
    await eventually(lambda: len(rejected_lines(journal_path(state_dir))) >= 2000)
    status = await agent.status()
    assert status["healthy"] is False
    assert "label names" in status["error"]
    verified = await tracetail("verify", "--trace-id", TRACE, url=loki.url)
    assert verified.status == 3
    assert "NOT complete: 2000 lines on disk, 0 of them in Loki, 2000 rejected" in verified.out
    examined = await tracetail("doctor", "--json", url=loki.url)
    problems = [each for each in json.loads(examined.out) if each["level"] == "problem" and each["subject"] == "loki"]
    assert any("max_label_names_per_series" in each["advice"] for each in problems), examined.out


async def test_rejected_lines_are_replayed_when_loki_takes_them_and_are_no_longer_counted(
    start_agent, start_loki, state_dir: Path, tracetail
) -> None:
    """By then their stream has newer lines, and Loki accepts none that are an hour older: they get a later time."""
    loki = await start_loki(allow_structured_metadata=False)
    launch = launch_now(state_dir, minutes=-150)
    launch.print(*(f"line {number}" for number in range(500)))
    first = await start_agent(url=loki.url)
    await eventually(lambda: len(rejected_lines(journal_path(state_dir))) == 500)
    await first.stop()
    await loki.stop()
    loki.config["limits_config"]["allow_structured_metadata"] = True
    await loki.start()
    launch.time_ns = time.time_ns()
    launch.print("newest")
    launch.end()
    await start_agent(url=loki.url)
    await eventually(lambda: loki.count('{traceId=~".+"} |= "receipt "'), "the receipt", 60)
    ran = await tracetail("agent", "rejected", "replay", url=loki.url)
    assert (ran.status, ran.out) == (0, "500 lines accepted\n"), ran
    assert await loki.count('{traceId=~".+"} | original_time != "" |= "line "') == 500
    report = json.loads((await tracetail("verify", "--trace-id", TRACE, "--json", url=loki.url)).out)["launches"][0]
    assert (report["complete"], report["found"], report["rejected"]) == (True, 501, 0)
    assert report["receipt"]["rejected"] == "0"


async def test_the_backlog_grows_while_loki_is_down_and_is_shipped_exactly_once(
    start_agent, start_loki, state_dir: Path
) -> None:
    loki = await start_loki()
    port = int(loki.url.rsplit(":", 1)[1])
    launch = launch_now(state_dir)
    launch.print("before")
    agent = await start_agent(url=loki.url)
    await eventually(lambda: loki.count('{traceId=~".+"} |= "before"'), "the first line")
    await loki.kill()
    waiting = []
    for part in range(3):
        launch.print(*(f"part {part} {text}" for text in long_lines(10_000)))
        written = sum(path.stat().st_size for path in launch.segments)
        backlog = await eventually(lambda size=written: over(agent, size * 0.9), "the backlog of all that waits")
        waiting.append(backlog)
    assert waiting == sorted(waiting)
    assert waiting[-1] > 2 * waiting[0]
    await loki.start(port)
    launch.end()
    await eventually(lambda: loki.count('{traceId=~".+"} |= "receipt "'), "the receipt", 120)
    assert await loki.count('{traceId=~".+"} |= "part "') == 30_000


async def over(agent: AgentProcess, size: float) -> int:
    """Return the backlog that the agent reports, 0 if it is smaller than this."""
    [source] = (await agent.status())["sources"]
    return int(source["backlogBytes"]) if source["backlogBytes"] >= size else 0


async def test_a_loki_with_tenants_is_said_to_need_one(start_agent, start_loki, state_dir: Path, tracetail) -> None:
    loki = await start_loki(auth_enabled=True)
    launch_now(state_dir).print("line")
    agent = await start_agent(url=loki.url)
    error = await eventually(lambda: error_of(agent), "an error")
    assert "loki.tenant" in error
    examined = await tracetail("doctor", url=loki.url)
    assert "loki.tenant" in examined.out
    await agent.stop()
    loki.headers = {"X-Scope-OrgID": "llm"}
    await start_agent('[loki]\ntenant = "llm"\n', url=loki.url)
    await eventually(lambda: loki.count('{traceId=~".+"} |= "line"'), "the line")


async def error_of(agent: AgentProcess) -> str:
    return (await agent.status()).get("error") or ""


async def test_lines_that_loki_truncates_are_named_by_verify(
    start_agent, start_loki, state_dir: Path, tracetail
) -> None:
    loki = await start_loki(max_line_size=1000, max_line_size_truncate=True)
    launch = launch_now(state_dir)
    launch.print("short", "x" * 5000, "y" * 1001)
    launch.end()
    await start_agent(url=loki.url)
    await eventually(lambda: loki.count('{traceId=~".+"} |= "receipt "'), "the receipt")
    ran = await tracetail("verify", "--trace-id", TRACE, url=loki.url)
    assert ran.status == 3
    assert "of 2 lines Loki has the first 1000 bytes only (max_line_size_truncate)" in ran.out
    assert "missing" not in ran.out
