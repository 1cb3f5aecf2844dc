"""Decodes push requests in JSON."""

import re

import msgspec

from tracetail.store.disk.block import Entries, Metadata
from tracetail.store.ingest.labels import make_labels, metadata_of
from tracetail.store.ingest.stream import PushedStream, PushError
from tracetail.store.ingest.utf8 import REPLACE_EACH_BYTE


class _JsonValue(msgspec.Struct, array_like=True):
    time: str | int
    line: str
    metadata: dict[str, str] = {}


class _JsonStream(msgspec.Struct):
    stream: dict[str, str] = {}
    values: list[_JsonValue] = []


class _JsonPush(msgspec.Struct):
    streams: list[_JsonStream] = []


_json_decoder = msgspec.json.Decoder(_JsonPush)


def decode_json(body: bytes) -> list[PushedStream]:
    """Decode `{"streams": [{"stream": {…}, "values": [["<ns>", "line", {…}]]}]}`. Raises PushError."""
    try:
        request = _json_decoder.decode(body)
    except UnicodeDecodeError:
        request = _decode_repaired(body)
    except (msgspec.MsgspecError, RecursionError):
        request = _decode_repaired(body)
    return [_json_stream(stream) for stream in request.streams]


def _decode_repaired(body: bytes) -> _JsonPush:
    """Decode with invalid UTF-8 replaced. Raises PushError if that was not the reason for the failure."""
    try:
        return _json_decoder.decode(body.decode("utf-8", REPLACE_EACH_BYTE).encode())
    except RecursionError:
        raise PushError("the JSON is nested too deeply") from None
    except msgspec.MsgspecError as error:
        raise PushError(f"the body is not a push request in JSON: {error}") from None


def _json_stream(stream: _JsonStream) -> PushedStream:
    positions: dict[Metadata, int] = {}
    times, lines, metadata = [], [], []
    for value in stream.values:
        times.append(_json_time(value.time))
        lines.append(value.line.encode("utf-8", "replace"))
        metadata.append(positions.setdefault(metadata_of(value.metadata), len(positions)))
    return PushedStream(make_labels(stream.stream.items()), Entries(times, lines, metadata, list(positions)))


def _json_time(time: str | int) -> int:
    text = str(time)
    if len(text) > 20 or not re.fullmatch(r"-?\d+", text, re.ASCII):
        raise PushError(f"the timestamp {text[:40]!r} is not a number of nanoseconds")
    return int(text)
