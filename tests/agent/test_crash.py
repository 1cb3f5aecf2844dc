"""Each line is stored once, whichever process is killed at whatever moment."""

import asyncio
import random
from pathlib import Path

import pytest
from aiohttp import web
from support.agent_loki import Behaviour, LokiStandIn, Stored, StoreFront
from support.agent_process import AgentProcess, Launch


@pytest.fixture
def loki(front: StoreFront) -> StoreFront:
    """Return the proxy in front of a real store."""
    return front


async def test_kill_after_loki_stored_a_batch_and_before_it_answered(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    launch.print(*(f"line {n}" for n in range(500)))
    stored = asyncio.Event()

    async def store_and_never_answer(entries: list[Stored], loki: LokiStandIn) -> web.StreamResponse:
        loki.store(entries)
        stored.set()
        await asyncio.sleep(3600)
        raise AssertionError

    loki.behaviours.append(store_and_never_answer)
    agent = await start_agent()
    await stored.wait()
    await agent.kill()
    launch.print("after")
    await start_agent()
    await loki.until(lambda: len(loki.stored) == 501)
    assert loki.lines() == [*(f"line {n}" for n in range(500)), "after"]
    # Stored entries are found by queries, of which the first asks for a few lines only, and not sent again.
    assert 1 <= len(loki.queries) <= 2
    assert [len(body) for body in loki.bodies[1:]] == [len(loki.bodies[-1])]


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(6, marks=pytest.mark.timeout(300)),
        pytest.param(20, marks=[pytest.mark.field, pytest.mark.timeout(300)]),
        pytest.param(500, marks=[pytest.mark.soak, pytest.mark.timeout(7200)]),
    ],
)
async def test_each_line_once_after_kills(start_agent, loki: StoreFront, state_dir: Path, kills: int) -> None:
    """kill -9 while a server prints about 1,000 lines a second.

    Every other kill comes from the front, after the store has taken a batch and before the agent is answered.
    """
    launch = Launch(state_dir)
    printed = 0
    stop = asyncio.Event()

    async def print_on() -> None:
        nonlocal printed
        while not stop.is_set():
            launch.print(*(f"(APIServer pid=1) INFO 11-22 13:12:10 [a.py:1] line {printed + n}" for n in range(20)))
            printed += 20
            await asyncio.sleep(0.02)

    printing = asyncio.create_task(print_on())
    by_front = 0
    for kill in range(kills):
        agent = await start_agent()
        if kill % 2:
            killed = asyncio.Event()
            loki.behaviours.append(store_then_kill(agent, killed))
            async with asyncio.timeout(60):
                await killed.wait()
            by_front += 1
        else:
            pushes = len(loki.bodies)
            await loki.until(lambda pushes=pushes: len(loki.bodies) > pushes, 60)
            await asyncio.sleep(random.uniform(0, 0.3))
        await agent.kill()
    stop.set()
    await printing
    launch.end()
    await start_agent()
    await loki.until(lambda: loki.count_over_time('{traceId=~".+"} |= "receipt "') == 1, 60)
    assert by_front >= kills * 2 // 5
    assert loki.count_over_time('{traceId=~".+"} |= "] line "') == printed
    assert [line.rpartition("] ")[2] for line in loki.lines()] == [f"line {number}" for number in range(printed)]


def store_then_kill(agent: AgentProcess, killed: asyncio.Event) -> Behaviour:
    async def behave(entries: list[Stored], loki: LokiStandIn) -> web.StreamResponse | None:
        loki.store(entries)
        agent.process.kill()
        await agent.process.wait()
        killed.set()
        return None

    return behave
