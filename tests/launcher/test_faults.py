"""Disks that are full, clocks that jump."""

import os
import resource
import subprocess
from pathlib import Path

import pytest

from contract.logline import parse_line
from launcher.stamping import Stamper

LINES = b"".join(b"line %07d of a server that prints a lot of text\n" % n for n in range(100_000))


def test_stamps_creep_on_while_the_clock_is_behind():
    stamper = Stamper("t", "i")
    clock = [1_000_000_000_000, 1_000_000_000_000, 400_000_000_000, 2_000_000_000_000, 1_999_999_999_999]
    block = b"".join(stamper.stamp([b"a", b"b", b"c"], None, now) for now in clock)
    stamps = [parse_line(line).time_ns for line in block.splitlines()]
    assert stamps == sorted(set(stamps))
    assert stamps[:3] == [1_000_000_000_000, 1_000_000_000_001, 1_000_000_000_002]
    assert stamps[6] == 1_000_000_000_006  # behind: one nanosecond at a time
    assert stamps[9] == 2_000_000_000_000  # caught up
    assert stamps[12] == 2_000_000_000_003


def test_stamps_cross_seconds_and_thousands():
    stamper = Stamper("t", "i")
    block = stamper.stamp([b"%d" % n for n in range(5000)], None, 1_000_999_999_000)
    lines = [parse_line(line) for line in block.splitlines()]
    assert [line.time_ns for line in lines] == list(range(1_000_999_999_000, 1_001_000_004_000))
    assert [line.text for line in lines] == [b"%d" % n for n in range(5000)]


def start_with_full_disk(world, steps, **more):
    """Start with a file size limit of 256 KiB: writes beyond it fail, as on a full disk."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, 256 * 1024))

    return subprocess.run(
        world.command("start", "--params", world.params(steps, **more)),
        env=world.environ,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=limit,
        check=False,
    )


def test_a_full_disk_never_holds_up_the_server_and_stop_still_ends_it(world, wait_until, tmp_path):
    much, done = tmp_path / "much", tmp_path / "done"
    much.write_bytes(LINES)
    steps = [["text", "ready now\n"], ["file", str(much)], ["file", str(much)], ["touch", str(done)], ["stay"]]
    started = start_with_full_disk(world, steps)
    assert started.returncode == 0, started.stdout + started.stderr
    wait_until(done.exists)
    launch = world.launches()[0]
    stopped = world.run("stop", "--model-name", "m")
    assert (stopped.status, stopped.result["state"]) == (0, "stopped")
    assert not world.members(launch)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts a small file system")
def test_a_disk_that_was_full_gets_a_line_about_what_was_dropped(world, wait_until, tmp_path):
    logs, much, done, more = (tmp_path / name for name in ("logs", "much", "done", "more"))
    logs.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=66m", "tmpfs", str(logs)], check=False)
    if mounted.returncode:
        pytest.skip("may not mount here")
    try:
        much.write_bytes(LINES)
        steps = [["text", "ready now\n"], ["wait", str(more)], ["file", str(much)], ["file", str(much)]]
        steps += [["touch", str(done)], ["stay"]]
        launch = world.launch(world.start(steps, logDir=str(logs)).result)
        ballast = logs / "ballast"
        with ballast.open("wb") as file:
            file.write(b"x" * (66 * 1024 * 1024 - 512 * 1024))
        more.touch()
        wait_until(done.exists)
        ballast.unlink()
        log = Path(launch.read()["logFile"])
        wait_until(lambda: b" event] dropped " in log.read_bytes())
        assert world.run("stop", "--model-name", "m").status == 0
        dropped = [event for event in world.events(launch) if event.name == "dropped"]
        assert "No space left" in dropped[0].fields["reason"]
        kept = world.output(launch).count(b"\n")
        assert kept + sum(int(event.fields["lines"]) for event in dropped) == 200_001
    finally:
        world.clean()
        subprocess.run(["umount", "-l", str(logs)], check=True)


def test_a_log_directory_without_room_is_refused(world, tmp_path, monkeypatch):
    from launcher import preflight
    from launcher.result import Refusal

    monkeypatch.setattr(preflight, "DISK_MIN_BYTES", 1 << 62)
    with pytest.raises(Refusal, match="MiB are free in"):
        preflight.check_disk(tmp_path)
