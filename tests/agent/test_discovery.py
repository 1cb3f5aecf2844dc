"""Which logs discovery finds, and when."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.agent_process import Launch
from support.waiting import eventually

from tracetail.agent.reading.discovery import Discovery
from tracetail.agent.reading.open_files import OpenFiles
from tracetail.agent.settings import AgentSettings
from tracetail.contract.state import launches_dir


@pytest.fixture
def discovery(state_dir: Path, tmp_path: Path) -> Iterator[Discovery]:
    discovery = Discovery([state_dir, tmp_path / "other"], AgentSettings(), "node1", set(), OpenFiles())
    discovery.start()
    yield discovery
    discovery.stop()


def found(discovery: Discovery) -> list[str]:
    discovery._next_scan = 0.0
    return [source.key for source in discovery.scan()]


def test_a_launch_that_begins_within_the_same_clock_tick_is_found(discovery: Discovery, state_dir: Path) -> None:
    first = Launch(state_dir, 1)
    directory = launches_dir(state_dir)
    before = directory.stat()
    assert found(discovery) == [first.launch_id]
    second = Launch(state_dir, 2)
    # The kernel's clock for files has a resolution of some milliseconds: both may have the same time.
    os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert found(discovery) == [second.launch_id]


def test_an_unchanged_directory_is_not_scanned_again(discovery: Discovery, state_dir: Path) -> None:
    first = Launch(state_dir, 1)
    directory = launches_dir(state_dir)
    os.utime(directory, ns=(1, 1))
    assert found(discovery) == [first.launch_id]
    assert discovery._scanned_mtimes[directory] == 1


def test_a_directory_that_cannot_be_scanned_is_reported_once_and_does_not_stop_the_others(
    discovery: Discovery, state_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "other").mkdir()
    launches_dir(tmp_path / "other").write_text("no directory")
    launch = Launch(state_dir, 1)
    assert found(discovery) == [launch.launch_id]
    assert found(discovery) == []
    [said] = [record.getMessage() for record in caplog.records if "cannot look for launches" in record.getMessage()]
    assert "Not a directory" in said
    launches_dir(tmp_path / "other").unlink()
    other = Launch(tmp_path / "other", 2)
    assert found(discovery) == [other.launch_id]


async def test_a_record_that_is_written_after_its_directory_is_found(discovery: Discovery, state_dir: Path) -> None:
    launch = Launch(state_dir, 1)
    hidden = launch.dir.record_path.with_suffix(".hidden")
    launch.dir.record_path.rename(hidden)
    assert found(discovery) == []
    hidden.rename(launch.dir.record_path)
    await eventually(lambda: found(discovery) == [launch.launch_id])
