"""A small body that decompresses to a large one: what all of them take in memory together is bounded."""

import asyncio
import concurrent.futures
import gzip
import zlib

import aiohttp
import cramjam
import orjson
import pytest
from aiohttp import web

from tracetail.store.http.push_route import PushRoute
from tracetail.store.ingest.push import decompressed_bytes_max
from tracetail.store.query_priority import QueryPriority

MAX = 1_000_000
TEXT = "x" * 400_000
JSON = orjson.dumps({"streams": [{"stream": {"a": "b"}, "values": [["1", TEXT]]}]})


@pytest.mark.parametrize(
    ("body", "kind", "encoding"),
    [
        (JSON, "application/json", ""),
        (gzip.compress(JSON), "application/json", "gzip"),
        (zlib.compress(JSON), "application/json", "deflate"),
        (bytes(cramjam.snappy.compress_raw(JSON)), "application/x-protobuf", ""),
    ],
)
def test_what_a_body_may_decompress_to_is_known_before_it_is(body, kind, encoding):
    assert len(JSON) <= decompressed_bytes_max(body, kind, encoding, MAX) <= MAX


class HeldWriter:
    """A writer that keeps what it gets until it is released."""

    def __init__(self):
        self.held = []
        self.most = 0

    def push(self, streams, _size):
        done = concurrent.futures.Future()
        self.held.append((done, streams))
        self.most = max(self.most, len(self.held))
        return done

    def release(self):
        done, _ = self.held.pop(0)
        done.set_result(None)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_bodies_that_decompress_to_much_wait_for_each_other(encoding):
    writer = HeldWriter()
    route = PushRoute(writer, QueryPriority(), MAX)
    app = web.Application()
    app.add_routes([web.post("/push", route.push)])
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    body = gzip.compress(JSON) if encoding == "gzip" else zlib.compress(JSON)
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    async with aiohttp.ClientSession() as session:

        async def push():
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/push"
            async with session.post(url, data=body, headers=headers) as response:
                return response.status

        pushes = [asyncio.create_task(push()) for _ in range(8)]
        while not all(one.done() for one in pushes):
            if writer.held:
                writer.release()
            await asyncio.sleep(0.01)
        assert [one.result() for one in pushes] == [204] * 8
    await runner.cleanup()
    route.shutdown()
    assert writer.most <= MAX // len(JSON)
