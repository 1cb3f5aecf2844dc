"""Segments of a launch that are deleted, truncated or replaced: lost bytes are reported, the rest is shipped."""

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest
from support.agent_loki import LokiStandIn
from support.agent_process import Launch
from support.waiting import eventually


def gaps(loki: LokiStandIn) -> list[str]:
    return [line for line in loki.lines(events=True) if line.startswith("gap ")]


async def ended(loki: LokiStandIn) -> None:
    await loki.until(lambda: any(line.startswith("receipt") for line in loki.lines(events=True)))


async def test_a_segment_deleted_before_it_is_read_is_reported_once(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    launch.print("one")
    agent = await start_agent()
    await loki.until(lambda: loki.lines() == ["one"])
    await eventually(launch.dir.shipped_path.exists)
    await agent.stop()
    launch.rotate()
    launch.print("lost")
    launch.rotate()
    launch.print("three")
    launch.segments[1].unlink()
    agent = await start_agent()
    await loki.until(lambda: "three" in loki.lines())
    await agent.stop()
    launch.print("four")
    launch.end()
    await start_agent()
    await ended(loki)
    assert loki.lines() == ["one", "three", "four"]
    [gap] = gaps(loki)
    assert f"file={launch.segments[1]} from=0 to=0 " in gap
    assert "how long it was is not known" in gap


async def test_lost_bytes_of_a_segment_are_reported_with_their_range(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    launch.print(*("y" * 200_000 for _ in range(10)))
    data = launch.segments[0].read_bytes()
    size = len(data)
    reached = asyncio.Event()

    async def stall(entries, loki):
        reached.set()
        await asyncio.sleep(3600)

    loki.behaviours.append(stall)
    agent = await start_agent()
    async with asyncio.timeout(60):
        await reached.wait()
    await agent.kill()
    launch.segments[0].unlink()
    launch.end()
    await start_agent()
    await ended(loki)
    # Bytes that are in the journal are delivered, the rest is reported.
    assert loki.lines()
    assert set(loki.lines()) == {"y" * 200_000}
    [gap] = gaps(loki)
    lost = re.search(r"from=(\d+) to=(\d+) ", gap)
    assert lost is not None
    assert int(lost[2]) == size
    assert len(loki.lines()) == data[: int(lost[1])].count(b"\n") < 10
    assert "deleted before it was read" in gap


async def test_segments_deleted_after_shipping_are_not_a_gap(start_agent, loki: LokiStandIn, state_dir: Path) -> None:
    launch = Launch(state_dir)
    for number in range(3):
        launch.print(f"line {number}")
        launch.rotate()
    agent = await start_agent()
    await loki.until(lambda: len(loki.lines()) == 3)
    await eventually(lambda: launch.dir.shipped_path.exists() and launch.shipped()["lines"] == 6)
    await agent.stop()
    for path in launch.segments[:2]:
        path.unlink()
    launch.print("last")
    agent = await start_agent()
    await loki.until(lambda: "last" in loki.lines())
    await agent.stop()
    # With a lost journal too: shipped.json has what was acknowledged.
    shutil.rmtree(state_dir / "agent")
    launch.print("after")
    launch.end()
    await start_agent()
    await ended(loki)
    assert sorted(set(loki.lines())) == ["after", "last", "line 0", "line 1", "line 2"]
    assert gaps(loki) == []


@pytest.mark.parametrize("down", [False, True])
async def test_a_segment_that_is_truncated_is_read_from_its_start(
    start_agent, loki: LokiStandIn, state_dir: Path, down: bool
) -> None:
    launch = Launch(state_dir)
    launch.print(*(f"line {number}" for number in range(20)))
    agent = await start_agent()
    await loki.until(lambda: len(loki.lines()) == 20)
    if down:
        await agent.stop()
    os.truncate(launch.segments[0], 0)
    launch.print("anew")
    if down:
        await start_agent()
    await loki.until(lambda: "anew" in loki.lines())
    launch.print("and on")
    launch.end()
    await ended(loki)
    assert loki.lines() == [*(f"line {number}" for number in range(20)), "anew", "and on"]


async def test_a_segment_with_replaced_content_is_read_from_its_start(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    launch.print("one")
    agent = await start_agent()
    await loki.until(lambda: loki.lines() == ["one"])
    await agent.stop()
    launch.segments[0].unlink()
    launch.print(*(f"other {number}" for number in range(20)))
    launch.end()
    await start_agent()
    await ended(loki)
    assert loki.lines() == ["one", *(f"other {number}" for number in range(20))]


async def test_a_launch_whose_directory_is_removed_does_not_stop_the_others(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    gone, other = Launch(state_dir, 1), Launch(state_dir, 2)
    gone.print("first")
    agent = await start_agent()
    await loki.until(lambda: loki.lines() == ["first"])
    shutil.rmtree(gone.dir.path)
    other.print("second")
    await loki.until(lambda: loki.lines() == ["first", "second"])
    gone.print("third")  # the keeper is alive and its log is there
    other.print("fourth")
    await loki.until(lambda: sorted(loki.lines()) == ["first", "fourth", "second", "third"])
    assert agent.process.returncode is None
