"""The loops over the entries of a pushed stream in plain Python, with the same results as `_pushed_entries.pyx`."""

from collections.abc import Callable

from tracetail.loki.wire import read_field, read_varint
from tracetail.store.disk.block import Metadata

_CONTINUED = (0, 0, 0x80, 0x8080, 0x808080, 0x80808080)
"""By its size, the highest bits of a varint's bytes, of which all but the last are set."""
SECONDS_MAX = 9_000_000_000
"""In nanoseconds, they fit into 64 bits."""
_HIGHEST = 0x8080808080


def read_usual_entries(
    data: bytes,
    position: int,
    end: int,
    times: list[int],
    lines: list[bytes],
    metadata: list[int],
    known: dict[bytes, int],
    add: Callable[[bytes], int | None],
) -> int:
    """Read entries in the form in which Loki's clients write them: timestamp, line, metadata.

    Args:
        data: a push request; the fields of the stream are those from position to end.
        position: of the first field.
        end: of the last field.
        times: gets nanoseconds.
        lines: gets lines.
        metadata: gets the number of the metadata of each entry.
        known: the numbers of encoded metadata.
        add: returns the number of encoded metadata that is not in known; None if it is not metadata only.

    Returns the position of the first field that is not such an entry, or the end. Raises IndexError if a field ends
    after the end.

    """
    seconds_seen: dict[bytes, int] = {}
    while position < end:
        at = position
        if data[at] != 0x12:
            return at
        size = data[at + 1]
        start = at + 2
        if size > 127:
            if data[start] > 127:
                size, start = read_varint(data, at + 1)
            else:
                size += (data[start] << 7) - 128
                start += 1
        position = start + size
        if position > end:
            raise IndexError
        # 0a <size of the timestamp> 08 <five bytes of seconds> 10 <up to five bytes of nanos>
        stamp_end = start + 2 + data[start + 1] if size > 9 else 0
        nanos_size = stamp_end - start - 9
        if not (
            0 < nanos_size < 6
            and stamp_end < position - 1
            and data[start] == 0x0A
            and data[start + 8] == 0x10
            and data[stamp_end] == 0x12
        ):
            return at
        stamp = data[start + 2 : start + 8]
        seconds = seconds_seen.get(stamp)
        if seconds is None:
            if stamp[0] != 0x08 or stamp[5] > 127 or min(stamp[1:5]) < 128:
                return at
            seconds = read_varint(stamp, 1)[0]
            if seconds > SECONDS_MAX:
                return at
            seconds = seconds_seen[stamp] = seconds * 1_000_000_000
        raw = int.from_bytes(data[start + 9 : stamp_end], "little")
        if raw & _HIGHEST != _CONTINUED[nanos_size]:
            return at
        nanos = raw & 0x7F | raw >> 1 & 0x3F80 | raw >> 2 & 0x1FC000 | raw >> 3 & 0xFE00000 | raw >> 4 & 0x7F0000000
        length = data[stamp_end + 1]
        line_start = stamp_end + 2
        if length > 127:
            if line_start >= position:
                return at
            if data[line_start] > 127:
                length, line_start = read_varint(data, stamp_end + 1)
            else:
                length += (data[line_start] << 7) - 128
                line_start += 1
        line_end = line_start + length
        if line_end > position:
            return at
        raw_metadata = data[line_end:position]
        number = known.get(raw_metadata)
        if number is None:
            number = add(raw_metadata)
            if number is None:
                return at
        times.append(seconds + nanos)
        lines.append(data[line_start:line_end])
        metadata.append(number)
    return position


def read_metadata(
    encoded: bytes,
    pairs_seen: dict[bytes, tuple[str, str]],
    names_seen: dict[bytes, str],
    pair_of: Callable[[bytes], tuple[str, str]],
) -> Metadata | None:
    """Return the metadata of an entry; None if the bytes hold another field, too.

    Args:
        encoded: the fields 3 of the entry.
        pairs_seen: a cache of pairs by their bytes, because most pairs occur in many entries.
        names_seen: a cache of names by their bytes, which the compiled form uses.
        pair_of: decodes a pair.

    """
    del names_seen
    pairs = []
    position, end = 0, len(encoded)
    while position < end:
        start = position
        if encoded[position] == 0x1A and encoded[position + 1] < 128:
            position += 2 + encoded[position + 1]
            if position > end:
                raise IndexError
        else:
            field, _, position = read_field(encoded, position, end)
            if field != 3:
                return None
        raw = encoded[start:position]
        pair = pairs_seen.get(raw)
        if pair is None:
            pair = pairs_seen[raw] = pair_of(raw)
        pairs.append(pair)
    return tuple(sorted(dict(pairs).items()))
