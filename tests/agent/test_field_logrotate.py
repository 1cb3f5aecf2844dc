"""What Debian's logrotate does to followed files, by its options: each line once."""

import asyncio
import subprocess
import time
from pathlib import Path

import pytest
from support.fates import Fate
from support.waiting import eventually

pytestmark = [pytest.mark.field, pytest.mark.timeout(300), pytest.mark.needs("logrotate")]

DATED = "dateext\ndateformat -%Y%m%d-%s"
UNDERSCORE = "dateext\ndateformat _%Y%m%d_%s"
OPTIONS = {
    "nocreate": "",
    "create": "create 0644",
    "compress": "create\ncompress",
    "delaycompress": "create\ncompress\ndelaycompress",
    "xz": "create\ncompress\ncompresscmd /usr/bin/xz\ncompressext .xz",
    "dateext": f"create\n{DATED}",
    "dateext compress": f"create\n{DATED}\ncompress",
    "dateext with underscores": f"create\n{UNDERSCORE}",
    "dateext with underscores, extension": f"create\n{UNDERSCORE}\nextension .log",
    "extension compress": "create\nextension .log\ncompress",
    "olddir": "create\nolddir OLD",
    "olddir compress": "create\nolddir OLD\ncompress",
    "olddir delaycompress": "create\nolddir OLD\ncompress\ndelaycompress",
    "olddir renamecopy": "create\nolddir OLD\nrenamecopy",
    "copytruncate": "copytruncate",
    "copytruncate compress": "copytruncate\ncompress",
    "copytruncate dateext": f"copytruncate\n{DATED}",
    "copytruncate dateext with underscores": f"copytruncate\n{UNDERSCORE}",
    "copytruncate olddir": "copytruncate\nolddir OLD",
    "copytruncate olddir compress": "copytruncate\nolddir OLD\ncompress",
    "copytruncate extension": "copytruncate\nextension .log",
    "copy": "copy",
}
PLACES = {"app.log": "../old", "app*": "../old", "**/*": "old"}
"""By the glob: where the old files go, which is beside the directory of the log or in it, where the glob matches."""


class Logrotate:
    """Rotates a log with some options."""

    def __init__(self, path: Path, options: str, olddir: str) -> None:
        self._config = path.parent.parent / "logrotate.conf"
        self._state = path.parent.parent / "logrotate.state"
        self._dated = "dateext" in options
        (path.parent / olddir).mkdir()
        text = options.replace("OLD", olddir)
        self._config.write_text(f"{path} {{\nmissingok\nrotate 5\n{text}\n}}\n")
        self._second = 0

    async def __call__(self) -> None:
        if self._dated:
            # The names of two rotations differ by their second, of the kernel's coarse clock.
            await eventually(lambda: int(time.time() - 0.05) > self._second)
        command = ["logrotate", "--force", "--state", self._state, self._config]
        ran = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True)
        assert ran.returncode == 0, ran.stderr
        self._second = int(time.time())


@pytest.fixture(params=OPTIONS)
def options(request: pytest.FixtureRequest) -> str:
    return OPTIONS[request.param]


@pytest.mark.parametrize("glob", PLACES)
async def test_rotated_while_the_agent_runs(fate: Fate, options: str, glob: str) -> None:
    # lines are written up to the rotation, and with `copytruncate` are in the copy alone when the agent looks
    rotate = Logrotate(fate.dir / "app.log", options, PLACES[glob])
    await fate.follow(glob)
    fate.number("app.log", 1)
    await fate.arrive()
    for turn in range(4):
        fate.number("app.log", 30)
        if turn % 2:
            await fate.arrive()
        await rotate()
        fate.number("app.log", 5)
        await fate.arrive()
    await fate.arrive(quiet=6)
    assert fate.gaps == []


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("glob", PLACES)
async def test_rotated_while_the_agent_is_down(fate: Fate, options: str, glob: str, times: int) -> None:
    rotate = Logrotate(fate.dir / "app.log", options, PLACES[glob])
    await fate.follow(glob)
    fate.number("app.log", 10)
    await fate.arrive()
    await fate.agent.stop()
    for _ in range(times):
        fate.number("app.log", 30)
        await rotate()
        fate.number("app.log", 5)
    await fate.follow()
    await fate.arrive(quiet=6)
    await fate.agent.stop()
    await fate.follow()
    fate.number("app.log", 5)
    await fate.arrive(quiet=6)
    assert fate.gaps == []
