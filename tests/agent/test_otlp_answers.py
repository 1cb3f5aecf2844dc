"""What the answers of an OTLP receiver mean, by the OTLP specification."""

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)

from tracetail.agent.shipping.otlp_answers import PROTOBUF, Verdict, answer_of, verdict
from tracetail.loki.wire import delimited, varint


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        *((status, Verdict.DELIVERED) for status in (200, 202, 204)),
        *((status, Verdict.TRY_AGAIN) for status in (408, 429, 500, 502, 503, 504)),
        *((status, Verdict.SETTINGS) for status in (301, 401, 403, 404, 405, 407)),
        (413, Verdict.TOO_LARGE),
        *((status, Verdict.BAD_DATA) for status in (400, 415, 422)),
    ],
)
def test_each_status_has_its_meaning(status, wanted):
    assert verdict(answer_of(status, PROTOBUF, b"", 0)) is wanted


@pytest.mark.parametrize("kind", [PROTOBUF, "application/json; charset=utf-8"])
def test_a_partial_success_says_how_many_are_refused(kind):
    response = ExportLogsServiceResponse(
        partial_success=ExportLogsPartialSuccess(rejected_log_records=3, error_message="too old")
    )
    in_json = b'{"partialSuccess": {"rejectedLogRecords": "3", "errorMessage": "too old"}, "new": 1}'
    answer = answer_of(200, kind, response.SerializeToString() if kind == PROTOBUF else in_json, 0)
    assert (answer.rejected, answer.text) == (3, "too old")


@pytest.mark.parametrize(
    ("kind", "body"), [("text/html", b"<h1>Welcome</h1>"), (PROTOBUF, b"\xff\xff"), ("application/json", b"[")]
)
def test_a_success_that_is_no_otlp_delivers_nothing(kind, body):
    assert verdict(answer_of(200, kind, body, 0)) is Verdict.SETTINGS


def test_the_reason_of_a_refusal_is_in_a_status_message_or_in_plain_text():
    status = b"\x08" + varint(3) + delimited(2, b"bad record")
    assert answer_of(400, PROTOBUF, status, 0).text == "bad record"
    assert answer_of(400, PROTOBUF, b"\xff", 0).text == ""
    assert answer_of(502, "text/plain", b"no upstream\n", 0).text == "no upstream"
