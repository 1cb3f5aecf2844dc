"""What becomes of log files on real machines, staged against a whole agent: each line once, or a gap event says so.

Beside each fate is where it happened to users of this agent's peers. test_file_fates.py has more of them, in process.
"""

import asyncio
import contextlib
import gzip
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import cramjam
import pytest
from support.agent_loki import LokiStandIn, Stored
from support.agent_process import AgentProcess
from support.fates import Fate, mount, run
from support.waiting import eventually

from tracetail.agent.journal.database import journal_path
from tracetail.agent.reading.discovery import GLOB_EVERY_SECONDS

pytestmark = [pytest.mark.field, pytest.mark.timeout(300)]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")

BANNER = [f"Starting the server with option number {number} of the configuration" for number in range(60)]
"""More than the 512 bytes by which a file is recognised."""


# Which file is which


async def test_the_inode_of_a_deleted_file_is_used_again_by_another_one(fate: Fate) -> None:
    # vectordotdev/vector#25079, vectordotdev/vector#23076, fluent/fluent-bit#8025
    await fate.follow("*.log")
    for number in range(8):
        path = fate.number(f"app{number}.log", 50)
        await fate.arrive()
        path.unlink()
    await fate.arrive(quiet=2)
    assert fate.gaps == []


async def test_files_with_the_same_first_lines_are_told_apart(fate: Fate) -> None:
    # vectordotdev/vector#25079: other lines behind the same first ones; vectordotdev/vector#643: alike altogether
    for name in ("a.log", "b.log"):
        fate.append(name, *BANNER)
        fate.number(name, 20)
    for name in ("c.log", "d.log"):
        fate.append(name, "the same and nothing else")
    await fate.follow("*.log")
    await fate.arrive(quiet=1)


async def test_a_rotation_by_a_banner_is_not_taken_for_the_file_before(fate: Fate) -> None:
    await fate.follow("*.log")
    for number in range(4):
        fate.append("app.log", *BANNER)
        fate.number("app.log", number + 1)
        await fate.arrive()
        (fate.dir / "app.log").rename(fate.dir / f"app.log.{4 - number}")
    await fate.arrive(quiet=2)
    assert fate.gaps == []


async def test_two_names_of_one_file_are_read_once(fate: Fate) -> None:
    # elastic/beats#1686, fluent/fluent-bit#6867
    path = fate.number("app.log", 20)
    os.link(path, fate.dir / "hard.log")
    (fate.dir / "soft.log").symlink_to("app.log")
    await fate.follow("*.log")
    await fate.arrive()
    fate.number("hard.log", 20)
    await fate.arrive(quiet=2)


async def test_a_hard_link_is_gone_on_with_when_the_other_name_is_deleted(fate: Fate) -> None:
    path = fate.number("app.log", 20)
    os.link(path, fate.dir / "hard.log")
    await fate.follow("*.log")
    await fate.arrive()
    path.unlink()
    fate.number("hard.log", 20)
    await fate.arrive(quiet=2)


async def test_globs_that_overlap_read_a_file_once(fate: Fate) -> None:
    # fluent/fluent-bit#5320
    fate.number("a/app.log", 20)
    await fate.follow("*/*.log", "**/*.log", "a/app*")
    await fate.arrive()
    fate.number("a/app.log", 20)
    (fate.dir / "a/app.log").rename(fate.dir / "a/app.log.1")
    fate.number("a/app.log", 20)
    await fate.arrive(quiet=2)


async def test_links_that_loop_end_nothing(fate: Fate) -> None:
    # a link upwards under `**`, and one to itself
    fate.number("a/app.log", 20)
    (fate.dir / "a/up").symlink_to("..")
    (fate.dir / "loop.log").symlink_to("loop.log")
    await fate.follow("**/*.log")
    await fate.arrive()
    fate.number("a/app.log", 20)
    await fate.arrive(quiet=2)


@needs_root
async def test_a_directory_that_is_mounted_twice_is_read_once(fate: Fate, unmount: list[Path]) -> None:
    # bind mounts, as of a host's /var/log in a DaemonSet
    fate.number("a/app.log", 20)
    (fate.dir / "b").mkdir()
    mount("--bind", fate.dir / "a", fate.dir / "b")
    unmount.append(fate.dir / "b")
    await fate.follow("*/app.log")
    await fate.arrive()
    fate.number("a/app.log", 20)
    await fate.arrive(quiet=2)


@needs_root
async def test_a_file_of_an_image_layer_that_is_written_to_goes_on(fate: Fate, unmount: list[Path]) -> None:
    # overlayfs copies a file up when it is first written to, and a reader of the lower one may see nothing of it
    for name in ("lower", "upper", "work", "merged"):
        (fate.dir / name).mkdir()
    fate.number("lower/app.log", 20)
    mount(
        "-t",
        "overlay",
        "overlay",
        fate.dir / "merged",
        "-o",
        ",".join(
            f"{option}={fate.dir / name}"
            for option, name in (("lowerdir", "lower"), ("upperdir", "upper"), ("workdir", "work"))
        ),
    )
    unmount.append(fate.dir / "merged")
    await fate.follow("merged/*.log")
    await fate.arrive()
    fate.number("merged/app.log", 20)
    await fate.arrive(quiet=2)


@needs_root
async def test_a_read_only_file_system_is_followed(fate: Fate, unmount: list[Path]) -> None:
    (fate.dir / "ro").mkdir()
    fate.number("rw/app.log", 20)
    mount("--bind", fate.dir / "rw", fate.dir / "ro")
    unmount.append(fate.dir / "ro")
    mount("-o", "remount,bind,ro", fate.dir / "ro")
    await fate.follow("ro/*.log")
    await fate.arrive()
    fate.number("rw/app.log", 20)
    await fate.arrive()


# Rotations


async def rotate(fate: Fate, away, turns: int = 4) -> None:
    """Write, and let `away` take the file away, while the agent runs and in the end while it is down."""
    await fate.follow()
    fate.number("app.log", 1)
    await fate.arrive()
    for turn in range(turns):
        fate.number("app.log", 30)
        if turn % 2:
            await fate.arrive()
        away(fate.dir / "app.log", turn)
        fate.number("app.log", 5)
        await fate.arrive()
    await fate.agent.stop()
    fate.number("app.log", 30)
    away(fate.dir / "app.log", turns)
    fate.number("app.log", 5)
    await fate.follow()
    await fate.arrive(quiet=2)
    assert fate.gaps == []


@pytest.mark.parametrize(
    "name",
    [
        "app.log-2026112{}",
        "app.log.2026-11-27_02-03-0{}",
        "app-2026112{}.log",
        "app.log.{}",
        "app.log.2026-11-27T02:03:0{}",
    ],
    ids=["logrotate dateext", "TimedRotatingFileHandler", "logback", "numbered", "log4j"],
)
@pytest.mark.parametrize("glob", ["app.log", "app*"])
async def test_rotated_by_name(fate: Fate, name: str, glob: str) -> None:
    # grafana/loki#2353, corelight/json-streaming-logs#5, lausser/check_logfiles#43, scalyr/scalyr-agent-2#753
    fate._globs = (glob,)
    await rotate(fate, lambda path, turn: path.rename(path.with_name(name.format(turn))))


async def test_rotated_to_another_directory(fate: Fate) -> None:
    # logrotate's olddir
    fate._globs = ("*.log",)
    (fate.dir / "old").mkdir()
    await rotate(fate, lambda path, turn: path.rename(fate.dir / "old" / f"app.log.{turn}"))


async def test_moved_to_another_file_system_while_it_is_read(fate: Fate) -> None:
    # mv over file systems copies and deletes
    await fate.follow("*.log")
    elsewhere = Path("/dev/shm") / f"tracetail-{os.getpid()}-{time.monotonic_ns()}"
    elsewhere.mkdir()
    fate.number("app.log", 1)
    await fate.arrive()
    try:
        for turn in range(3):
            fate.number("app.log", 200)
            shutil.move(fate.dir / "app.log", elsewhere / f"app.log.{turn}")
            fate.number("app.log", 5)
            await fate.arrive()
    finally:
        shutil.rmtree(elsewhere)
    assert fate.gaps == []


async def test_kept_for_one_rotation_only(fate: Fate) -> None:
    # logrotate's rotate 1 and maxage: a file is deleted soon after its rotation
    await fate.follow("*.log")
    for _ in range(6):
        fate.number("app.log", 100)
        await fate.arrive()
        fate.number("app.log", 5, "last")
        (fate.dir / "app.log").replace(fate.dir / "app.log.1")
        fate.number("app.log", 5)
    await fate.arrive(quiet=2)
    assert fate.gaps == []


async def test_a_copy_whose_original_could_not_be_truncated_is_not_read(fate: Fate) -> None:
    # logrotate/logrotate#3: a rotation that fails in between
    await fate.follow("app*")
    fate.number("app.log", 100)
    await fate.arrive()
    shutil.copy(fate.dir / "app.log", fate.dir / "app.log.1")
    fate.number("app.log", 20)
    await fate.arrive(quiet=6)


@pytest.mark.parametrize("truncated", [False, True])
async def test_a_copy_that_is_made_while_the_first_lines_are_on_their_way_is_not_read(
    fate: Fate, loki: LokiStandIn, *, truncated: bool
) -> None:
    # a rotation while Loki cannot be reached, or is slow
    arrived, answer = asyncio.Event(), asyncio.Event()

    async def hold(entries: list[Stored], loki: LokiStandIn) -> None:
        arrived.set()
        await answer.wait()

    loki.behaviours = [hold]
    await fate.follow("app*")
    fate.number("app.log", 100)
    await asyncio.wait_for(arrived.wait(), 60)
    shutil.copy(fate.dir / "app.log", fate.dir / "app.log.1")
    if truncated:
        os.truncate(fate.dir / "app.log", 0)
    fate.number("app.log", 20)
    # Whoever takes the copy for a log sends it now.
    bodies = len(loki.bodies)
    with contextlib.suppress(TimeoutError):
        await loki.until(lambda: len(loki.bodies) > bodies, GLOB_EVERY_SECONDS + 2)
    answer.set()
    await fate.arrive(quiet=2)
    assert fate.gaps == []


async def test_copied_and_truncated_while_two_writers_append(fate: Fate) -> None:
    # `tee -a` by two programs
    await fate.follow("app*")
    fate.number("app.log", 1)
    await fate.arrive()

    def write(name: str) -> list[str]:
        lines = [f"{name} line {number:05d}" for number in range(1500)]
        with subprocess.Popen(["tee", "-a", fate.dir / "app.log"], stdin=-1, stdout=subprocess.DEVNULL) as tee:
            for line in lines:
                tee.stdin.write(line.encode() + b"\n")
                tee.stdin.flush()
                time.sleep(0.001)
            tee.stdin.close()
        return lines

    writers = [asyncio.to_thread(write, name) for name in ("one", "two")]
    for lines in await asyncio.gather(*writers):
        fate.wanted += lines
    await fate.arrive(quiet=1)
    assert fate.gaps == []


@pytest.mark.parametrize("glob", ["app.log", "app*"])
async def test_compressed_one_rotation_later(fate: Fate, glob: str) -> None:
    # logrotate's delaycompress; a glob that matches the packed files; fluent/fluent-bit#7709
    await fate.follow(glob)
    for turn in range(4):
        fate.number("app.log", 30)
        await fate.arrive()
        for number in range(turn, 0, -1):
            old = fate.dir / f"app.log.{number}.gz"
            if old.exists():
                old.rename(fate.dir / f"app.log.{number + 1}.gz")
        before = fate.dir / "app.log.1"
        if before.exists():
            (fate.dir / "app.log.2.gz").write_bytes(gzip.compress(before.read_bytes()))
            before.unlink()
        fate.number("app.log", 5, "last")
        (fate.dir / "app.log").rename(before)
        fate.number("app.log", 5)
    await fate.arrive(quiet=2)
    assert fate.gaps == []


async def test_a_rotation_in_a_compression_that_is_not_read_is_named(fate: Fate) -> None:
    await fate.follow("*.log")
    fate.number("app.log", 20)
    await fate.arrive()
    await fate.agent.stop()
    fate.append("app.log", "lost", wanted=False)
    packed = cramjam.lz4.compress((fate.dir / "app.log").read_bytes())
    (fate.dir / "app.log.1.lz4").write_bytes(bytes(packed))
    (fate.dir / "app.log").unlink()
    fate.number("app.log", 5)
    await fate.follow()
    await fate.arrive()
    await eventually(lambda: fate.gaps)
    assert "app.log.1.lz4 cannot be unpacked here" in fate.gaps[0]["reason"]


async def test_rotated_and_compressed_as_soon_as_it_is_opened_deep_below_a_glob(fate: Fate) -> None:
    # a pod's directories and its restarts: pods/<pod>/<container>/<restart>.log, rotated by the kubelet
    fate.number("pods/a/vllm/before.log", 1)
    await fate.follow("pods/*/*/*.log")
    await fate.arrive()
    agent = Path(f"/proc/{fate.agent.process.pid}/fd")

    def opened(path: Path) -> bool:
        with contextlib.suppress(OSError):
            return any(descriptor.readlink() == path for descriptor in agent.iterdir())
        return False

    began = time.monotonic()
    for restart in range(10):
        path = fate.number(f"pods/a/vllm/{restart}.log", 20)
        path.rename(path.with_name(f"{path.name}.20261127-024701"))
        fate.number(f"pods/a/vllm/{restart}.log", 20)
        await eventually(lambda path=path: opened(path))
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert time.monotonic() - began < 10 * GLOB_EVERY_SECONDS / 2
    await fate.arrive(quiet=1)
    assert fate.gaps == []


async def test_rotated_twice_before_the_path_was_ever_seen(fate: Fate) -> None:
    # created and rotated between two looks at the glob
    fate.number("other.log", 5)
    fate.append("app.log.3", "of last year", wanted=False)
    await fate.follow("app.log", "other.log")
    await fate.arrive()
    await fate.agent.stop()
    for turn in (2, 1):
        fate.number("app.log", 20)
        (fate.dir / "app.log").rename(fate.dir / f"app.log.{turn}")
    fate.number("app.log", 20)
    await fate.follow()
    await fate.arrive(quiet=2)


# Written anew, replaced, moved


async def test_truncated_and_written_larger_between_two_polls(fate: Fate) -> None:
    # rsyslog/rsyslog#511, alibaba/loongcollector#1267, logdna/logdna-agent-v2#580
    await fate.follow("*.log")
    for turn in range(3):
        fate.number("app.log", 20)
        await fate.arrive()
        os.truncate(fate.dir / "app.log", 0)
        fate.number("app.log", 50 * (turn + 1), f"turn {turn}")
    await fate.arrive(quiet=2)
    assert all(gap["from"] == gap["to"] for gap in fate.gaps)  # nothing is known to be lost


async def test_replaced_by_a_directory_and_made_again(fate: Fate) -> None:
    await fate.follow("*.log")
    path = fate.number("app.log", 20)
    await fate.arrive()
    path.unlink()
    path.mkdir()
    await eventually(lambda: any("app.log is a directory" in line for line in fate.agent.errors))
    path.rmdir()
    fate.number("app.log", 20)
    await fate.arrive(quiet=2)
    assert fate.gaps == []


@pytest.mark.parametrize("seconds", [1, 4e9], ids=["1970", "2096"])
async def test_times_of_a_file_that_go_back_or_are_in_the_future(fate: Fate, seconds: float) -> None:
    # a clock that is set back, backups that are restored
    await fate.follow("*.log")
    for _ in range(3):
        path = fate.number("app.log", 20)
        os.utime(path, (seconds, seconds))
        await fate.arrive()
        path.rename(path.with_name("app.log.1"))
        os.utime(path.with_name("app.log.1"), (seconds, seconds))
        fate.number("app.log", 5)
        os.utime(path, (seconds, seconds))
    await fate.arrive(quiet=2)
    assert fate.gaps == []


async def test_the_directory_above_is_renamed(fate: Fate) -> None:
    # fluent/fluent-bit#794, papertrail/remote_syslog2#137
    await fate.follow("*/app.log")
    with fate.number("run1/app.log", 20).open("a", buffering=1) as writer:
        await fate.arrive()
        (fate.dir / "run1").rename(fate.dir / "archived1")
        fate.wanted.append("written under the other name")
        writer.write("written under the other name\n")
        fate.number("run1/app.log", 20)
        await fate.arrive(quiet=6)
    assert fate.gaps == []


async def test_a_directory_that_is_switched_by_a_link(fate: Fate) -> None:
    # releases that `current` points to: fluent/fluent-bit#1118, papertrail/remote_syslog2#45
    await fate.follow("current/*.log")
    for release in range(1, 4):
        fate.number(f"releases/{release}/app.log", 20)
        (fate.dir / "next").symlink_to(f"releases/{release}")
        (fate.dir / "next").rename(fate.dir / "current")
        await fate.arrive()
        fate.number(f"releases/{release}/app.log", 5)
    await fate.arrive(quiet=2)
    assert fate.gaps == []


async def test_renamed_to_another_name_of_the_glob(fate: Fate) -> None:
    # logs that get their date when they are complete: aws/amazon-cloudwatch-agent#678
    await fate.follow("*.log")
    with fate.number("current.log", 20).open("a", buffering=1) as writer:
        await fate.arrive()
        (fate.dir / "current.log").rename(fate.dir / "ended-at-noon.log")
        fate.wanted.append("the last line")
        writer.write("the last line\n")
        await fate.arrive(quiet=6)
    fate.number("current.log", 20)
    await fate.arrive(quiet=2)
    assert fate.gaps == []


async def test_two_files_that_swap_their_names(fate: Fate) -> None:
    await fate.follow("*.log")
    fate.number("a.log", 20)
    fate.number("b.log", 20)
    await fate.arrive()
    for old, new in (("a.log", "c"), ("b.log", "a.log"), ("c", "b.log")):
        (fate.dir / old).rename(fate.dir / new)
    fate.number("a.log", 5)
    fate.number("b.log", 5)
    await fate.arrive(quiet=4)
    assert fate.gaps == []


async def test_the_silly_rename_of_nfs(fate: Fate) -> None:
    # a file that is deleted on an NFS client while it is open there gets a name like this, until it is closed
    await fate.follow("*")
    with fate.number("app.log", 20).open("a", buffering=1) as writer:
        await fate.arrive()
        (fate.dir / "app.log").rename(fate.dir / ".nfs000000000a1b2c3d00000001")
        fate.wanted.append("the last line")
        writer.write("the last line\n")
        fate.number("app.log", 20)
    (fate.dir / ".nfs000000000a1b2c3d00000001").unlink()
    await fate.arrive(quiet=4)
    assert fate.gaps == []


# Large, fast, many


async def test_a_file_that_grows_while_it_is_first_read(fate: Fate) -> None:
    lines = [f"line {number:07d} " + "x" * 80 for number in range(200_000)]

    def write() -> None:
        with (fate.dir / "app.log").open("a") as file:
            for start in range(0, len(lines), 1000):
                file.writelines(line + "\n" for line in lines[start : start + 1000])
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    fate.wanted += lines
    await fate.follow("*.log")
    await asyncio.to_thread(writer.join)
    await fate.arrive(120)


async def test_a_line_of_twenty_megabytes_without_an_end(fate: Fate, loki: LokiStandIn) -> None:
    # fluent/fluent-bit#3488, grafana/loki#12197
    long = "".join(f"{number:09d} " for number in range(2_000_000))
    with (fate.dir / "app.log").open("a", buffering=1) as writer:
        writer.write(long)
        await fate.follow("*.log")
        await eventually(lambda: sum(map(len, loki.lines())) == len(long))
        writer.write(" the end\nthe next\n")
        await eventually(lambda: loki.lines()[-1] == "the next")
    assert "".join(loki.lines()[:-1]) == long + " the end"


async def test_a_thousand_files_of_which_most_are_deleted_again_and_again(fate: Fate) -> None:
    # vectordotdev/vector#8101, elastic/beats#896: deleted files stay open
    await fate.follow("*.log")
    for turn in range(3):
        for number in range(1000):
            fate.append(f"{number}.log", f"turn {turn} file {number}")
        await fate.arrive(120)
        for number in range(900):
            (fate.dir / f"{number}.log").unlink()
    for number in range(1000):
        fate.append(f"{number}.log", f"the end {number}")
    await fate.arrive(120, quiet=1)
    # More than are kept open: what was written to a closed one before it was deleted is not known, and said.
    assert all(gap["from"] == gap["to"] for gap in fate.gaps)


# The agent's own place


async def test_the_journal_is_removed_while_the_agent_runs(fate: Fate, state_dir: Path) -> None:
    await fate.follow("*.log")
    fate.number("app.log", 20)
    await fate.arrive()
    shutil.rmtree(journal_path(state_dir).parent)
    fate.number("app.log", 20)
    await fate.arrive()
    await fate.agent.stop()
    fate.number("app.log", 20)
    await fate.follow()
    await fate.arrive(quiet=2)


async def test_the_journal_is_removed_and_another_agent_is_started_there(
    fate: Fate, loki: LokiStandIn, state_dir: Path
) -> None:
    await fate.follow("*.log")
    fate.number("app.log", 20)
    await fate.arrive()
    first = fate.agent
    first.signal(signal.SIGSTOP)  # it may be about to note what has arrived, and would write the journal again
    shutil.rmtree(journal_path(state_dir).parent)
    await fate.follow()  # it knows nothing of what the first one has sent
    first.signal(signal.SIGCONT)
    fate.append("app.log", "the last line")
    assert await asyncio.wait_for(first.process.wait(), 30) == 1
    assert "another agent uses the journal" in first.errors[-1]
    await eventually(lambda: loki.lines().count("the last line") == 1)


async def test_the_journal_is_replaced_by_an_older_one_while_the_agent_runs(fate: Fate, state_dir: Path) -> None:
    await fate.follow("*.log")
    fate.number("app.log", 20)
    await fate.arrive()
    await fate.agent.stop()
    shutil.copy(journal_path(state_dir), state_dir / "older.db")
    await fate.follow()
    fate.number("app.log", 20)
    await fate.arrive()
    (state_dir / "older.db").rename(journal_path(state_dir))
    fate.number("app.log", 20)
    await fate.arrive()
    await fate.agent.kill()
    errors = fate.agent.errors
    fate.number("app.log", 20)
    await fate.follow()
    await fate.arrive(quiet=2)
    assert any("was removed or replaced" in line for line in errors)


@needs_root
async def test_the_journals_disk_is_full(fate: Fate, state_dir: Path, unmount: list[Path]) -> None:
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", state_dir)
    unmount.append(state_dir)
    await fate.follow("*.log")
    fate.number("app.log", 20)
    await fate.arrive()
    ballast = state_dir / "ballast"
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(bytes(2 << 20))
    fate.number("app.log", 20_000)
    await eventually(lambda: any("cannot be written" in line for line in fate.agent.errors))
    ballast.unlink()
    await fate.arrive(quiet=1)
    assert fate.gaps == []


async def test_a_second_agent_refuses_and_the_first_goes_on(fate: Fate, loki: LokiStandIn, state_dir: Path) -> None:
    await fate.follow("*.log")
    fate.number("app.log", 20)
    await fate.arrive()
    second = AgentProcess(state_dir, loki.url)
    with pytest.raises(AssertionError):
        await second.start()
    await second.kill()
    assert any("another agent uses the journal" in line for line in second.errors)
    fate.number("app.log", 20)
    await fate.arrive(quiet=2)


@pytest.mark.needs("unshare")
@pytest.mark.parametrize("limit", ["max_inotify_instances", "max_inotify_watches"])
async def test_without_inotify_files_are_scanned_for(fate: Fate, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    # rsyslog/rsyslog#726, gorakhargosh/watchdog#846
    wrapper = fate.dir.parent / "without-inotify"
    wrapper.write_text(f'#!/bin/sh\necho 0 > /proc/sys/user/{limit}\nexec "$@"\n')
    wrapper.chmod(0o755)
    if run("unshare", "-r", wrapper, "true").returncode:
        pytest.skip("user namespaces are not allowed here")
    monkeypatch.setenv("AGENT_COMMAND_PREFIX", f"unshare -r {wrapper}")
    fate.number("a.log", 20)
    await fate.follow("*.log")
    await fate.arrive()
    fate.number("b.log", 20)
    fate.number("a.log", 20)
    await fate.arrive()
    assert any("cannot watch" in line for line in fate.agent.errors)
