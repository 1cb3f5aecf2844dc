"""What is posted to the panel: callbacks of launches. It goes to Loki, so that every panel shows the same."""

import asyncio
import time
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from contract import events, identity, logql
from contract import labels as names
from contract.logline import render_event
from panel.access import WRITE
from panel.answer import json_answer
from panel.loki import LokiClient
from panel.request import body, checked_id, grant_of
from panel.traces import Traces

ORIGIN = "origin"
"""The label of what was posted here, apart from the launch's own stream: its order is that of the keeper's stamps."""
REPORT = "report"
_NS = 1_000_000_000
_BAD_EVENTS = frozenset({"failed", "crashed"})


class Report(
    msgspec.Struct,
    rename={
        "event_id": "eventId",
        "trace_id": "traceId",
        "instance_id": "instanceId",
        "launch_id": "launchId",
        "job_id": "jobId",
    },
):
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


class CallbackRoutes:
    """Takes what is posted, and writes it to Loki."""

    def __init__(self, loki: LokiClient, found: Traces) -> None:
        self._loki = loki
        self._traces = found
        self._one_at_a_time = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post("/api/report/llm-start", self.report)]

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
        async with self._one_at_a_time:
            if report.event_id and await self._is_known(trace_id, report.event_id):
                return json_answer({"received": True, "repeated": True, **ids})
            level = "error" if report.event in _BAD_EVENTS else "info"
            metadata = {names.METADATA_KIND: "event", names.METADATA_LEVEL: level}
            await self._loki.push(labels, [(time.time_ns(), _line(report), metadata)])
        return json_answer({"received": True, "repeated": False, **ids})

    async def _is_known(self, trace_id: str, event_id: str) -> bool:
        query = logql.filtered(
            logql.selector({names.TRACE_ID: trace_id, ORIGIN: REPORT}),
            contains=render_event("reported", eventId=event_id).partition(" ")[2],
        )
        start, end = self._traces.range()
        return bool(await self._loki.entries(query, start, end, limit=1))


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
