"""Invalid input and damaged state: a clear message, the other logs are shipped, nothing is lost that can be kept."""

import json
import os
import random
import resource
import shutil
import sqlite3
from pathlib import Path

import pytest
from aiohttp import web
from support.agent_loki import LokiStandIn, Stored
from support.agent_process import Launch
from support.database import opened
from support.waiting import eventually

from tracetail.agent.journal.database import journal_path

LINES = [f"line {number}" for number in range(200)]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    path = tmp_path / "logs"
    path.mkdir()
    return path


def config(logs: Path) -> str:
    return f'[[agent.sources]]\nglob = "{logs}/*.log"\n'


NUL_GAP = 'gap file={}/nul.log from=7 to=5008 reason="a hole of NUL bytes"'


async def test_binary_garbage_and_nul_bytes_arrive_as_valid_text(
    start_agent, loki: LokiStandIn, logs: Path, state_dir: Path
) -> None:
    data = random.Random(7).randbytes(300_000)
    (logs / "garbage.log").write_bytes(data)
    (logs / "nul.log").write_bytes(b"before\n" + b"\0" * 5000 + b"\nafter\n")
    launch = Launch(state_dir)
    launch.print(b"a\0b", b"\xff\xfe", b"caf\xc3")
    agent = await start_agent(config(logs) + "binary = true\n")
    wanted = [line.removesuffix(b"\r").decode(errors="replace") for line in data.split(b"\n")]
    await loki.until(lambda: len(loki.stored) >= len(wanted) + 6, 60)
    found = [entry.line for entry in loki.entries() if "garbage.log" in entry.labels]
    assert "\n".join(found) == "\n".join(wanted)
    assert [e.line for e in loki.entries() if "nul.log" in e.labels] == ["before", NUL_GAP.format(logs), "after"]
    assert [e.line for e in loki.entries() if "launchId" in e.labels] == ["a\0b", "��", "caf�"]
    assert not [line for line in agent.errors if "Traceback" in line]


async def test_lines_with_times_that_no_calendar_has_do_not_stop_a_log(
    start_agent, loki: LokiStandIn, logs: Path
) -> None:
    lines = [
        "[WARNING|logging.py:313] 0024-05-08 14:22:55,479 >> in the year 24",
        "[WARNING|logging.py:313] 0001-01-01 00:00:00,000 >> at the beginning of the calendar",
        "[2026-11-22 15:19:22.681+99:99] [38] [452] [server] [INFO] [a.cpp:1] : in a zone of days",
        '{"asctime": "2026-11-22 13:39:30,975", "levelname": "INFO", "process": 5, "message": "a", "x": "y"}',
        '{"asctime", "levelname": "INFO", "process": 5, "message": "a", "x": "y"}',
        "others",
    ]
    for name in ("one", "other"):
        (logs / f"{name}.log").write_text("".join(f"{line}\n" for line in lines))
        lines.reverse()
    agent = await start_agent(config(logs))
    await loki.until(lambda: len(loki.stored) >= 2 * len(lines))
    with (logs / "one.log").open("a") as file:
        file.write("the next one\n")
    await loki.until(lambda: "the next one" in loki.lines())
    assert sorted(loki.lines()) == sorted([*lines, *lines, "the next one"])
    assert not agent.errors


async def test_a_line_of_50_mb_without_newline_takes_little_memory(
    start_agent, loki: LokiStandIn, logs: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_COMMAND_PREFIX", "env")  # a new Python, whose memory is its own
    with (logs / "long.log").open("wb") as file:
        for _ in range(50):
            file.write(b"x" * 1_000_000)
    agent = await start_agent(config(logs))
    await loki.until(lambda: sum(len(entry.line) for entry in loki.stored) == 50_000_000, 60)
    status = Path(f"/proc/{agent.process.pid}/status").read_text()  # noqa: ASYNC240
    peak = int(status.split("VmHWM:")[1].split()[0])
    assert peak < 80 * 1024
    launch = Launch(state_dir)
    launch.print("others go on")
    await loki.until(lambda: "others go on" in loki.lines())


async def test_a_file_without_read_permission_is_reported_and_read_once_it_has_it(
    start_agent, loki: LokiStandIn, logs: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = logs / "secret.log"
    secret.write_text("hidden\n")
    secret.chmod(0)
    if os.access(secret, os.R_OK):
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv (util-linux) to try it as root")
        capabilities = "-dac_override,-dac_read_search"
        monkeypatch.setenv("AGENT_COMMAND_PREFIX", f"setpriv --bounding-set={capabilities} --inh-caps={capabilities}")
    (logs / "open.log").write_text("shown\n")
    agent = await start_agent(config(logs))
    await loki.until(lambda: loki.lines() == ["shown"])
    await eventually(lambda: any("secret.log" in line and "Permission denied" in line for line in agent.errors))
    secret.chmod(0o600)
    await loki.until(lambda: sorted(loki.lines()) == ["hidden", "shown"])
    assert len([line for line in agent.errors if "secret.log" in line]) == 1


async def test_a_corrupt_journal_is_replaced_and_each_line_is_stored_once(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    launch.print(*LINES)
    agent = await start_agent()
    await loki.until(lambda: len(loki.stored) == 200)
    await agent.stop()
    journal = journal_path(state_dir)
    journal.write_bytes(b"SQLite format 3\0" + b"no such thing" * 1000)
    agent = await start_agent()
    launch.print("more")
    await loki.until(lambda: "more" in loki.lines())
    assert loki.lines() == [*LINES, "more"]
    [said] = [line for line in agent.errors if "corrupt" in line]
    [aside] = journal.parent.glob("journal.db.corrupt-*")
    assert str(aside) in said


async def test_a_journal_of_the_previous_version_is_migrated_with_its_batches(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    launch.print(*LINES)

    async def unavailable(entries: list[Stored], loki: LokiStandIn) -> web.StreamResponse:
        del entries, loki
        return web.Response(status=503)

    loki.always = unavailable
    agent = await start_agent()
    await loki.until(lambda: len(loki.bodies) > 0)
    await agent.kill()
    with opened(journal_path(state_dir)) as connection:
        connection.executescript(
            "ALTER TABLE intents DROP COLUMN rows; ALTER TABLE intents ADD COLUMN first_index INTEGER;"
            "UPDATE intents SET first_index = 0; ALTER TABLE files DROP COLUMN real_path;"
            "ALTER TABLE sources DROP COLUMN listed_ns; DROP TABLE looks; PRAGMA user_version = 1;"
        )
    loki.always = None
    await start_agent()
    await loki.until(lambda: len(loki.stored) == 200)
    assert loki.lines() == LINES
    launch.print("more")
    await loki.until(lambda: "more" in loki.lines())


async def test_a_journal_of_a_newer_version_is_refused_unchanged(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    journal = journal_path(state_dir)
    journal.parent.mkdir(parents=True)
    with opened(journal) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = journal.read_bytes()
    with pytest.raises(AssertionError, match=r"has version 99, this tracetail knows .*: update tracetail"):
        await start_agent()
    assert journal.read_bytes() == before


async def test_shipping_continues_after_the_disk_was_full(start_agent, loki: LokiStandIn, state_dir: Path) -> None:
    launch = Launch(state_dir)
    launch.print("first")
    agent = await start_agent()
    await loki.until(lambda: len(loki.stored) == 1)
    # A file size limit for the agent has the effect of a full disk on its journal.
    _, hard = resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
    launch.print(*LINES)
    await eventually(lambda: any("free space" in line for line in agent.errors))
    assert (await agent.status())["healthy"] is False
    assert loki.lines() == ["first"]
    resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    await loki.until(lambda: len(loki.stored) == 201)
    assert loki.lines() == ["first", *LINES]


async def test_a_record_that_cannot_be_read_does_not_stop_the_others(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    broken = Launch(state_dir, 1)
    broken.dir.record_path.write_text('{"schema": 1, "launchId": ')
    poor = Launch(state_dir, 4)
    poor.dir.record_path.write_text(json.dumps({"schema": 1, "launchId": poor.dir.launch_id}))
    newer = Launch(state_dir, 2)
    newer.dir.record_path.write_text('{"schema": 9}')
    deep = Launch(state_dir, 5)
    deep.dir.record_path.write_text("[" * 100_000)
    launch = Launch(state_dir, 3)
    launch.print("fine")
    agent = await start_agent()
    await loki.until(lambda: loki.lines() == ["fine"])
    assert any("not valid JSON" in line for line in agent.errors)
    assert any("update tracetail" in line for line in agent.errors)
    assert any(f"{poor.dir.record_path} cannot be used" in line for line in agent.errors)
    # Each is reported once, and followed when it can be read.
    broken.print("mended")
    broken.save()
    await loki.until(lambda: "mended" in loki.lines())
    assert len([line for line in agent.errors if "not valid JSON" in line and str(broken.dir.path) in line]) == 1
    assert any(f"{deep.dir.record_path} is not valid JSON" in line for line in agent.errors)


async def test_a_journal_locked_by_another_program_delays_the_agent(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    launch.print("one")
    agent = await start_agent()
    await loki.until(lambda: loki.lines() == ["one"])
    connection = sqlite3.connect(journal_path(state_dir), isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        launch.print("two")
        await eventually(lambda: any("is locked" in line for line in agent.errors))
        launch.print("three")
    finally:
        connection.close()
    await loki.until(lambda: loki.lines() == ["one", "two", "three"])
    assert not [line for line in agent.errors if "Traceback" in line]
