"""The OTLP request that entries become: one LogRecord each, with the launch as the resource.

Attributes have the names of OpenTelemetry's semantic conventions where there is one, and those of the launch's spans:
https://opentelemetry.io/docs/specs/otel/logs/data-model/, https://opentelemetry.io/docs/specs/semconv/registry/attributes/
"""

import functools
from collections.abc import Iterable, Mapping, Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from tracetail import __version__
from tracetail.agent.checked_settings import FILENAME
from tracetail.agent.shipping.entry_identity import identity_of, source_of
from tracetail.contract.identity import is_w3c_trace_id
from tracetail.contract.labels import (
    ENGINE,
    ENV,
    HOST,
    INSTANCE_ID,
    LAUNCH_ID,
    METADATA_KIND,
    METADATA_LEVEL,
    METADATA_NODE,
    METADATA_ORIGINAL_TIME,
    METADATA_PID,
    METADATA_PROCESS,
    METADATA_REQUEST_ID,
    METADATA_SOURCE,
    SERVICE_NAME,
    TRACE_ID,
)
from tracetail.loki.entries import Entry, decode_metadata

IDENTITY = "log.record.uid"
"""The attribute with the identity of an entry: records with the same one are duplicates."""
RESOURCE_ATTRIBUTES = {
    SERVICE_NAME: ("service.name",),
    LAUNCH_ID: ("service.instance.id", "tracetail.launch_id"),
    TRACE_ID: ("tracetail.trace_id",),
    INSTANCE_ID: ("tracetail.instance_id",),
    ENV: ("deployment.environment.name",),
    HOST: ("host.name",),
    ENGINE: ("tracetail.engine",),
    FILENAME: ("log.file.path",),
}
"""Label → attributes of the resource; another label keeps its name."""
_RECORD_ATTRIBUTES = {
    METADATA_PROCESS: "tracetail.process",
    METADATA_NODE: "tracetail.node",
    METADATA_REQUEST_ID: "tracetail.request_id",
    METADATA_KIND: "tracetail.kind",
    METADATA_ORIGINAL_TIME: "tracetail.original_time",
}
_SEVERITIES = {
    "debug": SeverityNumber.SEVERITY_NUMBER_DEBUG,
    "info": SeverityNumber.SEVERITY_NUMBER_INFO,
    "warning": SeverityNumber.SEVERITY_NUMBER_WARN,
    "error": SeverityNumber.SEVERITY_NUMBER_ERROR,
    "critical": SeverityNumber.SEVERITY_NUMBER_FATAL,
}
_SCOPE = InstrumentationScope(name="tracetail", version=__version__)
_CACHED_METADATA = 4096


def request_of(labels: Mapping[str, str], entries: Sequence[Entry]) -> bytes:
    """Return the encoded ExportLogsServiceRequest with these entries of a stream; without entries, an empty one."""
    if not entries:
        return ExportLogsServiceRequest().SerializeToString()
    trace_id = labels.get(TRACE_ID, "")
    trace = bytes.fromhex(trace_id) if is_w3c_trace_id(trace_id) else b""
    source = source_of(labels)
    request = ExportLogsServiceRequest()
    logs = request.resource_logs.add()
    logs.resource.attributes.extend(_resource_attributes(labels))
    scope = logs.scope_logs.add()
    scope.scope.CopyFrom(_SCOPE)
    add = scope.log_records.add
    for entry in entries:
        _fill(add(), entry, source, trace)
    return request.SerializeToString()


def _fill(record: LogRecord, entry: Entry, source: bytes, trace: bytes) -> None:
    """Fill a record in its place: building it from objects and copying it costs twice as much."""
    time_ns, text, meta = entry
    record.CopyFrom(_described(meta, trace))
    record.time_unix_nano = record.observed_time_unix_nano = time_ns
    record.body.string_value = text.decode(errors="replace")
    record.attributes[0].value.string_value = identity_of(source, time_ns, text).decode(errors="replace")


@functools.lru_cache(_CACHED_METADATA)
def _described(meta: bytes, trace: bytes) -> LogRecord:
    """Return a record with what lines of the same metadata have in common; its first attribute has no value."""
    pairs = decode_metadata(meta)
    level = pairs.pop(METADATA_LEVEL, "")
    attributes = [attribute for name, value in pairs.items() for attribute in _line_attributes(name, value)]
    return LogRecord(
        severity_number=_SEVERITIES.get(level, SeverityNumber.SEVERITY_NUMBER_UNSPECIFIED),
        severity_text=level,
        attributes=[KeyValue(key=IDENTITY), *attributes],
        trace_id=trace,
    )


def _line_attributes(name: str, value: str) -> Iterable[KeyValue]:
    """Yield the attributes of a line's structured metadata."""
    if name == METADATA_SOURCE:
        path, _, line = value.rpartition(":")
        if path and line.isdecimal():
            yield _attribute("code.file.path", path)
            yield KeyValue(key="code.line.number", value=AnyValue(int_value=int(line)))
        else:
            yield _attribute("code.file.path", value)
    elif name == METADATA_PID and value.isdecimal():
        yield KeyValue(key="process.pid", value=AnyValue(int_value=int(value)))
    else:
        yield _attribute(_RECORD_ATTRIBUTES.get(name, name), value)


def _resource_attributes(labels: Mapping[str, str]) -> list[KeyValue]:
    return [
        _attribute(name, value)
        for label, value in labels.items()
        for name in RESOURCE_ATTRIBUTES.get(label, (label,))
    ]


def _attribute(name: str, value: str) -> KeyValue:
    return KeyValue(key=name, value=AnyValue(string_value=value))
