"""What is posted to the panel: callbacks of launches. It goes to Loki, so that every panel shows the same."""

import asyncio
import hashlib
import time
from collections.abc import Iterator
from typing import Annotated, Any
from weakref import WeakValueDictionary

import msgspec
import orjson
from aiohttp import web
from msgspec import Meta

from tracetail.contract import events, identity
from tracetail.contract import labels as names
from tracetail.contract.logline import render_event
from tracetail.loki import logql
from tracetail.panel.auth.access import WRITE, AccessError, Grant
from tracetail.panel.routes.answer import json_answer
from tracetail.panel.routes.request import body, checked_id, grant_of
from tracetail.panel.trace.entry import POST
from tracetail.panel.trace.loki import LokiClient
from tracetail.panel.trace.traces import Traces

ORIGIN = "origin"
"""The label of what was posted here, apart from the launch's own stream: its order is that of the keeper's stamps."""
REPORT = "report"
APPENDED = "append"
_PIECE_CHARACTERS = names.ENTRY_MAX_BYTES // 4
"""UTF-8 takes at most four bytes for a character."""
_BAD_EVENTS = frozenset({"failed", "crashed"})


def _report_name(name: str) -> str:
    """Return a field's name in JSON: camel case, but for the original design's own log_file."""
    head, *rest = name.split("_")
    return name if name == "log_file" else head + "".join(word.capitalize() for word in rest)


class Report(msgspec.Struct, rename=_report_name):
    """A callback: the four fields of the original design, and what tracetail adds. Further fields are ignored."""

    model: Annotated[str, Meta(min_length=1, max_length=500)]
    port: int | None = None
    pid: int | None = None
    log_file: Annotated[str, Meta(max_length=4096)] = ""
    event: Annotated[str, Meta(max_length=40)] = "ready"
    event_id: Annotated[str, Meta(max_length=200)] = ""
    trace_id: str = ""
    instance_id: str | int = ""
    launch_id: str = ""
    job_id: str | int | None = None
    env: Annotated[str, Meta(max_length=100)] = "test"
    host: Annotated[str, Meta(max_length=200)] = ""
    state: Annotated[str, Meta(max_length=40)] = ""
    exit: dict[str, Any] | None = None


class Lines(msgspec.Struct, rename="camel"):
    """Lines of a scheduler's run, as the original design's Java processor posts them."""

    instance_id: str | int
    lines: Annotated[list[Annotated[str, Meta(max_length=4_000_000)]], Meta(max_length=10_000)]
    timestamp: Annotated[int, Meta(ge=0, le=(1 << 63) // 1_000_000 - 1)] | None = None
    """Milliseconds since the epoch; now if absent."""
    trace_id: str = ""


class CallbackRoutes:
    """Takes what is posted, and writes it to Loki."""

    def __init__(self, loki: LokiClient, found: Traces) -> None:
        self._loki = loki
        self._traces = found
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post("/api/report/llm-start", self.report), web.post("/api/log/append", self.append)]

    def _lock(self, of: str) -> asyncio.Lock:
        """Return what lets the posts of one run in one after the other, as they came."""
        return self._locks.setdefault(of, asyncio.Lock())

    async def report(self, request: web.Request) -> web.Response:
        """Take the callback of a launch. A repeated eventId is answered, and not written again."""
        grant = grant_of(request)
        grant.require(WRITE)
        report = await body(request, Report)
        trace_id = checked_id("traceId", report.trace_id) if report.trace_id else identity.new_trace_id()
        if report.trace_id or grant.traces is not None:
            grant.require_trace(trace_id)
        instance_id = checked_id("instanceId", str(report.instance_id or trace_id))
        labels = {
            names.TRACE_ID: trace_id,
            names.INSTANCE_ID: instance_id,
            names.SERVICE_NAME: report.model,
            names.ENV: report.env,
            ORIGIN: REPORT,
        }
        ids = {"traceId": trace_id, "instanceId": instance_id, "eventId": report.event_id or None}
        async with self._lock(trace_id):
            if report.event_id and await self._is_known(trace_id, report.event_id):
                return json_answer({"received": True, "repeated": True, **ids})
            level = "error" if report.event in _BAD_EVENTS else "info"
            metadata = {names.METADATA_KIND: "event", names.METADATA_LEVEL: level}
            await self._loki.push(labels, [(time.time_ns(), _line(report), metadata)])
        return json_answer({"received": True, "repeated": False, **ids})

    async def append(self, request: web.Request) -> web.Response:
        """Take lines of a run that no agent follows. The same post again changes nothing."""
        grant = grant_of(request)
        grant.require(WRITE)
        posted = await body(request, Lines)
        instance_id = checked_id("instanceId", str(posted.instance_id))
        trace_id = await self._trace_of_append(grant, instance_id, posted.trace_id)
        pieces = [piece for line in posted.lines for piece in _pieces(line)]
        if not pieces:
            return json_answer({"appended": 0, "traceId": trace_id, "instanceId": instance_id})
        labels = {
            names.TRACE_ID: trace_id,
            names.INSTANCE_ID: instance_id,
            names.SERVICE_NAME: APPENDED,
            ORIGIN: APPENDED,
        }
        async with self._lock(instance_id):
            post, start_ns = await self._place(labels, posted)
            values = [
                (start_ns + index, text, {POST: post} | ({names.METADATA_KIND: kind} if kind else {}))
                for index, (text, kind) in enumerate(pieces)
            ]
            await self._loki.push(labels, values)
        return json_answer({"appended": len(posted.lines), "traceId": trace_id, "instanceId": instance_id})

    async def _place(self, labels: dict[str, str], posted: Lines) -> tuple[str, int]:
        """Return the name of a post and the time of its first line: behind what was posted before it.

        Loki remembers both, so that whichever panel gets a post again writes the very same entries, which Loki drops.
        """
        streams = logql.selector(labels)
        start, end = self._traces.range()
        wanted = time.time_ns() if posted.timestamp is None else posted.timestamp * 1_000_000
        content = [posted.timestamp or wanted, posted.lines]
        post = hashlib.blake2b(orjson.dumps(content), digest_size=12).hexdigest()
        if posted.timestamp is not None and self._loki.keeps_metadata:
            known = await self._loki.entries(logql.filtered(streams, metadata={POST: post}), start, end, limit=1)
            if known:
                return post, known[0].key.time_ns
        last = await self._loki.entries(streams, start, end, limit=1, backward=True)
        return post, max(wanted, last[0].key.time_ns + 1) if last else wanted

    async def _trace_of_append(self, grant: Grant, instance_id: str, named: str) -> str:
        """Return the trace that the lines belong to: the one named, the instance's own, else one of its name."""
        if named:
            trace_id = checked_id("traceId", named)
            grant.require_trace(trace_id)
            return trace_id
        known = sorted(await self._traces.trace_ids(names.INSTANCE_ID, instance_id))
        opened = [trace_id for trace_id in known if grant.opens(trace_id)]
        if opened:
            return opened[-1]
        if known:
            raise AccessError("trace_not_allowed", "the token is not for the trace of this instanceId")
        grant.require_trace(instance_id)
        return instance_id

    async def _is_known(self, trace_id: str, event_id: str) -> bool:
        query = logql.filtered(
            logql.selector({names.TRACE_ID: trace_id, ORIGIN: REPORT}),
            contains=render_event("reported", eventId=event_id).partition(" ")[2],
        )
        start, end = self._traces.range()
        return bool(await self._loki.entries(query, start, end, limit=1))


def _pieces(line: str) -> Iterator[tuple[str, str]]:
    """Yield what Loki takes of a posted text: one entry a line, a long line cut in pieces; with the entry's kind."""
    for text in line.removesuffix("\n").split("\n"):
        rest = text.removesuffix("\r")
        while len(rest.encode()) > names.ENTRY_MAX_BYTES:
            yield rest[:_PIECE_CHARACTERS], "cut"
            rest = rest[_PIECE_CHARACTERS:]
        yield rest, ""


def _line(report: Report) -> str:
    exit_ = report.exit or {}
    return render_event(
        events.REPORTED,
        event=report.event,
        eventId=report.event_id or None,
        model=report.model,
        port=report.port,
        pid=report.pid,
        logFile=report.log_file or None,
        launchId=report.launch_id or None,
        jobId=report.job_id,
        host=report.host or None,
        state=report.state or None,
        cause=exit_.get("cause"),
    )
