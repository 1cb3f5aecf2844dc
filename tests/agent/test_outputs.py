"""Two outputs in one agent: neither waits for the other, and what one still needs is kept."""

import asyncio
from pathlib import Path

from support.agent_process import Launch
from support.waiting import eventually

from tracetail.agent.followed_log import FollowedLog
from tracetail.agent.launches.shipped_file import ShippedFileWriter
from tracetail.agent.model import KAFKA, LOKI, FileRow
from tracetail.agent.reading.launch_source import LaunchSource
from tracetail.contract.shipped import read_shipped

NOWHERE = '[kafka]\nbrokers = ["127.0.0.1:1"]\n'


async def test_loki_gets_its_lines_while_kafka_cannot_be_reached_and_the_reason_is_reported(
    start_agent, loki, state_dir
):
    launch = Launch(state_dir)
    launch.print("one", "two")
    agent = await start_agent(NOWHERE)
    await loki.until(lambda: len(loki.stored) == 2)
    launch.print("three")
    launch.end()
    await loki.until(lambda: any("receipt " in line for line in loki.lines(events=True)))

    async def reported():
        _, kafka = (await agent.status())["outputs"]
        return kafka if "127.0.0.1:1" in kafka["error"] else None

    kafka = await eventually(reported)
    assert "Connection refused" in kafka["error"]
    assert "look at kafka.brokers" in kafka["error"]
    status = await agent.status()
    shipped, waiting = status["outputs"]
    assert (shipped["name"], shipped["healthy"], shipped["backlogBytes"]) == ("loki", True, 0)
    assert (waiting["name"], waiting["healthy"]) == ("kafka", False)
    assert waiting["backlogBytes"] == launch.segments[0].stat().st_size
    assert not status["healthy"]
    metrics = await agent.metrics()
    assert f'tracetail_agent_output_lag_bytes{{output="kafka"}} {waiting["backlogBytes"]}.0' in metrics
    assert 'tracetail_agent_output_lag_bytes{output="loki"} 0.0' in metrics
    assert 'tracetail_agent_output_failures_total{cause="_TRANSPORT",output="kafka"}' in metrics
    # Neither gc nor the keeper may delete what Kafka has not acknowledged.
    assert not launch.dir.shipped_path.exists() or not launch.shipped()["complete"]
    assert await agent.stop() == 0
    assert any("Connection refused" in line for line in agent.errors)


async def test_without_kafka_there_is_one_output_and_one_journal(start_agent, loki, state_dir):
    Launch(state_dir).print("one")
    agent = await start_agent()
    await loki.until(lambda: len(loki.stored) == 1)
    assert [output["name"] for output in (await agent.status())["outputs"]] == ["loki"]
    assert not (state_dir / "agent" / "kafka.db").exists()


def _followed(launch: Launch, position: int, *, complete: bool) -> tuple[FollowedLog, LaunchSource]:
    record, owner = launch.dir.read_with_owner()
    source = LaunchSource(launch.dir, record, owner, {})
    source.files = [FileRow(str(launch.segments[0]), 1, 1, b"", position=position)]
    source.complete = complete
    followed = FollowedLog(source)
    followed.lines = position
    return followed, source


def test_shipped_json_has_what_every_output_has_acknowledged(state_dir: Path):
    launch = Launch(state_dir)

    async def write() -> None:
        writer = ShippedFileWriter({LOKI: set(), KAFKA: set()})
        assert await writer.update(LOKI, *_followed(launch, 700, complete=True))
        assert read_shipped(launch.dir.shipped_path) is None  # what Kafka has is not known yet
        assert await writer.update(KAFKA, *_followed(launch, 300, complete=False))
        assert launch.shipped()["segments"] == {str(launch.segments[0]): 300}
        assert not launch.shipped()["complete"]
        assert await writer.update(KAFKA, *_followed(launch, 700, complete=True))

    asyncio.run(write())
    assert launch.shipped()["segments"] == {str(launch.segments[0]): 700}
    assert launch.shipped()["complete"]
    assert launch.shipped()["lines"] == 700


def test_an_output_that_is_new_begins_with_launches_that_the_other_has_completed(state_dir: Path):
    launch = Launch(state_dir)

    async def write() -> None:
        await ShippedFileWriter().update(LOKI, *_followed(launch, 700, complete=True))
        writer = ShippedFileWriter({LOKI: {launch.launch_id}, KAFKA: set()})
        await writer.update(KAFKA, *_followed(launch, 300, complete=False))
        assert launch.shipped()["segments"] == {str(launch.segments[0]): 300}
        assert not launch.shipped()["complete"]
        await writer.update(KAFKA, *_followed(launch, 700, complete=True))

    asyncio.run(write())
    assert launch.shipped()["complete"]
