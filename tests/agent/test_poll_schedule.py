"""Quiet logs wait for a change of their files instead of being polled, and none is missed that the kernel hides."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.agent_process import Launch
from support.file_follower import Clock, Follower

from tracetail.agent.followed_log import FollowedLog
from tracetail.agent.model import Batch, Fingerprint
from tracetail.agent.poll_schedule import CHECK_SECONDS, WATCHED_AFTER_SECONDS, PollSchedule
from tracetail.agent.reading import change_watch
from tracetail.agent.reading.inotify import Inotify
from tracetail.agent.reading.launch_source import LaunchSource

LOOKS_PER_MINUTE_MAX = 8
"""A tenth of a second apart it would be 600."""


class Staged:
    """One log and its schedule, with a clock that the test moves."""

    def __init__(self, log: FollowedLog, clock: Clock) -> None:
        self.log = log
        self._clock = clock
        self.schedule = PollSchedule()
        self.schedule.mark_active(log)

    def pass_time(self, seconds: float, step: float = 0.1) -> int:
        """Poll as the agent does; return how often the log was looked at before it had something to read."""
        looks = 0
        for _ in range(round(seconds / step)):
            self._clock.advance(step)
            self.schedule.update([self.log])
            self.schedule.notice()
            for due in self.schedule.next():
                looks += 1
                if due.poll():
                    self.schedule.mark_active(due, has_work=True)
                    return looks
        return looks

    def is_due_at_once(self) -> bool:
        """Return whether the log is looked at now, without any time passing."""
        self.schedule.notice()
        return self.log in self.schedule.next()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "app.log"


@pytest.fixture
def quiet(path: Path, clock: Clock) -> Iterator[Callable[..., Staged]]:
    """Follow a file that is read to its end, until it is quiet."""
    begun: list[tuple[Follower, Staged]] = []

    def begin(at: Path = path) -> Staged:
        path.parent.mkdir(exist_ok=True)
        path.write_text("first\n")
        follower = Follower(at, clock).follow()
        log = FollowedLog(follower.source)
        log.parser = object()  # type: ignore[assignment]  # only whether there is one matters
        staged = Staged(log, clock)
        begun.append((follower, staged))
        staged.pass_time(2 * WATCHED_AFTER_SECONDS)
        return staged

    yield begin
    for follower, staged in begun:
        follower.source.close()
        staged.schedule.close()


def write(path: Path) -> None:
    with path.open("a") as file:
        file.write("more\n")


def replace(path: Path) -> None:
    new = path.with_name("new")
    new.write_text("other\n")
    new.replace(path)


@pytest.mark.parametrize(
    "change",
    [
        write,
        replace,
        lambda path: path.write_text(""),
        lambda path: path.rename(path.with_name("app.log.1")),
        Path.unlink,
        lambda path: path.parent.rename(path.parent.with_name("old")),
    ],
    ids=["written", "replaced", "truncated", "renamed", "deleted", "directory renamed"],
)
def test_a_quiet_file_is_looked_at_as_soon_as_something_happens_to_it(quiet, path: Path, change) -> None:
    staged = quiet()
    assert staged.pass_time(60) <= LOOKS_PER_MINUTE_MAX
    assert not staged.is_due_at_once()
    change(path)
    assert staged.is_due_at_once()


def test_a_file_behind_a_symlink_is_looked_at_when_the_link_is_switched(quiet, path: Path) -> None:
    # The target of /var/log/pods/…/0.log before containerd, `current` of svlogd and cronolog.
    link = path.with_name("current")
    path.parent.mkdir()
    path.touch()
    link.symlink_to(path.name)
    staged = quiet(link)
    assert staged.pass_time(60) <= LOOKS_PER_MINUTE_MAX
    path.with_name("app2.log").write_text("next\n")
    path.with_name("new").symlink_to("app2.log")
    path.with_name("new").replace(link)
    assert staged.is_due_at_once()


@pytest.mark.parametrize("links", ["a directory", "two links"])
def test_a_path_over_further_links_is_polled(quiet, path: Path, links: str) -> None:
    path.parent.mkdir()
    path.touch()
    if links == "a directory":
        path.parent.with_name("link").symlink_to(path.parent)
        staged = quiet(path.parent.with_name("link") / path.name)
    else:
        path.with_name("second").symlink_to(path.name)
        path.with_name("first").symlink_to("second")
        staged = quiet(path.with_name("first"))
    assert staged.pass_time(60) > 5 * LOOKS_PER_MINUTE_MAX


def test_a_file_of_a_network_file_system_is_polled(quiet, monkeypatch: pytest.MonkeyPatch) -> None:
    # inotify(7): "Inotify reports only events that a user-space program triggers through the filesystem API", and so
    # none of another machine's.
    monkeypatch.setattr(change_watch, "_LOCAL_FILE_SYSTEMS", set())
    assert quiet().pass_time(60) > 5 * LOOKS_PER_MINUTE_MAX


def test_files_are_polled_where_the_kernel_gives_no_more_watches(quiet, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(28, os.strerror(28))  # ENOSPC, as inotify_add_watch(2) has it for fs.inotify.max_user_watches

    monkeypatch.setattr(Inotify, "add", refuse)
    assert quiet().pass_time(60) > 5 * LOOKS_PER_MINUTE_MAX


def test_a_write_that_raises_no_event_is_found_by_the_look_that_is_due_and_the_file_is_polled_then(
    quiet, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = quiet()
    staged.pass_time(60)
    # As with a program that writes through mmap(2): inotify(7), "Limitations and caveats".
    monkeypatch.setattr(staged.schedule.watch, "changed", set)
    write(path)
    assert not staged.is_due_at_once()
    staged.pass_time(CHECK_SECONDS + 2)
    assert staged.log in staged.schedule._active
    clock.advance(3600)
    staged.schedule.update([staged.log])
    assert not staged.log.watched


def test_a_file_that_changes_while_it_begins_to_be_watched_is_read(quiet, path: Path, monkeypatch) -> None:
    add = change_watch.ChangeWatch.add

    def add_late(self, key, paths) -> bool:
        write(path)
        return add(self, key, paths)

    monkeypatch.setattr(change_watch.ChangeWatch, "add", add_late)
    staged = quiet()
    assert staged.log in staged.schedule._active


def test_two_logs_of_a_directory_wait_for_their_own_files(quiet, path: Path, clock: Clock) -> None:
    first = quiet()
    beside = path.with_name("beside.log")
    beside.write_text("a\n")
    follower = Follower(beside, clock).follow()
    second = FollowedLog(follower.source)
    second.parser = first.log.parser
    both = [first.log, second]
    for _ in range(20):
        clock.advance(0.5)
        first.schedule.update(both)
        list(first.schedule.next())
    assert first.log.watched
    assert second.watched
    write(beside)
    first.schedule.notice()
    assert (first.log.watched, second.watched) == (True, False)
    shutil.rmtree(path.parent)
    first.schedule.notice()
    assert not first.log.watched
    follower.source.close()


def test_a_launch_that_prints_nothing_waits_for_its_log_and_its_record(state_dir: Path, clock: Clock) -> None:
    launch = Launch(state_dir)
    launch.print("first")
    source = LaunchSource(launch.dir, *launch.dir.read_with_owner(), {})
    log = FollowedLog(source)
    log.parser = object()  # type: ignore[assignment]
    block = source.read()
    assert block is not None
    row = source.file
    source.acknowledge(Batch(0, row, 0, block.end, Fingerprint(b"", b"", block.end), 1, 0, {}, []))
    staged = Staged(log, clock)
    staged.pass_time(2 * WATCHED_AFTER_SECONDS)
    assert staged.pass_time(60) <= LOOKS_PER_MINUTE_MAX
    launch.print("more")
    assert staged.is_due_at_once()
    assert log.poll()
    source.close()


def test_the_end_of_a_quiet_launch_is_noticed_at_once(state_dir: Path, clock: Clock) -> None:
    launch = Launch(state_dir)
    launch.print("first")
    source = LaunchSource(launch.dir, *launch.dir.read_with_owner(), {})
    log = FollowedLog(source)
    log.parser = object()  # type: ignore[assignment]
    block = source.read()
    assert block is not None
    source.acknowledge(Batch(0, source.file, 0, block.end, Fingerprint(b"", b"", block.end), 1, 0, {}, []))
    staged = Staged(log, clock)
    staged.pass_time(2 * WATCHED_AFTER_SECONDS)
    assert log.watched
    launch.end()
    assert staged.is_due_at_once()
    assert log.poll()
    source.close()


def test_a_wait_ends_with_a_linger_time(quiet, clock: Clock) -> None:
    staged = quiet()
    staged.schedule.mark_active(staged.log)
    staged.log.not_before = staged.log.due_at = time.monotonic() + 60
    assert 0 < staged.schedule.wait_seconds(time.monotonic() + 1000) <= 60
    assert not staged.is_due_at_once()
    clock.advance(60)
    assert staged.is_due_at_once()


def test_a_log_that_is_being_shipped_does_not_keep_the_agent_awake(quiet, clock: Clock) -> None:
    staged = quiet()
    staged.schedule.mark_active(staged.log)
    staged.log.busy = True
    clock.advance(1)
    assert staged.schedule.wait_seconds(time.monotonic() + 1) > 0.05
