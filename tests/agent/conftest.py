"""Fixtures of the agent's tests: a Loki stand-in, a state directory, real agent processes."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from support.agent_loki import LokiStandIn, StoreFront
from support.agent_process import AgentProcess
from support.environment import environment

from tracetail.agent.parsing import scan, scan_plain
from tracetail.loki import entries, entries_plain

LOOPS = (
    (scan, scan_plain, "look_up"),
    (scan, scan_plain, "split_stamps"),
    (entries, entries_plain, "encode_columns"),
)


@pytest.fixture
async def loki() -> AsyncIterator[LokiStandIn]:
    stand_in = LokiStandIn()
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[StoreFront]:
    """Yield a proxy in front of a real store that can be made to fail."""
    environ = environment()
    environ |= {"TRACETAIL_STATE_DIR": str(tmp_path / "store"), "TRACETAIL_STORE_LISTEN": "127.0.0.1:0"}
    command = (sys.executable, "-m", "tracetail", "store")
    store = await asyncio.create_subprocess_exec(*command, env=environ, stdout=-1, stderr=asyncio.subprocess.DEVNULL)
    assert store.stdout is not None
    line = (await store.stdout.readline()).decode()
    stand_in = StoreFront(line.split()[-1])
    await stand_in.start()
    yield stand_in
    await stand_in.stop()
    store.kill()
    await store.wait()


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


@pytest.fixture(scope="module", params=["compiled", "plain"])
def either_loops(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run the tests of a module with both forms of the loops over lines."""
    if request.param == "compiled" and not (scan.COMPILED and entries.COMPILED):
        pytest.skip("the loops were not compiled: there was no C compiler when tracetail was installed")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "plain":
            for chosen, plain, name in LOOPS:
                patch.setattr(chosen, name, getattr(plain, name))
        yield
