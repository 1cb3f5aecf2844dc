"""The agent's heartbeat: which launches it lists, where, and that it is none of their lines."""

from pathlib import Path
from typing import Any

from aiohttp import web
from support.agent_loki import LokiStandIn
from support.agent_process import Launch
from support.waiting import eventually

from tracetail.contract.heartbeat import SERVICE, parse_heartbeat

OFTEN = {"TRACETAIL_AGENT_HEARTBEAT_SECONDS": "0.2"}


def heartbeats(loki: LokiStandIn) -> list[Any]:
    return [entry for entry in loki.entries() if f'service_name="{SERVICE}"' in entry.labels]


async def test_a_heartbeat_lists_the_launches_that_have_not_ended(
    start_agent: Any, state_dir: Path, loki: LokiStandIn
) -> None:
    launch, other = Launch(state_dir), Launch(state_dir, 2)
    launch.print("INFO one")
    await start_agent(environ=OFTEN)
    both = {launch.launch_id, other.launch_id}

    def listed() -> set[str]:
        found = heartbeats(loki)
        heartbeat = parse_heartbeat(found[-1].line) if found else None
        return set(heartbeat.launch_ids) if heartbeat else set()

    await eventually(lambda: listed() == both, "a heartbeat of both launches")
    other.end("stopped")
    await eventually(lambda: listed() == {launch.launch_id}, "a heartbeat without the launch that has ended")
    (labels,) = {entry.labels for entry in heartbeats(loki)}
    assert "traceId" not in labels
    assert "launchId" not in labels
    assert f'host="{launch.record["host"]}"' in labels


async def test_a_loki_that_refuses_heartbeats_gets_every_line_all_the_same(
    start_agent: Any, state_dir: Path, loki: LokiStandIn
) -> None:
    refused = []

    async def refuse(entries: Any, _loki: LokiStandIn) -> web.Response | None:
        if f'service_name="{SERVICE}"' not in entries[0].labels:
            return None
        refused.append(entries)
        return web.Response(status=429, text="ingestion rate limit exceeded")

    loki.always = refuse
    launch = Launch(state_dir)
    agent = await start_agent(environ=OFTEN)
    await eventually(lambda: len(refused) > 2, "refused heartbeats")
    launch.print("INFO one")
    await loki.until(lambda: loki.lines() == ["INFO one"])
    assert (await agent.status())["healthy"]
