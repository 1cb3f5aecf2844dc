"""Half requests do not stay: connections whose head or body does not arrive in time are closed."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from tracetail.contract.request_time import limit_request_time, read_body

HEAD = b"GET /slow HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def address():
    async def slow(_request):
        await asyncio.sleep(1.0)
        return web.Response(text="done")

    async def body(request):
        return web.Response(text=str(len(await read_body(request, 0.3))))

    app = web.Application()
    app.add_routes([web.get("/slow", slow), web.post("/body", body)])
    runner = limit_request_time(web.AppRunner(app, access_log=None), head_seconds=0.4, idle_seconds=0.6)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0]
    await runner.cleanup()


@pytest.mark.parametrize("sent", [b"", b"GET /sl", HEAD])
async def test_a_connection_without_a_whole_head_is_closed(address, sent):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(sent)
    async with asyncio.timeout(60):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_a_second_head_that_does_not_end_is_closed_too(address):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(HEAD + b"\r\n" + HEAD)
    async with asyncio.timeout(60):
        assert (await reader.read()).endswith(b"done")
    writer.close()
    await writer.wait_closed()


async def test_a_request_that_takes_longer_than_a_head_may_is_answered(address):
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{address[1]}/slow") as response:
        assert await response.text() == "done"


async def test_a_body_that_does_not_arrive_is_answered_with_408(address):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    async with asyncio.timeout(60):
        assert b" 408 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_the_oldest_of_too_many_connections_without_a_request_is_closed_and_a_new_one_is_served():
    async def done(_request):
        return web.Response(text="done")

    app = web.Application()
    app.add_routes([web.get("/slow", done)])
    runner = limit_request_time(web.AppRunner(app, access_log=None), head_seconds=8.0, waiting_max=3)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    waiting = [await asyncio.open_connection(*runner.addresses[0]) for _ in range(6)]
    async with asyncio.timeout(60):
        for reader, _ in waiting[:3]:
            assert await reader.read() == b""
    reader, writer = waiting[-1]
    writer.write(HEAD + b"\r\n")
    assert b" 200 " in await reader.readline()
    for _, writer in waiting:
        writer.close()
    await runner.cleanup()
