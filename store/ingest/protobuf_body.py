"""Decodes push requests in protobuf.

Loki's push.proto:

    PushRequest{1: repeated Stream}, Stream{1: labels, 2: repeated Entry},
    Entry{1: Timestamp{1: seconds, 2: nanos}, 2: line, 3: repeated Pair{1: name, 2: value}}
"""

from tracetail.loki.wire import VARINT, WireFormatError, read_field, read_fields, read_varint, skip_value
from tracetail.store.disk.block import Entries, Labels, Metadata
from tracetail.store.ingest.labels import metadata_name, parse_labels
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
    """Decode one Stream.

    This loop runs for every stored line. It is inlined for entries in the form in which Loki's clients write them
    (timestamp, line, metadata); any other form is decoded by _protobuf_entry.
    """
    labels: Labels = ()
    times: list[int] = []
    lines: list[bytes] = []
    metadata: list[int] = []
    metadata_sets: list[Metadata] = []
    metadata_index: dict[bytes, int] = {}
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
                    index = metadata_index.get(raw_metadata)
                    if index is None:
                        found = _metadata_of(raw_metadata, pairs_seen)
                        if found is not None:
                            index = metadata_index[raw_metadata] = len(metadata_sets)
                            metadata_sets.append(found)
                    if index is not None:
                        times.append(seconds + nanos)
                        lines.append(data[line_start:line_end])
                        metadata.append(index)
                        continue
        time_ns, line, raw_metadata = _protobuf_entry(data, start, position)
        if raw_metadata not in metadata_index:
            metadata_index[raw_metadata] = len(metadata_sets)
            metadata_sets.append(_metadata_of(raw_metadata, pairs_seen) or ())
        times.append(time_ns)
        lines.append(line)
        metadata.append(metadata_index[raw_metadata])
    return PushedStream(labels, Entries(times, valid_utf8(lines), metadata, metadata_sets))


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


def _metadata_of(data: bytes, pairs_seen: dict[bytes, tuple[str, str]]) -> Metadata | None:
    """Return the metadata of an entry, given its encoded fields 3; None if the bytes hold another field.

    pairs_seen: a cache of decoded pairs by their bytes, because most pairs occur in many entries.
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
            name = data[start + 2 : middle].decode("utf-8", REPLACE_EACH_BYTE)
            return metadata_name(name), data[middle + 2 : end].decode("utf-8", REPLACE_EACH_BYTE)
    texts = {field: data[a:b].decode("utf-8", REPLACE_EACH_BYTE) for field, a, b in read_fields(data, start, end)}
    return metadata_name(texts.get(1, "")), texts.get(2, "")
