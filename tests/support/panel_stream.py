"""Reads server-sent events as a viewer of the panel does."""

import asyncio

import orjson

from support.waiting import WAIT_SECONDS


class Viewing:
    """One open stream: its events so far, and the cursor behind them."""

    def __init__(self, session, url, trace_id, *, cursor="", headers=None, **params):
        self._session = session
        self._url = f"{url}/api/logs/stream"
        self._params = {"traceId": trace_id, **params}
        self._headers = dict(headers or {})
        if cursor:
            self._headers["Last-Event-ID"] = cursor
        self.cursor = cursor
        self.lines = []
        self.events = []
        self.beats = 0
        self.ended = False
        self.status = None
        self._changed = asyncio.Condition()
        self._task = None

    async def __aenter__(self):
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def texts(self):
        return [line["text"] for line in self.lines]

    def named(self, name):
        return [data for event, data in self.events if event == name]

    async def until(self, condition, seconds=WAIT_SECONDS):
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def _read(self):
        try:
            async with self._session.get(
                self._url, params=self._params, headers=self._headers, timeout=None
            ) as response:
                self.status = response.status
                buffer = b""
                async for piece in response.content.iter_any():
                    buffer += piece
                    while b"\n\n" in buffer:
                        event, _, buffer = buffer.partition(b"\n\n")
                        async with self._changed:
                            self._take(event.decode())
                            self._changed.notify_all()
        except (ConnectionError, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            async with self._changed:
                self.ended = True
                self._changed.notify_all()

    def _take(self, event):
        fields = dict(line.split(": ", 1) for line in event.split("\n") if ": " in line and not line.startswith(":"))
        if event.startswith(":"):
            self.beats += 1
        if "id" in fields:
            self.cursor = fields["id"]
        if "data" in fields:
            data = orjson.loads(fields["data"])
            self.events.append((fields["event"], data))
            if fields["event"] == "lines":
                self.lines += data["lines"]
