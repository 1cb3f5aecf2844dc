"""At most 8 MiB are in flight, whatever the backlog; and the limit of one stream does not delay the others."""

import asyncio
import random
from pathlib import Path

import pytest
from aiohttp import web
from support.agent_loki import LokiStandIn, Stored
from support.agent_process import Launch
from support.database import opened
from support.waiting import eventually

from tracetail.agent.journal.database import journal_path
from tracetail.agent.shipping.in_flight import Budget

MIB = 1 << 20


async def test_the_budget_is_first_come_first_served() -> None:
    budget = Budget(total=3, batch=1)
    held = 0
    order: list[int] = []
    leave = [asyncio.Event() for _ in range(9)]

    async def ship(number: int) -> None:
        nonlocal held
        async with budget.share():
            held += 1
            order.append(number)
            await leave[number].wait()
            held -= 1

    tasks = [asyncio.create_task(ship(number)) for number in range(9)]
    await asyncio.sleep(0)
    assert (held, order) == (3, [0, 1, 2])
    tasks[3].cancel()  # one that waits
    tasks[1].cancel()  # one that holds
    await asyncio.gather(tasks[1], tasks[3], return_exceptions=True)
    await eventually(lambda: order == [0, 1, 2, 4])
    for number in (0, 2, 4, 5, 6, 7, 8):
        leave[number].set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 1, 2, 4, 5, 6, 7, 8]


async def test_a_share_that_is_resized_or_lent_frees_bytes_for_others() -> None:
    budget = Budget(total=10, batch=10)
    entered: list[str] = []

    async def other(name: str) -> None:
        async with budget.share():
            entered.append(name)

    async with budget.share() as share:
        waiting = asyncio.create_task(other("after resize"))
        await asyncio.sleep(0)
        assert entered == []
        share.resize(0)
        await waiting
        share.resize(4)
        waiting = asyncio.create_task(other("while lent"))
        await asyncio.sleep(0)
        assert entered == ["after resize"]
        with share.lent():
            await waiting
    assert entered == ["after resize", "while lent"]
    async with asyncio.timeout(1), budget.share():
        pass  # all of it came back


def under_way(state_dir: Path) -> tuple[int, int, int]:
    """Return the bytes of all bodies in the journal, the number of batches, and the largest number of one source."""
    with opened(journal_path(state_dir), read_only=True) as db:
        size = db.execute("SELECT coalesce(sum(length(body)), 0) FROM intents").fetchone()[0]
        batches = db.execute("SELECT count(*) FROM batches").fetchone()[0]
        most = db.execute("SELECT coalesce(max(n), 0) FROM (SELECT count(*) n FROM batches GROUP BY source_id)")
        return size, batches, most.fetchone()[0]


async def test_many_backlogs_before_a_loki_that_is_down_fill_neither_journal_nor_memory(
    start_agent, loki: LokiStandIn, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_COMMAND_PREFIX", "env")  # a new Python, whose memory is its own
    count = 40
    dice = random.Random(7)
    wanted = {}
    for number in range(1, count + 1):
        launch = Launch(state_dir, number)
        lines = [dice.randbytes(450).hex() for _ in range(2000)]  # 1.9 MB that cannot be compressed to half of it
        launch.print(*lines)
        wanted[launch.launch_id] = lines
    await loki.stop()
    agent = await start_agent()
    await eventually(lambda: any("cannot be reached" in line for line in agent.errors))
    seen: list[int] = []

    def is_seen_to_fill() -> bool:
        size, batches, most = under_way(state_dir)
        assert size <= 8 * MIB
        assert most <= 1
        seen.append(batches)
        return len(seen) >= 100 and max(seen) >= 8

    await eventually(is_seen_to_fill, "many batches, sampled while the agent keeps trying")
    status = Path(f"/proc/{agent.process.pid}/status").read_text()  # noqa: ASYNC240
    assert int(status.split("VmHWM:")[1].split()[0]) < 100 * 1024
    await loki.start()
    await loki.until(lambda: len(loki.stored) == count * 2000, 100)
    for launch_id, lines in wanted.items():
        assert [entry.line for entry in loki.entries() if f'launchId="{launch_id}"' in entry.labels] == lines


async def test_streams_over_their_own_limit_do_not_use_up_the_budget(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    dice = random.Random(7)

    async def only_the_last(entries: list[Stored], loki: LokiStandIn) -> web.StreamResponse | None:
        return (
            None if "0000ff" in entries[0].labels else web.Response(status=429, text="Per stream rate limit exceeded")
        )

    for number in range(1, 21):
        Launch(state_dir, number).print(*(dice.randbytes(450).hex() for _ in range(2000)))
    loki.always = only_the_last
    await start_agent()
    await eventually(lambda: under_way(state_dir)[1] == 20)
    other = Launch(state_dir, 0xFF)
    other.print("goes through")
    await loki.until(lambda: loki.lines() == ["goes through"])
