"""What programs that rotate their own logs do to followed files: each line once."""

import asyncio
import sys
from pathlib import Path

import pytest
from support.fates import Fate

pytestmark = [pytest.mark.field, pytest.mark.timeout(120)]

WRITER = """
import sys, time
for number in range(int(sys.argv[1])):
    print(f"line {number:05d}", "x" * 60, flush=True)
    if number % 20 == 19:
        time.sleep(0.02)
"""
LINES = 2400
"""In three seconds at least, through some ten rotations."""


async def follow_through(fate: Fate, glob: str, rotator: str, *, down: bool) -> None:
    """Follow what a rotator writes of the lines that it is given. down: the agent is, for most of the time."""
    fate.wanted += [f"line {number:05d} {'x' * 60}" for number in range(LINES)]
    await fate.follow(glob)
    command = f"{sys.executable} -c '{WRITER}' {LINES} | {rotator}"
    process = await asyncio.create_subprocess_shell(command, cwd=fate.dir)
    if down:
        await fate.come(1)
        await fate.agent.stop()
    assert await process.wait() == 0
    if written := sorted(fate.dir.glob("app.*")):
        # Where rotatelogs cannot keep up, what it has read ends within a line, and with it the file.
        fate.wanted[:] = [line for file in written for line in file.read_text().splitlines()]
    if down:
        await fate.follow()
    await fate.arrive(quiet=3)
    assert fate.gaps == []


def configured(directory: Path) -> str:
    """Return svlogd's command line; its limits are in a file."""
    (directory / "log").mkdir()
    (directory / "log" / "config").write_text("s20000\nn30\n")
    return "svlogd log"


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
@pytest.mark.parametrize(
    ("glob", "rotator"),
    [
        pytest.param("log/current", "s6-log n30 s20000 ./log", marks=pytest.mark.needs("s6-log")),
        pytest.param("log/current", "multilog s20000 n30 ./log", marks=pytest.mark.needs("multilog")),
        pytest.param("log/current", "", marks=pytest.mark.needs("svlogd")),
        pytest.param(
            "current.log", "rotatelogs -L current.log app.%Y%m%d-%H%M%S 1", marks=pytest.mark.needs("rotatelogs")
        ),
    ],
    ids=["s6-log", "multilog", "svlogd", "rotatelogs"],
)
async def test_rotated_by_a_program_behind_a_pipe(fate: Fate, glob: str, rotator: str, *, down: bool) -> None:
    await follow_through(fate, glob, rotator or configured(fate.dir), down=down)
