"""Lines of a launch's log reach Loki, with a real agent process."""

import json
from pathlib import Path

from support.agent_loki import LokiStandIn
from support.agent_process import INSTANCE, TRACE, Launch
from support.waiting import eventually

LABELS = (
    f'{{traceId="{TRACE}", instanceId="{INSTANCE}", launchId="20261122T211210-000001", '
    'service_name="Qwen/Qwen2-7B", env="test", engine="vllm", host="node1"}'
)


async def test_lines_of_a_launch_arrive_with_their_stamps_labels_and_metadata(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    await start_agent()
    launch.print("(APIServer pid=71) INFO 11-22 21:12:10 [api_server.py:90] hello")
    await loki.until(lambda: len(loki.stored) == 1)
    [entry] = loki.entries()
    assert entry.labels == LABELS
    assert entry.time_ns == launch.time_ns
    assert entry.line == "(APIServer pid=71) INFO 11-22 21:12:10 [api_server.py:90] hello"
    assert dict(entry.metadata) == {
        "level": "info",
        "process": "APIServer",
        "pid": "71",
        "source": "api_server.py:90",
    }


async def test_a_launch_that_begins_later_is_followed_to_its_end(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    await start_agent()
    launch = Launch(state_dir)
    launch.print("first")
    launch.rotate()
    launch.print("second")
    launch.rotate()
    launch.print("third")
    launch.end()
    await loki.until(lambda: any(entry.line.startswith("receipt") for entry in loki.stored))
    assert loki.lines() == ["first", "second", "third"]
    receipt = loki.entries()[-1]
    size = sum(path.stat().st_size for path in launch.segments)
    assert receipt.line == f"receipt lines=5 bytes={size} rejected=0 redacted=0"
    assert dict(receipt.metadata)["kind"] == "event"
    await eventually(lambda: launch.dir.shipped_path.exists() and launch.shipped()["complete"])
    assert launch.shipped() == {
        "schema": 1,
        "segments": {str(path): path.stat().st_size for path in launch.segments},
        "lines": 5,
        "rejected": 0,
        "redacted": 0,
        "complete": True,
    }


async def test_the_agent_stops_on_sigterm_and_continues_at_its_position(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    launch.print("one")
    agent = await start_agent()
    await loki.until(lambda: loki.lines() == ["one"])
    assert await agent.stop() == 0
    launch.print("two")
    await start_agent()
    await loki.until(lambda: loki.lines() == ["one", "two"])
    assert len(loki.bodies) == 2


async def test_secrets_do_not_leave_the_machine(start_agent, loki: LokiStandIn, state_dir: Path) -> None:
    launch = Launch(state_dir)
    await start_agent()
    launch.print("non-default args: {'api_key': 'very-secret', 'model': 'm'}", "plain", "Bearer abcdefghijklmnop")
    await loki.until(lambda: len(loki.stored) == 3)
    assert loki.lines() == ["non-default args: {'api_key': '***', 'model': 'm'}", "plain", "Bearer ***"]


async def test_shipped_json_is_completed_by_the_next_agent(start_agent, loki: LokiStandIn, state_dir: Path) -> None:
    launch = Launch(state_dir)
    launch.print("one", "two")
    launch.end()
    agent = await start_agent()
    await eventually(lambda: launch.dir.shipped_path.exists() and launch.shipped()["complete"])
    await agent.stop()
    # The state after a kill between the last acknowledgement and the writing of the file.
    complete = launch.shipped()
    launch.dir.shipped_path.write_text(json.dumps(complete | {"complete": False}))
    bodies = len(loki.bodies)
    await start_agent()
    await eventually(lambda: launch.shipped() == complete)
    assert len(loki.bodies) == bodies
