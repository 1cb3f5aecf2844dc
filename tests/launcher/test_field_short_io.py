"""A keeper whose reads and writes are short or interrupted, as by signals, quotas and network file systems."""

import os
import signal
from pathlib import Path

import pytest
from support.torn_io import TornIO

pytestmark = [pytest.mark.field, pytest.mark.needs("cc"), pytest.mark.timeout(300)]

VLLM_LOG = min((Path(__file__).parents[1] / "data" / "vllm-logs").glob("*.log"))
NOT_OF_THE_SERVER = {"LD_PRELOAD": ""}


@pytest.fixture
def torn(world, tmp_path):
    """Tear what is read and written beneath the state directory, but for the server's own writes."""

    def make(seed):
        made = TornIO(tmp_path, seed, "/state/launches/", "/state/logs/")
        world.environ |= made.environ
        return made

    return make


@pytest.mark.parametrize("seed", range(5))
def test_the_log_is_what_the_server_printed(world, torn, tmp_path, seed):
    calls = torn(seed)
    much = tmp_path / "much"
    # Less than a keeper's queue holds: of more, lines may be dropped where the disk is slow for a moment.
    lines = [b"line %07d of a server that prints a lot of text" % number for number in range(20_000)]
    much.write_bytes(VLLM_LOG.read_bytes() + b"\n".join([*lines, b"x" * 300_000, "末尾".encode(), b""]))
    steps = [["file", str(much)], ["text", "ready now\n"], ["exit", 3]]

    started = world.start(steps, maxLogMB=1, environ=NOT_OF_THE_SERVER)

    launch = world.launch(started.result)
    record = world.ended(launch)
    assert world.output(launch) == (much.read_bytes() + b"ready now\n").replace(b"\r\n", b"\n")
    assert len(record["segments"]) > 3
    assert record["exit"]["code"] == 3
    assert calls.count > 100


def written(launch):
    """Return what all segments have, which may end within a line while the keeper writes."""
    return b"".join(Path(path).read_bytes() for path in launch.read()["segments"])


@pytest.mark.parametrize("seed", range(5))
def test_another_keeper_goes_on_where_a_killed_one_stopped(world, torn, wait_until, tmp_path, seed):
    torn(seed)
    much = tmp_path / "much"
    much.write_bytes(b"".join(b"line %07d\n" % number for number in range(5_000)))
    steps = [["text", "ready now\n"], *([["file", str(much)], ["sleep", 0.2]] * 8), ["text", "all\n"], ["stay"]]
    started = world.start(steps, environ=NOT_OF_THE_SERVER)
    launch = world.launch(started.result)
    for kills in range(1, 4):
        os.kill(launch.read()["keeper"]["pid"], signal.SIGKILL)
        wait_until(lambda: not launch.lock_held(), "the end of the keeper")
        assert world.run("keep", "--adopt", launch.launch_id).status == 0
        wait_until(lambda count=kills: written(launch).count(b" event] adopted") == count, "another keeper")
    wait_until(lambda: b"] all\n" in written(launch), "all lines")
    assert world.run("stop", "--model-name", "m").status == 0
    world.ended(launch)
    assert world.output(launch) == b"ready now\n" + much.read_bytes() * 8 + b"all\n"
