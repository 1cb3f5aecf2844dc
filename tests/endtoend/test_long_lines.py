"""Traces of long lines: every reader gets all of them, though a page of so many is more than a store returns."""

import asyncio
import random
from pathlib import Path

import aiohttp
import pytest
from support.agent_process import TRACE, Launch
from support.panel_stream import Viewing
from support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

SIZES = [
    pytest.param(300, 50_000, 8, id="300 of 50 KB"),
    pytest.param(2500, 50_000, 64, id="2500 of 50 KB", marks=pytest.mark.field),
    pytest.param(320, 250_000, 64, id="320 of 250 KB", marks=pytest.mark.field),
]


@pytest.mark.parametrize(("lines", "size", "memory_mb"), SIZES)
async def test_long_lines_are_read_by_every_reader(bare_machine, lines, size, memory_mb):
    """memory_mb: what the store allows a query; its default is 64."""
    machine = bare_machine
    machine.environ |= {"TRACETAIL_STORE_QUERY_MEMORY_MB": str(memory_mb), "TRACETAIL_PANEL_HEARTBEAT_SECONDS": "1"}
    texts = long_texts(lines, size)
    launch = Launch(Path(machine.environ["TRACETAIL_STATE_DIR"]))
    for text in texts:
        launch.print(text)
    launch.end()
    for part in ("store", "agent", "panel"):
        await asyncio.to_thread(machine.start, part)
    await eventually(lambda: launch.dir.shipped_path.exists() and launch.shipped()["complete"], "the receipt", 120)

    verified = await asyncio.to_thread(machine.tracetail, "verify", "--trace-id", TRACE)
    assert (verified.returncode, f"complete: {lines} lines on disk" in verified.stdout) == (0, True), verified.stdout
    printed = await asyncio.to_thread(machine.tracetail, "logs", "--trace-id", TRACE, "--raw")
    assert [line for line in printed.stdout.splitlines() if not line.startswith("receipt ")] == texts

    url = machine.addresses["panel"]
    async with aiohttp.ClientSession() as session:
        assert await pages(session, url, {"before": str(2**62)}) == texts
        assert await pages(session, url, {"start": "1"}) == texts
        async with session.get(f"{url}/api/logs/download", params={"traceId": TRACE}) as answer:
            assert (await answer.text()).splitlines() == texts
        index = await eventually(lambda: complete_index(session, url), "line numbers", 60)
        assert sum(index["counts"].values()) == lines + 1  # the receipt
        async with Viewing(session, url, TRACE) as viewing:
            await viewing.until(lambda v: len(v.lines) >= lines + 1, 60)
            assert [text for text in viewing.texts if not text.startswith("receipt ")] == texts


def long_texts(lines: int, size: int) -> list[str]:
    dice = random.Random(7)
    return [f"{number} {dice.randbytes(size // 2 - 10).hex()}" for number in range(lines)]


async def pages(session: aiohttp.ClientSession, url: str, where: dict[str, str]) -> list[str]:
    """Return the texts of all pages, backward from `before` or forward from `start`."""
    found: list[str] = []
    more = True
    while more:
        async with session.get(f"{url}/api/logs", params={"traceId": TRACE, "limit": "5000", **where}) as answer:
            assert answer.status == 200, await answer.text()
            page = await answer.json()
        texts = [line["text"] for line in page["lines"] if line.get("kind") != "event"]
        found = [*texts, *found] if "before" in where else [*found, *texts]
        more = page["more"]
        if page["lines"]:
            where = {"before": page["lines"][0]["id"]} if "before" in where else {"after": page["lines"][-1]["id"]}
    return found


async def complete_index(session: aiohttp.ClientSession, url: str) -> dict[str, dict[str, int]] | None:
    async with session.get(f"{url}/api/logs/index", params={"traceId": TRACE}) as answer:
        index = await answer.json()
        return index if answer.status == 200 and index["complete"] else None
