"""A Loki at its nastiest, over real HTTP: what the panel's tests of paging and of faults need and no real one does.

It knows the queries that the panel sends and no others. Entries of one nanosecond come in another order each time,
structured metadata splits a stream's entries over several results, and it can be switched off.
"""

import asyncio
import bisect
import contextlib
import random
import re
import time
from collections import defaultdict

import orjson
from aiohttp import web

from tracetail.store.ingest.push import decode

_MATCHER = re.compile(r'(\w+)(=~|!=|!~|=)("(?:[^"\\]|\\.)*")')
_STAGE = re.compile(r"\s*(\|=|\|~|!=|!~|\|)\s*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_METADATA = ("level", "process", "pid", "source", "request_id", "kind")


class NastyLoki:
    def __init__(self):
        self.entries = []  # (time_ns, labels, metadata, line)
        self.down = False
        self.hold = None
        """An event that queries wait for, if there is one; who goes away meanwhile is counted."""
        self.held = 0
        self.gone = 0
        self.entries_max = 5000
        """max_entries_limit_per_query"""
        self.length_max_ns = 0
        """max_query_length; 0: none"""
        self.answer_max_bytes = 0
        """Of the lines of an answer; 0: any"""
        self.queries = []
        self.asked = []
        """The limit of each log query."""
        self.random = random.Random(7)
        self.url = ""
        self._runner = None

    async def start(self, port=0):
        app = web.Application(client_max_size=1 << 28)
        app.add_routes(
            [
                web.post("/loki/api/v1/push", self._push),
                web.get("/loki/api/v1/query_range", self._query_range),
                web.get("/loki/api/v1/query", self._query),
                web.get("/loki/api/v1/series", self._series),
                web.get("/ready", self._ready),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self):
        if self._runner:
            await self._runner.cleanup()

    def add(self, labels, time_ns, line, **metadata):
        self.entries.append((time_ns, dict(labels), metadata, line))

    async def _ready(self, request):
        return web.Response(status=503 if self.down else 200, text="ready\n")

    async def _push(self, request):
        if self.down:
            return web.Response(status=503)
        for stream in decode(await request.read(), request.content_type, "", 1 << 28):
            entries = stream.entries
            for time_ns, line, place in zip(entries.times, entries.lines, entries.metadata, strict=True):
                self.add(stream.labels, time_ns, line.decode(), **dict(entries.metadata_sets[place]))
        return web.Response(status=204)

    async def _query_range(self, request):
        query = request.query["query"]
        self.queries.append(query)
        if self.down:
            return web.Response(status=503, text="down")
        if self.hold is not None:
            self.held += 1
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.gone += 1
                raise
        start, end = int(request.query["start"]), int(request.query["end"])
        if start >= end:
            return web.Response(status=400, text="end timestamp must not be before or equal to start time")
        metric = _metric(query)
        if refusal := self._too_long(end - start + (metric[1] if metric else 0)):
            return refusal
        if metric:
            return self._matrix(metric, start, end, float(request.query["step"]))
        limit = int(request.query.get("limit", 100))
        self.asked.append(limit)
        if limit > self.entries_max:
            text = f"limit > max_entries_limit_per_query ({limit} > {self.entries_max})"
            return web.Response(status=400, text=f"max entries limit per query exceeded, {text}")
        found = [entry for entry in self._select(query) if start <= entry[0] < end]
        self.random.shuffle(found)
        found.sort(key=lambda entry: entry[0], reverse=request.query.get("direction") == "backward")
        groups = defaultdict(list)
        size = sum(len(entry[3]) for entry in found[:limit])
        if self.answer_max_bytes and size > self.answer_max_bytes:
            text = f"received message larger than max ({size} vs. {self.answer_max_bytes})"
            return web.Response(status=500, text=f"rpc error: code = ResourceExhausted desc = grpc: {text}")
        for time_ns, labels, metadata, line in found[:limit]:
            groups[orjson.dumps({**labels, **metadata}, option=orjson.OPT_SORT_KEYS)].append([str(time_ns), line])
        result = [{"stream": orjson.loads(key), "values": values} for key, values in groups.items()]
        return _success({"resultType": "streams", "result": result})

    def _matrix(self, metric, start, end, step):
        query, window, by = metric
        step_ns = int(step * 1e9)
        times = defaultdict(list)
        for time_ns, labels, metadata, _ in sorted(self._select(query), key=lambda entry: entry[0]):
            merged = {**labels, **metadata}
            times[tuple((name, merged.get(name, "")) for name in by)].append(time_ns)
        series = defaultdict(list)
        for at in range(-(-start // step_ns) * step_ns, end + 1, step_ns):
            for key, of_key in times.items():
                count = bisect.bisect_right(of_key, at) - bisect.bisect_right(of_key, at - window)
                if count:
                    series[key].append([at / 1e9, str(count)])
        result = [{"metric": {n: v for n, v in key if v}, "values": values} for key, values in series.items()]
        return _success({"resultType": "matrix", "result": result})

    async def _query(self, request):
        self.queries.append(request.query["query"])
        if self.down:
            return web.Response(status=503, text="down")
        query, window, by = _metric(request.query["query"])
        at = int(request.query["time"])
        if refusal := self._too_long(window):
            return refusal
        counts = defaultdict(int)
        for time_ns, labels, metadata, _ in self._select(query):
            if at - window < time_ns <= at:
                merged = {**labels, **metadata}
                counts[tuple((name, merged.get(name, "")) for name in by)] += 1
        result = [{"metric": {n: v for n, v in k if v}, "value": [at / 1e9, str(c)]} for k, c in counts.items()]
        return _success({"resultType": "vector", "result": result})

    async def _series(self, request):
        if self.down:
            return web.Response(status=503, text="down")
        start, end = int(request.query["start"]), int(request.query["end"])
        if refusal := self._too_long(end - start):
            return refusal
        found = {
            orjson.dumps(labels, option=orjson.OPT_SORT_KEYS)
            for time_ns, labels, _, _ in self._select(request.query["match[]"])
            if start <= time_ns < end
        }
        return _success([orjson.loads(labels) for labels in found])

    def _too_long(self, length_ns):
        if not self.length_max_ns or length_ns <= self.length_max_ns:
            return None
        hours = f"{length_ns // 3_600_000_000_000}h0m0s"
        limit = f"{self.length_max_ns // 3_600_000_000_000}h"
        text = f"the query time range exceeds the limit (query length: {hours}, limit: {limit})"
        return web.Response(status=400, text=text)

    def _select(self, query):
        end = _end_of_selector(query)
        matchers = [(n, op, _unquote(v)) for n, op, v in _MATCHER.findall(query[1:end])]
        tests = [_matcher(*m) for m in matchers]
        stages = list(_stages(query[end + 1 :]))
        return [
            entry
            for entry in self.entries
            if all(test(entry[1]) for test in tests) and all(stage(entry) for stage in stages)
        ]


def _metric(query):
    match = re.fullmatch(
        r"sum(?: by \(([^)]*)\))? ?\(count_over_time\((.*) \[(\d+)(ns|ms|s|m|h)\]\)\)", query, re.DOTALL
    )
    if not match:
        return None
    unit = {"ns": 1, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}[match[4]]
    return match[2], int(match[3]) * unit, [name.strip() for name in (match[1] or "").split(",") if name.strip()]


def _end_of_selector(query):
    position = 1
    while query[position] != "}":
        string = _STRING.match(query, position)
        position = string.end() if string else position + 1
    return position


def _unquote(literal):
    return orjson.loads(re.sub(r"\\U([0-9a-f]{8})", lambda m: chr(int(m[1], 16)), literal))


def _matcher(name, op, value):
    if op == "=":
        return lambda labels: labels.get(name, "") == value
    if op == "!=":
        return lambda labels: labels.get(name, "") != value
    regex = re.compile(value)
    return lambda labels: bool(regex.fullmatch(labels.get(name, ""))) == (op == "=~")


def _stages(text):
    position = 0
    while position < len(text):
        stage = _STAGE.match(text, position)
        position = stage.end()
        if stage[1] == "|":
            alternatives = []
            while True:
                match = re.compile(r"(\w+)\s*(=~|!=|=)\s*").match(text, position)
                string = _STRING.match(text, match.end())
                alternatives.append(_matcher(match[1], match[2], _unquote(string[0])))
                position = string.end()
                more = re.compile(r"\s+or\s+").match(text, position)
                if not more:
                    break
                position = more.end()
            yield lambda entry, a=tuple(alternatives): any(test({**entry[1], **entry[2]}) for test in a)
        else:
            string = _STRING.match(text, position)
            position = string.end()
            value = _unquote(string[0])
            wanted = stage[1].startswith("|")
            if stage[1].endswith("~"):
                regex = re.compile(value)
                yield lambda entry, r=regex, w=wanted: bool(r.search(entry[3])) == w
            else:
                yield lambda entry, v=value, w=wanted: (v in entry[3]) == w


def _success(data):
    return web.Response(body=orjson.dumps({"status": "success", "data": data}), content_type="application/json")


@contextlib.asynccontextmanager
async def nasty_loki():
    loki = NastyLoki()
    await loki.start()
    try:
        yield loki
    finally:
        await loki.stop()


def now_ns():
    return time.time_ns()
