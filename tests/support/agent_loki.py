"""A Loki stand-in for the agent's tests: decodes requests with the real protobuf library, and keeps what it is sent.

It keeps to Loki's rules that the agent depends on: an entry is what stream, time, line and metadata make it, a
repeated one is stored once; success is 204; a query returns structured metadata merged into the stream's labels.
"""

import asyncio
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import weakref
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cramjam
from aiohttp import web

from support.environment import kept_port
from support.waiting import WAIT_SECONDS
from tracetail.contract.labels import LAUNCH_LABELS, METADATA_NAMES
from tracetail.loki import logql

PROTO = Path(__file__).parent.parent / "agent" / "push.proto"
_LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')


class Stored(NamedTuple):
    labels: str
    time_ns: int
    line: str
    metadata: tuple[tuple[str, str], ...]

    @property
    def level(self) -> str | None:
        return dict(self.metadata).get("level")


@cache
def push_request() -> Any:
    """Return the PushRequest class that protoc made from push.proto."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(
            [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO.parent}", f"--python_out={directory}", PROTO.name],
            check=True,
        )
        spec = importlib.util.spec_from_file_location("push_pb2", Path(directory) / "push_pb2.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.PushRequest


def decode(body: bytes) -> list[Stored]:
    """Return the entries of a push request's body."""
    request = push_request()()
    request.ParseFromString(bytes(cramjam.snappy.decompress_raw(body)))
    return [
        Stored(
            stream.labels,
            entry.timestamp.seconds * 1_000_000_000 + entry.timestamp.nanos,
            entry.line,
            tuple((pair.name, pair.value) for pair in entry.structuredMetadata),
        )
        for stream in request.streams
        for entry in stream.entries
    ]


Behaviour = Callable[[list[Stored], "LokiStandIn"], Awaitable[web.StreamResponse | None]]


def _guarded(loki: "LokiStandIn") -> Any:
    @web.middleware
    async def guard(request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
        status = loki.guard(request.headers)
        if status != 200:
            loki.refused += 1
            loki.changed.set()
            return web.Response(status=status, text="not you")
        answer = await handler(request)
        assert isinstance(answer, web.StreamResponse)
        return answer

    return guard


class LokiStandIn:
    """Runs on a port of loopback, at each start the same; `behaviours` are used up, one per push."""

    def __init__(self) -> None:
        self.stored: dict[Stored, None] = {}
        self.bodies: list[bytes] = []
        self.queries: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.behaviours: list[Behaviour] = []
        self.always: Behaviour | None = None
        self.query_status = 200
        self.guard: Callable[[Mapping[str, str]], int] = lambda headers: 200
        """Given the headers of any request: the status of its refusal, 200 to let it pass."""
        self.refused = 0
        """How many requests the guard refused."""
        self.half_answers = False
        """Answer the next push with half of an answer, then hang up."""
        self.changed = asyncio.Event()
        self._runner: web.AppRunner | None = None
        port = kept_port()
        weakref.finalize(self, port.close)
        self._port = int(port.getsockname()[1])
        self.url = f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        app = web.Application(client_max_size=64 << 20, middlewares=[_guarded(self)])
        app.router.add_get("/ready", self._ready)
        app.router.add_post("/loki/api/v1/push", self._push)
        app.router.add_get("/loki/api/v1/query_range", self._query)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def store(self, entries: list[Stored]) -> None:
        self.stored.update(dict.fromkeys(entries))

    def entries(self) -> list[Stored]:
        return sorted(self.stored, key=lambda entry: entry.time_ns)

    def lines(self, *, events: bool = False) -> list[str]:
        return [e.line for e in self.entries() if events or dict(e.metadata).get("kind") != "event"]

    async def until(self, condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
        """Wait until condition() holds; it is looked at after every request."""
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def _ready(self, request: web.Request) -> web.Response:
        return web.Response(text="ready")

    async def _push(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        entries = decode(body)
        try:
            behaviour = self.behaviours.pop(0) if self.behaviours else self.always
            if behaviour is not None:
                answer = await behaviour(entries, self)
                if self.half_answers:
                    self.half_answers = False
                    return await _half(request)
                if answer is not None:
                    return answer
            self.store(entries)
            return web.Response(status=204)
        finally:
            self.changed.set()

    async def _query(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        self.changed.set()
        if self.query_status != 200:
            return web.Response(status=self.query_status, text="no")
        wanted = set(_LABEL.findall(request.query["query"]))
        start, end, limit = (int(request.query[name]) for name in ("start", "end", "limit"))
        found = [
            entry
            for entry in self.entries()
            if start <= entry.time_ns < end and wanted <= set(_LABEL.findall(entry.labels))
        ][:limit]
        result = [
            {
                "stream": dict(_LABEL.findall(entry.labels)) | dict(entry.metadata),
                "values": [[str(entry.time_ns), entry.line]],
            }
            for entry in found
        ]
        return web.json_response({"status": "success", "data": {"resultType": "streams", "result": result}})


async def has_each_once(loki: LokiStandIn, count: int) -> None:
    """Wait for the lines `…] line 0` to `…] line {count - 1}`, which may come after those of another output."""

    def numbers() -> list[int]:
        return sorted(int(line.rpartition(" ")[2]) for line in loki.lines() if "] line " in line)

    await loki.until(lambda: len(numbers()) >= count)
    assert numbers() == list(range(count))


async def _half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(status=500, headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"half of")
    assert request.transport is not None
    request.transport.abort()
    return response


class StoreFront(LokiStandIn):
    """The same front before a real store, which keeps what it lets through and answers the queries."""

    def __init__(self, store_url: str, since_ns: int = 0) -> None:
        """since_ns: of the oldest entry; a real Loki limits the time range of a query."""
        super().__init__()
        self._store_url = store_url
        self.selector = '{traceId=~".+"}'
        """Of everything that the agent sends."""
        self._since_ns = since_ns
        self._seen: list[Stored] = []

    @property
    def stored(self) -> dict[Stored, None]:
        return dict.fromkeys(self.entries())

    @stored.setter
    def stored(self, value: dict[Stored, None]) -> None:
        assert not value

    def store(self, entries: list[Stored]) -> None:
        if entries:
            body = encode(entries)
            request = urllib.request.Request(
                self._store_url + "/loki/api/v1/push", body, {"Content-Type": "application/x-protobuf"}
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert answer.status == 204

    def entries(self) -> list[Stored]:
        """Return everything that the store holds, page by page."""
        found: dict[Stored, None] = {}
        start = self._since_ns
        end = time.time_ns() + 600 * 10**9 if start else 2**62
        while True:
            params = {"query": self.selector, "start": start, "end": end, "limit": 5000, "direction": "forward"}
            page = sorted(self._ask(params), key=lambda entry: entry.time_ns)
            fresh = [entry for entry in page if entry not in found]
            found.update(dict.fromkeys(fresh))
            if len(page) < 5000 or not fresh:
                return list(found)
            start = page[-1].time_ns

    def count_over_time(self, selector: str) -> int:
        """Return how many entries the store counts."""
        window = "30d" if self._since_ns else "100y"  # a real Loki counts in no longer one
        params = {"query": f"sum(count_over_time({selector}[{window}]))", "time": str(time.time_ns())}
        with urllib.request.urlopen(self._url("query", params), timeout=30) as answer:
            result = json.load(answer)["data"]["result"]
        return int(float(result[0]["value"][1])) if result else 0

    def _ask(self, params: dict[str, Any]) -> list[Stored]:
        with urllib.request.urlopen(self._url("query_range", params), timeout=30) as answer:
            result = json.load(answer)["data"]["result"]
        found = []
        for stream in result:
            pairs = stream["stream"]
            metadata = tuple((name, value) for name, value in pairs.items() if name in METADATA_NAMES)
            labels = logql.selector({name: value for name, value in pairs.items() if name in LAUNCH_LABELS})
            found += [Stored(labels, int(time_ns), line, metadata) for time_ns, line in stream["values"]]
        return found

    def _url(self, path: str, params: dict[str, Any]) -> str:
        return f"{self._store_url}/loki/api/v1/{path}?{urllib.parse.urlencode(params)}"

    async def _query(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        self.changed.set()
        if self.query_status != 200:
            return web.Response(status=self.query_status, text="no")
        url = self._url("query_range", dict(request.query))
        data = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=30).read())
        return web.Response(body=data, content_type="application/json")


def encode(entries: list[Stored]) -> bytes:
    """Return a push request with these entries, made by the real protobuf library."""
    request = push_request()()
    streams: dict[str, Any] = {}
    for entry in entries:
        if entry.labels not in streams:
            streams[entry.labels] = request.streams.add(labels=entry.labels)
        made = streams[entry.labels].entries.add(line=entry.line)
        made.timestamp.seconds, made.timestamp.nanos = divmod(entry.time_ns, 1_000_000_000)
        for name, value in entry.metadata:
            made.structuredMetadata.add(name=name, value=value)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
