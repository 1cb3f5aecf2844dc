"""Log files of real installations and a whole agent: faults of file systems, and few descriptors."""

import os
import resource
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support.agent_loki import LokiStandIn
from support.agent_process import AgentProcess
from support.torn_io import TornIO
from support.waiting import eventually

from tracetail.agent.journal.database import journal_path

pytestmark = [pytest.mark.field, pytest.mark.timeout(300)]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    path = tmp_path / "logs"
    path.mkdir()
    return path


@pytest.fixture
def follow(start_agent, logs: Path) -> Callable[..., Awaitable[AgentProcess]]:
    """Start an agent that follows `logs/*.log`."""

    async def start(glob: str = "*.log") -> AgentProcess:
        return await start_agent(f'[agent]\n[[agent.sources]]\nglob = "{logs}/{glob}"\n')

    return start


def append(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(line + "\n" for line in lines)


def numbered(name: str, count: int, first: int = 0) -> list[str]:
    return [f"{name} line {number:06d}" for number in range(first, first + count)]


async def arrived(loki: LokiStandIn, wanted: list[str], seconds: float = 90) -> None:
    """Wait until every line has come; none may come twice, or be another's piece."""
    await loki.until(lambda: len(loki.lines()) >= len(wanted), seconds)
    assert sorted(loki.lines()) == sorted(wanted)


async def test_a_fifo_in_the_place_of_a_file_stops_neither_the_others_nor_the_agent(
    follow, loki: LokiStandIn, logs: Path
) -> None:
    # logrotate/logrotate#607
    for name in ("a", "b"):
        append(logs / f"{name}.log", name)
    agent = await follow()
    await arrived(loki, ["a", "b"])
    (logs / "a.log").unlink()
    os.mkfifo(logs / "a.log")
    os.mkfifo(logs / "c.log")
    await eventually(lambda: any("a.log is a FIFO" in line for line in agent.errors))
    append(logs / "b.log", "more")
    await arrived(loki, ["a", "b", "more"])
    assert (await agent.status())["healthy"]
    assert await agent.stop() == 0


async def test_three_hundred_files_are_read_with_ninety_six_descriptors(
    follow, loki: LokiStandIn, logs: Path
) -> None:
    # vectordotdev/vector, fluent/fluent-bit: too many open files
    names = [f"f{number}" for number in range(300)]
    wanted = []
    for name in names:
        append(logs / f"{name}.log", *numbered(name, 5))
        wanted += numbered(name, 5)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (96, hard))
    try:
        agent = await follow()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await arrived(loki, wanted)
    for name in names[::10]:
        append(logs / f"{name}.log", *numbered(name, 5, first=5))
        wanted += numbered(name, 5, first=5)
    await arrived(loki, wanted)
    assert not [line for line in agent.errors if "Too many open files" in line]


FAULTS = {
    "reads fail": ("pread64:error=EIO:when=2+3", "app.log"),
    "the mount is stale now and then": ("pread64:error=ESTALE:when=4+9", "app.log"),
    "the handle is stale until the file is opened again": ("pread64:error=ESTALE:when=8..13", "app.log"),
    "the file cannot be seen": ("newfstatat,fstat:error=EIO:when=5+6", "app.log"),
    "its status is stale": ("newfstatat,fstat:error=ESTALE:when=9+20", "app.log"),
    "the status is stale for a time": ("newfstatat,fstat:error=ESTALE:when=12..30", "app.log"),
    "opening fails": ("openat:error=EIO:when=1+2", "app.log"),
    "the journal's disk is full": ("pwrite64:error=ENOSPC:when=60+4", "journal.db-wal"),
    "the journal's disk fails": ("fdatasync:error=EIO:when=9+3", "journal.db-wal"),
}
"""What strace(1) injects, and into calls for which file."""


@pytest.mark.needs("strace")
@pytest.mark.parametrize("fault", FAULTS)
async def test_each_line_comes_once_whatever_the_file_system_answers(
    follow, loki: LokiStandIn, logs: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    inject, name = FAULTS[fault]
    place = logs / name if name == "app.log" else journal_path(state_dir).with_name(name)
    path = logs / "app.log"
    wanted = numbered("a", 50)
    append(path, *wanted)
    # --seccomp-bpf: the agent's other calls are not stopped; 60,000 of them take 2 s otherwise, and more under load.
    trace = f"-e trace={inject.split(':')[0]} -e inject={inject}"
    monkeypatch.setenv("AGENT_COMMAND_PREFIX", f"strace -D -f --seccomp-bpf -qq -o /dev/null -P {place} {trace}")
    agent = await follow()
    for turn in range(4):
        lines = numbered(f"turn {turn}", 50)
        append(path, *lines)
        wanted += lines
        if turn == 1:
            path.rename(logs / "app.log.1")
        await arrived(loki, wanted)
    assert await agent.stop() == 0
    monkeypatch.delenv("AGENT_COMMAND_PREFIX")
    append(path, "the end")
    await follow()
    await arrived(loki, [*wanted, "the end"])


@pytest.mark.needs("cc")
@pytest.mark.parametrize("seed", range(5))
async def test_each_line_comes_once_when_reads_and_writes_are_short_or_interrupted(
    start_agent, loki: LokiStandIn, logs: Path, state_dir: Path, tmp_path: Path, seed: int
) -> None:
    torn = TornIO(tmp_path, seed, f"{logs}/", journal_path(state_dir), again=f"{logs}/")
    path, wanted = logs / "app.log", []
    sources = "".join(
        f'[[agent.sources]]\nglob = "{logs}/{glob}"\nencoding = "{encoding}"\n'
        for glob, encoding in (("*.log", ""), ("*.txt", "utf-16"))
    )

    async def step(turn: int) -> None:
        lines = [*numbered(f"turn {turn}", 300), f"turn {turn} " + "长" * 50_000, *numbered(f"end of {turn}", 5)]
        append(path, *lines)
        wide = numbered(f"wide {turn} 日志", 100)
        with (logs / "wide.txt").open("ab") as file:
            file.write("".join(line + "\n" for line in wide).encode("utf-16-le"))
        wanted.extend(lines + wide)
        await arrived(loki, wanted)

    agent = await start_agent(sources, environ=torn.environ)
    for turn in range(6):
        await step(turn)
        if turn % 3 == 0:
            path.rename(logs / f"app.log.{turn}")
        elif turn % 3 == 1:
            shutil.copy(path, logs / f"app.log.{turn}")
            os.truncate(path, 0)
        else:
            await agent.kill()
            agent = await start_agent(sources, environ=torn.environ)
    assert await agent.stop() == 0
    assert torn.count > 100
    assert not [line for line in loki.lines(events=True) if line.startswith("gap ")]


@pytest.mark.needs("setpriv")
async def test_a_file_that_may_not_be_read_is_named_and_read_when_it_may(
    follow, loki: LokiStandIn, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = logs / "app.log"
    append(path, "one")
    path.chmod(0)
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
        os.chown(logs, 65534, 65534)
        drop = "-dac_override,-dac_read_search"
        monkeypatch.setenv("AGENT_COMMAND_PREFIX", f"setpriv --bounding-set {drop}")
    agent = await follow()
    await eventually(lambda: any("app.log" in line and "Permission denied" in line for line in agent.errors))
    path.chmod(0o644)
    await arrived(loki, ["one"])
    with path.open("a", buffering=1) as writer:
        os.chmod(logs, 0)  # noqa: PTH101
        writer.write("two\n")  # the agent has the file open, and reads on
        await arrived(loki, ["one", "two"])
        assert any("cannot see what is at" in line for line in agent.errors)
        os.chmod(logs, 0o755)  # noqa: PTH101
        writer.write("three\n")
    await arrived(loki, ["one", "two", "three"])
