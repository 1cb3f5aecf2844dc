"""An OTLP/HTTP receiver of spans, in a thread of its own."""

import gzip
import http.server
import threading
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.otlp_receiver import values


class Span(NamedTuple):
    """One span, as a backend sees it."""

    name: str
    trace_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


class SpanReceiver:
    """Keeps the spans that are posted."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver.spans += spans_in(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def spans_in(request: ExportTraceServiceRequest) -> list[Span]:
    """Return the spans of a request."""
    return [
        Span(
            span.name,
            span.trace_id.hex(),
            span.parent_span_id.hex(),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            values(list(span.attributes)),
            values(list(spans.resource.attributes)),
        )
        for spans in request.resource_spans
        for scope in spans.scope_spans
        for span in scope.spans
    ]
