"""Interprets the answers of an OTLP/HTTP receiver.

Source: https://opentelemetry.io/docs/specs/otlp/ (OTLP/HTTP Response: full success, partial success, failures, bad
data, throttling). One thing differs: the specification has a client drop what is answered with any other 4xx or 5xx
than 429, 502, 503 and 504. Lines are not dropped for a setting or a fault of the receiver: they are sent again.
"""

from dataclasses import dataclass
from enum import Enum, auto

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from tracetail.loki.wire import WireFormatError, read_fields

PROTOBUF = "application/x-protobuf"
_STATUS_MESSAGE = 2
"""The field `message` of google.rpc.Status, which a refusal has as its body."""
_SETTING_OF = {
    401: "otlp.bearer_token_file, otlp.username or otlp.header_files",
    403: "the rights of the user or token of otlp.bearer_token_file, otlp.username or otlp.header_files",
    407: "otlp.proxy",
}


@dataclass(frozen=True, slots=True)
class ExportAnswer:
    """What a receiver answered to a request."""

    status: int
    rejected: int
    """How many records a partial success says that the receiver refused; it does not say which."""
    text: str
    """The message of a refusal or of a partial success."""
    retry_after: float
    """Seconds; 0 if the answer has no Retry-After header."""
    understood: bool = True
    """False for a success whose body is no answer of an OTLP receiver."""


class Verdict(Enum):
    """What an answer means for the request."""

    DELIVERED = auto()
    """All records are taken, but for those that a partial success counts."""
    TOO_LARGE = auto()
    BAD_DATA = auto()
    """The receiver will never take this request: a record of it cannot be read, or no request can."""
    TRY_AGAIN = auto()
    SETTINGS = auto()
    """A setting must be changed: send the same records again, at long intervals."""


def answer_of(status: int, content_type: str, body: bytes, retry_after: float) -> ExportAnswer:
    """Return what an HTTP answer says."""
    kind = content_type.partition(";")[0].strip().lower()
    if status // 100 != 2:
        return ExportAnswer(status, 0, _refusal(kind, body), retry_after)
    response = ExportLogsServiceResponse()
    try:
        if kind == "application/json":
            json_format.Parse(body or b"{}", response, ignore_unknown_fields=True)
        elif body and kind not in (PROTOBUF, "application/protobuf", ""):
            return ExportAnswer(status, 0, f"an answer in {kind}", retry_after, understood=False)
        else:
            response.ParseFromString(body)
    except (DecodeError, json_format.ParseError):
        return ExportAnswer(status, 0, "an answer that is no OTLP", retry_after, understood=False)
    partial = response.partial_success
    return ExportAnswer(status, max(0, partial.rejected_log_records), partial.error_message, retry_after)


def verdict(answer: ExportAnswer) -> Verdict:
    """Return what an answer means."""
    match answer.status:
        case status if status // 100 == 2:
            return Verdict.DELIVERED if answer.understood else Verdict.SETTINGS
        case 413:
            return Verdict.TOO_LARGE
        case 408 | 425 | 429:
            return Verdict.TRY_AGAIN
        case 401 | 403 | 404 | 405 | 407:
            return Verdict.SETTINGS
        case status if status >= 500:
            return Verdict.TRY_AGAIN
        case status if status // 100 == 4:
            return Verdict.BAD_DATA
        case _:
            return Verdict.SETTINGS


def setting_for(status: int) -> str:
    """Return the names of the settings that an answer with this status is probably about."""
    return _SETTING_OF.get(status, "otlp.endpoint")


def _refusal(kind: str, body: bytes) -> str:
    """Return the message of a refusal: a google.rpc.Status by the specification, of a proxy any text."""
    if kind in (PROTOBUF, "application/protobuf"):
        try:
            for number, start, end in read_fields(body, 0, len(body)):
                if number == _STATUS_MESSAGE:
                    return body[start:end].decode(errors="replace")
        except (WireFormatError, IndexError):
            pass
        return ""
    return body.decode(errors="replace").strip()
