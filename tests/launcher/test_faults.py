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
    status = Path(f"/proc/{launch.read()['keeper']['pid']}/status").read_text()
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    assert peak < 24 * 1024, f"{peak} KiB"
    stopped = world.run("stop", "--model-name", "m")
    assert (stopped.status, stopped.result["state"]) == (0, "stopped")
    assert not world.members(launch)


@pytest.fixture
def small_disk(world, tmp_path):
    """Return a directory on a file system of 66 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a small file system")
    path = tmp_path / "logs"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=66m", "tmpfs", str(path)], check=False).returncode:
        pytest.skip("may not mount here")
    yield path
    world.clean()
    subprocess.run(["umount", "-l", str(path)], check=True)


def fill(directory, spare):
    """Fill a small disk but for so many bytes; return what does it."""
    ballast = directory / "ballast"
    with ballast.open("wb") as file:
        file.write(b"x" * (os.statvfs(directory).f_bavail * os.statvfs(directory).f_frsize - spare))
    return ballast


def test_a_disk_that_was_full_gets_a_line_about_what_was_dropped(world, wait_until, tmp_path, small_disk):
    much, done, more = (tmp_path / name for name in ("much", "done", "more"))
    much.write_bytes(LINES)
    steps = [["text", "ready now\n"], ["wait", str(more)], ["file", str(much)], ["file", str(much)]]
    steps += [["touch", str(done)], ["stay"]]
    launch = world.launch(world.start(steps, logDir=str(small_disk)).result)
    ballast = fill(small_disk, 512 * 1024)
    more.touch()
    wait_until(done.exists)
    ballast.unlink()
    log = Path(launch.read()["logFile"])
    wait_until(lambda: b" event] dropped " in log.read_bytes())
    assert world.run("stop", "--model-name", "m").status == 0
    dropped = [event for event in world.events(launch) if event.name == "dropped"]
    assert any("No space left" in event.fields["reason"] for event in dropped)
    kept = world.output(launch).count(b"\n")
    assert kept + sum(int(event.fields["lines"]) for event in dropped) == 200_001


def test_a_full_disk_costs_the_oldest_segment(world, wait_until, tmp_path, small_disk):
    much, more = tmp_path / "much", tmp_path / "more"
    much.write_bytes(LINES[: len(LINES) // 4])
    steps = [["text", "ready now\n"], ["file", str(much)], ["wait", str(more)], ["flood", 8000, 4000], ["stay"]]
    launch = world.launch(world.start(steps, logDir=str(small_disk), maxLogMB=1).result)
    wait_until(lambda: len(launch.read()["segments"]) >= 3)
    first = Path(launch.read()["segments"][0])
    fill(small_disk, 64 * 1024)
    more.touch()
    wait_until(lambda: not first.exists())

    def told():
        return b"".join(Path(path).read_bytes() for path in launch.read()["segments"] if Path(path).exists())

    wait_until(lambda: b"line 7999 of a flood" in told())
    assert f'reason="{first.name} is deleted: the disk is full"'.encode() in told()
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_stop_on_a_full_state_directory_ends_the_server_and_says_so(world, wait_until, small_disk):
    world.state = small_disk
    world.environ["TRACETAIL_STATE_DIR"] = str(small_disk)
    launch = world.launch(world.start([["text", "ready now\n"], ["stay"]]).result)
    ballast = fill(small_disk, 0)
    stopped = world.run("stop", "--model-name", "m")
    assert stopped.status == 0, stopped.stdout + stopped.stderr
    assert not world.members(launch)
    assert world.start([["stay"]]).status == 15
    ballast.unlink()
    assert world.run("status", "--model-name", "m").status == 3
    world.ended(launch)
    assert world.events(launch)[-1].name == "exited"


def test_a_log_directory_without_room_is_refused(world, tmp_path, monkeypatch):
    from launcher import preflight
    from launcher.result import Refusal

    monkeypatch.setattr(preflight, "DISK_MIN_BYTES", 1 << 62)
    with pytest.raises(Refusal, match="MiB are free in"):
        preflight.check_disk(tmp_path)
