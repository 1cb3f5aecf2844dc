"""The route for tails: sends the newest entries of a query, then new ones, over a WebSocket."""

import asyncio
from collections.abc import Callable
from functools import partial

from aiohttp import WSCloseCode, web

from tracetail.store.http import params
from tracetail.store.http.params import INT64_MAX, ParameterError
from tracetail.store.http.query_executor import QueryExecutor
from tracetail.store.http.tail import TAIL_SECONDS, Found, Tail, Tails, history, messages, select
from tracetail.store.logql.tree import LogQLError, LogQuery
from tracetail.store.query.log_query import LogRequest, run_log_query

HEARTBEAT_SECONDS = 30.0


class TailRoute:
    """Serves tails."""

    def __init__(self, tails: Tails, executor: QueryExecutor, clock_ns: Callable[[], int]) -> None:
        self._tails = tails
        self._executor = executor
        self._clock_ns = clock_ns
        self._sockets: set[web.WebSocketResponse] = set()

    async def tail(self, request: web.Request) -> web.StreamResponse:
        """Follow a log query until the client disconnects, at most TAIL_SECONDS."""
        given = await params.of_request(request)
        query = await self._executor.parse(given.get("query", ""))
        if not isinstance(query, LogQuery):
            raise LogQLError("tail needs a log query, not a metric query")
        limit = params.limit(given)
        now_ns = self._clock_ns()
        start = params.parse_time(given["start"]) if given.get("start") else now_ns - params.SINCE_DEFAULT_NS
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS)
        if not socket.can_prepare(request):
            raise ParameterError("tail needs a WebSocket")
        # Registered before the stored entries are read, so that no entry is missed; duplicates are removed.
        tail = self._tails.add(query)
        try:
            newest = LogRequest(query, start, INT64_MAX, limit, backward=True)
            entries = await self._executor.run(lambda snapshot, budget: run_log_query(snapshot, newest, budget))
            await socket.prepare(request)
            self._sockets.add(socket)
            disconnected = asyncio.create_task(_read_until_closed(socket))
            try:
                async with asyncio.timeout(TAIL_SECONDS):
                    await self._send(socket, tail, history(entries), disconnected)
            except TimeoutError:
                await socket.close(message=b"reached tail max duration limit")
            finally:
                disconnected.cancel()
        finally:
            self._sockets.discard(socket)
            self._tails.remove(tail)
        return socket

    async def _send(
        self, socket: web.WebSocketResponse, tail: Tail, past: list[Found], disconnected: "asyncio.Task[None]"
    ) -> None:
        """Send past entries, then new ones, until the client disconnects."""
        seen = set(past)
        for message in messages(past, []):
            await socket.send_str(message.decode())
        while not socket.closed:
            next_batch = asyncio.create_task(tail.next_batch())
            await asyncio.wait((next_batch, disconnected), return_when=asyncio.FIRST_COMPLETED)
            if not next_batch.done():
                next_batch.cancel()
                return
            stored, dropped = next_batch.result()
            found = await self._executor.run_without_snapshot(partial(select, tail.query, stored))
            new = [entry for entry in found if entry not in seen]
            for message in messages(new, dropped):
                await socket.send_str(message.decode())

    async def close_all(self) -> None:
        """Close the WebSocket of every tail."""
        for socket in list(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the store stops")


async def _read_until_closed(socket: web.WebSocketResponse) -> None:
    """Answer pings and detect the end of the connection. Messages of the client are ignored."""
    async for _ in socket:
        pass
