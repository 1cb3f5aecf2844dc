"""`tracetail logs -f` follows a log of any speed, and one that Loki has divided between shards, line by line once."""

import asyncio
import contextlib
import time

import pytest
from support.panel_loki import nasty_loki
from support.waiting import eventually

from tracetail.cli import log_reader
from tracetail.cli.log_reader import LogReader, Selection
from tracetail.loki.client import LokiClient
from tracetail.loki.settings import LokiSettings

LABELS = {"traceId": "t1", "instanceId": "i1", "launchId": "20261122T120000-aaaaaa", "service_name": "m"}


@contextlib.asynccontextmanager
async def following(loki):
    """Yield the texts that are followed, as they come."""
    start_ns = time.time_ns() - 60 * 1_000_000_000
    selection = Selection({"traceId": "t1"}, start_ns, levels=(), grep=None, regex=None, ignore_case=False)
    texts: list[str] = []

    async def follow(client: LokiClient) -> None:
        reader = LogReader(client, selection)
        for reading in (reader.stored(), reader.new()):
            async for entry in reading:
                texts.append(entry.text)  # noqa: PERF401  (they are looked at while it reads)

    async with LokiClient(LokiSettings(url=loki.url)) as client:
        task = asyncio.create_task(follow(client))
        yield texts
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_shards_that_appear_one_after_the_other_are_followed_once():
    start = time.time_ns() - 10 * 1_000_000_000
    async with nasty_loki() as loki:
        loki.add(LABELS, start, "before")
        async with following(loki) as texts:
            await eventually(lambda: texts == ["before"])
            for push in range(3):
                for shard in (1, 0):
                    for number in range(shard, 2000, 2):
                        time_ns = start + 1000 + push * 10_000 + number
                        loki.add({**LABELS, "__stream_shard__": str(shard)}, time_ns, f"{push} {number}")
                    last = f"{push} {1998 + shard}"
                    await eventually(lambda last=last: last in texts)
            assert len(texts) == len(set(texts)) == 6001


async def test_pages_follow_one_another_until_nothing_is_left(monkeypatch: pytest.MonkeyPatch):
    """A pause after each page of 1,000 lines would bound the lines a second."""
    monkeypatch.setattr(log_reader, "POLL_SECONDS", 3600)
    start = time.time_ns() - 10 * 1_000_000_000
    async with nasty_loki() as loki:
        for number in range(25_000):
            loki.add(LABELS, start + number, f"line {number}")
        selection = Selection({"traceId": "t1"}, start - 1, levels=(), grep=None, regex=None, ignore_case=False)
        texts: list[str] = []
        async with LokiClient(LokiSettings(url=loki.url)) as client, asyncio.timeout(60):
            async for entry in LogReader(client, selection).new():
                texts.append(entry.text)
                if len(texts) == 25_000:
                    break
    assert texts == [f"line {number}" for number in range(25_000)]
