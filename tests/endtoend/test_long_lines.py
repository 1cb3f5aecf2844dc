"""Traces of long lines: every reader gets all of them, though a page of so many is more than a store returns."""

import asyncio
import random
import time
from pathlib import Path

import aiohttp
import pytest
from support.agent_process import TRACE, Launch
from support.panel_stream import Viewing
from support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

WITHOUT_LIMITS = {
    "ingestion_rate_mb": 1000,
    "ingestion_burst_size_mb": 1000,
    "per_stream_rate_limit": "1GB",
    "per_stream_rate_limit_burst": "1GB",
}
"""Of a real Loki, so that the agent need not wait half a minute."""
SIZES = [
    pytest.param(300, 50_000, 8, id="300 of 50 KB"),
    pytest.param(2500, 50_000, 64, id="2500 of 50 KB", marks=pytest.mark.field),
    pytest.param(320, 250_000, 64, id="320 of 250 KB", marks=pytest.mark.field),
]


@pytest.mark.parametrize(("lines", "size", "memory_mb"), SIZES)
async def test_long_lines_are_read_by_every_reader(bare_machine, lines, size, memory_mb):
    """memory_mb: what the store allows a query; its default is 64."""
    bare_machine.environ["TRACETAIL_STORE_QUERY_MEMORY_MB"] = str(memory_mb)
    await asyncio.to_thread(bare_machine.start, "store")
    await read_by_every_reader(bare_machine, long_texts(lines, size))


@pytest.mark.loki
@pytest.mark.timeout(900)
async def test_long_lines_are_read_by_every_reader_from_a_real_loki(bare_machine, start_loki):
    loki = await start_loki(**WITHOUT_LIMITS)
    bare_machine.environ["TRACETAIL_LOKI_URL"] = loki.url
    await read_by_every_reader(bare_machine, long_texts(2500, 50_000))


async def read_by_every_reader(machine, texts):
    """Ship the lines of a launch, and read them with each reader; print what it got."""
    machine.environ["TRACETAIL_PANEL_HEARTBEAT_SECONDS"] = "1"
    launch = Launch(Path(machine.environ["TRACETAIL_STATE_DIR"]))
    launch.time_ns = time.time_ns() - 60 * 10**9  # a real Loki refuses old lines
    for text in texts:
        launch.print(text)
    launch.end()
    for part in ("agent", "panel"):
        await asyncio.to_thread(machine.start, part)
    await eventually(lambda: launch.dir.shipped_path.exists() and launch.shipped()["complete"], "the receipt", 240)

    verified = await asyncio.to_thread(machine.tracetail, "verify", "--trace-id", TRACE)
    print(verified.stdout)
    assert (verified.returncode, f"complete: {len(texts)} lines on disk" in verified.stdout) == (0, True)
    printed = await asyncio.to_thread(machine.tracetail, "logs", "--trace-id", TRACE, "--raw")
    same("logs", [line for line in printed.stdout.splitlines() if not line.startswith("receipt ")], texts)

    url = machine.addresses["panel"]
    async with aiohttp.ClientSession() as session:
        same("pages backward", await pages(session, url, {"before": str(2**62)}), texts)
        same("pages forward", await pages(session, url, {"start": "1"}), texts)
        async with session.get(f"{url}/api/logs/download", params={"traceId": TRACE}) as answer:
            same("download", (await answer.text()).splitlines(), texts)
        index = await eventually(lambda: complete_index(session, url), "line numbers", 60)
        assert sum(index["counts"].values()) == len(texts) + 1  # the receipt
        async with Viewing(session, url, TRACE) as viewing:
            await viewing.until(lambda v: len(v.lines) >= len(texts) + 1, 120)
            same("stream", [text for text in viewing.texts if not text.startswith("receipt ")], texts)


def same(reader, found, texts):
    """Assert that a reader got all lines, in their order, and print how many."""
    print(f"{reader}: {len(found)} lines, {sum(map(len, found))} bytes")
    assert found == texts, f"{reader} differs"


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
