"""What becomes of log files in the field, in process: no byte goes without a gap, no line comes twice.

The fates are those of public reports. tests/agent/test_field_files.py has those that need a whole agent.
"""

import bz2
import gzip
import itertools
import lzma
import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.file_follower import Clock, Follower
from support.waiting import wait_for

from tracetail.agent.journal.database import Journal
from tracetail.agent.reading import open_files, reader, rotation, unpacked
from tracetail.agent.reading.discovery import Discovery
from tracetail.agent.reading.open_files import OpenFiles, descriptor_limits
from tracetail.agent.reading.reader import BLOCK_BYTES, FileReader
from tracetail.agent.reading.text_check import looks_binary
from tracetail.agent.reading.unpacked import IN_PLACE_BYTES, StillUnpackingError
from tracetail.agent.settings import AgentSettings, SourceSettings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def follow(path: Path, clock: Clock) -> Iterator[Callable[..., Follower]]:
    """Begin to follow app.log, which has the lines that are given."""
    begun: list[Follower] = []

    def begin(*lines: str, at: Path = path, **settings: object) -> Follower:
        if lines:
            append(at, *lines)
        begun.append(Follower(at, clock, **settings))
        return begun[-1].follow()

    yield begin
    for follower in begun:
        follower.source.close()


def append(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(line + "\n" for line in lines)


def numbered(name: str, count: int) -> list[str]:
    return [f"{name} line {number:04d}" for number in range(count)]


def reasons(follower: Follower) -> list[str]:
    return [gap.reason for gap in follower.gaps]


# Written anew


@pytest.mark.parametrize("size", ["shorter", "equal", "longer"])
def test_a_file_written_anew_in_place_is_read_from_its_start(follow, path: Path, size: str) -> None:
    # fluent/fluent-bit#8955, fluent/fluent-bit#359
    follower = follow("first")
    text = {"shorter": "2nd", "equal": "other", "longer": "a longer one"}[size]
    path.write_text(text + "\n")
    assert follower.follow().lines == ["first", text]
    assert follower.gaps == []


def test_a_file_written_anew_with_the_same_last_lines_is_read_from_its_start(follow, path: Path) -> None:
    same = numbered("same", 100)
    follower = follow("first", *same)
    path.write_text("".join(line + "\n" for line in ["other", *same]))
    assert follower.follow().lines == ["first", *same, "other", *same]


def test_a_touched_file_is_not_read_again(follow, path: Path) -> None:
    follower = follow("first")
    path.touch()
    os.utime(path, (1, 1))
    assert follower.follow().lines == ["first"]


@pytest.mark.parametrize("saved", ["over it", "in place", "by way of a backup"])
def test_a_file_saved_with_the_same_beginning_goes_on(follow, path: Path, tmp_path: Path, saved: str) -> None:
    # fluent/fluent-bit#8955
    lines = numbered("s", 4)
    follower = follow(*lines)
    for count in (8, 12):
        lines = numbered("s", count)
        text = "".join(line + "\n" for line in lines)
        if saved == "in place":
            path.write_text("")
            follower.source.poll()  # the agent looks just when the file is empty
            follower.source.read()
            path.write_text(text)
        elif saved == "over it":
            (tmp_path / "temporary").write_text(text)
            (tmp_path / "temporary").replace(path)
        else:
            path.rename(tmp_path / "app.log~")
            path.write_text(text)
        assert follower.follow().lines == lines
    assert follower.gaps == []


def test_a_file_deleted_and_made_again_with_the_same_lines_is_read_again(
    follow, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = follow("start", "ready")
    path.unlink()
    follower.follow()
    append(path, "start", "ready", "more")
    # The clock of a file system may not advance between two operations of a test.
    monkeypatch.setattr("tracetail.agent.reading.reader.birth_time_ns", lambda descriptor: 1 << 63)
    assert follower.follow().lines == ["start", "ready", "start", "ready", "more"]


@pytest.mark.parametrize("born", [1, 1 << 63], ids=["before", "since"])
def test_a_file_made_again_with_the_same_lines_while_the_agent_was_down_is_a_gap(
    follow, path: Path, monkeypatch: pytest.MonkeyPatch, born: int
) -> None:
    # A server that prints no times was started again, or somebody has saved or restored its log: nobody can say.
    follower = follow("start", "ready")
    follower.stop()
    content = path.read_text()
    kept = path.rename(path.with_name("kept"))  # so that its inode is not used again
    path.write_text(content + "more\n")
    kept.unlink()
    monkeypatch.setattr("tracetail.agent.reading.reader.birth_time_ns", lambda descriptor: born)
    assert follower.start().follow().lines == ["start", "ready", "more"]
    assert len(follower.gaps) == (born > 1)
    assert all("begins with the same" in reason for reason in reasons(follower))
    follower.stop()
    assert follower.start().follow().lines == ["start", "ready", "more"]
    assert len(follower.gaps) == (born > 1)


def test_a_rotation_to_a_file_with_the_same_beginning_is_read_whole(follow, path: Path, tmp_path: Path) -> None:
    banner = numbered("banner", 30)
    follower = follow(*banner)
    path.rename(tmp_path / "app.log.1")
    append(path, *banner, "more")
    assert follower.follow().lines == [*banner, *banner, "more"]


# NULs


def test_the_hole_that_copytruncate_leaves_is_one_gap(follow, path: Path, tmp_path: Path) -> None:
    # a writer without O_APPEND, as the JVM's -Xloggc or a plain `command > log`
    with path.open("wb", buffering=0) as writer:
        writer.write(b"before\n" * 100_000)
        follower = follow()
        assert follower.lines == ["before"] * 100_000
        shutil.copy(path, tmp_path / "app.log.1")
        os.truncate(path, 0)
        writer.write(b"after\n")
        assert follower.follow().lines[100_000:] == ["after"]
        assert reasons(follower) == ["0-700000 a hole of NUL bytes"]
        writer.write(b"and on\n")
        assert follower.follow().lines[100_000:] == ["after", "and on"]


def test_nuls_of_a_power_loss_are_a_gap_and_the_lines_around_them_come(follow, path: Path) -> None:
    # fluent/fluent-bit#427, NLog/NLog#5454
    append(path, "a", "b")
    with path.open("ab") as file:
        file.write(b"torn" + bytes(6000))
    append(path, "after", "last")
    follower = follow()
    assert follower.data == b"a\nb\ntornafter\nlast\n"
    assert reasons(follower) == ["8-6008 a hole of NUL bytes"]


@pytest.mark.parametrize("reserve", [lambda file: file.write(bytes(100_000)), lambda file: file.truncate(100_000)])
def test_space_reserved_by_nuls_is_read_when_it_is_filled(follow, path: Path, reserve) -> None:
    with path.open("wb") as file:
        reserve(file)
    follower = follow()
    assert follower.lines == []
    with path.open("r+b", buffering=0) as writer:
        for number in range(3):
            writer.write(f"line {number}\nunfinished".encode())
            follower.follow(0.5)
            assert follower.lines == [f"line {n}" for n in range(number + 1)]
            writer.seek(-len("unfinished"), os.SEEK_CUR)
    assert follower.gaps == []


def test_space_reserved_by_nuls_that_is_left_is_a_gap_in_the_end(follow, path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"one\n" + bytes(1000))
    follower = follow()
    path.rename(tmp_path / "app.log.1")
    append(path, "two")
    follower.follow(100, step=5)
    assert follower.lines == ["one", "two"]
    assert reasons(follower) == ["4-1004 NUL bytes at its end"]


@pytest.mark.parametrize(
    ("content", "binary"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(9), True),
        (b"SQLite format 3\0", True),
        (gzip.compress(b"x", mtime=0), True),
        (random.Random(1).randbytes(4096), True),
        (b"\x02\0\0\0\x33\0\0\0tty1" + (bytes(40) + b"root" + bytes(40) + b"\x01") * 20, True),
        (b"\x01\x02tty1\0\0host", True),
        ("日志 模型\n".encode("gbk") * 9, False),
        (b"\x1b[32mINFO\x1b[0m\r 50%|### |\r 60%\b\n", False),
        (b"text" + bytes(400) + b"text\n", False),
        (b"one \0 NUL\n", False),
        (b"2026-11-26T14:31:25.123456789Z stdout F " + bytes(range(32)) * 9, False),
        (b'{"log":"' + bytes(range(1, 32)) * 9, False),
        (b"", False),
    ],
)
def test_binary_files_are_recognised(content: bytes, binary: bool) -> None:
    assert looks_binary(content) is binary


def test_a_binary_or_sparse_file_is_left_alone_with_one_warning(follow, path: Path, caplog) -> None:
    # grafana/loki#3878: lastlog, sparse, 292 MiB
    with path.open("wb") as file:
        file.truncate(292 << 20)
        file.seek(100 << 20)
        file.write(b"\x01\x02tty1\0\0host")
    follower = follow()
    for number in range(3):
        with path.open("r+b") as file:
            file.seek(number << 20)
            file.write(b"\x03\x04tty2\0\0host")
        follower.follow()
    assert (follower.data, follower.gaps) == (b"", [])
    assert [record.message for record in caplog.records if "looks like a binary file" in record.message] == [
        caplog.records[0].message
    ]
    assert follow(binary=True).data != b""


# Rotation


def test_late_lines_of_all_targets_of_a_link_that_flips_are_read(follow, path: Path, tmp_path: Path) -> None:
    # fluent/fluent-bit#4839, grafana/loki#377
    targets = [tmp_path / f"{day:02d}.txt" for day in range(5)]
    append(targets[0], "first 0")
    path.symlink_to(targets[0])
    follower = follow()
    for before, target in itertools.pairwise(targets):
        append(target, f"first {target.stem}")
        (tmp_path / "next").symlink_to(target)
        (tmp_path / "next").replace(path)
        follower.follow(1.5)
        append(before, f"late {before.stem}")
        append(target, f"newer {target.stem}")
        follower.follow(1.5)
    append(targets[0], "last of the first")
    follower.follow()
    wanted = ["first 0", *(f"{word} {n:02d}" for n in range(1, 5) for word in ("first", "newer"))]
    wanted += [*(f"late {n:02d}" for n in range(4)), "last of the first"]
    assert sorted(follower.lines) == sorted(wanted)
    assert follower.gaps == []


def test_a_link_that_flips_back_goes_on_where_its_target_was(follow, path: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    path.symlink_to(one)
    follower = follow("1a")
    for target, line in ((two, "2a"), (one, "1b"), (two, "2b")):
        append(target, line)
        (tmp_path / "next").symlink_to(target)
        (tmp_path / "next").replace(path)
        follower.follow()
    assert follower.lines == ["1a", "2a", "1b", "2b"]


def test_targets_that_a_link_had_while_the_agent_was_down_are_read(follow, path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "log-01")
    follower = follow("one")
    follower.stop()
    append(path, "more of one")
    for day in ("02", "03", "04"):
        append(tmp_path / f"log-{day}", f"of {day}")
        path.unlink()
        path.symlink_to(tmp_path / f"log-{day}")
    assert follower.start().follow().lines == ["one", "more of one", "of 02", "of 03", "of 04"]


PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd.compress}


@pytest.mark.parametrize("ending", PACKERS)
def test_two_rotations_compressed_while_the_agent_was_down_are_read(
    follow, path: Path, tmp_path: Path, ending: str
) -> None:
    follower = follow("one")
    follower.stop()
    append(path, "more of one")
    for number, line in ((2, "of the second"), (1, "of the third")):
        rotated = tmp_path / f"app.log.{number}{ending}"
        times = path.stat()
        rotated.write_bytes(PACKERS[ending](path.read_bytes()))
        os.utime(rotated, ns=(times.st_atime_ns, times.st_mtime_ns))
        path.unlink()
        append(path, line)
    assert follower.start().follow().lines == ["one", "more of one", "of the second", "of the third"]
    assert follower.gaps == []


@pytest.mark.parametrize(
    ("ending", "hint"),
    [(".lz4", ""), (".zst", " (pip install 'tracetail[zstd]')")],
    ids=["lz4", "zstd without its extra"],
)
def test_a_rotation_in_a_compression_that_is_not_read_is_named_by_the_gap(
    follow, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, hint: str
) -> None:
    monkeypatch.setattr(rotation, "ENDINGS", (".gz",))
    follower = follow("one")
    follower.stop()
    (tmp_path / f"app.log.1{ending}").write_bytes(b"packed")
    path.unlink()
    append(path, "two")
    assert follower.start().follow().lines == ["one", "two"]
    [reason] = reasons(follower)
    assert f"; app.log.1{ending} cannot be unpacked here{hint};" in reason


def test_a_large_rotation_is_unpacked_in_a_thread(
    follow, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, unpack = threading.Event(), unpacked._unpack

    def unpack_later(packed: Path):
        looked.wait(60)
        return unpack(packed)

    monkeypatch.setattr(unpacked, "_unpack", unpack_later)
    follower = follow("one")
    follower.stop()
    lines = [f"{number} {random.Random(number).random()}" for number in range(20_000)]
    append(path, *lines)
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert (tmp_path / "app.log.1.gz").stat().st_size > IN_PLACE_BYTES
    path.unlink()
    append(path, "two")
    with pytest.raises(StillUnpackingError):
        follower.start().follow()
    looked.set()

    def is_unpacked() -> bool:
        try:
            return bool(follower.follow())
        except StillUnpackingError:
            return False

    wait_for(is_unpacked)
    assert follower.lines == ["one", *lines, "two"]
    assert follower.gaps == []


@pytest.mark.parametrize("lines", [1, 20_000])
def test_files_that_were_compressed_before_their_path_was_seen_are_read(
    clock: Clock, path: Path, tmp_path: Path, lines: int
) -> None:
    # logback's SizeAndTimeBasedRollingPolicy, log4j2's SizeBasedTriggeringPolicy with .gz: a program that was started
    # while the agent was down lost its first files without a gap
    listed_ns = time.time_ns()
    chance = random.Random(0)
    wanted = []
    for number in (1, 2):
        append(path, *(f"of {number} {chance.getrandbits(256):x}" for _ in range(lines)))
        wanted += path.read_text().splitlines()
        (tmp_path / f"app-{number}.log.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    append(path, "now")
    follower = Follower(path, clock, listed_ns=listed_ns)

    def is_read() -> bool:
        try:
            return "now" in follower.follow().lines
        except StillUnpackingError:
            return False

    wait_for(is_read)
    assert follower.lines == [*wanted, "now"]
    follower.source.close()


def test_a_file_whose_time_is_that_of_its_second_is_read_if_it_was_rotated_before_its_path_was_seen(
    clock: Clock, path: Path, tmp_path: Path
) -> None:
    # sshfs: SFTP has whole seconds
    listed_ns = time.time_ns()
    append(path, "one")
    path.rename(tmp_path / "app.log.1")
    os.utime(tmp_path / "app.log.1", (listed_ns // 10**9, listed_ns // 10**9))
    append(path, "two")
    follower = Follower(path, clock, listed_ns=listed_ns).follow()
    assert follower.lines == ["one", "two"]
    follower.source.close()


@pytest.mark.parametrize("born", ["known", "not known"])
@pytest.mark.parametrize("listed", ["before", "after", "never"])
def test_files_that_were_rotated_before_their_path_was_seen_are_read_unless_they_are_history(
    clock: Clock, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: str, born: str
) -> None:
    if born == "not known":
        # bindfs and sshfs (FUSE): they were lost without a gap; without events of changes, a path is seen late there
        monkeypatch.setattr(FileReader, "birth_time_ns", lambda reader: None)
    listed_ns = {"before": time.time_ns(), "after": time.time_ns() + 10**9, "never": 0}[listed]
    for number in (2, 1):
        append(path, f"of {number}")
        path.rename(tmp_path / f"app.log.{number}")
    (tmp_path / "app.log.3.gz").write_bytes(gzip.compress(b"of last year\n"))
    os.utime(tmp_path / "app.log.3.gz", (1, 1))
    append(path, "now")
    follower = Follower(path, clock, listed_ns=listed_ns).follow()
    assert follower.lines == (["of 2", "of 1", "now"] if listed == "before" else ["now"])
    follower.source.close()


def test_a_file_rotated_before_the_first_look_of_the_first_agent_is_read(
    clock: Clock, path: Path, tmp_path: Path
) -> None:
    # It counted as history.
    append(tmp_path / "app.log.2", "of last year")
    os.utime(tmp_path / "app.log.2", (1, 1))
    journal = Journal(tmp_path / "agent" / "journal.db")
    journal.open()
    append(path, "one")
    path.rename(tmp_path / "app.log.1")
    append(path, "two")
    follower = Follower(path, clock, listed_ns=journal.listed_ns).follow()
    assert follower.lines == ["one", "two"]
    follower.source.close()
    journal.close()


def test_a_file_moved_to_another_directory_while_the_agent_was_down_is_found(
    follow, path: Path, tmp_path: Path
) -> None:
    # logrotate's olddir
    follower = follow("one")
    follower.stop()
    append(path, "more of one")
    (tmp_path / "archive").mkdir()
    path.rename(tmp_path / "archive" / "whatever")
    append(path, "two")
    assert follower.start().follow().lines == ["one", "more of one", "two"]


def test_a_file_of_the_same_banner_between_two_polls_is_not_taken_for_a_copy(
    follow, path: Path, tmp_path: Path
) -> None:
    banner = numbered("banner", 40)
    follower = follow(*banner, "one")
    path.rename(tmp_path / "app.log.2")
    append(path, *banner, "two")
    path.rename(tmp_path / "app.log.1")
    append(path, *banner, "three")
    assert follower.follow().lines == [*banner, "one", *banner, "two", *banner, "three"]


def test_a_copy_that_is_older_than_what_was_read_since_is_not_read(follow, path: Path, tmp_path: Path) -> None:
    # logrotate's `copy`, or a person's: its lines came at the next start of the agent, as those of a missed rotation
    follower = follow("one")
    append(path, "two")
    shutil.copy(path, tmp_path / "app.log.1")
    append(path, "three")
    follower.follow().stop()
    follower.start()
    assert follower.follow().lines == ["one", "two", "three"]


def test_what_was_rotated_after_a_clock_was_set_back_is_read(
    follow, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine whose hardware clock has the local time of China, until NTP corrects it.
    append(path, "zero")
    path.rename(tmp_path / "app.log.3")
    os.utime(tmp_path / "app.log.3", (1, 1))  # history
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time_ns", lambda now=time.time_ns: now() + 8 * 3600 * 10**9)
        follower = follow("one")
    append(path, "two")
    follower.follow().stop()
    path.rename(tmp_path / "app.log.2")
    append(path, "three")
    path.rename(tmp_path / "app.log.1")
    append(path, "four")
    follower.start()
    assert follower.follow().lines == ["one", "two", "three", "four"]


OLD_FILES_OF_CURRENT = ["@400000006b0aed6826292e85.s", "@400000006b0aed682c0c7a42.s", "@400000006b0aed6830c3dc77.s"]
"""As s6-log 2.11 named them; those of multilog and svlogd have the same form."""


@pytest.mark.parametrize("down", [True, False], ids=["down", "running"])
def test_old_files_of_svlogd_multilog_and_s6_log_are_read(follow, tmp_path: Path, *, down: bool) -> None:
    # Only the first one was found again, by its inode; the others were lost without a gap.
    current = tmp_path / "current"
    follower = follow("one", at=current)
    if down:
        follower.stop()
    for number, name in enumerate(OLD_FILES_OF_CURRENT):
        append(current, f"of {number}")
        current.rename(tmp_path / name)
    append(current, "now")
    if down:
        follower.start()
    assert follower.follow().lines == ["one", "of 0", "of 1", "of 2", "now"]


def test_files_are_found_that_are_called_like_the_one_before_them(follow, tmp_path: Path) -> None:
    # rotatelogs -L current.log app.%Y%m%d-%H%M%S: current.log is a second name of a file that keeps its first one.
    # What was written while the agent was down, but for the last file, was lost without a gap.
    current = tmp_path / "current.log"

    def begin(name: str, line: str) -> None:
        append(tmp_path / name, line)
        current.unlink(missing_ok=True)
        current.hardlink_to(tmp_path / name)

    append(tmp_path / "app.20261128-145650", "history")
    os.utime(tmp_path / "app.20261128-145650", (1, 1))
    begin("app.20261128-145655", "one")
    follower = follow(at=current)
    follower.stop()
    for second in (6, 7, 8):
        begin(f"app.20261128-14565{second}", f"of {second}")
    with pytest.MonkeyPatch.context() as later:
        later.setattr(time, "time_ns", lambda now=time.time_ns: now() + 30 * 10**9)
        assert follower.start().follow().lines == ["one", "of 6", "of 7", "of 8"]


def pack(log: Path) -> Path:
    """Compress a file, and delete it; return the compressed one."""
    packed = log.with_name(f"{log.name}.gz")
    packed.write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    return packed


@pytest.mark.parametrize("known", [0, 2])
@pytest.mark.parametrize("glob", ["app-*.log", "app-*", "*"])
def test_what_was_written_and_compressed_while_the_agent_was_down_is_read_by_the_source_of_its_own_name(
    follow, clock: Clock, state_dir: Path, tmp_path: Path, known: int, glob: str
) -> None:
    # log4j2's DirectWriteRolloverStrategy, logback without <file>: app-1.log, app-2.log, packed one after the other.
    # Where none was known, it was lost without a gap; otherwise any of the sources read it, and its own one, too.
    (tmp_path / "logs").mkdir()
    logs = [tmp_path / "logs" / f"app-{number}.log" for number in range(5)]
    followers = [follow(f"of {log.name}", at=log) for log in logs[:known]]
    for follower in followers:
        follower.stop()
    append(tmp_path / "logs" / "app-9.log", "of last year")
    os.utime(pack(tmp_path / "logs" / "app-9.log"), (1, 1))
    listed_ns = time.time_ns()
    for log in logs[known:]:
        append(log, f"of {log.name}")
    for log in logs[:4]:
        pack(log)
    open_files = OpenFiles()
    for follower in followers:
        follower.start(open_files)
    settings = AgentSettings(sources=[SourceSettings(glob=f"{tmp_path}/logs/{glob}")])
    discovery = Discovery([state_dir], settings, "node1", set(), open_files, listed_ns)
    found = [Path(source.key) for source in discovery.scan()]
    assert set(logs[known:]) <= set(found) <= set(logs)
    followers += [Follower(log, clock, open_files, listed_ns) for log in found if log not in logs[:known]]
    for follower in followers[1:]:
        follower.while_shipping = followers[0].follow  # whoever is first
    for follower in reversed(followers):
        follower.follow()
    assert {follower.path: follower.lines for follower in followers} == {log: [f"of {log.name}"] for log in logs}
    for follower in followers:
        follower.source.close()


def test_a_file_that_was_rotated_away_for_good_while_the_agent_was_down_is_read(
    clock: Clock, state_dir: Path, path: Path, tmp_path: Path
) -> None:
    # logrotate's `nocreate`, and the program has ended
    append(tmp_path / "other-1.log", "of another program")
    settings = AgentSettings(sources=[SourceSettings(glob=str(path))])
    discovery = Discovery([state_dir], settings, "node1", set(), OpenFiles(), time.time_ns())
    append(path, "one")
    path.rename(tmp_path / "app.log.1")
    pack(tmp_path / "app.log.1")
    [source] = discovery.scan()
    assert source.key == str(path)
    follower = Follower(path, clock, listed_ns=source.listed_ns).follow()
    assert follower.lines == ["one"]
    follower.source.close()


def test_what_was_compressed_between_the_look_for_it_and_its_opening_is_read(
    clock: Clock, path: Path, tmp_path: Path
) -> None:
    listed_ns = time.time_ns()
    append(path, "one")
    follower = Follower(path, clock, listed_ns=listed_ns)
    pack(path)
    assert follower.follow().lines == ["one"]
    follower.source.close()


def test_files_that_are_copied_and_truncated_faster_than_they_are_shipped_come_in_order(follow, path: Path) -> None:
    # twice a second on bindfs: what was in place at the first look came after what followed it
    def rotate(following: str) -> None:
        for number in (2, 1):
            if (copy := path.with_name(f"app.log.{number}")).exists():
                copy.rename(path.with_name(f"app.log.{number + 1}"))
        shutil.copy(path, path.with_name("app.log.1"))
        os.truncate(path, 0)
        append(path, following)

    def rotate_twice() -> None:
        if "rest of one" in follower.lines and not path.with_name("app.log.2").exists():
            rotate("three")
            rotate("four")

    follower = follow("one")
    append(path, "rest of one")
    rotate("two")
    follower.while_shipping = rotate_twice
    assert follower.follow().lines == ["one", "rest of one", "two", "three", "four"]


def test_the_rotations_of_a_log_have_no_sources_of_their_own_where_they_are_compressed(
    state_dir: Path, tmp_path: Path
) -> None:
    # logrotate's copytruncate, olddir and compress, and a glob that matches what is in the olddir, too
    (tmp_path / "logs" / "old").mkdir(parents=True)
    settings = AgentSettings(sources=[SourceSettings(glob=f"{tmp_path}/logs/**/*")])
    discovery = Discovery([state_dir], settings, "node1", set(), OpenFiles(), time.time_ns())
    append(tmp_path / "logs" / "app.log", "two")
    append(tmp_path / "logs" / "old" / "app.log.1", "one")
    pack(tmp_path / "logs" / "old" / "app.log.1")
    assert [source.key for source in discovery.scan()] == [f"{tmp_path}/logs/app.log"]


def test_files_that_were_moved_to_another_directory_before_their_path_was_seen_are_read(
    clock: Clock, path: Path, tmp_path: Path
) -> None:
    # logrotate's olddir
    listed_ns = time.time_ns()
    for name in ("old", "another"):
        (tmp_path / name).mkdir()
    append(tmp_path / "another" / "app.log", "of another log")
    append(tmp_path / "another" / "app.log.1", "of another log")
    append(path, "one")
    path.rename(tmp_path / "old" / "app.log.1")
    append(path, "two")
    follower = Follower(path, clock, listed_ns=listed_ns).follow()
    assert follower.lines == ["one", "two"]
    follower.source.close()


def test_files_from_before_a_path_was_seen_are_read_though_the_source_has_to_begin_again(
    clock: Clock, path: Path, tmp_path: Path
) -> None:
    # an error that makes the source begin anew with what the journal has: they were lost without a gap
    listed_ns = time.time_ns()
    append(path, "one")
    path.rename(tmp_path / "app.log.1")
    append(path, "two")
    follower = Follower(path, clock, listed_ns=listed_ns)
    follower.source.read()
    follower.source.reset()
    assert follower.follow().lines == ["one", "two"]
    follower.source.close()


@pytest.mark.parametrize("killed", [False, True])
def test_a_file_whose_compression_ends_after_the_next_one_was_rotated_comes_before_that(
    follow, path: Path, tmp_path: Path, *, killed: bool
) -> None:
    # log4j2 compresses in a thread. Where the agent was killed when the first one had come, the next one was lost.
    follower = follow("one")
    follower.stop()
    path.rename(tmp_path / "app.log.3")
    append(path, "two")
    path.rename(tmp_path / "app.log.2")
    packed = tmp_path / "app.log.2.gz"
    packed.touch()
    append(path, "three")
    path.rename(tmp_path / "app.log.1")
    append(path, "four")
    now = time.time()
    for written, seconds in ((tmp_path / "app.log.1", 1), (path, 2)):
        os.utime(written, (now + seconds, now + seconds))
    packed.write_bytes(gzip.compress((tmp_path / "app.log.2").read_bytes()))
    (tmp_path / "app.log.2").unlink()
    os.utime(packed, (now + 3, now + 3))
    follower.start()
    if killed:
        while "two" not in follower.lines:
            follower.follow(0.1, step=0.1)
            assert follower.lines[-1] != "four"
        follower.stop()
        follower.start()
    assert follower.follow().lines == ["one", "two", "three", "four"]


def test_what_is_compressed_after_the_next_file_was_created_is_read_though_that_stays_empty(
    follow, path: Path, tmp_path: Path
) -> None:
    # log4j2 compresses in a thread. The last lines before a quiet time were lost without a gap.
    follower = follow("one")
    path.rename(tmp_path / "app-1.log")
    (tmp_path / "app-2.log.gz").write_bytes(gzip.compress(b"two\n"))
    path.touch()
    earlier = time.time() - 1
    os.utime(path, (earlier, earlier))
    follower.source.hold_what_is_there(created=True)
    assert follower.follow().lines == ["one", "two"]
    append(path, "three")
    assert follower.follow().lines == ["one", "two", "three"]


def test_files_from_before_a_path_was_seen_come_in_order_though_one_of_them_is_being_compressed(
    clock: Clock, path: Path, tmp_path: Path
) -> None:
    # log4j2: while it is not known whether app-2.log is another program's log, app.log is rotated. Its lines came
    # before the others, and those were lost when the agent was killed then.
    def pack(name: str) -> None:
        log = tmp_path / name
        log.with_name(f"{name}.gz").write_bytes(gzip.compress(log.read_bytes()))
        log.unlink()

    def write(number: int) -> None:
        append(path, f"of {number}")
        path.rename(tmp_path / f"app-{number}.log")

    listed_ns = time.time_ns()
    write(1)
    pack("app-1.log")
    write(2)
    append(path, "of 3")
    follower = Follower(path, clock, listed_ns=listed_ns)
    with pytest.raises(rotation.BeingRotatedError):
        follower.follow()
    pack("app-2.log")
    path.rename(tmp_path / "app-3.log")
    append(path, "of 4")
    assert follower.follow().lines == ["of 1", "of 2", "of 3", "of 4"]
    follower.source.close()


@pytest.mark.parametrize("shipped", ["all", "one block"])
def test_a_compressed_file_that_was_found_is_found_again_when_the_agent_is_killed_then(
    follow, tmp_path: Path, shipped: str
) -> None:
    # rotatelogs -L: its name is not that of a rotation of current.log. A gap said that what followed is not known.
    def begin(number: int) -> None:
        (tmp_path / f"app.{number}").touch()
        (tmp_path / "current.log").unlink(missing_ok=True)
        (tmp_path / "current.log").hardlink_to(tmp_path / f"app.{number}")

    begin(1)
    follower = follow("of 1", at=tmp_path / "current.log")
    follower.stop()
    begin(2)
    lines = numbered("of 2", 2 * BLOCK_BYTES // 16)
    append(tmp_path / "current.log", *lines)
    begin(3)
    pack(tmp_path / "app.2")

    class KilledError(Exception):
        pass

    def kill() -> None:
        if "of 2 line 0000" in follower.lines:
            raise KilledError

    def go_on() -> bool:
        try:
            return bool(follower.follow()) and follower.lines[-1] == lines[-1]
        except StillUnpackingError:
            return False

    follower.start()
    if shipped == "one block":
        follower.after_shipping = kill
        with pytest.raises(KilledError):
            wait_for(go_on)
        del follower.after_shipping
    else:
        wait_for(go_on)
    follower.stop()
    follower.start()
    wait_for(go_on)
    assert follower.lines == ["of 1", *lines]
    assert follower.gaps == []


@pytest.mark.parametrize("began", ["before", "meanwhile"])
def test_the_log_of_another_program_is_not_taken_for_a_rotation_that_was_missed(
    follow, path: Path, tmp_path: Path, began: str
) -> None:
    # app-1.log is log4j2's filePattern="app-%i.log", and as well what the second of two servers writes.
    other = tmp_path / "app-1.log"
    if began == "before":
        append(other, "of another program")
    follower = follow("one")
    follower.stop()
    if began == "meanwhile":
        append(other, "of another program")
    path.rename(tmp_path / "app-2.log")
    append(path, "two")
    path.rename(tmp_path / "app-3.log")
    append(path, "three")
    append(other, "more of the other program")
    after = time.time_ns() + 8 * 10**9
    os.utime(other, ns=(after, after))
    with pytest.MonkeyPatch.context() as later:
        later.setattr(time, "time_ns", lambda now=time.time_ns: now() + 30 * 10**9)
        assert follower.start().follow().lines == ["one", "two", "three"]


def test_the_copy_that_pm2_logrotate_makes_is_found(follow, path: Path, tmp_path: Path) -> None:
    # pm2-logrotate 3.0.0, app.js: <name>__<YYYY-MM-DD_HH-mm-ss>.log, then fs.truncate
    follower = follow("one")
    append(path, "two")
    shutil.copy(path, tmp_path / "app__2026-11-28_15-00-00.log")
    path.write_text("three\n")
    assert follower.follow().lines == ["one", "two", "three"]
    assert follower.gaps == []


def test_a_log_that_keeps_its_name_when_it_is_compressed_is_found(follow, tmp_path: Path) -> None:
    # loguru: app_{time}.log with compression="gz"; dated files that a cron job compresses
    dated = tmp_path / "app_2026-11-28_15-09-06_732756.log"
    follower = follow("dated one", at=dated)
    follower.stop()
    append(dated, "dated two")
    dated.with_name(f"{dated.name}.gz").write_bytes(gzip.compress(dated.read_bytes()))
    dated.unlink()
    assert follower.start().follow().lines == ["dated one", "dated two"]
    assert follower.gaps == []


def test_what_was_read_under_a_name_that_a_rotation_uses_for_a_moment_is_not_read_again(
    follow, path: Path, tmp_path: Path
) -> None:
    # concurrent-log-handler 0.9: app.log, app.log.rotate.3770647252713518442, app.log.1.gz; the glob is app*
    follower = follow("one")
    between = tmp_path / "app.log.rotate.3770647252713518442"
    path.rename(tmp_path / "app.log.2")
    append(path, "two")
    path.rename(between)
    other = Follower(between, follower.clock, follower.open_files).follow()
    assert other.lines == ["two"]
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(between.read_bytes()))
    other.source.close()
    between.unlink()
    append(path, "three")
    assert follower.follow().lines == ["one", "three"]


def test_many_rotations_are_not_waited_for_one_after_another(follow, path: Path, tmp_path: Path) -> None:
    # A second for each of them: a program that rotated twice a second had deleted its files before they were read.
    follower = follow("one")
    ago = time.time() - 60
    for number in range(12):
        append(path, f"of {number:02d}")
        os.utime(path, (ago + number, ago + number))
        follower.follow(0.1, step=0.1)
        path.rename(tmp_path / f"app.log.2026-11-28_15-00-{number:02d}")
    append(path, "now")
    assert follower.follow(3).lines == ["one", *(f"of {number:02d}" for number in range(12)), "now"]


def test_a_writer_that_never_leaves_a_rotated_file_does_not_keep_the_next_one_from_being_read(
    follow, path: Path, tmp_path: Path
) -> None:
    # Two processes with a RotatingFileHandler of one path: the one that did not rotate goes on in app.log.1.
    follower = follow("one")
    path.rename(tmp_path / "app.log.1")
    append(path, "new")
    for number in range(20):
        append(tmp_path / "app.log.1", f"old {number:02d}")
        follower.follow(0.5)
    assert sorted(follower.lines) == ["new", *(f"old {number:02d}" for number in range(20)), "one"]


def test_an_empty_file_that_is_rotated_does_not_hold_up_the_next(follow, path: Path, tmp_path: Path) -> None:
    path.touch()
    follower = follow()
    path.rename(tmp_path / "app.log.1")
    append(path, "two")
    assert follower.follow().lines == ["two"]


# Idle files, and few descriptors


@pytest.mark.parametrize("fate", ["deleted", "moved away", "renamed", "packed", "truncated"])
def test_the_last_lines_of_a_file_idle_for_an_hour_are_read(follow, path: Path, tmp_path: Path, fate: str) -> None:
    # fluent/fluent-bit#7709, grafana/loki#3108
    follower = follow("one")
    follower.follow(3600, step=60)
    append(path, "last")
    follower.source.poll()
    if fate == "packed":
        (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(path.read_bytes()))
    if fate == "truncated":
        shutil.copy(path, tmp_path / "app.log.1")
        os.truncate(path, 0)
    elif fate == "renamed":
        path.rename(tmp_path / "app.log.1")
    elif fate == "moved away":
        (tmp_path / "elsewhere").mkdir()
        path.rename(tmp_path / "elsewhere" / "whatever")
    else:
        path.unlink()
    append(path, "new")
    assert follower.follow().lines == ["one", "last", "new"]
    assert follower.gaps == []


def test_with_too_many_files_the_longest_idle_is_closed_and_what_is_lost_of_it_is_a_gap(
    tmp_path: Path, clock: Clock
) -> None:
    shared = OpenFiles(limits=(2, 3))
    followers = [Follower(tmp_path / f"{number}.log", clock, shared) for number in range(5)]
    for follower in followers:
        append(follower.path, "one")
        follower.follow()
    assert shared.open <= 3
    [closed, *_] = [follower for follower in followers if follower.source.asleep]
    append(closed.path, "last")
    closed.path.unlink()
    closed.follow()
    assert closed.lines == ["one"]
    assert reasons(closed) == [
        "4-4 gone while it was closed, as too many files are open; what was written after this is not known"
    ]
    for follower in followers:
        append(follower.path, "two")
        follower.follow()
        assert follower.lines == ["one", "two"]
        follower.source.close()


@pytest.mark.parametrize(("allowed", "limits"), [(96, (16, 32)), (1024, (400, 800)), (-1, (400, 800)), (20, (2, 4))])
def test_the_limits_of_open_files_leave_descriptors_for_others(
    monkeypatch: pytest.MonkeyPatch, allowed: int, limits: tuple[int, int]
) -> None:
    monkeypatch.setattr(open_files.resource, "getrlimit", lambda _: (allowed, allowed))
    assert descriptor_limits() == limits


# What stands at the path


def test_a_path_that_becomes_a_fifo_is_named_once_and_followed_when_it_is_a_file(follow, path: Path, caplog) -> None:
    # logrotate/logrotate#607
    follower = follow("one")
    path.unlink()
    os.mkfifo(path)
    follower.follow()
    assert [record.message for record in caplog.records] == [f"{path} is a FIFO now, which is not followed"]
    path.unlink()
    append(path, "two")
    assert follower.follow().lines == ["one", "two"]


# Encodings


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "gbk", "gb18030", "latin-1", "cp037"]
)
def test_lines_are_decoded_as_the_source_says(follow, path: Path, encoding: str) -> None:
    # In UTF-16 two of these characters have a byte that is a line feed's.
    line = {"latin-1": "Zeile ÄÖÜß", "cp037": "Zeile ÄÖÜß", "gbk": "模型行"}.get(encoding, "模型 ਊ行 Ċ")
    text = "".join(f"{line} {number}\n" for number in range(50))
    path.write_bytes(b"")
    follower = follow(encoding=encoding)
    data = text.encode(encoding)
    for start in range(0, len(data), 7):
        with path.open("ab") as file:
            file.write(data[start : start + 7])
        follower.follow(0.5)
    assert follower.data.decode() == text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_recognised_by_itself(follow, path: Path, encoding: str) -> None:
    path.write_bytes("行 eins\nzwei\n".encode(encoding))
    assert follow().lines == ["行 eins", "zwei"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gbk"])
def test_a_long_line_is_cut_between_characters(follow, path: Path, encoding: str) -> None:
    text = "a" + "模型" * 300_000 + "\n"
    path.write_bytes(text.encode(encoding))
    assert follow(encoding=encoding).data.decode() == text


def test_bytes_that_are_not_of_the_encoding_do_not_stop_the_file(follow, path: Path) -> None:
    path.write_bytes(b"ok\n\xff\xfe\x81\n" + "模型\n".encode("gbk"))
    assert follow(encoding="gbk").lines[-1] == "模型"


def test_a_file_truncated_and_filled_again_while_its_lines_are_shipped_is_read_from_its_start(
    follow, path: Path
) -> None:
    # copytruncate beside a slow Loki: the new content is longer than what was read of the old one
    first, old, late, new = numbered("first", 1), numbered("old", 100), numbered("late", 5), numbered("new", 300)
    follower = follow(*first)

    def copy_and_truncate() -> None:
        follower.while_shipping = lambda: None
        append(path, *late)
        shutil.copy(path, path.with_name("app.log.1"))
        os.truncate(path, 0)
        append(path, *new)
        assert follower.source.read() is None  # what would be the next block of the same batch

    append(path, *old)
    follower.while_shipping = copy_and_truncate
    assert follower.follow().lines == first + old + late + new
    assert follower.gaps == []


@pytest.mark.parametrize("created", [True, False], ids=["created", "moved there"])
def test_a_file_with_the_same_lines_is_read_if_it_was_created_at_the_path(
    path: Path, follow: Callable[..., Follower], monkeypatch: pytest.MonkeyPatch, *, created: bool
) -> None:
    # Within one tick of the clock the times are those of an editor that saves by a rename, too.
    follower = follow("one", "two")
    [before] = follower.source._here.files
    path.unlink()
    append(path, "one", "two", "three")
    monkeypatch.setattr(reader.FileReader, "birth_time_ns", lambda _: before.reader.status().st_ctime_ns)
    follower.source.hold_what_is_there(created=created)
    follower.follow()
    assert follower.lines == ["one", "two", *(["one", "two"] if created else []), "three"]
    assert follower.gaps == []
