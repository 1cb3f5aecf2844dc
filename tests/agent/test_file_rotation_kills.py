"""An agent that is killed and started again while its log is rotated, in process: each line once, in any order."""

import gzip
import os
import random
import shutil
import time
from pathlib import Path

import pytest
from support.agent_loki import LokiStandIn
from support.file_follower import Clock, Follower
from support.waiting import eventually

from tracetail.agent.reading import rotation
from tracetail.agent.reading.file_source import FILE_ROWS_MAX
from tracetail.agent.reading.opened_file import LINGER_SECONDS

STEPS = 40


class RotatedLog:
    """A log that is rotated in one of the ways of the field."""

    def __init__(self, directory: Path, way: str) -> None:
        self.path = directory / "app.log"
        self.lines: list[str] = []
        self._rotations = 0
        self._rotate = getattr(self, f"_{way}")
        if way == "flip":
            self._flip()

    def write(self, count: int) -> None:
        """Append lines."""
        lines = [f"line {len(self.lines) + number}" for number in range(count)]
        with self.path.open("a") as file:
            file.writelines(line + "\n" for line in lines)
        self.lines += lines

    def rotate(self) -> None:
        """Rotate it, if it exists."""
        if not self.path.exists():
            return
        for number in range(self._rotations, 0, -1):
            for ending in ("", ".gz"):
                old = self.path.with_name(f"app.log.{number}{ending}")
                if old.exists():
                    old.rename(self.path.with_name(f"app.log.{number + 1}{ending}"))
        self._rotations += 1
        self._rotate()

    def _rename(self) -> None:
        self.path.rename(self.path.with_name("app.log.1"))

    def _copy(self) -> None:
        shutil.copy(self.path, self.path.with_name("app.log.1"))
        os.truncate(self.path, 0)

    def _pack(self) -> None:
        packed = self.path.with_name("app.log.1.gz")
        times = self.path.stat()
        packed.write_bytes(gzip.compress(self.path.read_bytes()))
        os.utime(packed, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.path.unlink()

    def _flip(self) -> None:
        target = self.path.with_name(f"target-{self._rotations:04d}.txt")
        target.touch()
        link = self.path.with_name("next")
        link.symlink_to(target)
        link.replace(self.path)


def follow_through(log: RotatedLog, chance: random.Random, clock: Clock) -> Follower:
    """Write, rotate, kill and start in an order that chance chooses; return the follower when all is read."""
    log.write(3)
    follower = Follower(log.path, clock).follow()
    running = True
    for _ in range(STEPS):
        step = chance.random()
        if step < 0.4:
            log.write(chance.randint(1, 5))
        elif step < 0.6:
            log.rotate()
            log.write(chance.randint(0, 2))
        elif step < 0.85:
            if running:
                follower.follow(chance.choice([0.1, 0.5, 1.5, 3]), step=0.1)
        elif running:
            follower.stop()
            running = False
        else:
            follower.start()
            running = True
    if not running:
        follower.start()
    follower.follow(10)
    log.write(1)
    return follower.follow(10)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("way", ["rename", "copy", "pack", "flip"])
def test_each_line_comes_once_whatever_the_order_of_rotations_and_kills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, seed: int
) -> None:
    log = RotatedLog(tmp_path, way)
    follower = follow_through(log, random.Random(seed), Clock(monkeypatch))
    assert sorted(follower.lines) == sorted(log.lines)
    follower.source.close()


@pytest.mark.parametrize("way", ["rename", "pack"])
def test_more_rotations_than_are_remembered_come_once_however_slowly_they_are_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    # They came again and again: what was found was forgotten before it was read.
    monkeypatch.setattr(rotation, "birth_time_ns", lambda file: None)  # one a second, as the times that utime() sets
    log = RotatedLog(tmp_path, way)
    log.write(3)
    follower = Follower(log.path, Clock(monkeypatch)).follow()
    follower.stop()
    now = time.time()
    for number in range(2 * FILE_ROWS_MAX):
        os.utime(log.path, (now + number, now + number))  # one a second, not all within a tick of the clock
        log.rotate()
        log.write(2)
    os.utime(log.path, (now + number + 1, now + number + 1))
    follower.while_shipping = lambda: follower.clock.advance(LINGER_SECONDS / 10)
    follower.start().follow(20)
    assert sorted(follower.lines) == sorted(log.lines)
    assert follower.gaps == []
    follower.source.close()


@pytest.mark.parametrize("way", ["rename", "copy", "pack"])
@pytest.mark.parametrize("down", [True, False], ids=["down", "running"])
def test_what_is_renamed_while_it_is_looked_for_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, *, down: bool
) -> None:
    # app.log.1 becomes app.log.2 after its directory was listed, and before it is opened.
    log = RotatedLog(tmp_path, way)
    log.write(3)
    follower = Follower(log.path, Clock(monkeypatch)).follow()
    siblings = rotation._siblings
    turns = iter(range(2))

    def list_and_rename(path: Path, **options: bool) -> list[Path]:
        found = siblings(path, **options)
        if found and next(turns, None) is not None:
            os.utime(tmp_path, ns=(1, 1))  # so that the directory changes, within a tick of the clock, too
            log.rotate()
            log.write(2)
        return found

    if down:
        follower.stop()
    log.write(2)
    log.rotate()
    log.write(2)
    monkeypatch.setattr(rotation, "_siblings", list_and_rename)
    if down:
        follower.start()
    follower.follow(20)
    assert next(turns, None) is None
    assert sorted(follower.lines) == sorted(log.lines)
    assert follower.gaps == []
    follower.source.close()


@pytest.mark.parametrize("after", ["the look", "the start"])
async def test_what_an_agent_that_is_killed_soon_has_seen_is_read_by_the_next_one(
    start_agent, loki: LokiStandIn, tmp_path: Path, after: str
) -> None:
    # log4j2's app-1.log may be another program's: it is waited for ten seconds before anything is read. Then it was
    # history for the next agent.
    logs = tmp_path / "logs"
    logs.mkdir()
    config = f'[agent]\n[[agent.sources]]\nglob = "{logs}/app.log"\n'
    agent = await start_agent(config)
    await agent.kill()
    (logs / "app.log").write_text("one\n")
    (logs / "app.log").rename(logs / "app-1.log")
    (logs / "app.log").write_text("two\n")
    agent = await start_agent(config)
    if after == "the look":

        async def is_seen() -> bool:
            return bool((await agent.status())["sources"])

        await eventually(is_seen)
    await agent.kill()
    assert loki.lines() == []
    packed = logs / "app-1.log.gz"
    packed.write_bytes(gzip.compress((logs / "app-1.log").read_bytes()))
    shutil.copystat(logs / "app-1.log", packed)
    (logs / "app-1.log").unlink()
    await start_agent(config)
    await loki.until(lambda: loki.lines() == ["one", "two"])
