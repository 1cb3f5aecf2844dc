"""Directories are watched: what appears in them is found at once, however deep below a glob."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import eventually, wait_for

from tracetail.agent.reading import discovery as discovery_module
from tracetail.agent.reading import globs
from tracetail.agent.reading.directory_watches import DirectoryWatches
from tracetail.agent.reading.discovery import Discovery
from tracetail.agent.reading.open_files import OpenFiles
from tracetail.agent.settings import AgentSettings, SourceSettings

NEVER = 3600.0


@pytest.fixture
def watches() -> Iterator[DirectoryWatches]:
    watches = DirectoryWatches()
    watches.open()
    yield watches
    watches.close()


def appeared(watches: DirectoryWatches) -> list[str]:
    return list(wait_for(watches.read, "an event"))


def test_what_is_created_and_what_is_moved_there_appears(watches: DirectoryWatches, tmp_path: Path) -> None:
    watches.add(str(tmp_path))
    for make in ("touch", "mkdir"):
        getattr(tmp_path / make, make)()
        assert appeared(watches) == [str(tmp_path / make)]
    (tmp_path / "touch").rename(tmp_path / os.fsdecode(b"gbk \xc8\xd5"))
    assert wait_for(watches.read) == {os.fsdecode(bytes(tmp_path) + b"/gbk \xc8\xd5"): False}


def test_a_directory_is_known_by_each_of_its_paths_and_by_its_new_one(
    watches: DirectoryWatches, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    for name in ("a", "link"):
        watches.add(str(tmp_path / name))
    (tmp_path / "a" / "x").touch()
    assert sorted(appeared(watches)) == [str(tmp_path / "a/x"), str(tmp_path / "link/x")]
    (tmp_path / "a").rename(tmp_path / "b")
    watches.add(str(tmp_path / "b"))
    watches.read()
    (tmp_path / "b" / "y").touch()
    assert appeared(watches) == [str(tmp_path / "b/y")]


def test_a_directory_that_is_replaced_has_to_be_looked_at_again(watches: DirectoryWatches, tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    watches.add(str(directory))
    shutil.rmtree(directory)
    wait_for(lambda: watches.read() or watches.missed)
    directory.mkdir()
    watches.add(str(directory))
    (directory / "x").touch()
    assert appeared(watches) == [str(directory / "x")]


def test_there_is_a_limit_and_what_is_no_longer_wanted_makes_room(tmp_path: Path) -> None:
    watches = DirectoryWatches(limit=2)
    watches.open()
    names = [tmp_path / name for name in "abc"]
    for path in names:
        path.mkdir()
    watches.add(str(names[0]))
    watches.add(str(names[1]))
    watches.add(str(names[0]))
    with pytest.raises(OSError, match="2 directories are watched already") as raised:
        watches.add(str(names[2]))
    assert raised.value.errno == errno.ENOSPC
    watches.keep({str(names[0])})
    watches.add(str(names[2]))
    (names[1] / "x").touch()
    (names[2] / "x").touch()
    assert appeared(watches) == [str(names[2] / "x")]
    watches.close()


PATTERNS = [
    "*.log",
    "*/*.log",
    "a/*/x*",
    "**/*.log",
    "a/**",
    "a/**/c/*.log",
    "[ab]/?.log",
    ".h*/*",
    "*/.x*",
    "a/b/c.log",
]
TREE = ["x.log", "a/x.log", "a/b/x.log", "a/b/c.log", "a/b/c/d.log", "b/x", ".hidden/x.log", "a/.x.log", "a/.b/c.log"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_path_matches_as_glob_says_and_its_directories_are_watched(tmp_path: Path, pattern: str) -> None:
    for name in TREE:
        path = tmp_path / name
        if name == "a/b/c.log":
            path = tmp_path / "a/b/c.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    full = f"{tmp_path}/{pattern}"
    files = {str(path) for path in tmp_path.rglob("*") if path.is_file()}
    listed = {path for path in globs.find(full) if Path(path).is_file()}
    assert {path for path in files if globs.matches(full, path)} == listed
    watched = set(globs.directories(full))
    assert {str(Path(path).parent) for path in listed} <= watched
    assert all(globs.leads_on(full, directory) for directory in watched)


def test_a_directory_above_is_watched_where_there_is_none_yet(tmp_path: Path) -> None:
    assert list(globs.directories(f"{tmp_path}/not/yet/*.log")) == [str(tmp_path)]


def test_links_that_lead_upwards_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/up").symlink_to("..")
    assert sorted(globs.directories(f"{tmp_path}/**/*.log")) == [str(tmp_path), str(tmp_path / "a")]


@pytest.fixture
def only_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the globs once, and then only where something has appeared."""
    monkeypatch.setattr(discovery_module, "GLOB_EVERY_SECONDS", NEVER)


@pytest.fixture
async def pods(tmp_path: Path, only_events: None):
    """Yield a discovery that follows the logs of pods, and that has looked once."""
    (tmp_path / "pods").mkdir()
    settings = AgentSettings(sources=[SourceSettings(glob=f"{tmp_path}/pods/*/*/*.log")])
    discovery = Discovery([], settings, "node1", set(), OpenFiles())
    discovery.start()
    assert list(discovery.scan()) == []
    yield discovery
    discovery.stop()


async def test_a_file_in_new_directories_is_found_without_a_look_at_the_globs(
    pods: Discovery, tmp_path: Path
) -> None:
    for number in range(3):
        path = tmp_path / "pods" / f"pod{number}" / "vllm" / "0.log"
        path.parent.mkdir(parents=True)
        path.write_text("one\n")
        assert await pods.wait(NEVER)
        [found] = await eventually(lambda: list(pods.scan()))
        assert found.key == str(path)
        found.close()


async def test_a_file_that_is_deleted_right_after_it_was_found_is_read(pods: Discovery, tmp_path: Path) -> None:
    path = tmp_path / "pods" / "pod" / "vllm" / "0.log"
    path.parent.mkdir(parents=True)
    path.write_text("one\n")
    [found] = await eventually(lambda: list(pods.scan()))
    path.unlink()
    block = found.read()
    assert block is not None
    assert bytes(block.data) == b"one\n"
    found.close()


async def test_a_new_file_at_a_followed_path_is_opened_at_once(pods: Discovery, tmp_path: Path) -> None:
    path = tmp_path / "pods" / "pod" / "vllm" / "0.log"
    path.parent.mkdir(parents=True)
    path.write_text("one\n")
    [found] = await eventually(lambda: list(pods.scan()))
    assert found.read() is not None
    for text in ("two\n", "three\n"):
        path.unlink()
        path.write_text(text)
        await eventually(lambda: list(pods.scan()) or pods.touched)
        assert pods.touched == {str(path): True}
        pods.touched.clear()
        found.hold_what_is_there(created=True)
    path.unlink()
    assert len(found._coming) == 2
    found.close()


async def test_many_directories_are_said_once_and_looked_at_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(discovery_module, "DirectoryWatches", lambda: DirectoryWatches(limit=2))
    monkeypatch.setattr(discovery_module, "GLOB_EVERY_SECONDS", 0.1)
    for number in range(5):
        (tmp_path / f"{number}").mkdir()
    settings = AgentSettings(sources=[SourceSettings(glob=f"{tmp_path}/*/*.log")])
    discovery = Discovery([], settings, "node1", set(), OpenFiles())
    discovery.start()
    assert list(discovery.scan()) == []
    for number in range(5):
        (tmp_path / f"{number}" / "x.log").write_text("one\n")
        [found] = await eventually(lambda: list(discovery.scan()))
        assert found.key == str(tmp_path / f"{number}" / "x.log")
    discovery.stop()
    warnings = [record.getMessage() for record in caplog.records if "cannot watch" in record.getMessage()]
    assert len(warnings) == 1
    assert "scanned every few seconds" in warnings[0]


async def test_the_target_of_a_link_that_dangled_is_found_at_once(tmp_path: Path, only_events: None) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "current.log").symlink_to("elsewhere/app-01.txt")
    settings = AgentSettings(sources=[SourceSettings(glob=f"{tmp_path}/current.log")])
    discovery = Discovery([], settings, "node1", set(), OpenFiles())
    discovery.start()
    assert list(discovery.scan()) == []
    (tmp_path / "elsewhere" / "app-01.txt").write_text("one\n")
    [found] = await eventually(lambda: list(discovery.scan()))
    assert found.key == str(tmp_path / "current.log")
    found.close()
    discovery.stop()


async def test_a_copy_that_was_just_begun_is_not_a_log_of_its_own(tmp_path: Path, only_events: None) -> None:
    (tmp_path / "app.log").write_text("one\n")
    settings = AgentSettings(sources=[SourceSettings(glob=f"{tmp_path}/app*")])
    discovery = Discovery([], settings, "node1", set(), OpenFiles())
    discovery.start()
    [found] = discovery.scan()
    (tmp_path / "app.log.1").touch()
    assert await discovery.wait(NEVER)
    assert list(discovery.scan()) == []
    found.close()
    discovery.stop()
