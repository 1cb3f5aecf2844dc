"""The world of the agent's tests: a Loki stand-in, a state directory, real agent processes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from support.agent_loki import LokiStandIn
from support.agent_process import AgentProcess


@pytest.fixture
async def loki() -> AsyncIterator[LokiStandIn]:
    stand_in = LokiStandIn()
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir()
    return path


@pytest.fixture
async def start_agent(state_dir: Path, loki: LokiStandIn) -> AsyncIterator[Callable[..., Awaitable[AgentProcess]]]:
    agents: list[AgentProcess] = []

    async def start(config: str = "", url: str = "", environ: dict[str, str] | None = None) -> AgentProcess:
        agent = AgentProcess(state_dir, url or loki.url, config, environ)
        agents.append(agent)
        return await agent.start()

    yield start
    for agent in agents:
        await agent.kill()
