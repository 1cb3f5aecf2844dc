"""Tails: past and new entries over a WebSocket, the limits, and the end."""

import asyncio
import json
from contextlib import AsyncExitStack

import aiohttp
import pytest

SECOND = 10**9
HOUR = 3600 * SECOND


async def follow(store, query, **params):
    """Connect a tail; return its session and socket."""
    session = aiohttp.ClientSession()
    url = store.url + "/loki/api/v1/tail"
    return session, await session.ws_connect(url, params={"query": query, **{k: str(v) for k, v in params.items()}})


async def received(socket, count):
    """Return (line, labels) of the next entries, at least count."""
    found = []
    while len(found) < count:
        message = json.loads((await asyncio.wait_for(socket.receive(), 30)).data)
        found += [(v[1], s["stream"]) for s in message["streams"] for v in s["values"]]
    return found


async def push(store, *args):
    answer = await asyncio.to_thread(store.push, *args)
    assert answer.status == 204


async def test_a_tail_sends_stored_entries_then_new_ones(store, now_ns):
    await push(store, {"traceId": "t1"}, [[now_ns - 2, "first"], [now_ns - 1, "second"]])
    session, socket = await follow(store, '{traceId="t1"} != "noise" | level!="debug"')
    async with session:
        assert [line for line, _ in await received(socket, 2)] == ["first", "second"]
        await push(store, {"traceId": "t2"}, [[now_ns, "of another trace"]])
        await push(
            store,
            {"traceId": "t1"},
            [[now_ns, "third", {"level": "error"}], [now_ns + 1, "noise"], [now_ns + 2, "x", {"level": "debug"}]],
        )
        await push(store, {"traceId": "t1"}, [[now_ns, "third", {"level": "error"}], [now_ns + 3, "fourth"]])
        found = await received(socket, 2)
        assert [line for line, _ in found] == ["third", "fourth"]
        assert found[0][1] == {"traceId": "t1", "service_name": "unknown_service", "level": "error"}
        await socket.close()


async def test_the_limit_of_a_tail_selects_the_newest_stored_entries(store, now_ns):
    await push(store, {"traceId": "t1"}, [[now_ns - 100 + i, f"line {i}"] for i in range(50)])
    session, socket = await follow(store, '{traceId="t1"}', limit=3, start=now_ns - HOUR)
    async with session:
        assert [line for line, _ in await received(socket, 3)] == ["line 47", "line 48", "line 49"]
        await socket.close()


async def test_the_number_of_concurrent_tails_is_limited(store):
    url, params = store.url + "/loki/api/v1/tail", {"query": '{a="b"}'}
    async with aiohttp.ClientSession() as session, AsyncExitStack() as sockets:
        first = await session.ws_connect(url, params=params)
        for _ in range(9):
            await sockets.enter_async_context(session.ws_connect(url, params=params))
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url, params=params)
        assert refused.value.status == 429
        await first.close()
        async with asyncio.timeout(60):
            while True:
                try:
                    socket = await session.ws_connect(url, params=params)
                except aiohttp.WSServerHandshakeError:
                    await asyncio.sleep(0.05)
                else:
                    break
        assert not socket.closed
        await socket.close()


async def test_a_slow_client_gets_a_list_of_dropped_entries():
    from tracetail.store.disk.block import Entries
    from tracetail.store.http.tail import WAITING_ENTRIES_MAX, Tail, messages, select
    from tracetail.store.ingest.writer import Stored
    from tracetail.store.logql.parser import parse

    labels = (("traceId", "t1"),)
    tail = Tail(parse('{traceId="t1"}'))
    for start in (0, WAITING_ENTRIES_MAX, 2 * WAITING_ENTRIES_MAX):
        times = list(range(start, start + WAITING_ENTRIES_MAX))
        tail.enqueue(Stored(labels, Entries(times, [b"x"] * len(times), [0] * len(times), [()])))
    stored, dropped = await tail.next_batch()
    sent = [json.loads(m) for m in messages(select(tail.query, stored), dropped)]
    assert sum(len(s["values"]) for m in sent for s in m["streams"]) == WAITING_ENTRIES_MAX
    lost = [entry for m in sent for entry in m["dropped_entries"] or ()]
    assert lost[-1] == {"labels": {"traceId": "t1"}, "timestamp": str(3 * WAITING_ENTRIES_MAX - 1)}
    assert len(lost) == 100


async def test_stopping_the_store_closes_open_tails(store):
    session, socket = await follow(store, '{a="b"}')
    async with session:
        await asyncio.to_thread(store.stop)
        assert (await asyncio.wait_for(socket.receive(), 30)).type in (
            aiohttp.WSMsgType.CLOSE,
            aiohttp.WSMsgType.CLOSED,
        )


@pytest.mark.parametrize("query", ["", "{}", 'rate({a="b"}[1m])', '{a="b"} | line_format "x"'])
def test_a_tail_without_a_log_query_is_a_400(shared_store, query):
    assert shared_store.call("GET", "/loki/api/v1/tail", {"query": query}).status == 400


def test_a_tail_without_a_websocket_is_a_400(shared_store):
    assert shared_store.call("GET", "/loki/api/v1/tail", {"query": '{a="b"}'}).status == 400
