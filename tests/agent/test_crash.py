"""Each line once, whatever dies at whatever moment."""

import asyncio
from pathlib import Path

from aiohttp import web
from support.agent_loki import LokiStandIn, Stored
from support.agent_process import Launch


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
    # What was stored is found by a query and not sent again.
    assert len(loki.queries) == 1
    assert [len(body) for body in loki.bodies[1:]] == [len(loki.bodies[-1])]


async def test_kill_while_a_server_prints_a_thousand_lines_a_second(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    agent = await start_agent()
    for second in range(3):
        for step in range(20):
            launch.print(*(f"line {second * 1000 + step * 50 + n}" for n in range(50)))
            await asyncio.sleep(0.05)
            if step == 10:
                await agent.kill()
                agent = await start_agent()
    await loki.until(lambda: len(loki.stored) >= 3000)
    assert loki.lines() == [f"line {n}" for n in range(3000)]
    assert await agent.stop() == 0
