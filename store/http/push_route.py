"""The route for push requests."""

import asyncio
from functools import partial

from aiohttp import web

from tracetail.contract.request_time import read_body
from tracetail.store.http.answers import text_answer
from tracetail.store.http.threads import Threads
from tracetail.store.ingest.byte_gate import ByteGate
from tracetail.store.ingest.push import declared_size, decode, decompressed_bytes_max
from tracetail.store.ingest.stream import PushedStream, PushError
from tracetail.store.ingest.writer import Writer
from tracetail.store.query_priority import QueryPriority

DECODE_INLINE_BYTES = 64 * 1024
"""Smaller requests are decoded in the event loop; a thread would cost more."""
_UNKNOWN_SIZE_BYTES = 1024 * 1024
"""What is reserved for a request without Content-Length."""


class PushRoute:
    """Decodes push requests, and hands them to the writer."""

    def __init__(self, writer: Writer, priority: QueryPriority, max_bytes: int) -> None:
        self._writer = writer
        self._priority = priority
        self._max_bytes = max_bytes
        self._threads = Threads(1, "store-decode")
        # All bodies in memory together may take no more than the largest allowed body.
        self._gate = ByteGate(max_bytes)
        self._decompressed_gate = ByteGate(max_bytes)

    async def push(self, request: web.Request) -> web.Response:
        """Store the request's entries; answer once they are committed."""
        size = request.content_length or 0
        if size > self._max_bytes:
            return text_answer(413, f"the body has {size} bytes; {self._max_bytes} are allowed (max_body_mb)")
        async with self._gate.reserve(size or _UNKNOWN_SIZE_BYTES):
            body = await read_body(request)
            if not body:
                raise PushError("EOF: the body is empty")
            kind, encoding = request.headers.get("Content-Type", ""), request.headers.get("Content-Encoding", "")
            # A small body may decompress to a large one: of these, too, no more than fits is in memory together.
            size = decompressed_bytes_max(body, kind, encoding, self._max_bytes)
            async with self._decompressed_gate.reserve(size):
                return await self._store(body, kind, encoding, size)

    async def _store(self, body: bytes, kind: str, encoding: str, max_bytes: int) -> web.Response:
        if declared_size(body, kind, encoding) <= DECODE_INLINE_BYTES:
            streams = decode(body, kind, encoding, self._max_bytes)
        else:
            streams = await self._threads.run(partial(self._decode, body, kind, encoding, max_bytes))
        if not streams:
            return text_answer(422, "error at least one valid stream is required for ingestion")
        refusals = await asyncio.wrap_future(self._writer.push(streams, len(body)))
        if refusals:
            return text_answer(400, refusals.text())
        return web.Response(status=204)

    def _decode(self, body: bytes, content_type: str, content_encoding: str, max_bytes: int) -> list[PushedStream]:
        self._priority.wait_for_queries()
        return decode(body, content_type, content_encoding, max_bytes)

    def shutdown(self) -> None:
        """Stop the decoding thread."""
        self._threads.shutdown()
