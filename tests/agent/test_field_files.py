"""Log files of real installations and a whole agent: faults of file systems, few descriptors, kills at any moment."""

import asyncio
import bz2
import collections
import gzip
import os
import random
import re
import resource
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support.agent_loki import LokiStandIn, StoreFront
from support.agent_process import AgentProcess
from support.waiting import eventually

from tracetail.agent.journal.database import journal_path
from tracetail.contract.logline import parse_event

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
    "the file cannot be seen": ("newfstatat,fstat:error=EIO:when=5+6", "app.log"),
    "the handle is stale": ("newfstatat,fstat:error=ESTALE:when=9+20", "app.log"),
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
    monkeypatch.setenv("AGENT_COMMAND_PREFIX", f"strace -D -f -qq -o /dev/null -P {place} -e inject={inject}")
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


# Killed again and again


ROTATION_PROBABILITY = 0.1


class RotatedLogs:
    """Four logs that are rotated in the ways of the field, each line once; it knows where each line was written."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._directory = directory
        self._random = random.Random(seed)
        self.places: dict[str, tuple[str, int, int]] = {}
        """By its text: the path that the line was written to, and its range."""
        self._flips = self._rotations = 0
        self.ways = {
            "renamed.log": self._rename,
            "copied.log": self._copy_and_truncate,
            "packed.log": self._pack,
            "linked.log": self._flip,
        }
        self._flip(directory / "linked.log")

    def write(self) -> None:
        """Write some lines to each log, and rotate some."""
        for name, rotate in self.ways.items():
            path = self._directory / name
            self._append(path, self._random.randint(1, 30))
            if self._random.random() < ROTATION_PROBABILITY:
                self._rotations += 1
                rotate(path)
                self._append(path, self._random.randint(0, 3))

    def _append(self, path: Path, count: int) -> None:
        with path.open("ab", buffering=0) as file:
            begin = os.fstat(file.fileno()).st_size
            for _ in range(count):
                text = f"{path.name} line {len(self.places)}"
                begin += file.write(text.encode() + b"\n")
                self.places[text] = str(path), begin - len(text) - 1, begin

    def _shift(self, path: Path, endings: tuple[str, ...] = ("",)) -> None:
        for number in range(self._rotations, 0, -1):
            for ending in endings:
                old = path.with_name(f"{path.name}.{number}{ending}")
                if old.exists():
                    old.rename(path.with_name(f"{path.name}.{number + 1}{ending}"))

    def _rename(self, path: Path) -> None:
        self._shift(path)
        path.rename(path.with_name(path.name + ".1"))

    def _copy_and_truncate(self, path: Path) -> None:
        self._shift(path)
        shutil.copy(path, path.with_name(path.name + ".1"))
        os.truncate(path, 0)

    def _pack(self, path: Path) -> None:
        self._shift(path, (".gz", ".bz2"))
        ending, pack = self._random.choice([(".gz", gzip.compress), (".bz2", bz2.compress)])
        packed = path.with_name(path.name + ".1" + ending)
        times = path.stat()
        packed.write_bytes(pack(path.read_bytes()))
        os.utime(packed, ns=(times.st_atime_ns, times.st_mtime_ns))
        path.unlink()

    def _flip(self, path: Path) -> None:
        self._flips += 1
        target = self._directory / f"target-{self._flips:04d}.txt"
        target.touch()
        link = self._directory / "next"
        link.symlink_to(target)
        link.replace(path)


def covered(places: dict[str, tuple[str, int, int]], missing: set[str], events: list[str]) -> set[str]:
    """Return the missing lines that a gap event covers: its range, or an empty range at or before the line."""
    gaps = collections.defaultdict(list)
    for event in map(parse_event, events):
        gaps[event.fields["file"]].append((int(event.fields["from"]), int(event.fields["to"])))
    return {
        line
        for line in missing
        for path, begin, end in [places[line]]
        if any((start <= begin and end <= stop) or start == stop <= begin for start, stop in gaps[path])
    }


async def kill_while_logs_rotate(follow, loki: StoreFront, logs: Path, kills: int) -> tuple[int, int]:
    """Kill the agent while its logs are rotated; return how many lines were written, and how many gaps have."""
    written = RotatedLogs(logs, seed=kills)
    chance = random.Random(kills)
    ended = asyncio.Event()

    async def write_on() -> None:
        while not ended.is_set():
            written.write()
            await asyncio.sleep(0.1)

    writing = asyncio.create_task(write_on())
    agent = await follow()
    await loki.until(lambda: {line.split()[0] for line in loki.lines()} == written.ways.keys())
    await agent.kill()
    for _ in range(kills):
        agent = await follow()
        await asyncio.sleep(chance.uniform(0, 1.2))
        await agent.kill()
    ended.set()
    await writing
    agent = await follow()
    for name in written.ways:
        append(logs / name, f"{name} end")
    await loki.until(lambda: loki.count_over_time('{filename=~".+"} |~ " end$"') == len(written.ways), 120)
    await asyncio.sleep(5)
    assert not [line for line in agent.errors if "Traceback" in line]
    came = collections.Counter(line for line in loki.lines() if not line.endswith(" end"))
    assert {line: count for line, count in came.items() if count > 1} == {}
    assert came.keys() <= written.places.keys()
    missing = written.places.keys() - came.keys()
    events = [line for line in loki.lines(events=True) if re.match("gap ", line)]
    unreported = missing - covered(written.places, missing, events)
    assert {line: written.places[line] for line in unreported} == {}
    return len(written.places), len(missing)


class TestKills:
    """The front of a real store, so that what it has is looked up after each kill."""

    @pytest.fixture
    def loki(self, front: StoreFront) -> StoreFront:
        front.selector = '{filename=~".+"}'
        return front

    async def test_each_line_once_or_a_gap_after_ten_kills_while_logs_rotate(
        self, follow, loki: StoreFront, logs: Path
    ) -> None:
        await kill_while_logs_rotate(follow, loki, logs, kills=10)

    @pytest.mark.soak
    @pytest.mark.timeout(3600)
    async def test_each_line_once_or_a_gap_after_five_hundred_kills_while_logs_rotate(
        self, follow, loki: StoreFront, logs: Path
    ) -> None:
        kills = int(os.environ.get("KILLS", "500"))
        written, missing = await kill_while_logs_rotate(follow, loki, logs, kills)
        print(f"{kills} kills: {written} lines, none twice, {missing} in gaps")
