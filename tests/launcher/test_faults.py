"""Disks that are full, clocks that jump."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from support.waiting import kill

from tracetail.contract.logline import parse_line
from tracetail.contract.processes import is_alive
from tracetail.launcher.log.stamper import Stamper

LINES = b"".join(b"line %07d of a server that prints a lot of text\n" % n for n in range(100_000))


def test_stamps_increase_by_one_nanosecond_while_the_clock_is_behind():
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


def test_a_full_disk_never_blocks_the_server_and_stop_still_ends_it(world, wait_until, tmp_path):
    much, done = tmp_path / "much", tmp_path / "done"
    much.write_bytes(LINES)
    steps = [["text", "ready now\n"], *[["file", str(much)]] * 4, ["touch", str(done)], ["stay"]]
    started = start_with_full_disk(world, steps)
    assert started.returncode == 0, started.stdout + started.stderr
    wait_until(done.exists)
    launch = world.launches()[0]
    status = Path(f"/proc/{launch.read()['keeper']['pid']}/status").read_text()
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    assert peak < 28 * 1024, f"{peak} KiB, of 19 MB of output"
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
    world.environ["TRACETAIL_LAUNCHER_MIN_FREE_DISK_MB"] = "0"
    launch = world.launch(world.start(steps, logDir=str(small_disk), maxLogMB=1).result)
    last = much.read_bytes().splitlines()[-1]
    wait_until(lambda: last in lines_of(launch))  # what is written later would find the disk full too early
    assert len(launch.read()["segments"]) >= 3
    first = Path(launch.read()["segments"][0])
    fill(small_disk, 64 * 1024)
    more.touch()
    wait_until(lambda: not first.exists())

    wait_until(lambda: b"line 7999 of a flood" in lines_of(launch))
    assert f'reason="{first.name} is deleted: the disk is full"'.encode() in lines_of(launch)
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_stop_on_a_full_state_directory_ends_the_server_and_records_it(world, wait_until, small_disk):
    world.state = small_disk
    world.environ["TRACETAIL_STATE_DIR"] = str(small_disk)
    launch = world.launch(world.start([["text", "ready now\n"], ["stay"]]).result)
    ballast = fill(small_disk, 0)
    notified = world.run("notify", "--launch", launch.launch_id, "--callback-url", "http://127.0.0.1:9/")
    assert (notified.status, "No space left" in notified.result["cause"]) == (21, True)
    stopped = world.run("stop", "--model-name", "m")
    assert stopped.status == 0, stopped.stdout + stopped.stderr
    assert stopped.result["state"] == "stopped"
    assert not world.members(launch)
    refused = world.start([["stay"]])
    assert (refused.status, refused.result["state"]) == (15, "failed")
    assert "free space" in refused.result["hint"]
    ballast.unlink()
    assert world.run("status", "--launch", launch.launch_id).result["state"] == "stopped"
    assert launch.read()["state"] == "stopped"


def test_a_keeper_outlives_a_record_and_a_keeper_log_that_cannot_be_written(tmp_path):
    code = """if True:
        import pathlib, sys
        from tracetail.launcher.keeper.record_writer import RecordWriter

        class Full:
            path = pathlib.Path(sys.argv[1])
            def read(self): return {}
            def write(self, record): raise OSError(28, "No space left on device")

        RecordWriter(Full(), Full()).write()
        print("lives")
    """
    with Path("/dev/full").open("wb") as keeper_log:
        command = [sys.executable, "-c", code, tmp_path]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=keeper_log, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, b"lives\n")


def test_a_launch_is_adopted_while_its_disk_is_full(world, wait_until, tmp_path, small_disk):
    world.environ["TRACETAIL_LAUNCHER_MIN_FREE_DISK_MB"] = "0"
    much, more = tmp_path / "much", tmp_path / "more"
    much.write_bytes(LINES)
    steps = [["text", "ready now\n"], ["wait", str(more)], ["file", str(much)], ["stay"]]
    launch = world.launch(world.start(steps, logDir=str(small_disk)).result)
    ballast = fill(small_disk, 64 * 1024)
    more.touch()
    wait_until(lambda: os.statvfs(small_disk).f_bavail == 0)
    wait_until(lambda: not lines_of(launch).endswith(b"\n"))  # of the last line there is a part
    kill(launch.read()["keeper"])
    assert world.run("status", "--model-name", "m").status == 0
    assert is_alive(launch.read()["keeper"])
    ballast.unlink()
    wait_until(lambda: LINES.splitlines()[-1] in lines_of(launch))
    assert [event.name for event in world.events(launch)].count("adopted") == 1
    texts = [line.text for line in map(parse_line, lines_of(launch).splitlines()) if line.mark is None]
    assert set(texts) <= {b"ready now", *LINES.splitlines()}
    assert world.run("stop", "--model-name", "m").status == 0


@pytest.fixture
def read_only(world):
    """Return what makes the state directory read-only for those who open anything from then on, and back."""
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a directory read-only")
    mounted = []

    def mount():
        subprocess.run(["mount", "--bind", str(world.state), str(world.state)], check=True)
        mounted.append(world.state)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(world.state)], check=True)

    def unmount():
        while mounted:
            subprocess.run(["umount", str(mounted.pop())], check=True)

    yield mount, unmount
    unmount()


def test_status_and_stop_work_on_a_read_only_state_directory(world, read_only):
    mount, unmount = read_only
    launch = world.launch(world.start([["text", "ready now\n"], ["stay"]]).result)
    mount()
    assert world.run("status", "--model-name", "m").status == 0
    for name in ("m", "other"):  # a start that would have to end the running one first, and one that would not
        refused = world.start([["stay"]], modelName=name)
        assert (refused.status, refused.result["state"]) == (15, "failed")
        assert not refused.stderr.startswith("Traceback")
    assert launch.lock_held()
    notified = world.run("notify", "--launch", launch.launch_id, "--callback-url", "http://127.0.0.1:9/")
    assert (notified.status, "Read-only" in notified.result["cause"]) == (21, True)
    stopped = world.run("stop", "--model-name", "m")
    assert (stopped.status, stopped.result["state"]) == (0, "stopped")
    assert not world.members(launch)
    assert world.run("gc").status == 0
    unmount()
    assert world.run("status", "--model-name", "m").status == 3
    world.ended(launch)
    assert launch.read()["state"] == "stopped"
    assert [event.name for event in world.events(launch)] == ["started", "ready", "stopping", "exited"]


def test_a_log_directory_with_too_little_space_is_refused(world):
    world.environ["TRACETAIL_LAUNCHER_MIN_FREE_DISK_MB"] = str(1 << 40)
    refused = world.start([["stay"]], traceId="t-1")
    assert refused.status == 15
    assert "MiB are free in" in refused.result["cause"]
    assert "min_free_disk_mb" in refused.result["hint"]
    assert world.events(world.launch(refused.result))[-1].name == "refused"


def lines_of(launch):
    """Return what is left of a launch's log."""
    return b"".join(map(bytes_of, launch.read()["segments"]))


def bytes_of(path):
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:  # deleted meanwhile, to free space
        return b""


def free_mib(directory):
    return os.statvfs(directory).f_bavail * os.statvfs(directory).f_frsize / 1024**2


def test_the_oldest_segments_are_deleted_before_the_disk_is_full(world, wait_until, tmp_path, small_disk):
    much, more = tmp_path / "much", tmp_path / "more"
    much.write_bytes(LINES)
    steps = [["text", "ready now\n"], ["file", str(much)], ["wait", str(more)], ["flood", 20_000, 8000], ["stay"]]
    world.environ["TRACETAIL_LAUNCHER_MIN_FREE_DISK_MB"] = "32"
    launch = world.launch(world.start(steps, logDir=str(small_disk), maxLogMB=1).result)
    wait_until(lambda: b"line 0099999 of" in lines_of(launch))
    first, second = map(Path, launch.read()["segments"][:2])
    sizes = [first.stat().st_size, second.stat().st_size]
    shipped = {"schema": 1, "segments": {str(first): sizes[0]}, "lines": 1, "rejected": 0, "redacted": 0}
    launch.shipped_path.write_text(json.dumps(shipped | {"complete": False}))
    fill(small_disk, 31 * 1024**2)
    more.touch()
    wait_until(lambda: b"line 19999 of a flood" in lines_of(launch))
    wait_until(lambda: free_mib(small_disk) >= 32)
    assert world.run("stop", "--model-name", "m").status == 0
    assert not first.exists()
    assert not second.exists()
    left = lines_of(launch)
    assert f"{first.name} is deleted".encode() not in left  # Loki has it: nothing is lost
    event = f'dropped bytes={sizes[1]} reason="{second.name} is deleted: less than 32 MiB were free"'
    assert event.encode() in left
    assert b"No space left" not in left
    assert Path(launch.read()["segments"][-1]).exists()


def test_gc_removes_the_oldest_segments_when_space_is_low(world, tmp_path, small_disk):
    much = tmp_path / "much"
    much.write_bytes(LINES)
    world.environ["TRACETAIL_LAUNCHER_MIN_FREE_DISK_MB"] = "20"
    launches = []
    for name in ("old", "new"):
        started = world.start([["file", str(much)], ["exit", 1]], modelName=name, logDir=str(small_disk), maxLogMB=1)
        launches.append(world.launch(started.result))
        world.ended(launches[-1])
    old, new = ([Path(path) for path in launch.read()["segments"]] for launch in launches)
    ballast = fill(small_disk, 18 * 1024**2)
    would = json.loads(world.run("gc", "--dry-run", "--json").stdout)
    count = len(would)
    assert [one["path"] for one in would] == [str(path) for path in old[:count]]
    sizes = [path.stat().st_size for path in old[:count]]  # they are still there
    assert sum(sizes[:-1]) < 2 * 1024**2 <= sum(sizes) + 65536  # as few as will do
    printed = world.run("gc").stdout
    assert f"{old[0]} " in printed
    assert "removed because the disk is full: Loki does not have all of it" in printed
    assert [path.exists() for path in old] == [False] * count + [True] * (len(old) - count)
    dropped = [event.fields["reason"] for event in world.events(Tail(launches[0])) if event.name == "dropped"]
    assert dropped == [f"{path.name} is deleted: less than 20 MiB were free" for path in old[:count]]
    assert all(path.exists() for path in new)
    ballast.unlink()
    assert world.run("gc").stdout.startswith("removed 0 files")
    fill(small_disk, 0)
    world.environ["TRACETAIL_LAUNCHER_MIN_FREE_DISK_MB"] = "60"
    assert world.run("gc").status == 0
    world.environ["TRACETAIL_LAUNCHER_MIN_FREE_DISK_MB"] = str(1 << 40)
    assert "no other ended launch can be removed" in world.run("gc").stderr
    assert [path.exists() for path in [*old, *new]] == [path in (old[-1], new[-1]) for path in [*old, *new]]


class Tail:
    """What is left of a launch whose first segments are deleted."""

    def __init__(self, launch):
        self._record = launch.read()

    def read(self):
        return self._record | {"segments": [path for path in self._record["segments"] if Path(path).exists()]}
