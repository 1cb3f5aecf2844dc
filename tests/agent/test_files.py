"""Files that no keeper wrote, and their rotation: no line that can be read is lost, none is repeated."""

import asyncio
import gzip
import os
import re
import resource
import shutil
import time
from pathlib import Path

import psutil
import pytest
from support.agent_loki import LokiStandIn
from support.waiting import eventually

from tracetail.agent.model import FileRow
from tracetail.agent.reading import file_source, opened_file
from tracetail.agent.reading.file_source import FileSource
from tracetail.agent.reading.open_files import OpenFiles


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    path = tmp_path / "logs"
    path.mkdir()
    return path


@pytest.fixture
def follow(start_agent, logs: Path):
    """Start an agent that follows `logs/*.log`, or another glob below logs."""

    async def start(glob: str = "*.log", more: str = ""):
        config = f'[agent]\n[[agent.sources]]\nglob = "{logs}/{glob}"\nlabels = {{job = "test"}}\n{more}'
        return await start_agent(config)

    return start


def append(path: Path, *lines: str, end: str = "\n") -> None:
    with path.open("a") as file:
        file.write("".join(line + end for line in lines))


def numbered(start: int, end: int) -> list[str]:
    return [f"line {number}" for number in range(start, end)]


async def all_of(loki: LokiStandIn, lines: list[str]) -> None:
    await loki.until(lambda: len(loki.stored) >= len(lines))
    assert loki.lines() == lines


def gaps(loki: LokiStandIn) -> list[str]:
    return [line for line in loki.lines(events=True) if line.startswith("gap ")]


async def test_a_file_is_followed_with_its_labels(follow, loki: LokiStandIn, logs: Path) -> None:
    await follow("*/*.log", 'path_pattern = "/(?P<team>[a-z]+)/(?P<service>[a-z]+)[.]log$"\n')
    (logs / "llm").mkdir()
    append(logs / "llm" / "serving.log", *numbered(0, 3))
    await all_of(loki, numbered(0, 3))
    labels = loki.entries()[0].labels
    assert 'job="test"' in labels
    assert 'team="llm", service="serving"' in labels
    assert f'filename="{logs}/llm/serving.log"' in labels


async def test_a_glob_that_matches_nothing_is_named_once_and_in_status(follow, loki: LokiStandIn, logs: Path) -> None:
    agent = await follow("*.txt", f'[[agent.sources]]\nglob = "{logs}/*.log"\n')
    append(logs / "a.log", "one")
    await loki.until(lambda: loki.lines() == ["one"])
    assert (await agent.status())["globs"] == [
        {"glob": f"{logs}/*.txt", "files": 0},
        {"glob": f"{logs}/*.log", "files": 1},
    ]
    named = [line for line in agent.errors if "matches no file" in line]
    assert len([line for line in named if f"{logs}/*.txt" in line]) == 1


async def test_names_that_are_not_utf_8_are_followed_over_a_restart(follow, loki: LokiStandIn, logs: Path) -> None:
    path = logs / os.fsdecode("模型\n".encode() + b"\xff\xfe.log")
    append(path, "one")
    agent = await follow()
    await loki.until(lambda: loki.lines() == ["one"])
    assert r"\\xff\\xfe.log" in loki.entries()[0].labels
    await agent.stop()
    append(path, "two")
    agent = await follow()
    await all_of(loki, ["one", "two"])
    await agent.stop()
    path.unlink()
    await follow()
    await loki.until(lambda: len(gaps(loki)) == 1)
    assert r"\\xff\\xfe.log" in gaps(loki)[0]


async def test_ids_in_a_prefix_hold_from_that_line_on(follow, loki: LokiStandIn, logs: Path) -> None:
    append(logs / "a.log", "before", "[traceId=t1 instanceId=i1] INFO 11-22 13:12:10 [a.py:1] x", "after")
    append(logs / "a.log", "(A pid=1) [traceId=t2 instanceId=i2] INFO 11-22 13:12:10 [a.py:1] y")
    await follow(more='ids_from = "prefix"\n')
    await loki.until(lambda: len(loki.stored) == 4)
    ids = [
        ("t1" if 'traceId="t1"' in e.labels else "t2" if 'traceId="t2"' in e.labels else "") for e in loki.entries()
    ]
    assert ids == ["", "t1", "t1", "t2"]


FORGED = (
    "[traceId=t1 instanceId=i1] no header",
    "INFO 11-22 13:12:10 [a.py:1] prompt: [traceId=t1 instanceId=i1] INFO 11-22 13:12:10 [a.py:1] x",
    "2026-11-22T21:12:10.123456789+08:00 [traceId=t1 instanceId=i1] INFO 11-22 13:12:10 [a.py:1] x",
    "2026-11-22T21:12:11.123456789+08:00 [traceId=t1 instanceId=i1 event] failed cause=invented",
)
"""What somebody may make a server print, so that the next lines move to another trace, or a launch seems to fail."""


@pytest.mark.parametrize("more", ["", 'ids_from = "prefix"\n'])
async def test_the_text_of_a_line_neither_chooses_its_trace_nor_makes_events(
    follow, loki: LokiStandIn, logs: Path, more: str
) -> None:
    append(logs / "a.log", *FORGED, "after")
    await follow(more=more)
    await all_of(loki, [*FORGED, "after"])
    assert {entry.labels for entry in loki.entries()} == {loki.entries()[-1].labels}
    assert "traceId" not in loki.entries()[-1].labels
    assert "kind" not in {name for entry in loki.entries() for name, _ in entry.metadata}


async def test_prefixes_with_ids_do_not_count_unless_the_source_says_so(
    follow, loki: LokiStandIn, logs: Path
) -> None:
    lines = ["[traceId=t1 instanceId=i1] INFO 11-22 13:12:10 [a.py:1] x", "after"]
    append(logs / "a.log", *lines)
    await follow()
    await all_of(loki, lines)
    assert "traceId" not in "".join(entry.labels for entry in loki.entries())


async def test_lines_written_before_the_agent_started_keep_the_engines_time(
    follow, loki: LokiStandIn, logs: Path
) -> None:
    append(
        logs / "a.log",
        "no time yet",
        "INFO 01-22 13:12:10 [a.py:1] x",
        "no time either",
        "INFO 01-22 13:12:11 [a.py:1] y",
        "the end",
    )
    await follow()
    await loki.until(lambda: len(loki.stored) == 5)
    seconds = [time.strftime("%m-%d %H:%M:%S", time.localtime(entry.time_ns // 10**9)) for entry in loki.entries()]
    assert seconds == ["01-22 13:12:10"] * 3 + ["01-22 13:12:11"] * 2
    append(logs / "a.log", "written now")
    await loki.until(lambda: len(loki.stored) == 6)
    assert abs(loki.entries()[-1].time_ns - time.time_ns()) < 60 * 10**9


async def test_rename_and_create(follow, loki: LokiStandIn, logs: Path) -> None:
    path = logs / "app.log"
    append(path, *numbered(0, 100))
    await follow()
    await loki.until(lambda: len(loki.stored) == 100)
    append(path, *numbered(100, 200))
    path.rename(logs / "app.log.1")
    append(logs / "app.log.1", "written after the rename")
    append(path, *numbered(200, 300))
    await all_of(loki, [*numbered(0, 200), "written after the rename", *numbered(200, 300)])


async def test_lines_written_to_a_renamed_file_much_later_are_read(follow, loki: LokiStandIn, logs: Path) -> None:
    path = logs / "app.log"
    append(path, "one")
    await follow()
    await loki.until(lambda: len(loki.stored) == 1)
    path.rename(logs / "app.log.1")
    append(path, "two")
    await loki.until(lambda: len(loki.stored) == 2)
    append(logs / "app.log.1", "late")
    await all_of(loki, ["one", "two", "late"])


async def test_two_renames_between_two_polls(follow, loki: LokiStandIn, logs: Path) -> None:
    path = logs / "app.log"
    append(path, *numbered(0, 10))
    await follow()
    await loki.until(lambda: len(loki.stored) == 10)
    path.rename(logs / "app.log.2")
    append(path, *numbered(10, 20))
    path.rename(logs / "app.log.1")
    append(path, *numbered(20, 30))
    await all_of(loki, numbered(0, 30))


async def test_copytruncate(follow, loki: LokiStandIn, logs: Path) -> None:
    path = logs / "app.log"
    append(path, *numbered(0, 100))
    agent = await follow()
    await loki.until(lambda: len(loki.stored) == 100)
    for start in (100, 200):
        append(path, *numbered(start, start + 100))
        shutil.copy(path, logs / f"app.log.{start // 100}")
        os.truncate(path, 0)
    append(path, *numbered(300, 310))
    await all_of(loki, numbered(0, 310))
    assert gaps(loki) == []
    assert await agent.stop() == 0


async def test_copytruncate_while_the_agent_is_down(follow, loki: LokiStandIn, logs: Path) -> None:
    path = logs / "app.log"
    append(path, *numbered(0, 100))
    agent = await follow()
    await loki.until(lambda: len(loki.stored) == 100)
    await agent.stop()
    append(path, *numbered(100, 200))
    shutil.copy(path, logs / "app.log.1")
    os.truncate(path, 0)
    append(path, *numbered(200, 210))
    await follow()
    await all_of(loki, numbered(0, 210))


async def test_truncation_in_place_reports_the_lost_bytes(follow, loki: LokiStandIn, logs: Path) -> None:
    path = logs / "app.log"
    append(path, *numbered(0, 10))
    await follow()
    await loki.until(lambda: len(loki.stored) == 10)
    os.truncate(path, 0)
    append(path, "anew")
    await all_of(loki, [*numbered(0, 10), "anew"])
    assert gaps(loki) == []


async def test_a_file_truncated_and_grown_beyond_its_old_size_is_read_from_its_start(
    follow, loki: LokiStandIn, logs: Path
) -> None:
    path = logs / "app.log"
    append(path, *numbered(0, 10))
    await follow()
    await loki.until(lambda: len(loki.stored) == 10)
    path.write_text("".join(f"other {number}\n" for number in range(1000)))
    await all_of(loki, [*numbered(0, 10), *(f"other {number}" for number in range(1000))])


async def test_a_file_deleted_while_open_is_read_to_its_end(follow, loki: LokiStandIn, logs: Path) -> None:
    path = logs / "app.log"
    append(path, *numbered(0, 10))
    await follow()
    await loki.until(lambda: len(loki.stored) == 10)
    with path.open("a") as writer:
        path.unlink()
        writer.writelines(line + "\n" for line in numbered(10, 20))
        writer.flush()
        await loki.until(lambda: len(loki.stored) == 20)
        writer.write("and on\n")
        writer.flush()
        await loki.until(lambda: len(loki.stored) == 21)
    append(path, "another file")
    await all_of(loki, [*numbered(0, 20), "and on", "another file"])


async def test_a_file_deleted_while_the_agent_is_down_becomes_a_gap(follow, loki: LokiStandIn, logs: Path) -> None:
    path = logs / "app.log"
    append(path, *numbered(0, 10))
    agent = await follow()
    await loki.until(lambda: len(loki.stored) == 10)
    position = path.stat().st_size
    reached = asyncio.Event()

    async def stall(entries, loki) -> None:
        reached.set()
        await asyncio.sleep(3600)

    # A batch in flight never arrives: the journal has bytes that are not acknowledged.
    append(path, *numbered(10, 20))
    loki.always = stall
    await reached.wait()
    await agent.kill()
    append(path, *numbered(20, 30))
    path.unlink()
    append(path, "another file")
    loki.always = None
    await follow()
    await loki.until(lambda: "another file" in loki.lines())
    assert loki.lines() == [*numbered(0, 20), "another file"]
    assert position > 0


async def test_lost_bytes_that_are_known_are_in_the_gap(follow, loki: LokiStandIn, logs: Path) -> None:
    path = logs / "app.log"
    append(path, "x" * 3000)
    agent = await follow(more="")
    await loki.until(lambda: len(loki.stored) == 1)
    await agent.stop()
    # Written, read by an agent that could not deliver all of it, and deleted.
    append(path, *("y" * 900_000 for _ in range(3)))
    size = path.stat().st_size
    reached = asyncio.Event()

    async def stall(entries, loki) -> None:
        reached.set()
        await asyncio.sleep(3600)

    loki.always = stall
    agent = await follow()
    await reached.wait()
    await agent.kill()
    path.unlink()
    loki.always = None
    await follow()
    await loki.until(lambda: len(gaps(loki)) == 1)
    [gap] = gaps(loki)
    assert f"file={path}" in gap
    assert f"to={size}" in gap
    assert 'reason="deleted before it was read"' in gap


async def test_bytes_that_may_be_lost_are_reported_as_unknown(follow, loki: LokiStandIn, logs: Path) -> None:
    path = logs / "app.log"
    append(path, *numbered(0, 10))
    size = path.stat().st_size
    agent = await follow()
    await loki.until(lambda: len(loki.stored) == 10)
    await agent.stop()
    append(path, *numbered(10, 20))
    path.unlink()
    agent = await follow()
    await loki.until(lambda: len(gaps(loki)) == 1)
    assert f"from={size} to={size} " in gaps(loki)[0]
    assert "what was written after this is not known" in gaps(loki)[0]
    await agent.stop()
    append(path, "another file")
    await follow()
    await loki.until(lambda: "another file" in loki.lines())
    assert len(gaps(loki)) == 1  # reported once


async def test_a_file_replaced_while_the_agent_was_down_is_read_and_the_loss_reported(
    follow, loki: LokiStandIn, logs: Path
) -> None:
    path = logs / "app.log"
    append(path, *("y" * 900_000 for _ in range(3)))
    size = path.stat().st_size
    reached = asyncio.Event()

    async def stall(entries, loki) -> None:
        loki.store(entries)
        reached.set()
        await asyncio.sleep(3600)

    loki.always = stall
    agent = await follow()
    async with asyncio.timeout(60):
        await reached.wait()
    await agent.kill()
    loki.always = None
    (logs / "new").write_text("other\n")
    (logs / "new").replace(path)
    await follow()
    await loki.until(lambda: "other" in loki.lines())
    [gap] = gaps(loki)
    assert re.search(rf"from=(\d+) to={size} ", gap)
    known = int(re.search(r"from=(\d+)", gap)[1])
    assert sum(len(line) + 1 for line in loki.lines() if line[:1] == "y") >= known - 1


async def test_bytes_truncated_before_they_are_read_are_a_gap(follow, loki: LokiStandIn, logs: Path) -> None:
    path = logs / "app.log"
    append(path, *("y" * 900_000 for _ in range(3)))
    size = path.stat().st_size
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def stall(entries, loki) -> None:
        reached.set()
        await go_on.wait()

    loki.behaviours.append(stall)
    await follow()
    async with asyncio.timeout(60):
        await reached.wait()
    os.truncate(path, 0)
    append(path, "anew")
    go_on.set()
    await loki.until(lambda: "anew" in loki.lines())
    [gap] = gaps(loki)
    assert f"to={size} " in gap
    assert "truncated before it was read" in gap


def test_each_of_several_deleted_files_is_reported(tmp_path: Path) -> None:
    open_files = OpenFiles()
    source = FileSource(tmp_path / "app.log", {}, open_files)
    source.files = [FileRow(str(source.path), 1, n, b"x", position=10 * n, size=100 + n, id=n) for n in (1, 2, 3)]
    reported = []
    for _ in range(3):
        assert source.read() is None
        assert source.gap is not None
        reported.append((source.gap.row.id, source.gap.row.position, source.gap.end))
        # Not before it is reported: after a crash now it must be reported again.
        assert len(source.finished) == len(reported) - 1
        source.gap = None
    assert reported == [(1, 10, 101), (2, 20, 102), (3, 30, 103)]
    assert source.read() is None
    assert source.gap is None
    assert [row.id for row in source.finished] == [1, 2, 3]


async def test_a_file_that_was_found_empty_is_not_read_again_under_its_rotated_name(
    follow, loki: LokiStandIn, logs: Path
) -> None:
    path = logs / "app.log"
    path.touch()
    append(logs / "other.log", "begun")
    await follow("*.log*")
    await loki.until(lambda: loki.lines() == ["begun"])
    append(path, *numbered(0, 10))
    await loki.until(lambda: len(loki.stored) == 11)
    path.rename(logs / "app.log.1")
    append(logs / "app.log.1", "written after the rename")
    append(path, "new")
    append(logs / "late.log", "a later look")
    await loki.until(lambda: "a later look" in loki.lines() and "new" in loki.lines())
    append(logs / "other.log", "end")
    await loki.until(lambda: "end" in loki.lines() and "written after the rename" in loki.lines())
    assert sorted(loki.lines()) == sorted(
        ["begun", *numbered(0, 10), "written after the rename", "new", "a later look", "end"]
    )


async def test_a_path_without_a_file_is_forgotten_and_found_again(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_source, "FORGET_SECONDS", 0.0)
    source = FileSource(logs / "app.log", {}, OpenFiles())
    append(source.path, "x")
    assert source.poll()
    assert source.read() is not None
    source.file.position = source.file.size = 2
    assert not source.is_gone
    source.path.unlink()
    monkeypatch.setattr(opened_file, "DRAIN_SECONDS", 0.0)
    monkeypatch.setattr(opened_file, "LINGER_SECONDS", 0.0)

    def looked() -> bool:
        if source.poll():
            source.read()
        return source.is_gone

    await eventually(looked)
    source.close()
    append(source.path, "y")
    assert source.poll()
    assert not source.is_gone


async def test_rename_while_the_agent_is_down(follow, loki: LokiStandIn, logs: Path) -> None:
    path = logs / "app.log"
    append(path, *numbered(0, 10))
    agent = await follow()
    await loki.until(lambda: len(loki.stored) == 10)
    await agent.stop()
    append(path, *numbered(10, 20))
    path.rename(logs / "app.log.2")
    append(path, *numbered(20, 30))
    path.rename(logs / "app.log.1")
    append(path, *numbered(30, 40))
    await follow()
    await all_of(loki, numbered(0, 40))


@pytest.mark.parametrize("created_again", [False, True])
@pytest.mark.parametrize("name", ["app.log.1", "a-first-in-the-glob.log"])
async def test_a_file_renamed_to_another_name_of_the_glob_while_the_agent_is_down_is_not_read_twice(
    follow, loki: LokiStandIn, logs: Path, name: str, *, created_again: bool
) -> None:
    agent = await follow("*")
    path = logs / "app.log"
    append(path, *numbered(0, 10))
    await loki.until(lambda: len(loki.stored) == 10)
    assert await agent.stop() == 0
    append(path, *numbered(10, 40))
    path.rename(logs / name)
    if created_again:
        append(path, *numbered(40, 60))
    await follow("*")
    end = 60 if created_again else 40
    await loki.until(lambda: len(loki.stored) >= end)
    append(logs / "another.log", "the last line")
    await loki.until(lambda: "the last line" in loki.lines())
    assert sorted(loki.lines()) == sorted([*numbered(0, end), "the last line"])


async def test_rotated_and_compressed_while_the_agent_is_down(follow, loki: LokiStandIn, logs: Path) -> None:
    path = logs / "app.log"
    append(path, *numbered(0, 10))
    agent = await follow()
    await loki.until(lambda: len(loki.stored) == 10)
    await agent.stop()
    append(path, *numbered(10, 20))
    with gzip.open(logs / "app.log.1.gz", "wb") as packed:
        packed.write(path.read_bytes())
    path.unlink()
    append(path, *numbered(20, 30))
    await follow()
    await all_of(loki, numbered(0, 30))


async def test_a_reused_inode_with_other_content_is_a_new_file(follow, loki: LokiStandIn, logs: Path) -> None:
    path = logs / "app.log"
    append(path, *numbered(0, 10))
    agent = await follow()
    await loki.until(lambda: len(loki.stored) == 10)
    await agent.stop()
    # The same inode with other content: some file systems give a freed number to the next file.
    with path.open("r+") as file:
        file.truncate(0)
        file.writelines(f"other {number}\n" for number in range(20))
    await follow()
    await all_of(loki, [*numbered(0, 10), *(f"other {number}" for number in range(20))])


async def test_a_symlink_that_is_switched(follow, loki: LokiStandIn, logs: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    append(first, *numbered(0, 10))
    (logs / "app.log").symlink_to(first)
    await follow()
    await loki.until(lambda: len(loki.stored) == 10)
    append(first, *numbered(10, 20))
    append(second, *numbered(20, 30))
    (logs / "next").symlink_to(second)
    (logs / "next").replace(logs / "app.log")
    await all_of(loki, numbered(0, 30))


async def test_rotated_files_that_match_the_glob_themselves_are_not_read_again(
    follow, loki: LokiStandIn, logs: Path
) -> None:
    path = logs / "app.log"
    append(logs / "app.log.1", "older")
    append(path, *numbered(0, 10))
    agent = await follow("*.log*")
    await loki.until(lambda: len(loki.stored) == 11)
    (logs / "app.log.1").rename(logs / "app.log.2")
    path.rename(logs / "app.log.1")
    append(path, *numbered(10, 20))
    await loki.until(lambda: len(loki.stored) == 21)
    await agent.stop()
    append(path, "last")
    await follow("*.log*")
    await loki.until(lambda: "last" in loki.lines())
    assert sorted(loki.lines()) == sorted(["older", "last", *numbered(0, 20)])


async def test_a_directory_that_appears_later_and_is_renamed(follow, loki: LokiStandIn, logs: Path) -> None:
    await follow("**/*.log")
    deep = logs / "a" / "b"
    deep.mkdir(parents=True)
    append(deep / "x.log", *numbered(0, 10))
    await loki.until(lambda: len(loki.stored) == 10)
    with (deep / "x.log").open("a") as writer:
        (logs / "a").rename(logs / "c")
        writer.writelines(line + "\n" for line in numbered(10, 20))
        writer.flush()
        await all_of(loki, numbered(0, 20))
    append(logs / "c" / "b" / "y.log", "new")
    await all_of(loki, [*numbered(0, 20), "new"])


async def test_a_last_line_without_newline_is_sent_as_cut_and_goes_on(follow, loki: LokiStandIn, logs: Path) -> None:
    path = logs / "app.log"
    append(path, "whole")
    append(path, "unfin", end="")
    await follow()
    await loki.until(lambda: len(loki.stored) == 2)
    assert dict(loki.entries()[1].metadata)["kind"] == "cut"
    append(path, "ished")
    await loki.until(lambda: len(loki.stored) == 3)
    assert loki.lines() == ["whole", "unfin", "ished"]


async def test_a_line_of_5_mb_is_sent_in_parts_and_none_is_lost(follow, loki: LokiStandIn, logs: Path) -> None:
    line = "".join(f"{number:07d}ä" for number in range(600_000))
    append(logs / "app.log", "before", line, "after")
    await follow()
    await loki.until(lambda: "after" in loki.lines(), 60)
    parts = loki.entries()
    assert (parts[0].line, parts[-1].line) == ("before", "after")
    assert "".join(part.line for part in parts[1:-1]) == line
    assert [dict(part.metadata).get("kind") for part in parts[1:-1]] == ["cut"] * (len(parts) - 3) + [None]
    assert max(len(part.line.encode()) for part in parts) <= 262_144


async def test_descriptors_of_finished_files_are_closed_and_many_idle_files_cost_little(
    follow, loki: LokiStandIn, logs: Path
) -> None:
    count = 1500
    for number in range(count):
        append(logs / f"{number}.log", f"file {number}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
    try:
        agent = await follow()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await loki.until(lambda: len(loki.stored) == count, 90)
    assert sorted(loki.lines()) == sorted(f"file {number}" for number in range(count))
    descriptors = Path(f"/proc/{agent.process.pid}/fd")
    await eventually(lambda: len(list(descriptors.iterdir())) < 500)
    append(logs / "700.log", "more")
    await loki.until(lambda: "more" in loki.lines())


async def many_files(follow, loki: LokiStandIn, logs: Path, count: int, active: int, rounds: int) -> None:
    """Follow many files, and write to some of them at the same time, repeatedly."""
    for number in range(count):
        (logs / str(number % 100)).mkdir(exist_ok=True)
        append(logs / str(number % 100) / f"{number}.log", f"file {number}")
    agent = await follow("**/*.log")
    wanted = [f"file {number}" for number in range(count)]
    await loki.until(lambda: len(loki.stored) == count, 200)
    process = psutil.Process(agent.process.pid)
    assert process.num_fds() < 1000  # as many as most systems allow, though all were read just now
    for turn in range(rounds):
        for number in range(active):
            append(logs / str(number % 100) / f"{number}.log", f"more {number} {turn}")
            wanted.append(f"more {number} {turn}")
        await loki.until(lambda: len(loki.stored) == len(wanted), 200)
    assert sorted(loki.lines()) == sorted(wanted)
    # Each body once: no source delivers the batch of another.
    assert len(set(loki.bodies)) == len(loki.bodies)
    assert agent.errors == []
    await eventually(lambda: process.num_fds() < 500)
    assert await agent.stop() == 0


async def test_many_sources_that_are_active_at_once(follow, loki: LokiStandIn, logs: Path) -> None:
    await many_files(follow, loki, logs, count=500, active=500, rounds=3)


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_ten_thousand_files_of_which_a_thousand_are_active(follow, loki: LokiStandIn, logs: Path) -> None:
    await many_files(follow, loki, logs, count=10_000, active=1000, rounds=5)


@pytest.mark.parametrize("how", ["renamed", "copied", "packed", "truncated"])
async def test_lines_written_to_a_closed_file_just_before_its_rotation_are_read(logs: Path, how: str) -> None:
    source = FileSource(logs / "app.log", {}, OpenFiles())
    append(source.path, "x")
    assert source.read() is not None
    source.file.position = 2
    source._suspend()
    append(source.path, "y")
    rotated = logs / "app.log.1"
    if how == "renamed":
        source.path.rename(rotated)
    elif how == "copied":
        shutil.copy(source.path, rotated)
        os.truncate(source.path, 0)
    elif how == "packed":
        with gzip.open(logs / "app.log.1.gz", "wb") as packed:
            packed.write(source.path.read_bytes())
        source.path.unlink()
    else:
        os.truncate(source.path, 0)
    append(source.path, "new and longer than before")
    assert source.poll()
    # As the resumer loads it from the journal.
    source.files = [
        FileRow(
            str(source.path), source._closed.st_dev, source._closed.st_ino, b"x\n", b"x\n", position=2, size=2, id=1
        )
    ]
    read = []

    gaps = []

    def until_new() -> bool:
        if source.gap is not None:
            gaps.append(source.gap.reason)
            source.gap = None
        if (block := source.read()) is not None:
            read.append(block.data)
            source.file.position, source.file.tail = block.end, b""
        return b"new and longer than before\n" in read

    await eventually(until_new)
    assert len(gaps) == (how == "truncated")
    assert read == [*([b"y\n"] if how != "truncated" else []), b"new and longer than before\n"]
    source.close()


async def test_a_file_closed_while_idle_continues_at_its_position(
    follow, loki: LokiStandIn, logs: Path, tmp_path: Path
) -> None:
    open_files = OpenFiles()
    source = FileSource(logs / "app.log", {}, open_files)
    append(source.path, "x")
    assert source.poll()
    assert source.read() is not None
    source.file.position = 2
    assert open_files.open == 1
    source._suspend()
    assert source.asleep
    assert open_files.open == 0
    assert not source.poll()
    append(source.path, "y")
    assert source.poll()
    # As the resumer loads it from the journal.
    source.files = [
        FileRow(
            str(source.path), source._closed.st_dev, source._closed.st_ino, b"x\n", b"x\n", position=2, size=2, id=1
        )
    ]
    block = source.read()
    assert block is not None
    assert (block.data, block.start) == (b"y\n", 2)
    source.close()
