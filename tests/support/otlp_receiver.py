"""An OTLP/HTTP receiver that decodes requests with the official messages, and answers as it is told to."""

import gzip
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from tracetail.loki.wire import delimited

PROTOBUF = "application/x-protobuf"


class Received(NamedTuple):
    """One log record, as a backend sees it."""

    resource: dict[str, Any]
    attributes: dict[str, Any]
    record: LogRecord

    @property
    def text(self) -> str:
        return self.record.body.string_value

    @property
    def identity(self) -> str:
        return str(self.attributes["log.record.uid"])


def values(attributes: list[KeyValue]) -> dict[str, Any]:
    """Return attributes as a dictionary."""
    return {pair.key: _value(pair.value) for pair in attributes}


def _value(value: AnyValue) -> Any:
    return getattr(value, value.WhichOneof("value"))


def received_in(request: ExportLogsServiceRequest) -> list[Received]:
    """Return the records of a request."""
    return [
        Received(values(list(logs.resource.attributes)), values(list(record.attributes)), record)
        for logs in request.resource_logs
        for scope in logs.scope_logs
        for record in scope.log_records
    ]


def refusal(status: int, message: str = "", **headers: str) -> web.Response:
    """Return a refusal with a google.rpc.Status, as the specification asks for."""
    body = delimited(2, message.encode()) if message else b""
    return web.Response(status=status, body=body, content_type=PROTOBUF, headers=headers)


def partial(rejected: int, message: str) -> web.Response:
    """Return a partial success."""
    success = ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=message)
    body = ExportLogsServiceResponse(partial_success=success).SerializeToString()
    return web.Response(body=body, content_type=PROTOBUF)


Judge = Callable[[list[Received]], web.Response | Awaitable[web.Response] | None]
"""Returns the answer to a request with these records, which are not stored then; None: they are stored."""


@dataclass
class OtlpReceiver:
    """Keeps the records of every request that `judge` does not answer."""

    judge: Judge = lambda _: None
    records: list[Received] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    """Of every request."""
    url: str = ""

    async def start(self, tls: Any = None) -> None:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/v1/logs", self._export)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    def texts(self) -> list[str]:
        return [record.text for record in self.records]

    def once(self) -> list[Received]:
        """Return the records without those whose identity has come before, as a backend may."""
        return list({record.identity: record for record in reversed(self.records)}.values())[::-1]

    async def _export(self, request: web.Request) -> web.Response:
        self.headers.append(request.headers)
        body = await request.read()  # aiohttp has decompressed it
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        records = received_in(ExportLogsServiceRequest.FromString(body))
        answer = self.judge(records)
        if answer is not None and not isinstance(answer, web.Response):
            answer = await answer
        if answer is None or answer.status == 200:
            self.records += records
        return answer or web.Response(body=b"", content_type=PROTOBUF)


def config(url: str, more: str = "") -> str:
    """Return the configuration of an agent that sends to it."""
    return f'[otlp]\nendpoint = "{url}"\n{more}\n'
