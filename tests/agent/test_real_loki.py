"""The agent in front of a real Loki whose answers are lost, and whose limits are lower than usual."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from support.agent_loki import LokiStandIn, Stored, StoreFront
from support.agent_process import Launch
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


async def test_a_loki_that_refuses_every_line_makes_the_agent_unhealthy(
    start_agent, start_loki, state_dir: Path
) -> None:
    loki = await start_loki(max_label_names_per_series=5)
    launch = launch_now(state_dir)
    launch.print(*long_lines(2000))
    agent = await start_agent(url=loki.url)
    await eventually(lambda: len(rejected_lines(journal_path(state_dir))) == 2000)
    status = await agent.status()
    assert status["healthy"] is False
    assert "label names" in status["error"]
