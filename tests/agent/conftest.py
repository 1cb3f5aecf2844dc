"""Fixtures of the agent's tests: a Loki stand-in, a state directory, real agent processes."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support import commands
from support.agent_loki import LokiStandIn, StoreFront
from support.agent_process import AgentProcess
from support.environment import environment
from support.fates import Fate

from tracetail.agent.parsing import scan, scan_plain

PLAIN_LOOPS = {"COMPILED": False, "look_up": scan_plain.look_up, "split_stamps": scan_plain.split_stamps}


@pytest.fixture
async def loki() -> AsyncIterator[LokiStandIn]:
    stand_in = LokiStandIn()
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


@pytest.fixture
def front_class() -> type[StoreFront]:
    return StoreFront


@pytest.fixture
async def front(tmp_path: Path, front_class: type[StoreFront]) -> AsyncIterator[StoreFront]:
    """Yield a proxy in front of a real store that can be made to fail."""
    environ = environment(
        TRACETAIL_STATE_DIR=str(tmp_path / "store"),
        TRACETAIL_STORE_LISTEN="127.0.0.1:0",
        # The lines of launches have times of their own, whatever day it is.
        TRACETAIL_STORE_REJECT_OLDER_THAN_DAYS="0",
        TRACETAIL_STORE_REJECT_NEWER_THAN_MINUTES="0",
        TRACETAIL_STORE_RETENTION_DAYS="0",
    )
    store = await commands.create("store", env=environ, stdout=-1, stderr=asyncio.subprocess.DEVNULL)
    assert store.stdout is not None
    line = (await store.stdout.readline()).decode()
    stand_in = front_class(line.split()[-1])
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


class Ran(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def tracetail(state_dir: Path, loki: LokiStandIn) -> Callable[..., Awaitable[Ran]]:
    """Return a function that runs the command. url: of its Loki, the stand-in by default."""

    async def run(*arguments: str, config: str = "", url: str = "") -> Ran:
        (state_dir / "command.toml").write_text(config)
        environ = environment()
        environ |= {
            "TRACETAIL_STATE_DIR": str(state_dir),
            "TRACETAIL_AGENT_STATE_DIRS": str(state_dir),
            "TRACETAIL_LOKI_URL": url or loki.url,
            "TRACETAIL_CONFIG": str(state_dir / "command.toml"),
        }
        process = await commands.create(*arguments, env=environ, stdout=-1, stderr=-1)
        out, err = await process.communicate()
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    return run


@pytest.fixture
async def start_agent(state_dir: Path, loki: LokiStandIn) -> AsyncIterator[Callable[..., Awaitable[AgentProcess]]]:
    agents: list[AgentProcess] = []

    async def start(config: str = "", url: str = "", environ: dict[str, str | None] | None = None) -> AgentProcess:
        agent = AgentProcess(state_dir, url or loki.url, config, environ)
        agents.append(agent)
        return await agent.start()

    yield start
    for agent in agents:
        await agent.kill()


@pytest.fixture(scope="module", params=["compiled", "plain"])
def either_loops(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run the tests of a module with both forms of the loops over lines."""
    if request.param == "compiled" and not scan.COMPILED:
        pytest.skip("the loops were not compiled: there was no C compiler when tracetail was installed")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "plain":
            for name, plain in PLAIN_LOOPS.items():
                patch.setattr(scan, name, plain)
        yield


@pytest.fixture
async def fate(tmp_path: Path, loki: LokiStandIn, start_agent):
    directory = tmp_path / "logs"
    directory.mkdir()
    staged = Fate(directory, loki, start_agent)
    yield staged
    if staged.agent.process.returncode is None:
        assert await staged.agent.stop() == 0
    assert not [line for line in staged.agent.errors if "Traceback" in line]


@pytest.fixture
def unmount() -> Iterator[list[Path]]:
    """Unmount what is put into this list."""
    mounted: list[Path] = []
    yield mounted
    for path in reversed(mounted):
        subprocess.run(["umount", "--lazy", path], check=True)
