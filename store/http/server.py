"""The store's HTTP side: Loki's paths, answered from the database.

The loop only moves bytes: pushes are decoded and stored by the writer's threads, queries run in threads of their own.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import orjson
from aiohttp import WSCloseCode, web
from prometheus_client import CONTENT_TYPE_LATEST

from tracetail import __version__
from tracetail.contract.access import foreign_page, refusal
from tracetail.contract.http_headers import AUTHORIZATION, has_bearer
from tracetail.contract.secret_file import SecretFile
from tracetail.store.disk.block import CorruptBlockError
from tracetail.store.disk.reader import Reader, Snapshot
from tracetail.store.http import params
from tracetail.store.http.answers import (
    json_answer,
    matrix_json,
    streams_json,
    success_answer,
    text_answer,
    vector_json,
)
from tracetail.store.http.metrics import Metrics
from tracetail.store.http.params import ParameterError, TimeRange
from tracetail.store.http.tail import TAIL_SECONDS, Found, Tail, Tails, TooManyTailsError, history, messages, select
from tracetail.store.ingest.byte_gate import Room
from tracetail.store.ingest.push import BodyTooLargeError, PushedStream, PushError, claimed_size, decode
from tracetail.store.ingest.writer import UnavailableError, Writer
from tracetail.store.logql.parser import parse, parse_selector
from tracetail.store.logql.tree import LogQLError, LogQuery, Matcher, Query
from tracetail.store.query import aggregate
from tracetail.store.query.aggregate import Steps
from tracetail.store.query.log_query import Budget, LogRequest, QueryLimitError, QueryTimeoutError, run_log_query
from tracetail.store.query_priority import QueryPriority
from tracetail.store.settings import StoreSettings

QUERY_THREADS = 4
METRIC_THREADS = 2
"""Metric queries read whole logs: in threads of their own they never keep a page of lines waiting."""
QUERIES_WAITING_MAX = 64
MEGABYTE = 1024 * 1024
DECODE_AT_ONCE_BYTES = 64 * 1024
"""Smaller pushes are not worth a thread."""
PARSE_AT_ONCE_CHARACTERS = 4096
"""Longer queries take more than some 30 ms to parse, for which nobody else should wait."""
TIME_MAX = 2**63 - 1
TAIL_HEARTBEAT_SECONDS = 30.0

_UNSUPPORTED_PATHS = (
    "index/stats",
    "index/volume",
    "index/volume_range",
    "index/shards",
    "detected_fields",
    "detected_field/{name}/values",
    "detected_labels",
    "patterns",
    "format_query",
    "delete",
    "rules",
    "drilldown-limits",
)
_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class QueryThreads:
    """The threads of one kind of query, and how many queries have been asked and not answered."""

    def __init__(self, threads: int, name: str) -> None:
        self.pool = ThreadPoolExecutor(threads, name)
        self._waiting = 0

    async def run(self, function: Callable[[], _T]) -> _T:
        """Run function in a thread. Raises HTTPTooManyRequests if too many wait for that already."""
        if self._waiting >= QUERIES_WAITING_MAX:
            raise web.HTTPTooManyRequests(text="too many outstanding requests\n")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, function)
        finally:
            self._waiting -= 1

    def shutdown(self) -> None:
        """Wait for the queries that run; those that wait are given up."""
        self.pool.shutdown(wait=True, cancel_futures=True)


class Server:
    """Connects Loki's HTTP API with the writer and the reader."""

    def __init__(
        self,
        settings: StoreSettings,
        writer: Writer,
        reader: Reader,
        *,
        tails: Tails,
        metrics: Metrics,
        priority: QueryPriority,
        secret: SecretFile,
        clock_ns: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._writer = writer
        self._reader = reader
        self._tails = tails
        self._metrics = metrics
        self._priority = priority
        self._secret = secret
        self._clock_ns = clock_ns
        self._max_body = int(settings.max_body_mb * MEGABYTE)
        self._queries = QueryThreads(QUERY_THREADS, "store-query")
        self._metric_queries = QueryThreads(METRIC_THREADS, "store-metric")
        self._decoding = ThreadPoolExecutor(1, "store-decode")
        self._sockets: set[web.WebSocketResponse] = set()
        # Bodies on their way together need no more memory than the largest one alone may.
        self._body_room = Room(self._max_body)

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(middlewares=[self._observe, self._guard], client_max_size=self._max_body)
        api = "/loki/api/v1"
        app.router.add_post(f"{api}/push", self._push)
        for path, handler in (
            ("query_range", self._query_range),
            ("query", self._query),
            ("labels", self._labels),
            ("label", self._labels),
            ("series", self._series),
        ):
            app.router.add_get(f"{api}/{path}", handler)
            app.router.add_post(f"{api}/{path}", handler)
        app.router.add_get(f"{api}/label/{{name}}/values", self._label_values)
        app.router.add_get(f"{api}/tail", self._tail)
        app.router.add_get(f"{api}/status/buildinfo", self._buildinfo)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._metrics_page)
        for path in _UNSUPPORTED_PATHS:
            app.router.add_route("*", f"{api}/{path}", self._unsupported)
        app.on_shutdown.append(self._end_tails)
        app.on_cleanup.append(self._close)
        return app

    async def _end_tails(self, _: web.Application) -> None:
        for socket in list(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the store stops")

    async def _close(self, _: web.Application) -> None:
        self._queries.shutdown()
        self._metric_queries.shutdown()
        self._decoding.shutdown(wait=True, cancel_futures=True)

    # ---- access and errors

    @web.middleware
    async def _observe(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        started = time.perf_counter()
        status = 499
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            resource = request.match_info.route.resource
            path = resource.canonical if resource is not None else "other"
            self._metrics.requests.labels(path, str(status)).observe(time.perf_counter() - started)
        return response

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        reason = self._refusal(request)
        if reason is not None:
            return web.Response(status=401 if self._secret.value else 403, text=reason + "\n")
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status == 404:
                return text_answer(404, f"{request.path} is not a path of the embedded store; Loki may have it")
            if isinstance(error, web.HTTPMethodNotAllowed):
                allowed = ", ".join(sorted(error.allowed_methods))
                answer = text_answer(405, f"{request.method} is not allowed on {request.path}, only {allowed}")
                answer.headers["Allow"] = allowed
                return answer
            raise
        except (LogQLError, ParameterError, PushError, QueryLimitError) as error:
            return text_answer(400, str(error))
        except BodyTooLargeError as error:
            return text_answer(413, str(error))
        except QueryTimeoutError as error:
            return text_answer(504, str(error))
        except UnavailableError as error:
            return text_answer(503, str(error))
        except sqlite3.Error as error:
            _log.error("%s could not be answered: %s", request.path, error)
            return text_answer(503, f"the database cannot be read: {error}")
        except CorruptBlockError as error:
            _log.error("%s could not be answered: %s", request.path, error)
            return text_answer(500, f"the database is damaged: {error}; restore a backup, or delete the file")
        except TooManyTailsError as error:
            return text_answer(429, str(error))

    def _refusal(self, request: web.Request) -> str | None:
        headers = request.headers
        if not (secret := self._secret.value):
            page = foreign_page(headers.get("Origin"), headers.get("Sec-Fetch-Site"))
            return page or refusal(headers.get("Host"), headers)
        if request.path == "/ready" or has_bearer(headers.get(AUTHORIZATION), secret):
            return None
        return "this store wants its secret as a bearer token"

    async def _unsupported(self, request: web.Request) -> web.Response:
        return text_answer(404, f"the embedded store does not support {request.path}; Loki does")

    # ---- push

    async def _push(self, request: web.Request) -> web.Response:
        size = request.content_length or 0
        if size > self._max_body:
            return text_answer(413, f"the body has {size} bytes; {self._max_body} are allowed (max_body_mb)")
        async with self._body_room.take(size or MEGABYTE):
            body = await request.read()
            if not body:
                raise PushError("EOF: the body is empty")
            kind, encoding = request.headers.get("Content-Type", ""), request.headers.get("Content-Encoding", "")
            if claimed_size(body, kind, encoding) <= DECODE_AT_ONCE_BYTES:
                streams = decode(body, kind, encoding, self._max_body)
            else:
                loop = asyncio.get_running_loop()
                streams = await loop.run_in_executor(self._decoding, self._decode, body, kind, encoding)
            if not streams:
                return text_answer(422, "error at least one valid stream is required for ingestion")
            refusals = await asyncio.wrap_future(self._writer.push(streams, len(body)))
        if refusals:
            return text_answer(400, refusals.text())
        return web.Response(status=204)

    def _decode(self, body: bytes, content_type: str, content_encoding: str) -> list[PushedStream]:
        self._priority.give_way()
        return decode(body, content_type, content_encoding, self._max_body)

    # ---- queries

    async def _in_thread(self, function: Callable[[Snapshot, Budget], _T], threads: QueryThreads | None = None) -> _T:
        """Run function on a snapshot in a query thread; if the client goes away, the query is told to stop."""
        budget = Budget(self._settings.query_timeout_seconds, int(self._settings.query_memory_mb * MEGABYTE))

        def run() -> _T:
            budget.check_time()
            with self._priority, self._reader.snapshot() as snapshot:
                return function(snapshot, budget)

        try:
            return await (threads or self._queries).run(run)
        except asyncio.CancelledError:
            budget.cancelled = True
            raise

    async def _parsed(self, given: Mapping[str, str]) -> Query:
        text = given.get("query", "")
        if len(text) <= PARSE_AT_ONCE_CHARACTERS:
            return parse(text)
        return await asyncio.get_running_loop().run_in_executor(self._queries.pool, parse, text)

    async def _query_range(self, request: web.Request) -> web.Response:
        given = await _parameters(request)
        query = await self._parsed(given)
        wanted = params.time_range(given, self._clock_ns())
        if wanted.end <= wanted.start:
            raise ParameterError("end timestamp must not be before or equal to start time")
        backward = params.backward(given)
        if isinstance(query, LogQuery):
            if given.get("interval", "0") not in ("0", "0s"):
                raise ParameterError("the embedded store does not support interval; Loki does")
            limit = params.limit(given)
            return await self._log_query(LogRequest(query, wanted.start, wanted.end, limit, backward))
        # Only the entries of a log query are limited in number, as in Loki.
        params.limit(given, most=TIME_MAX)
        steps = params.steps(given, wanted)
        metric = query

        def run(snapshot: Snapshot, budget: Budget) -> bytes:
            return matrix_json(aggregate.evaluate(snapshot, metric, steps, budget), steps)

        return json_answer(await self._in_thread(run, self._metric_queries))

    async def _log_query(self, log_request: LogRequest) -> web.Response:
        return json_answer(
            await self._in_thread(lambda snapshot, budget: streams_json(run_log_query(snapshot, log_request, budget)))
        )

    async def _query(self, request: web.Request) -> web.Response:
        given = await _parameters(request)
        query = await self._parsed(given)
        params.limit(given, most=TIME_MAX)
        if isinstance(query, LogQuery):
            raise LogQLError(
                "log queries are not supported as an instant query type, "
                "please change your query to a range query type"
            )
        at = params.parse_time(given["time"]) if given.get("time") else self._clock_ns()
        steps = Steps(at, 1, 1)
        metric = query

        def run(snapshot: Snapshot, budget: Budget) -> bytes:
            return vector_json(aggregate.evaluate(snapshot, metric, steps, budget), at)

        return json_answer(await self._in_thread(run, self._metric_queries))

    # ---- labels

    async def _labels(self, request: web.Request) -> web.Response:
        given = await _parameters(request)
        wanted, selector = self._label_request(given)

        def run(snapshot: Snapshot, _: Budget) -> list[str]:
            if selector is None:
                return snapshot.label_names(wanted.start, wanted.end + 1)
            streams = snapshot.streams(selector, wanted.start, wanted.end + 1)
            return sorted({name for labels in streams.values() for name, _ in labels})

        return success_answer(await self._in_thread(run))

    async def _label_values(self, request: web.Request) -> web.Response:
        given = await _parameters(request)
        name = request.match_info["name"]
        wanted, selector = self._label_request(given)

        def run(snapshot: Snapshot, _: Budget) -> list[str]:
            if selector is None:
                return snapshot.label_values(name, wanted.start, wanted.end + 1)
            streams = snapshot.streams(selector, wanted.start, wanted.end + 1)
            return sorted({value for labels in streams.values() for known, value in labels if known == name})

        return success_answer(await self._in_thread(run))

    def _label_request(self, given: Mapping[str, str]) -> tuple[TimeRange, tuple[Matcher, ...] | None]:
        wanted = params.time_range(given, self._clock_ns(), params.LABELS_SINCE_DEFAULT_NS)
        text = given.get("query", "")
        return _bounded(wanted), parse_selector(text) if text.strip() not in ("", "{}") else None

    async def _series(self, request: web.Request) -> web.Response:
        given = await _parameters(request)
        wanted = _bounded(params.time_range(given, self._clock_ns(), params.LABELS_SINCE_DEFAULT_NS))
        every = request.query if request.method == "GET" else await request.post()
        texts = [str(text) for name in ("match[]", "match") for text in every.getall(name, [])]
        selectors: Sequence[tuple[Matcher, ...]] = [
            () if text.strip() in ("", "{}") else parse_selector(text) for text in texts
        ] or [()]

        def run(snapshot: Snapshot, budget: Budget) -> list[dict[str, str]]:
            found = {}
            for selector in selectors:
                budget.check_time()
                found.update(snapshot.streams(selector, wanted.start, wanted.end + 1))
            return [dict(labels) for labels in sorted(found.values())]

        return success_answer(await self._in_thread(run), always=True)

    # ---- tail

    async def _tail(self, request: web.Request) -> web.StreamResponse:
        given = await _parameters(request)
        query = await self._parsed(given)
        if not isinstance(query, LogQuery):
            raise LogQLError("tail needs a log query, not a metric query")
        limit = params.limit(given)
        now_ns = self._clock_ns()
        start = params.parse_time(given["start"]) if given.get("start") else now_ns - params.SINCE_DEFAULT_NS
        socket = web.WebSocketResponse(heartbeat=TAIL_HEARTBEAT_SECONDS)
        if not socket.can_prepare(request):
            raise ParameterError("tail needs a WebSocket")
        # Followed before the past is read, so that nothing falls in between; what comes twice is left out.
        tail = self._tails.add(query)
        try:
            past = LogRequest(query, start, TIME_MAX, limit, backward=True)
            entries = history(await self._in_thread(lambda snapshot, budget: run_log_query(snapshot, past, budget)))
            await socket.prepare(request)
            self._sockets.add(socket)
            reading = asyncio.create_task(_read_until_closed(socket))
            try:
                async with asyncio.timeout(TAIL_SECONDS):
                    await self._send_tail(socket, tail, entries, reading)
            except TimeoutError:
                await socket.close(message=b"reached tail max duration limit")
            finally:
                reading.cancel()
        finally:
            self._sockets.discard(socket)
            self._tails.remove(tail)
        return socket

    async def _send_tail(
        self, socket: web.WebSocketResponse, tail: Tail, past: list[Found], reading: "asyncio.Task[None]"
    ) -> None:
        """Send what is there, then what comes, until the client goes."""
        seen = set(past)
        for message in messages(past, []):
            await socket.send_str(message.decode())
        while not socket.closed:
            taking = asyncio.create_task(tail.take())
            await asyncio.wait((taking, reading), return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                taking.cancel()
                return
            stored, dropped = taking.result()
            found = await asyncio.get_running_loop().run_in_executor(self._queries.pool, select, tail.query, stored)
            fresh = [one for one in found if one not in seen]
            for message in messages(fresh, dropped):
                await socket.send_str(message.decode())

    # ---- about the store

    async def _ready(self, _: web.Request) -> web.Response:
        if not self._writer.is_alive:
            return text_answer(503, "the writer has ended; restart the store and see its log")
        return web.Response(text="ready\n")

    async def _metrics_page(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _buildinfo(self, _: web.Request) -> web.Response:
        about = {"version": __version__, "application": "tracetail store"}
        empty = dict.fromkeys(("revision", "branch", "buildUser", "buildDate", "goVersion"), "")
        return json_answer(orjson.dumps(about | empty))


async def _read_until_closed(socket: web.WebSocketResponse) -> None:
    """Answer pings and notice the end; what a client sends has no meaning."""
    async for _ in socket:
        pass


# ---- requests and answers


async def _parameters(request: web.Request) -> Mapping[str, str]:
    """Return the parameters of a GET, or of a POST as a form."""
    given = dict(reversed(list(request.query.items())))
    if request.method == "POST":
        given |= {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    return given


def _bounded(wanted: TimeRange) -> TimeRange:
    return TimeRange(wanted.start, min(wanted.end, TIME_MAX - 1))
