"""Routes that write to Loki: callbacks of launches, and lines of runs that no agent follows.

Posts are stored in Loki only, so that every panel shows the same.
"""

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
from tracetail.contract.redaction import Redactor
from tracetail.loki import logql
from tracetail.loki.client import LokiClient
from tracetail.panel.auth.access import WRITE
from tracetail.panel.routes.answer import json_answer
from tracetail.panel.routes.posted_streams import ORIGIN, PostedStreams
from tracetail.panel.routes.request import body, checked_id, grant_of
from tracetail.panel.trace.entry import POST
from tracetail.panel.trace.reader import one_entry
from tracetail.panel.trace.traces import Traces

_TRACE = "trace "
"""In front of the name of a trace's lock; no instanceId begins so."""
REPORT = "report"
APPENDED = "append"
_PIECE_CHARACTERS = names.ENTRY_MAX_BYTES // 4
"""A character takes at most four bytes in UTF-8."""
_BAD_EVENTS = frozenset({"failed", "crashed", "unhealthy"})


def _report_name(name: str) -> str:
    """Return the JSON name of a field: camel case, except the original design's log_file."""
    head, *rest = name.split("_")
    return name if name == "log_file" else head + "".join(word.capitalize() for word in rest)


class Report(msgspec.Struct, rename=_report_name):
    """A callback: the four fields of the original design, and tracetail's own. Unknown fields are ignored."""

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
    """Lines of a scheduler's run, in the form in which the original design's Java processor posts them."""

    instance_id: str | int
    lines: Annotated[list[Annotated[str, Meta(max_length=4_000_000)]], Meta(max_length=10_000)]
    timestamp: Annotated[int, Meta(ge=0, le=(1 << 63) // 1_000_000 - 1)] | None = None
    """Milliseconds since the epoch; now if absent."""
    trace_id: str = ""


class IngestRoutes:
    """Writes posted callbacks and lines to Loki."""

    def __init__(self, loki: LokiClient, traces: Traces, redactor: Redactor) -> None:
        self._loki = loki
        self._traces = traces
        self._redactor = redactor
        self._streams = PostedStreams(traces)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post("/api/report/llm-start", self.report), web.post("/api/log/append", self.append)]

    def _lock(self, name: str) -> asyncio.Lock:
        """Return the lock that serializes the posts of an instance, or of a trace, in the order of their arrival."""
        return self._locks.setdefault(name, asyncio.Lock())

    async def report(self, request: web.Request) -> web.Response:
        """Write the callback of a launch. A repeated eventId is acknowledged, but not written again."""
        grant = grant_of(request)
        grant.require(WRITE)
        report = await body(request, Report)
        named = checked_id("traceId", report.trace_id) if report.trace_id else ""
        new = named or identity.new_trace_id()
        instance_id = checked_id("instanceId", str(report.instance_id or new))
        async with self._lock(instance_id):
            trace_id = await self._streams.trace_for(grant, instance_id, named, new)
            return await self._write_report(report, trace_id, instance_id)

    async def _write_report(self, report: Report, trace_id: str, instance_id: str) -> web.Response:
        labels = {
            names.TRACE_ID: trace_id,
            names.INSTANCE_ID: instance_id,
            names.SERVICE_NAME: report.model,
            names.ENV: report.env,
            ORIGIN: REPORT,
        }
        ids = {"traceId": trace_id, "instanceId": instance_id, "eventId": report.event_id or None}
        async with self._lock(_TRACE + trace_id):
            if report.event_id and await self._is_written(trace_id, report.event_id):
                return json_answer({"received": True, "repeated": True, **ids})
            level = "error" if report.event in _BAD_EVENTS else "info"
            metadata = {names.METADATA_KIND: "event", names.METADATA_LEVEL: level}
            labels = await self._streams.bounded(labels)
            await self._loki.push_entries(labels, [(time.time_ns(), self._masked(_event_line(report)), metadata)])
        return json_answer({"received": True, "repeated": False, **ids})

    async def append(self, request: web.Request) -> web.Response:
        """Write lines of a run that no agent follows. Repeating a post with a timestamp changes nothing."""
        grant = grant_of(request)
        grant.require(WRITE)
        posted = await body(request, Lines)
        instance_id = checked_id("instanceId", str(posted.instance_id))
        named = checked_id("traceId", posted.trace_id) if posted.trace_id else ""
        async with self._lock(instance_id):
            trace_id = await self._streams.trace_for(grant, instance_id, named, instance_id)
            return await self._write_lines(posted, trace_id, instance_id)

    async def _write_lines(self, posted: Lines, trace_id: str, instance_id: str) -> web.Response:
        pieces = [piece for text in self._masked_lines(posted.lines) for piece in _pieces(text)]
        if not pieces:
            return json_answer({"appended": 0, "traceId": trace_id, "instanceId": instance_id})
        labels = {
            names.TRACE_ID: trace_id,
            names.INSTANCE_ID: instance_id,
            names.SERVICE_NAME: APPENDED,
            ORIGIN: APPENDED,
        }
        async with self._lock(_TRACE + trace_id):
            labels = await self._streams.bounded(labels)
            post_id, start_ns = await self._post_id_and_time(labels, posted)
            values = [
                (start_ns + index, text, {POST: post_id} | ({names.METADATA_KIND: kind} if kind else {}))
                for index, (text, kind) in enumerate(pieces)
            ]
            await self._loki.push_entries(labels, values)
        return json_answer({"appended": len(posted.lines), "traceId": trace_id, "instanceId": instance_id})

    def _masked(self, text: str) -> str:
        return self._redactor.redact(text.encode())[0].decode()

    def _masked_lines(self, posted: list[str]) -> list[str]:
        """Return the single lines of posted texts with their secrets masked, as the agent masks lines of a log."""
        lines = [text.removesuffix("\r").encode() for line in posted for text in line.removesuffix("\n").split("\n")]
        self._redactor.redact_lines(lines)
        return [line.decode() for line in lines]

    async def _post_id_and_time(self, labels: dict[str, str], posted: Lines) -> tuple[str, int]:
        """Return a digest that identifies the post, and the time of its first line, after all earlier posts.

        Both are read back from Loki, so that any panel that gets the post again writes equal entries, which Loki
        discards as duplicates.
        """
        streams = logql.selector(labels)
        start, end = self._traces.range()
        preferred_ns = time.time_ns() if posted.timestamp is None else posted.timestamp * 1_000_000
        content = [posted.timestamp or preferred_ns, posted.lines]
        post_id = hashlib.blake2b(orjson.dumps(content), digest_size=12).hexdigest()
        if posted.timestamp is not None and self._loki.settings.structured_metadata:
            written = await one_entry(self._loki, logql.log_query(streams, metadata={POST: post_id}), start, end)
            if written:
                return post_id, written.time_ns
        last = await one_entry(self._loki, streams, start, end, backward=True)
        return post_id, max(preferred_ns, last.time_ns + 1) if last else preferred_ns

    async def _is_written(self, trace_id: str, event_id: str) -> bool:
        query = logql.log_query(
            logql.selector({names.TRACE_ID: trace_id, ORIGIN: REPORT}),
            contains=render_event("reported", eventId=event_id).partition(" ")[2],
        )
        start, end = self._traces.range()
        return await one_entry(self._loki, query, start, end) is not None


def _pieces(line: str) -> Iterator[tuple[str, str]]:
    """Yield (text, kind) of the entries for a line: one, or several of kind `cut` for a long line."""
    while len(line.encode()) > names.ENTRY_MAX_BYTES:
        yield line[:_PIECE_CHARACTERS], "cut"
        line = line[_PIECE_CHARACTERS:]
    yield line, ""


def _event_line(report: Report) -> str:
    cause, code = (report.exit or {}).get("cause"), (report.exit or {}).get("causeCode")
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
        cause=str(cause) if cause else None,
        causeCode=str(code) if code else None,
    )
