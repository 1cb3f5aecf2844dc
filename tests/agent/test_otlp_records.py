"""What a line becomes in OTLP: severity, times, trace, attributes by the semantic conventions, and an identity."""

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from support.agent_process import TRACE
from support.otlp_receiver import received_in

from tracetail.agent.shipping.kafka_messages import messages_of
from tracetail.agent.shipping.otlp_records import request_of
from tracetail.loki.entries import Entry, encode_metadata

LABELS = {
    "traceId": TRACE,
    "instanceId": "1008611",
    "launchId": "20261122T211210-abcdef",
    "service_name": "Qwen/Qwen2-7B",
    "env": "test",
    "engine": "vllm",
    "host": "node1",
    "team": "nlp",
}
TIME = 1_795_353_130_123_456_789
META = encode_metadata(
    {
        "level": "warning",
        "process": "APIServer",
        "pid": "71",
        "source": "api.py:7",
        "request_id": "cmpl-1",
        "kind": "cut",
    }
)


def _one(text: bytes = b"line", labels=LABELS, meta: bytes = META, time_ns: int = TIME):
    [received] = received_in(ExportLogsServiceRequest.FromString(request_of(labels, [Entry(time_ns, text, meta)])))
    return received


def test_a_line_has_its_time_text_severity_trace_and_attributes():
    line = _one("quoted 模型 \x07".encode())
    assert line.text == "quoted 模型 \x07"
    assert line.record.time_unix_nano == line.record.observed_time_unix_nano == TIME
    assert line.record.severity_number == SeverityNumber.SEVERITY_NUMBER_WARN
    assert line.record.severity_text == "warning"
    assert line.record.trace_id == bytes.fromhex(TRACE)
    assert line.record.span_id == b""
    assert line.resource == {
        "service.name": "Qwen/Qwen2-7B",
        "service.instance.id": "20261122T211210-abcdef",
        "host.name": "node1",
        "deployment.environment.name": "test",
        "tracetail.trace_id": TRACE,
        "tracetail.instance_id": "1008611",
        "tracetail.launch_id": "20261122T211210-abcdef",
        "tracetail.engine": "vllm",
        "team": "nlp",
    }
    identity = line.attributes.pop("log.record.uid")
    assert identity.startswith(f"20261122T211210-abcdef@{TIME}-")
    assert line.attributes == {
        "tracetail.process": "APIServer",
        "process.pid": 71,
        "code.file.path": "api.py",
        "code.line.number": 7,
        "tracetail.request_id": "cmpl-1",
        "tracetail.kind": "cut",
    }


@pytest.mark.parametrize("trace_id", ["trace-7", "4bf92f35", TRACE.upper(), "0" * 32, TRACE + "0", TRACE[:-1] + "g"])
def test_a_trace_id_that_is_none_of_w3c_stays_an_attribute_alone(trace_id):
    line = _one(labels={**LABELS, "traceId": trace_id})
    assert line.record.trace_id == b""
    assert line.resource["tracetail.trace_id"] == trace_id


@pytest.mark.parametrize(
    ("level", "number"), [("debug", 5), ("info", 9), ("warning", 13), ("error", 17), ("critical", 21), (None, 0)]
)
def test_the_severity_number_is_that_of_the_level(level, number):
    record = _one(meta=encode_metadata({"level": level})).record
    assert (record.severity_number, record.severity_text) == (number, level or "")


def test_the_identity_is_that_of_the_same_line_in_kafka_and_of_no_other():
    [message] = messages_of(LABELS, [Entry(TIME, b"line", META)])
    assert _one().identity == message.identity.decode()
    others = [_one(b"Line"), _one(time_ns=TIME + 1), _one(labels={**LABELS, "launchId": "another"})]
    assert len({_one().identity, *(other.identity for other in others)}) == 4


def test_a_file_of_another_program_is_named_by_its_path_and_bytes_that_are_no_text_are_replaced():
    line = _one(b"\xff!", {"host": "node1", "filename": "/var/log/app.log", "job": "app"}, b"")
    assert line.resource == {"host.name": "node1", "log.file.path": "/var/log/app.log", "job": "app"}
    assert line.text == "\N{REPLACEMENT CHARACTER}!"
    assert line.identity.startswith("node1:/var/log/app.log@")
    assert set(line.attributes) == {"log.record.uid"}
