"""Every way in which Loki can fail to accept a batch: no line is lost, none is stored twice."""

import asyncio
import json
import random
import re
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.agent_loki import Behaviour, LokiStandIn, Stored, StoreFront
from support.agent_process import Launch
from support.database import opened
from support.waiting import eventually

from tracetail.agent.journal.database import journal_path

LINES = [f"line {n}" for n in range(200)]


def answer(status: int, text: str = "", *, stored: bool = False, headers: dict[str, str] | None = None) -> Behaviour:
    async def behave(entries: list[Stored], loki: LokiStandIn) -> web.StreamResponse:
        if stored:
            loki.store(entries)
        return web.Response(status=status, text=text, headers=headers)

    return behave


def hang_up(*, stored: bool) -> Behaviour:
    async def behave(entries: list[Stored], loki: LokiStandIn) -> web.StreamResponse:
        if stored:
            loki.store(entries)
        raise ConnectionResetError

    return behave


async def half_an_answer(entries: list[Stored], loki: LokiStandIn) -> web.StreamResponse | None:
    loki.half_answers = True
    loki.store(entries)
    return None


def refuse(wrong: Callable[[Stored], bool], text: Callable[[list[Stored]], str]) -> Behaviour:
    """Refuse some entries of a request as Loki does: 400, and the others are stored."""

    async def behave(entries: list[Stored], loki: LokiStandIn) -> web.StreamResponse | None:
        refused = [entry for entry in entries if wrong(entry)]
        loki.store([entry for entry in entries if entry not in refused])
        return web.Response(status=400, text=text(refused)) if refused else web.Response(status=204)

    return behave


def too_far_behind(total: int) -> Callable[[list[Stored]], str]:
    """Return Loki's text for entries that are too old: it lists at most ten, and their total number."""

    def text(refused: list[Stored]) -> str:
        listed = [
            f"entry with timestamp {go_time(entry.time_ns)} ignored, reason: 'entry too far behind, entry timestamp"
            f" is: 2026-11-22T12:00:00Z, oldest acceptable timestamp is: 2026-11-22T13:00:00Z',"
            for entry in refused[:10]
        ]
        return "\n".join(
            [*listed, f"user 'fake', total ignored: {len(refused)} out of {total} for stream: {refused[0].labels}"]
        )

    return text


def go_time(time_ns: int) -> str:
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    fraction = f".{nanos:09d}".rstrip("0").rstrip(".")
    return f"{text}{fraction} +0000 UTC"


@pytest.fixture
def loki(front: StoreFront) -> StoreFront:
    """Return the proxy in front of a real store."""
    return front


def rejected_rows(state_dir: Path) -> list[sqlite3.Row]:
    with opened(journal_path(state_dir), read_only=True) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute("SELECT * FROM rejected ORDER BY id").fetchall()


@pytest.mark.parametrize(
    "behaviour",
    [
        answer(500, "internal"),
        answer(503),
        answer(260, "ingestion blocked"),
        answer(200, "ok"),
        answer(302, headers={"Location": "/elsewhere"}),
        answer(429, "ingestion rate limit exceeded"),
        hang_up(stored=False),
    ],
    ids=["500", "503", "260", "200", "302", "429", "reset"],
)
async def test_the_same_body_is_sent_until_it_is_accepted(
    start_agent, loki: LokiStandIn, state_dir: Path, behaviour: Behaviour
) -> None:
    launch = Launch(state_dir)
    launch.print(*LINES)
    loki.behaviours += [behaviour, behaviour]
    await start_agent()
    await loki.until(lambda: len(loki.bodies) == 3)
    launch.end()
    await loki.until(lambda: any(line.startswith("receipt") for line in loki.lines(events=True)))
    assert loki.lines() == LINES
    assert len(set(loki.bodies[:3])) == 1


@pytest.mark.parametrize(
    "behaviour",
    [answer(500, "stored all the same", stored=True), hang_up(stored=True), half_an_answer],
    ids=["500", "reset", "half-answer"],
)
async def test_entries_are_looked_up_when_the_answer_is_lost_and_not_sent_again(
    start_agent, loki: StoreFront, state_dir: Path, behaviour: Behaviour
) -> None:
    launch = Launch(state_dir)
    launch.print(*LINES)
    loki.behaviours.append(behaviour)
    await start_agent()
    await loki.until(lambda: bool(loki.queries))
    launch.end()
    await loki.until(lambda: any(line.startswith("receipt") for line in loki.lines(events=True)))
    assert loki.lines() == LINES
    assert loki.count_over_time('{traceId=~".+"} |= "line "') == len(LINES)
    assert len(loki.bodies) == 2


async def test_a_body_is_sent_again_when_nothing_can_be_looked_up(
    start_agent, loki: StoreFront, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    launch.print(*LINES)
    loki.behaviours.append(hang_up(stored=True))
    loki.query_status = 403
    await start_agent()
    await loki.until(lambda: len(loki.bodies) == 2)
    assert loki.bodies[0] == loki.bodies[1]


async def test_a_request_that_times_out_is_sent_again(start_agent, loki: LokiStandIn, state_dir: Path) -> None:
    async def never(entries: list[Stored], loki: LokiStandIn) -> None:
        await asyncio.sleep(3600)

    launch = Launch(state_dir)
    launch.print(*LINES)
    loki.behaviours.append(never)
    await start_agent("[loki]\ntimeout_seconds = 0.5\n")
    await loki.until(lambda: len(loki.stored) == 200)
    assert loki.bodies[0] == loki.bodies[1]


async def test_retry_after_is_honoured(start_agent, loki: LokiStandIn, state_dir: Path) -> None:
    times: list[float] = []

    async def slow_down(entries: list[Stored], loki: LokiStandIn) -> web.StreamResponse | None:
        times.append(asyncio.get_running_loop().time())
        return web.Response(status=429, headers={"Retry-After": "2"}) if len(times) == 1 else None

    launch = Launch(state_dir)
    launch.print("x")
    loki.behaviours += [slow_down, slow_down]
    await start_agent()
    await loki.until(lambda: len(times) == 2)
    assert times[1] - times[0] >= 2


async def test_a_batch_over_the_rate_limit_is_split(start_agent, loki: LokiStandIn, state_dir: Path) -> None:
    async def limit(entries: list[Stored], loki: LokiStandIn) -> web.StreamResponse | None:
        size = sum(len(entry.line) for entry in entries)
        if size <= 500:
            return None
        return web.Response(
            status=429,
            text="ingestion rate limit exceeded for user fake (limit: 500 bytes/sec) while attempting to ingest "
            f"'{len(entries)}' lines totaling '{size}' bytes, reduce log volume",
        )

    launch = Launch(state_dir)
    launch.print(*LINES)
    loki.always = limit
    await start_agent()
    await loki.until(lambda: len(loki.stored) == 200)
    assert loki.lines() == LINES


async def test_a_batch_over_an_unknown_limit_is_split_after_some_refusals(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    async def limit(entries: list[Stored], loki: LokiStandIn) -> web.StreamResponse | None:
        return web.Response(status=429, text="slow down") if len(entries) > 60 else None

    launch = Launch(state_dir)
    dice = random.Random(7)
    lines = [dice.randbytes(1500).hex() for _ in range(100)]
    launch.print(*lines)
    loki.always = limit
    await start_agent()
    await loki.until(lambda: len(loki.stored) == 100, 60)
    assert loki.lines() == lines


async def test_a_line_that_a_proxy_refuses_as_too_large_is_rejected_and_the_others_are_shipped(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    async def limit(entries: list[Stored], loki: LokiStandIn) -> web.StreamResponse | None:
        return web.Response(status=413) if sum(len(entry.line) for entry in entries) > 100_000 else None

    launch = Launch(state_dir)
    launch.print("before", "x" * 150_000, "after")
    loki.always = limit
    await start_agent()
    await loki.until(lambda: loki.lines() == ["before", "after"])
    await eventually(lambda: len(rejected_rows(state_dir)) == 1)
    assert rejected_rows(state_dir)[0]["reason"] == "Loki answered 413"


async def test_a_delayed_stream_does_not_delay_others(start_agent, loki: LokiStandIn, state_dir: Path) -> None:
    async def stop_the_first(entries: list[Stored], loki: LokiStandIn) -> web.StreamResponse | None:
        return web.Response(status=429) if 'launchId="20261122T211210-00000' in entries[0].labels else None

    for number in range(1, 10):
        Launch(state_dir, number).print("held up")
    other = Launch(state_dir, 0xFF)
    loki.always = stop_the_first
    await start_agent()
    await loki.until(lambda: len(loki.bodies) >= 18)
    other.print("goes through")
    await loki.until(lambda: loki.lines() == ["goes through"])
    loki.always = None
    await loki.until(lambda: len(loki.stored) == 10)


@pytest.mark.parametrize(("status", "setting"), [(401, "bearer_token_file"), (403, "loki.tenant"), (404, "loki.url")])
async def test_an_answer_about_settings_names_the_setting_and_loses_nothing(
    start_agent, loki: LokiStandIn, state_dir: Path, status: int, setting: str
) -> None:
    launch = Launch(state_dir)
    launch.print(*LINES)
    loki.always = answer(status, "no")
    agent = await start_agent()
    await eventually(lambda: any(setting in line for line in agent.errors))
    said = await agent.status()
    assert said["healthy"] is False
    assert setting in said["error"]
    await agent.stop()
    loki.always = None
    await start_agent()
    await loki.until(lambda: loki.lines() == LINES)


async def test_listed_entries_are_sent_with_a_later_time_and_the_rest_is_delivered_once(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    launch.print(*LINES)
    old = {"line 3", "line 77"}
    loki.behaviours.append(refuse(lambda entry: entry.line in old, too_far_behind(200)))
    await start_agent()
    await loki.until(lambda: len(loki.stored) == 200)
    assert sorted(loki.lines()) == sorted(LINES)
    assert len(loki.bodies) == 2
    for entry in loki.entries():
        metadata = dict(entry.metadata)
        assert ("original_time" in metadata) == (entry.line in old)
        if entry.line in old:
            assert metadata["original_time"] < "2026-11-23"
    launch.print("later")
    await loki.until(lambda: len(loki.stored) == 201)
    times = [entry.time_ns for entry in loki.entries()]
    assert len(set(times)) == 201
    assert loki.lines()[-1] == "later"


async def test_after_a_restart_new_lines_are_later_than_entries_sent_with_a_later_time(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    launch.print(*LINES)
    loki.behaviours.append(refuse(lambda entry: entry.line == "line 3", too_far_behind(200)))
    agent = await start_agent()
    await loki.until(lambda: len(loki.stored) == 200)
    # Position and parser state are those of the first agent.
    await eventually(lambda: launch.dir.shipped_path.exists() and launch.shipped()["lines"] == 200)
    await agent.stop()
    launch.print("after the restart")
    await start_agent()
    await loki.until(lambda: len(loki.stored) == 201)
    assert loki.lines()[-2:] == ["line 3", "after the restart"]


async def test_refused_entries_that_are_not_listed_are_found_by_splitting(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    launch.print(*LINES)
    bad = {"line 0", "line 99", "line 100", "line 199"}
    loki.always = refuse(lambda entry: entry.line in bad, lambda refused: "some rule that nobody knows yet")
    await start_agent()
    await loki.until(lambda: len(loki.stored) == 196)
    await eventually(lambda: len(rejected_rows(state_dir)) == 4)
    launch.end()
    await loki.until(lambda: any(line.startswith("receipt") for line in loki.lines(events=True)))
    assert loki.lines() == [line for line in LINES if line not in bad]
    rows = rejected_rows(state_dir)
    assert {row["line"].decode() for row in rows} == bad
    for row in rows:
        assert row["reason"] == "some rule that nobody knows yet"
        assert json.loads(row["labels"])["launchId"] == launch.launch_id
        data = await asyncio.to_thread(Path(row["path"]).read_bytes)
        assert data[row["offset"] :].partition(b"\n")[0].endswith(row["line"])
    receipt = loki.lines(events=True)[-1]
    assert re.fullmatch(r"receipt lines=200 bytes=\d+ rejected=4 redacted=0", receipt)


async def test_refused_lines_of_launches_that_print_into_one_file_have_their_offsets(
    start_agent, loki: LokiStandIn, state_dir: Path, tmp_path: Path
) -> None:
    log = tmp_path / "shared.log"
    lines = [f"[traceId=t{n % 3 // 2} instanceId=i1] INFO 11-22 13:12:10 [a.py:1] line {n}" for n in range(90)]
    log.write_text("".join(line + "\n" for line in lines))
    bad = {lines[n] for n in (0, 1, 2, 44, 45, 88, 89)}
    loki.always = refuse(lambda entry: entry.line in bad, lambda refused: "some rule that nobody knows yet")
    await start_agent(f'[[agent.sources]]\nglob = "{log}"\nids_from = "prefix"\n')
    await loki.until(lambda: len(loki.stored) == 83)
    await eventually(lambda: len(rejected_rows(state_dir)) == 7)
    data = log.read_bytes()
    for row in rejected_rows(state_dir):
        assert row["line"].decode() in bad
        assert data[row["offset"] :].partition(b"\n")[0] == row["line"]


async def test_labels_that_loki_refuses_reject_the_batch_without_trying_each_line(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    text = "error at least one label pair is required per stream"
    launch = Launch(state_dir)
    launch.print(*LINES)
    loki.always = answer(400, text)
    agent = await start_agent()
    await eventually(lambda: len(rejected_rows(state_dir)) == 200)
    assert len(loki.bodies) == 1
    assert rejected_rows(state_dir)[0]["reason"] == text
    launch.print("more")
    await eventually(lambda: len(rejected_rows(state_dir)) == 201)
    assert (await agent.status())["sources"][0]["rejected"] == 201


async def test_an_entry_refused_for_its_time_twice_is_rejected(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    launch.print("one")
    loki.always = answer(400, "entry for stream '{}' has timestamp too new: 2036-01-01T00:00:00Z")
    await start_agent()
    await eventually(lambda: len(rejected_rows(state_dir)) == 1)
    assert len(loki.bodies) == 2


async def test_kill_between_halves_repeats_nothing(start_agent, loki: LokiStandIn, state_dir: Path) -> None:
    launch = Launch(state_dir)
    launch.print(*LINES)
    reached = asyncio.Event()
    rule = refuse(lambda entry: entry.line == "line 150", lambda refused: "unknown rule")

    async def stall_at_the_fourth(entries: list[Stored], loki: LokiStandIn) -> Any:
        if len(loki.bodies) == 4:
            reached.set()
            await asyncio.sleep(3600)
        return await rule(entries, loki)

    loki.always = stall_at_the_fourth
    agent = await start_agent()
    await reached.wait()
    await agent.kill()
    loki.always = rule
    await start_agent()
    await eventually(lambda: len(rejected_rows(state_dir)) == 1)
    assert loki.lines() == [line for line in LINES if line != "line 150"]


async def test_store_down_at_first_then_up(start_agent, loki: LokiStandIn, state_dir: Path) -> None:
    await loki.stop()
    launch = Launch(state_dir)
    launch.print(*LINES)
    agent = await start_agent()
    await eventually(lambda: any("cannot be reached" in line for line in agent.errors))
    await loki.start()
    await loki.until(lambda: len(loki.stored) == 200)
    assert loki.lines() == LINES
    assert (await agent.status())["healthy"]


async def test_the_backlog_grows_while_loki_is_down_and_after_a_restart_too(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    loki.always = answer(503)
    launch = Launch(state_dir)
    launch.print(*LINES)
    agent = await start_agent()
    await eventually(lambda: loki.bodies)
    launch.print(*LINES)
    launch.rotate()
    launch.print(*LINES)
    written = sum(path.stat().st_size for path in launch.segments)

    async def backlog() -> bool:
        known = [source["backlogBytes"] for source in (await agent.status())["sources"]]
        return known == [written] and f"backlog_bytes {float(written)}" in await agent.metrics()

    await eventually(backlog, "the whole backlog")
    await agent.kill()
    agent = await start_agent()
    await eventually(backlog, "the whole backlog after a restart")
