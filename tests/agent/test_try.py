"""`tracetail agent try` shows the entries that the agent ships: times, labels, metadata, masked text."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import commands
from support.agent_loki import LokiStandIn
from support.agent_process import Launch
from support.environment import environment

from tracetail.agent.journal import queries
from tracetail.agent.journal.database import Journal, journal_path
from tracetail.contract.logline import parse_stamp, render_line
from tracetail.loki.logql import selector

LINES = (
    b"before the first time",
    b"INFO 12-31 23:59:59 [a.py:1] the old year",
    b"ERROR 01-01 00:00:01 [a.py:1] the new year, api_key='geheim'",
    b"Traceback (most recent call last):",
    b"  File x",
    b"ValueError: no",
    b"[traceId=t2 instanceId=i2] (A pid=7) WARNING 01-01 00:00:02 [b.py:2] with ids",
    b"without a time",
    render_line(1_795_353_130_123_456_789, "t3", "i3", b"INFO 11-22 13:12:10 [c.py:3] of a keeper")[:-1],
    b"INFO 01-02 00:00:00 [c.py:3] moved after the line before",
    b"two entries " + b"x" * 300_000,
    b"bad \xff utf-8",
    *(b"INFO 01-03 00:00:%02d [d.py:4] %04d %s" % (number % 60, number, b"y" * 400) for number in range(2600)),
    b"longer than a block " + b"z" * 1_200_000,
)
LAST_YEARS = int(datetime(2024, 6, 1, tzinfo=UTC).timestamp()) * 1_000_000_000


async def tried(state_dir: Path, path: Path, config: str) -> list[tuple]:
    """Return what `agent try` prints, in the form of shipped()."""
    (state_dir / "try.toml").write_text(config)
    environ = environment()
    environ |= {"TRACETAIL_STATE_DIR": str(state_dir), "TRACETAIL_CONFIG": str(state_dir / "try.toml")}
    process = await commands.create("agent", "try", str(path), "--json", env=environ, stdout=-1)
    out, _ = await process.communicate()
    assert process.returncode == 0
    entries = [json.loads(line) for line in out.splitlines()]
    return [
        (parse_stamp(entry["time"].encode()), selector(entry["labels"]), entry["line"], entry["metadata"])
        for entry in entries
    ]


def shipped(loki: LokiStandIn) -> list[tuple]:
    return [(entry.time_ns, entry.labels, entry.line, dict(entry.metadata)) for entry in loki.entries()]


@pytest.mark.parametrize(("timezone", "first_seen_ns"), [("", None), ("Asia/Shanghai", LAST_YEARS)])
async def test_a_file_is_shown_as_it_is_shipped(
    start_agent, loki: LokiStandIn, state_dir: Path, tmp_path: Path, timezone: str, first_seen_ns: int | None
) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"\n".join([*LINES, b"unfinished"]))
    config = f'[agent]\ntimezone = "{timezone}"\nlabels = {{team = "llm"}}\n'
    config += f'[[agent.sources]]\nglob = "{tmp_path}/*.log"\nlabels = {{job = "test"}}\n'
    if first_seen_ns is not None:
        journal = Journal(journal_path(state_dir))
        journal.open()
        await journal.write(lambda db: queries.open_source(db, str(path), "file", {}, first_seen_ns))
        await asyncio.to_thread(journal.close)

    before = await tried(state_dir, path, config)
    await start_agent(config)
    await loki.until(lambda: any(entry.line == "unfinished" for entry in loki.stored))
    after = await tried(state_dir, path, config)

    *entries, unfinished = shipped(loki)
    year = {2023, 2024} if first_seen_ns else {datetime.now(UTC).year - 1, datetime.now(UTC).year}
    assert {datetime.fromtimestamp(entry[0] // 10**9, UTC).year for entry in entries[:6]} <= year
    assert before[:-1] == after[:-1] == entries
    # The time of reading differs.
    assert before[-1][1:] == after[-1][1:] == unfinished[1:]


async def test_a_segment_is_shown_as_it_is_shipped(start_agent, loki: LokiStandIn, state_dir: Path) -> None:
    launch = Launch(state_dir)
    launch.print("INFO 11-22 13:12:10 [a.py:1] password=geheim", "", "Traceback (most recent call last):", "  x")
    launch.print("cut in a secret: api_key='ge", mark="cut")
    launch.print("heim'", "z" * 262_000)
    launch.print("ready seconds=1", mark="event")
    await start_agent()
    await loki.until(lambda: any(line.startswith("ready") for line in loki.lines(events=True)))
    assert await tried(state_dir, launch.segments[0], "") == shipped(loki)


@pytest.mark.parametrize("structured", [True, False])
async def test_a_file_without_any_time_gets_the_time_of_reading(
    start_agent, loki: LokiStandIn, state_dir: Path, tmp_path: Path, structured: bool
) -> None:
    path = tmp_path / "app.log"
    path.write_text("one\ntwo\n")
    config = f"[loki]\nstructured_metadata = {str(structured).lower()}\n"
    config += f'[agent]\n[[agent.sources]]\nglob = "{path}"\n'
    await start_agent(config)
    await loki.until(lambda: len(loki.stored) == 2)
    first, second = await tried(state_dir, path, config)
    assert [first[1:], second[1:]] == [entry[1:] for entry in shipped(loki)]
    assert second[0] == first[0] + 1
