"""A whole agent that is killed at any moment while its logs are rotated: each line once, or a gap is reported."""

import asyncio
import bz2
import collections
import gzip
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.agent_loki import Stored, StoreFront
from support.agent_process import AgentProcess

from tracetail.contract.logline import parse_event

pytestmark = pytest.mark.timeout(300)


ROTATION_PROBABILITY = 0.1
QUIET_SECONDS = 60.0
"""What has not come when nothing was pushed for this time will not come, however slow the machine is."""


class KnownFront(StoreFront):
    """The front of a real store that remembers what the store has accepted: to ask it for all of it takes seconds."""

    def __init__(self, store_url: str) -> None:
        super().__init__(store_url)
        self.selector = '{filename=~".+"}'
        self.came: set[str] = set()
        self.gaps: list[str] = []

    def store(self, entries: list[Stored]) -> None:
        super().store(entries)
        for entry in entries:
            if dict(entry.metadata).get("kind") != "event":
                self.came.add(entry.line)
            elif entry.line.startswith("gap "):
                self.gaps.append(entry.line)

    async def until_quiet(self, condition: Callable[[], bool]) -> bool:
        """Wait until condition() holds, or nothing has been pushed for a time; return whether it holds."""
        pushed, since = len(self.bodies), time.monotonic()
        while not (holds := condition()) and time.monotonic() - since < QUIET_SECONDS:
            if len(self.bodies) > pushed:
                pushed, since = len(self.bodies), time.monotonic()
            await asyncio.sleep(0.2)
        return holds


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

    def begin(self) -> None:
        """Write a line to each log."""
        for name in self.ways:
            self._append(self._directory / name, 1)

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


async def kill_while_logs_rotate(
    start_agent, loki: KnownFront, logs: Path, kills: int, seed: int = 0
) -> tuple[int, int]:
    """Kill the agent while its logs are rotated; return how many lines were written, and how many gaps have.

    The rotations begin when the agent has seen each log: what was rotated away before is not at a path it follows.
    """
    written = RotatedLogs(logs, seed)
    chance = random.Random(seed)
    ended = asyncio.Event()

    async def write_on() -> None:
        while not ended.is_set():
            written.write()
            await asyncio.sleep(0.1)

    async def start() -> AgentProcess:
        return await start_agent(f'[agent]\n[[agent.sources]]\nglob = "{logs}/*.log"\n')

    def unreported() -> set[str]:
        missing = written.places.keys() - loki.came
        return missing - covered(written.places, missing, loki.gaps)

    written.begin()
    agent = await start()
    assert await loki.until_quiet(lambda: not unreported())
    writing = asyncio.create_task(write_on())
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(0, 1.2))
        await agent.kill()
        agent = await start()
    ended.set()
    await writing
    written.begin()
    await loki.until_quiet(lambda: not unreported())
    assert {line: written.places[line] for line in unreported()} == {}
    # As the store has it: what was pushed again after a kill may be stored twice.
    came = collections.Counter(loki.lines())
    assert {line: count for line, count in came.items() if count > 1} == {}
    assert came.keys() <= written.places.keys()
    assert not [line for line in agent.errors if "Traceback" in line]
    return len(written.places), len(written.places.keys() - came.keys())


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    path = tmp_path / "logs"
    path.mkdir()
    return path


@pytest.fixture
def front_class() -> type[StoreFront]:
    """Of the front of a real store, so that what it has is looked up after each kill."""
    return KnownFront


@pytest.fixture
def loki(front: KnownFront) -> KnownFront:
    return front


@pytest.mark.field
async def test_each_line_once_or_a_gap_after_ten_kills_while_logs_rotate(
    start_agent, loki: KnownFront, logs: Path
) -> None:
    await kill_while_logs_rotate(start_agent, loki, logs, kills=10)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(10))
async def test_each_line_once_or_a_gap_after_fifty_kills_while_logs_rotate(
    start_agent, loki: KnownFront, logs: Path, seed: int
) -> None:
    kills = int(os.environ.get("KILLS", "50"))
    written, missing = await kill_while_logs_rotate(start_agent, loki, logs, kills, seed)
    print(f"{kills} kills: {written} lines, 0 lost, 0 twice, {missing} in gaps")
