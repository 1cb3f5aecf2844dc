"""`tracetail verify`, `tracetail agent rejected`, `replay` and `try`, run as commands."""

import json
from pathlib import Path

import pytest
from support.agent_loki import LokiStandIn, Stored
from support.agent_process import TRACE, Launch
from support.waiting import eventually

from tracetail.agent.journal.database import journal_path
from tracetail.agent.journal.rejected import rejected_lines


async def test_verify_proves_a_launch_complete_and_names_what_is_missing(
    start_agent, loki: LokiStandIn, state_dir: Path, tracetail
) -> None:
    launch = Launch(state_dir)
    launch.print(*(f"line {n}" for n in range(100)), "x" * 300_000, "api_key='geheim'", "Ende äöü", b"bad \xff utf-8")
    launch.rotate()
    launch.print("unfinished is cut", mark="cut")
    launch.end()
    await start_agent()
    await loki.until(lambda: any(line.startswith("receipt") for line in loki.lines(events=True)))
    ran = await tracetail("verify", "--trace-id", TRACE, "--json")
    assert ran.status == 0, ran
    [report] = json.loads(ran.out)["launches"]
    assert report["complete"] is True
    assert (report["lines"], report["found"], report["redacted"]) == (106, 106, 1)
    assert report["receipt"]["lines"] == "106"

    # Two adjacent lines and the last one are removed from Loki.
    for entry in list(loki.stored):
        if entry.line in ("line 7", "line 8", "unfinished is cut"):
            del loki.stored[entry]
    ran = await tracetail("verify", "--trace-id", TRACE, "--json")
    assert ran.status == 1
    first, second = json.loads(ran.out)["launches"][0]["missing"]
    data = launch.segments[0].read_bytes()
    missing = data[first["from"] : first["to"]].split(b"\n")
    assert [line[-6:] for line in missing] == [b"line 7", b"line 8", b""]
    assert second == {
        "file": str(launch.segments[1]),
        "from": 0,
        "to": launch.segments[1].stat().st_size,
        "lines": 1,
    }
    ran = await tracetail("verify", "--trace-id", TRACE)
    assert "NOT complete" in ran.out
    assert f"missing: {launch.segments[0]} bytes {first['from']} to {first['to']} (2 lines)" in ran.out


async def test_verify_reports_lost_bytes_and_unreadable_records(
    start_agent, loki: LokiStandIn, state_dir: Path, tracetail
) -> None:
    other = Launch(state_dir, 2)
    other.dir.record_path.write_text("{")
    launch = Launch(state_dir)
    launch.print("one")
    launch.rotate()
    launch.print("lost")
    launch.rotate()
    launch.print("three")
    launch.segments[1].unlink()
    await start_agent()
    await loki.until(lambda: "three" in loki.lines())
    ran = await tracetail("verify", "--trace-id", TRACE)
    assert ran.status == 1
    assert f"({launch.record['state']}): NOT complete: 3 lines on disk, 3 of them in Loki" in ran.out
    assert f"  lost: {launch.segments[1]} from byte 0 on: deleted before it was read" in ran.out
    assert f"  no longer on disk: {launch.segments[1]}" in ran.out
    assert f"warning: {other.dir.record_path} is not valid JSON" in ran.err
    launch.print("on its way")
    entries = dict(loki.stored)
    await loki.until(lambda: "on its way" in loki.lines())
    loki.stored = entries
    ran = await tracetail("verify", "--trace-id", TRACE)
    assert "it still runs: its last lines may be on their way" in ran.out


@pytest.mark.parametrize("structured", [True, False])
async def test_verify_recognises_entries_that_were_sent_with_a_later_time(
    start_agent, loki: LokiStandIn, state_dir: Path, tracetail, structured: bool
) -> None:
    from aiohttp import web

    text = "entry for stream '{}' has timestamp too old: x, oldest acceptable timestamp is: y"
    refused = []

    async def too_old(entries: list[Stored], loki: LokiStandIn) -> web.Response:
        refused.extend(entries)
        return web.Response(status=400, text=text)

    config = f"[loki]\nstructured_metadata = {'true' if structured else 'false'}\n"
    launch = Launch(state_dir)
    launch.print("again and in vain", "again")
    # Pushes: both lines, the first half, the first again, the second half.
    loki.behaviours += [too_old] * 4
    await start_agent(config)
    await loki.until(lambda: len(loki.stored) == 1)
    assert len(rejected_lines(journal_path(state_dir))) == 1
    launch.end()
    await loki.until(lambda: any(line.startswith("receipt") for line in loki.lines(events=True)))
    sent_again = loki.entries()[0]
    original = "2026-11-22T13:12:10.002000246Z"
    if structured:
        assert (sent_again.line, dict(sent_again.metadata)["original_time"]) == ("again", original)
    else:
        assert sent_again.line == f"[original_time={original}] again"
        assert sent_again.metadata == ()
    ran = await tracetail("verify", "--trace-id", TRACE, "--json", config=config)
    [report] = json.loads(ran.out)["launches"]
    assert (report["complete"], report["found"], report["rejected"], report["missing"]) == (False, 1, 1, [])
    assert ran.status == 3  # nothing is missing, but Loki refused a line
    assert report["inLoki"] == 1
    assert report["receipt"]["lines"] == "2"


async def test_verify_says_which_lines_loki_has_truncated(
    start_agent, loki: LokiStandIn, state_dir: Path, tracetail
) -> None:
    """max_line_size_truncate: the answer is 204, and the beginning of a long line is stored."""
    from aiohttp import web

    async def truncate(entries: list[Stored], loki: LokiStandIn) -> web.Response:
        loki.store([entry._replace(line=entry.line[:1000]) for entry in entries])
        return web.Response(status=204)

    launch = Launch(state_dir)
    launch.print("short", "x" * 5000, "y" * 1001)
    launch.end()
    loki.always = truncate
    await start_agent()
    await loki.until(lambda: any(line.startswith("receipt") for line in loki.lines(events=True)))
    ran = await tracetail("verify", "--trace-id", TRACE)
    assert ran.status == 3
    assert "of 2 lines Loki has the first 1000 bytes only (max_line_size_truncate)" in ran.out
    assert "missing" not in ran.out


async def test_verify_of_an_unknown_trace_fails(tracetail) -> None:
    ran = await tracetail("verify", "--trace-id", "nobody")
    assert ran.status == 1
    assert "no launch of trace nobody" in ran.err


async def test_rejected_lines_are_listed_and_can_be_sent_again(
    start_agent, loki: LokiStandIn, state_dir: Path, tracetail
) -> None:
    from aiohttp import web

    async def refuse_odd(entries: list[Stored], loki: LokiStandIn) -> web.Response:
        odd = [entry for entry in entries if int(entry.line.split()[1]) % 2]
        loki.store([entry for entry in entries if entry not in odd])
        return web.Response(status=400, text="odd numbers are refused") if odd else web.Response(status=204)

    launch = Launch(state_dir)
    launch.print(*(f"line {n}" for n in range(10)))
    loki.always = refuse_odd
    await start_agent()
    await eventually(lambda: len(rejected_lines(journal_path(state_dir))) == 5)
    ran = await tracetail("agent", "rejected", "--json")
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [row["line"] for row in rows] == [f"line {n}" for n in range(1, 10, 2)]
    assert {row["reason"] for row in rows} == {"odd numbers are refused"}
    assert (await tracetail("agent", "rejected", "--trace-id", "other", "--json")).out == ""
    # Rejected lines are accounted for, but not in Loki.
    report = json.loads((await tracetail("verify", "--trace-id", TRACE, "--json")).out)["launches"][0]
    assert (report["complete"], report["found"], report["rejected"]) == (False, 5, 5)

    ran = await tracetail("agent", "rejected", "replay")
    assert ran.status == 1
    assert "odd numbers are refused" in ran.err
    assert len(rejected_lines(journal_path(state_dir))) == 5
    loki.always = None
    ran = await tracetail("agent", "rejected", "replay", "--trace-id", TRACE)
    assert (ran.status, ran.out) == (0, "5 lines accepted\n")
    assert (await tracetail("agent", "rejected", "replay")).out == "nothing to replay\n"
    assert rejected_lines(journal_path(state_dir)) == []
    # The running agent, too, says so.
    await eventually(lambda: launch.dir.shipped_path.exists() and launch.shipped()["rejected"] == 0)
    assert loki.lines() == [f"line {n}" for n in range(10)]


async def test_lines_that_are_too_old_by_now_are_replayed_with_the_current_time_and_counted(
    start_agent, loki: LokiStandIn, state_dir: Path, tracetail
) -> None:
    from aiohttp import web

    refused = "stream '{}' includes structured metadata, but this feature is disallowed. Please see"

    async def refuse_all(entries: list[Stored], loki: LokiStandIn) -> web.Response | None:
        if any(entry.line.startswith("receipt") for entry in entries):
            return None
        return web.Response(status=400, text=f"{len(entries)} errors like: {refused}")

    async def too_far_behind(entries: list[Stored], loki: LokiStandIn) -> web.Response | None:
        if any("original_time" in dict(entry.metadata) for entry in entries):
            return None
        text = "entry with timestamp 2026-11-22 13:12:10.001000123 +0000 UTC ignored, reason: 'entry too far behind,"
        text += " entry timestamp is: 2026-11-22T13:12:10Z, oldest acceptable timestamp is: 2026-11-26T13:12:10Z',\n"
        text += f"user 'fake', total ignored: {len(entries)} out of {len(entries)} for stream: {{}}"
        return web.Response(status=400, text=text)

    launch = Launch(state_dir)
    launch.print(*(f"line {n}" for n in range(50)))
    launch.end()
    loki.always = refuse_all
    await start_agent()
    await loki.until(lambda: any(line.startswith("receipt") for line in loki.lines(events=True)))
    assert len(rejected_lines(journal_path(state_dir))) == 50
    loki.always = None
    loki.behaviours = [too_far_behind]
    before = len(loki.bodies)
    ran = await tracetail("agent", "rejected", "replay")
    assert (ran.status, ran.out) == (0, "50 lines accepted\n")
    assert loki.lines() == [f"line {n}" for n in range(50)]
    assert len(loki.bodies) - before == 3  # refused, accepted, and the receipt
    report = json.loads((await tracetail("verify", "--trace-id", TRACE, "--json")).out)["launches"][0]
    assert (report["complete"], report["found"], report["rejected"]) == (True, 50, 0)
    assert report["receipt"]["rejected"] == "0"


async def test_try_shows_labels_metadata_and_masked_text(tmp_path: Path, tracetail, loki: LokiStandIn) -> None:
    log = tmp_path / "app.log"
    log.write_bytes(
        b"[traceId=t1 instanceId=i1] (A pid=7) ERROR 11-22 13:12:10 [a.py:1] password=geheim\n"
        b"[traceId=t2 instanceId=i2] INFO 11-22 13:12:10 [b.py:2] hello\nplain\n"
    )
    config = '[agent]\ntimezone = "Asia/Shanghai"\nlabels = {team = "llm"}\n'
    config += f'[[agent.sources]]\nglob = "{tmp_path}/*.log"\nids_from = "prefix"\n'
    ran = await tracetail("agent", "try", str(log), "--json", config=config)
    assert ran.status == 0, ran
    first, second, third = (json.loads(line) for line in ran.out.splitlines())
    assert first["line"].endswith("password=***")
    assert first["metadata"] == {"level": "error", "process": "A", "pid": "7", "source": "a.py:1"}
    assert first["labels"]["traceId"] == "t1"
    assert first["labels"]["team"] == "llm"
    assert first["labels"]["filename"] == str(log)
    assert second["labels"]["traceId"] == third["labels"]["traceId"] == "t2"
    assert loki.bodies == []


async def test_try_shows_plain_sources_segments_and_files_that_are_not_followed(
    tmp_path: Path, tracetail, state_dir: Path
) -> None:
    log = tmp_path / "app.log"
    log.write_text("ERROR 11-22 13:12:10 [a.py:1] x\n[traceId=t2 instanceId=i2] INFO 11-22 13:12:10 [b.py:2] y\n")
    config = f'[[agent.sources]]\nglob = "{tmp_path}/*.log"\nformat = "plain"\nlabels = {{job = "llm"}}\n'
    ran = await tracetail("agent", "try", str(log), config=config)
    assert (ran.status, ran.err) == (0, "")
    labels, first, _ = ran.out.splitlines()
    assert 'job="llm"' in labels
    assert f'filename="{log}"' in labels
    assert " level=info | ERROR" in first

    ran = await tracetail("agent", "try", str(log))
    assert f"no glob of agent.sources matches {log}" in ran.err
    lines = ran.out.splitlines()
    assert " level=error source=a.py:1 | ERROR" in lines[1]
    assert "source=b.py:2" in lines[2]

    launch = Launch(state_dir)
    launch.print("(A pid=1) INFO 11-22 13:12:10 [a.py:1] api_key='geheim'")
    ran = await tracetail("agent", "try", str(launch.segments[0]), "--json")
    assert ran.err == ""
    line = json.loads(ran.out)
    assert line["labels"]["launchId"] == launch.launch_id
    assert line["line"].endswith("api_key='***'")
    assert line["time"].startswith("2026-11-22T")
