"""What clients push, decoded: protobuf in block snappy, or JSON, plain or gzip.

Pure functions from a body to streams of entries. Source of the formats:
https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs and Loki's push.proto:

    PushRequest{1: repeated Stream}, Stream{1: labels, 2: repeated Entry},
    Entry{1: Timestamp{1: seconds, 2: nanos}, 2: line, 3: repeated Pair{1: name, 2: value}}
"""

import codecs
import functools
import math
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cramjam
import msgspec

from tracetail.loki.wire import VARINT, WireFormatError, read_field, read_fields, read_varint, skip_value
from tracetail.store.disk.block import Entries, Labels, Metadata
from tracetail.store.logql.strings import unescape

SERVICE_NAME = "service_name"
UNKNOWN_SERVICE = "unknown_service"
SERVICE_NAME_SOURCES = (
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
)
"""Where Loki takes service_name from when it is absent (its default discover_service_name)."""

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")
_PAIR = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*("(?:[^"\\\n]|\\.)*"|`[^`]*`)\s*')


class PushError(ValueError):
    """A body that is not a push request; nothing of it is stored (400)."""


class BodyTooLargeError(Exception):
    """A body that unpacks to more than is allowed (413)."""


@dataclass(slots=True)
class PushedStream:
    """One stream of a push request, as it was sent: not sorted, not yet checked against limits."""

    labels: Labels
    entries: Entries


def _each_bad_byte(error: UnicodeError) -> tuple[str, int]:
    """Replace each invalid byte by U+FFFD, as Loki does (Python would replace a whole broken sequence by one)."""
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("each-bad-byte", _each_bad_byte)


def decode(body: bytes, content_type: str, content_encoding: str, max_bytes: int) -> list[PushedStream]:
    """Return the streams of a push request.

    Args:
        body: as it came over the wire.
        content_type: JSON if it is application/json; everything else is taken for protobuf, as Loki does.
        content_encoding: `gzip`, `deflate`, `snappy` (protobuf is always in snappy) or empty.
        max_bytes: what the body may unpack to.

    Raises PushError or BodyTooLargeError.

    """
    encoding = content_encoding.strip().lower()
    if content_type.partition(";")[0].strip().lower() == "application/json":
        return decode_json(_inflate(body, encoding, max_bytes))
    if encoding not in ("", "identity", "snappy"):
        raise PushError(f"Content-Encoding {content_encoding!r} is not supported with protobuf; it is always snappy")
    return decode_protobuf(_unsnap(body, max_bytes))


def claimed_size(body: bytes, content_type: str, content_encoding: str) -> float:
    """Return what a body says that it unpacks to; infinity if it does not say or is corrupt."""
    if content_type.partition(";")[0].strip().lower() == "application/json":
        return len(body) if content_encoding.strip().lower() in ("", "identity") else math.inf
    try:
        return cramjam.snappy.decompress_raw_len(body)
    except (cramjam.DecompressionError, ValueError, OverflowError):
        return math.inf


def _inflate(body: bytes, encoding: str, max_bytes: int) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise PushError(f"Content-Encoding {encoding!r} is not supported; use gzip or deflate")
    inflater = zlib.decompressobj(wbits=31 if encoding == "gzip" else 15)
    try:
        data = inflater.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise PushError(f"{encoding}: {error}") from None
    if len(data) > max_bytes:
        raise BodyTooLargeError(f"the body unpacks to more than {max_bytes} bytes")
    if not inflater.eof:
        raise PushError(f"{encoding}: unexpected end of the body")
    return data


def _unsnap(body: bytes, max_bytes: int) -> bytes:
    try:
        size = cramjam.snappy.decompress_raw_len(body)
        if size > max_bytes:
            raise BodyTooLargeError(f"the body unpacks to {size} bytes; {max_bytes} are allowed")
        # Snappy makes at most 64 bytes out of 3; a larger claim would only reserve memory.
        if size > 22 * len(body) + 64:
            raise PushError("snappy: corrupt input")
        return bytes(cramjam.snappy.decompress_raw(body))
    except (cramjam.DecompressionError, ValueError, OverflowError) as error:
        raise PushError("snappy: corrupt input") from error


# ---- protobuf


def decode_protobuf(data: bytes) -> list[PushedStream]:
    """Decode a PushRequest. Raises PushError."""
    try:
        return [
            _protobuf_stream(data, start, end) for field, start, end in read_fields(data, 0, len(data)) if field == 1
        ]
    except (IndexError, OverflowError) as error:
        raise PushError("protobuf: unexpected end of the message") from error
    except WireFormatError as error:
        raise PushError(str(error)) from error


def _protobuf_stream(data: bytes, position: int, end: int) -> PushedStream:
    """Decode one Stream.

    This loop sees every line that is ever stored; it is written out for entries as Loki's clients write them
    (timestamp, line, metadata) and leaves anything else to _protobuf_entry.
    """
    labels: Labels = ()
    times: list[int] = []
    lines: list[bytes] = []
    metadata: list[int] = []
    sets: list[Metadata] = []
    places: dict[bytes, int] = {}
    pairs_seen: dict[bytes, tuple[str, str]] = {}
    seconds_seen: dict[bytes, int] = {}
    while position < end:
        if data[position] != 0x12:
            field, start, position = read_field(data, position, end)
            if field == 1:
                labels = parse_labels(data[start:position].decode("utf-8", "replace"))
            continue
        size = data[position + 1]
        start = position + 2
        if size > 127:
            if data[start] > 127:
                size, start = read_varint(data, position + 1)
            else:
                size += (data[start] << 7) - 128
                start += 1
        position = start + size
        if position > end:
            raise IndexError
        # 0a <size of the timestamp> 08 <five bytes of seconds> 10 <up to five bytes of nanos>
        stamp_end = start + 2 + data[start + 1] if size > 9 else 0
        nanos_size = stamp_end - start - 9
        if (
            0 < nanos_size < 6
            and stamp_end < position
            and data[start] == 0x0A
            and data[start + 8] == 0x10
            and data[stamp_end] == 0x12
        ):
            stamp = data[start + 2 : start + 8]
            seconds = seconds_seen.get(stamp)
            if seconds is None:
                if stamp[0] != 0x08 or stamp[5] > 127 or min(stamp[1:5]) < 128:
                    seconds = -1
                else:
                    seconds = seconds_seen[stamp] = read_varint(stamp, 1)[0] * 1_000_000_000
            if seconds >= 0:
                raw = int.from_bytes(data[start + 9 : stamp_end], "little")
                nanos = (
                    raw & 0x7F
                    | raw >> 1 & 0x3F80
                    | raw >> 2 & 0x1FC000
                    | raw >> 3 & 0xFE00000
                    | raw >> 4 & 0x7F0000000
                )
                length = data[stamp_end + 1]
                line_start = stamp_end + 2
                if length > 127:
                    if data[line_start] > 127:
                        length, line_start = read_varint(data, stamp_end + 1)
                    else:
                        length += (data[line_start] << 7) - 128
                        line_start += 1
                line_end = line_start + length
                if line_end <= position:
                    raw_metadata = data[line_end:position]
                    place = places.get(raw_metadata)
                    if place is None:
                        found = _metadata_of(raw_metadata, pairs_seen)
                        if found is not None:
                            place = places[raw_metadata] = len(sets)
                            sets.append(found)
                    if place is not None:
                        times.append(seconds + nanos)
                        lines.append(data[line_start:line_end])
                        metadata.append(place)
                        continue
        time_ns, line, raw_metadata = _protobuf_entry(data, start, position)
        if raw_metadata not in places:
            places[raw_metadata] = len(sets)
            sets.append(_metadata_of(raw_metadata, pairs_seen) or ())
        times.append(time_ns)
        lines.append(line)
        metadata.append(places[raw_metadata])
    return PushedStream(labels, Entries(times, valid_utf8(lines), metadata, sets))


def _protobuf_entry(data: bytes, position: int, end: int) -> tuple[int, bytes, bytes]:
    """Decode an Entry of any shape into time, line and its metadata pairs, still encoded."""
    time_ns, line, pairs = 0, b"", []
    while position < end:
        tag_at = position
        field, start, position = read_field(data, position, end)
        if field == 1:
            time_ns = _timestamp(data, start, position)
        elif field == 2:
            line = data[start:position]
        elif field == 3:
            pairs.append(data[tag_at:position])
    return time_ns, line, b"".join(pairs)


def _timestamp(data: bytes, position: int, end: int) -> int:
    seconds = nanos = 0
    while position < end:
        tag, position = read_varint(data, position)
        if tag & 7 == VARINT:
            value, position = read_varint(data, position)
            if tag >> 3 == 1:
                seconds = value - (1 << 64) if value >> 63 else value
            elif tag >> 3 == 2:
                nanos = value - (1 << 64) if value >> 63 else value
        else:
            position = skip_value(data, position, tag & 7)
    if position > end:
        raise IndexError
    return seconds * 1_000_000_000 + nanos


def _metadata_of(data: bytes, pairs_seen: dict[bytes, tuple[str, str]]) -> Metadata | None:
    """Return the metadata of an entry, given its fields 3 and nothing else; None if there is something else.

    pairs_seen: the pairs decoded before, by their bytes: most pairs stand in many entries.
    """
    pairs = []
    position, end = 0, len(data)
    while position < end:
        start = position
        if data[position] == 0x1A and data[position + 1] < 128:
            position += 2 + data[position + 1]
            if position > end:
                raise IndexError
        else:
            field, _, position = read_field(data, position, end)
            if field != 3:
                return None
        raw = data[start:position]
        pair = pairs_seen.get(raw)
        if pair is None:
            pair = pairs_seen[raw] = _pair(raw)
        pairs.append(pair)
    return tuple(sorted(dict(pairs).items()))


def _pair(data: bytes) -> tuple[str, str]:
    _, start, end = read_field(data, 0, len(data))
    size = data[start + 1] if end - start > 3 else 128
    middle = start + 2 + size
    if size < 128 and data[start] == 0x0A and middle + 2 <= end and data[middle] == 0x12:
        value_size = data[middle + 1]
        if value_size < 128 and middle + 2 + value_size == end:
            name = data[start + 2 : middle].decode("utf-8", "each-bad-byte")
            return _metadata_name(name), data[middle + 2 : end].decode("utf-8", "each-bad-byte")
    texts = {field: data[a:b].decode("utf-8", "each-bad-byte") for field, a, b in read_fields(data, start, end)}
    return _metadata_name(texts.get(1, "")), texts.get(2, "")


# ---- JSON


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
        request = _decode_json_text(body.decode("utf-8", "each-bad-byte").encode())
    except (msgspec.MsgspecError, RecursionError):
        request = _decode_json_text(body)
    return [_json_stream(stream) for stream in request.streams]


def _decode_json_text(body: bytes) -> _JsonPush:
    """Decode again what failed once: perhaps only bytes are invalid UTF-8; else say what is wrong."""
    try:
        return _json_decoder.decode(body.decode("utf-8", "each-bad-byte").encode())
    except RecursionError:
        raise PushError("the JSON is nested too deeply") from None
    except msgspec.MsgspecError as error:
        raise PushError(f"the body is not a push request in JSON: {error}") from None


def _json_stream(stream: _JsonStream) -> PushedStream:
    places: dict[Metadata, int] = {}
    times, lines, metadata = [], [], []
    for value in stream.values:
        times.append(_json_time(value.time))
        lines.append(value.line.encode("utf-8", "replace"))
        metadata.append(places.setdefault(metadata_set(value.metadata), len(places)))
    return PushedStream(make_labels(stream.stream.items()), Entries(times, lines, metadata, list(places)))


def _json_time(time: str | int) -> int:
    text = str(time)
    if len(text) > 20 or not re.fullmatch(r"-?\d+", text, re.ASCII):
        raise PushError(f"the timestamp {text[:40]!r} is not a number of nanoseconds")
    return int(text)


# ---- labels, metadata, lines


@functools.lru_cache(maxsize=4096)
def parse_labels(text: str) -> Labels:
    """Return the labels of a stream given as `{a="b", c="d"}`. Raises PushError."""
    stripped = text.strip()
    if not (stripped.startswith("{") and stripped.endswith("}")):
        raise PushError(f'error parsing labels {text[:200]!r}: expected {{name="value", …}}')
    inside, position, pairs = stripped[1:-1], 0, []
    while inside[position:].strip():
        match = _PAIR.match(inside, position)
        if match is None or (match.end() < len(inside) and inside[match.end()] != ","):
            raise PushError(f"error parsing labels {text[:200]!r}: at position {position + 1}")
        pairs.append((match[1], _unquote(match[2])))
        position = match.end() + 1
    return make_labels(pairs)


def _unquote(literal: str) -> str:
    if literal.startswith("`"):
        return literal[1:-1]
    try:
        return unescape(literal[1:-1])
    except ValueError as error:
        raise PushError(f"error parsing labels: {error} in {literal[:200]}") from None


def make_labels(pairs: Iterable[tuple[str, str]]) -> Labels:
    """Return labels in the order of their names, without empty ones. Raises PushError on a bad name."""
    labels: dict[str, str] = {}
    for name, value in pairs:
        if not _NAME.fullmatch(name):
            raise PushError(f"error parsing labels: {name[:100]!r} is not a label name")
        if name in labels:
            raise PushError(f"error parsing labels: duplicate label name {name[:100]!r}")
        labels[name] = value
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def with_service_name(labels: Labels) -> Labels:
    """Return labels with service_name, which Loki adds where it is absent."""
    known = dict(labels)
    if SERVICE_NAME in known:
        return labels
    found = next((known[name] for name in SERVICE_NAME_SOURCES if name in known), UNKNOWN_SERVICE)
    return tuple(sorted([*labels, (SERVICE_NAME, found)]))


def metadata_set(pairs: Mapping[str, str]) -> Metadata:
    """Return structured metadata in the order of names, the names made fit to be label names, as Loki does."""
    return tuple(sorted((_metadata_name(name), value) for name, value in pairs.items()))


def _metadata_name(name: str) -> str:
    if _NAME.fullmatch(name):
        return name
    name = _NOT_IN_A_NAME.sub("_", name)
    return f"key_{name}" if name[:1].isdigit() else name or "_"


def valid_utf8(lines: list[bytes]) -> list[bytes]:
    """Return lines with each invalid byte replaced by U+FFFD."""
    joined = b"\n".join(lines)
    if joined.isascii():
        return lines
    try:
        joined.decode()
    except UnicodeDecodeError:
        return [line.decode("utf-8", "each-bad-byte").encode() for line in lines]
    return lines
