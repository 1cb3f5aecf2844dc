"""Decodes push requests in protobuf.

Loki's push.proto:

    PushRequest{1: repeated Stream}, Stream{1: labels, 2: repeated Entry},
    Entry{1: Timestamp{1: seconds, 2: nanos}, 2: line, 3: repeated Pair{1: name, 2: value}}
"""

from tracetail.loki.wire import VARINT, WireFormatError, read_field, read_fields, read_varint, skip_value
from tracetail.store.disk.block import Entries, Labels, Metadata
from tracetail.store.ingest.labels import metadata_name, parse_labels
from tracetail.store.ingest.pushed_entries import read_metadata, read_usual_entries
from tracetail.store.ingest.stream import PushedStream, PushError
from tracetail.store.ingest.utf8 import REPLACE_EACH_BYTE, valid_utf8


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
    """Decode one Stream."""
    labels: Labels = ()
    times: list[int] = []
    lines: list[bytes] = []
    metadata: list[int] = []
    sets = _MetadataSets()
    while position < end:
        position = read_usual_entries(data, position, end, times, lines, metadata, sets.numbers, sets.add)
        if position >= end:
            break
        field, start, position = read_field(data, position, end)
        if field == 1:
            labels = parse_labels(data[start:position].decode("utf-8", "replace"))
        elif field == 2:
            time_ns, line, encoded = _protobuf_entry(data, start, position)
            times.append(time_ns)
            lines.append(line)
            metadata.append(sets.number(encoded))
    return PushedStream(labels, Entries(times, valid_utf8(lines), metadata, sets.sets))


class _MetadataSets:
    """The metadata sets of a stream, numbered by their encoding."""

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}
        self.sets: list[Metadata] = []
        self._pairs: dict[bytes, tuple[str, str]] = {}
        self._names: dict[bytes, str] = {}

    def add(self, encoded: bytes) -> int | None:
        """Return the number of a set that has none, given its encoded fields 3; None if there is another field."""
        found = read_metadata(encoded, self._pairs, self._names, _pair)
        if found is None:
            return None
        number = self.numbers[encoded] = len(self.sets)
        self.sets.append(found)
        return number

    def number(self, encoded: bytes) -> int:
        """Return the number of a set, given its encoded fields 3."""
        number = self.numbers.get(encoded)
        if number is None:
            number = self.add(encoded)
        assert number is not None
        return number


def _protobuf_entry(data: bytes, position: int, end: int) -> tuple[int, bytes, bytes]:
    """Decode an Entry of any form. Return time, line, and the metadata pairs still encoded."""
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


def _pair(data: bytes) -> tuple[str, str]:
    _, start, end = read_field(data, 0, len(data))
    size = data[start + 1] if end - start > 3 else 128
    middle = start + 2 + size
    if size < 128 and data[start] == 0x0A and middle + 2 <= end and data[middle] == 0x12:
        value_size = data[middle + 1]
        if value_size < 128 and middle + 2 + value_size == end:
            name = data[start + 2 : middle].decode("utf-8", REPLACE_EACH_BYTE)
            return metadata_name(name), data[middle + 2 : end].decode("utf-8", REPLACE_EACH_BYTE)
    texts = {field: data[a:b].decode("utf-8", REPLACE_EACH_BYTE) for field, a, b in read_fields(data, start, end)}
    return metadata_name(texts.get(1, "")), texts.get(2, "")
