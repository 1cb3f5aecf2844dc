"""A followed file whose file system fails, in process: a network mount whose server is gone for a time."""

import errno
import gc
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.file_follower import Clock, Follower

from tracetail.agent.followed_log import FollowedLog
from tracetail.agent.reading import reader
from tracetail.agent.reading.discovery import Discovery
from tracetail.agent.reading.open_files import OpenFiles
from tracetail.agent.settings import AgentSettings, SourceSettings

OPENING_FAILS = [errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.EACCES]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_text("one\ntwo\n")
    return path


@pytest.fixture
def follower(path: Path, monkeypatch: pytest.MonkeyPatch) -> Follower:
    return Follower(path, Clock(monkeypatch)).follow()


def failing(number: int) -> Callable[..., None]:
    def fail(*args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def descriptors() -> int:
    gc.collect()  # those that tests before this one have left
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_backlog_is_that_of_the_last_look_while_the_file_cannot_be_seen(
    follower: Follower, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The agent asks for it every second, and when it stops.
    with path.open("a") as file:
        file.write("three\n")
    follower.source.poll()
    with monkeypatch.context() as patch:
        patch.setattr(reader.os, "fstat", failing(errno.ESTALE))
        backlog = FollowedLog(follower.source).backlog()
    assert backlog == len("three\n")


@pytest.mark.parametrize("number", OPENING_FAILS, ids=errno.errorcode.get)
def test_a_file_that_cannot_be_seen_when_it_is_found_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_text("one\n")
    settings = AgentSettings(sources=[SourceSettings(glob=f"{tmp_path}/*.log")])
    discovery = Discovery([], settings, "node1", set(), OpenFiles())
    stat = os.stat

    def failing_stat(path: Path, **options: bool) -> os.stat_result:
        if str(path).endswith("a.log"):
            failing(number)()
        return stat(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", failing_stat)
        found = sorted(source.key for source in discovery.scan())
    # The source of the first reports the error when it is polled, and reads the file when it can be seen.
    assert found == [str(tmp_path / "a.log"), str(tmp_path / "b.log")]


def test_reads_that_find_a_stale_handle_now_and_then_are_repeated(
    path: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count()
    pread = os.pread

    def stale_now_and_then(*args: int) -> bytes:
        if next(calls) % 3 == 0:
            failing(errno.ESTALE)()
        return pread(*args)

    monkeypatch.setattr(os, "pread", stale_now_and_then)
    with path.open("a") as file:
        file.write("three\n")
    assert follower.follow().lines == ["one", "two", "three"]


@pytest.mark.parametrize("number", OPENING_FAILS, ids=errno.errorcode.get)
def test_a_file_that_cannot_be_opened_after_a_restart_is_neither_lost_nor_read_again(
    path: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    follower.stop()
    follower.start()
    with monkeypatch.context() as patch:
        patch.setattr(reader, "open_trusted", failing(number))
        for _ in range(3):
            with pytest.raises(OSError, match=os.strerror(number)):
                follower.follow()
            follower.source.reset()
            follower.source.files = list(follower.known)
    with path.open("a") as file:
        file.write("three\n")
    assert follower.follow().lines == ["one", "two", "three"]
    assert follower.gaps == []


def test_a_renamed_file_that_cannot_be_opened_for_a_time_is_read_afterwards(
    path: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower.stop()
    with path.open("a") as file:
        file.write("three\n")
    path.rename(path.with_name("app.log.1"))
    path.write_text("four\n")
    follower.start()
    with monkeypatch.context() as patch:
        opened = reader.open_trusted
        patch.setattr(
            reader, "open_trusted", lambda name: failing(errno.EIO)() if name.name == "app.log.1" else opened(name)
        )
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            follower.follow()
    follower.source.reset()
    follower.source.files = list(follower.known)
    assert follower.follow().lines == ["one", "two", "three", "four"]
    assert follower.gaps == []


def test_a_renamed_file_that_may_not_be_read_does_not_keep_the_next_one_from_being_read(
    path: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower.stop()
    path.rename(path.with_name("app.log.1"))
    path.write_text("four\n")
    follower.start()
    opened = reader.open_trusted
    monkeypatch.setattr(
        reader, "open_trusted", lambda name: failing(errno.EACCES)() if name.name == "app.log.1" else opened(name)
    )
    assert follower.follow().lines == ["one", "two", "four"]
    assert [gap.reason.split(" ", 1)[1] for gap in follower.gaps] == [
        "gone while the agent was down; what was written after this is not known"
    ]


def test_a_file_that_cannot_be_read_is_closed_again(
    path: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower.stop()
    before = descriptors()
    monkeypatch.setattr(os, "pread", failing(errno.ESTALE))
    for _ in range(3):
        follower.start()
        with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
            follower.follow()
        follower.source.close()
    assert descriptors() == before
