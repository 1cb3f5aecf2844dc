"""Closes connections whose request does not arrive in time, and the oldest of too many that wait.

aiohttp itself waits for ever for the rest of a head, and any program of the machine may open connections without a
secret: as many as a process may have files would keep all others out.

Like `redaction`, this module needs more than the standard library; the keeper does not import it.
"""

import asyncio
import resource
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

HEAD_SECONDS = 20.0
"""From the connection to the end of the head of its first request."""
IDLE_SECONDS = 90.0
"""From a request to the end of the head of the next one; longer than clients keep an idle connection."""
BODY_SECONDS = 60.0
"""For the body of a request."""
WATCH_SECONDS = 5.0
"""How late a connection may be closed: each look wakes an otherwise idle process."""


def limit_request_time(
    runner: web.AppRunner,
    head_seconds: float = HEAD_SECONDS,
    idle_seconds: float = IDLE_SECONDS,
    waiting_max: int | None = None,
) -> web.AppRunner:
    """Let a server close connections that wait for a head for too long; return its runner. Call it before setup().

    waiting_max: how many may wait at a time; by default half of the files that this process may open.
    """
    if waiting_max is None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        waiting_max = sys.maxsize if files == resource.RLIM_INFINITY else files // 2
    heads = _Heads(runner, head_seconds, idle_seconds, waiting_max)
    runner.app.middlewares.insert(0, heads.middleware)
    runner.app.cleanup_ctx.append(heads.watching)
    return runner


async def read_body(request: web.Request, seconds: float = BODY_SECONDS) -> bytes:
    """Return the body of a request. Raises HTTPRequestTimeout (408) if it does not arrive in time."""
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"the body did not arrive within {seconds:g} s") from None


class _Heads:
    """Knows since when each connection of a server waits for the head of a request."""

    def __init__(self, runner: web.AppRunner, head_seconds: float, idle_seconds: float, waiting_max: int) -> None:
        self._runner = runner
        self._head_seconds = head_seconds
        self._idle_seconds = idle_seconds
        self._waiting_max = waiting_max
        self._running: Counter[object] = Counter()
        """Requests that are being answered, by connection."""
        self._closes_at: dict[object, float] = {}

    @property
    def middleware(self) -> Middleware:
        """Counts the requests of each connection that are being answered."""

        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            connection = request.protocol
            self._running[connection] += 1
            try:
                return await handler(request)
            finally:
                self._running[connection] -= 1
                if not self._running[connection]:
                    del self._running[connection]
                self._closes_at[connection] = time.monotonic() + self._idle_seconds

        return middleware

    async def watching(self, _app: web.Application) -> AsyncIterator[None]:
        """Close connections from the application's start to its end."""
        watch = asyncio.create_task(self._watch(), name="request time")
        yield
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(WATCH_SECONDS, self._head_seconds / 4))
            server = self._runner.server
            now = time.monotonic()
            connections = server.connections if server is not None else []
            self._closes_at = {one: at for one in connections if (at := self._closes_at.get(one)) is not None}
            waiting = [one for one in connections if not self._running[one]]
            waiting.sort(key=lambda one: self._closes_at.setdefault(one, now + self._head_seconds))
            too_many = len(waiting) - self._waiting_max
            for number, connection in enumerate(waiting):
                if number >= too_many and now < self._closes_at[connection]:
                    break
                connection.force_close()
                if connection.transport is not None:
                    connection.transport.close()
