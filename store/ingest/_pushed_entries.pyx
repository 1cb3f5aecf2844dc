# cython: language_level=3, boundscheck=False, wraparound=False
"""The loops of pushed_entries_plain.py, compiled. Tests compare the results."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8

from tracetail.store.ingest import pushed_entries_plain as plain

cdef long long NANOS = 1_000_000_000
cdef long long SECONDS_MAX = plain.SECONDS_MAX
cdef enum:
    SIZE_BYTES_MAX = 4


cdef Py_ssize_t read_size(const unsigned char* data, Py_ssize_t* position, Py_ssize_t end) noexcept:
    """Return the size at a position, which is moved behind it; -1 if it is not one of up to SIZE_BYTES_MAX bytes."""
    cdef Py_ssize_t size = 0
    cdef int shift = 0
    cdef unsigned char byte
    while position[0] < end and shift < 7 * SIZE_BYTES_MAX:
        byte = data[position[0]]
        position[0] += 1
        size |= <Py_ssize_t> (byte & 0x7F) << shift
        if byte < 0x80:
            return size
        shift += 7
    return -1


cdef long long read_number(const unsigned char* data, Py_ssize_t size) noexcept:
    """Return the varint that has exactly this size, which is five at most; -1 if it has another."""
    cdef long long number = 0
    cdef Py_ssize_t i
    for i in range(size):
        number |= <long long> (data[i] & 0x7F) << 7 * i
        if (data[i] < 0x80) != (i == size - 1):
            return -1
    return number


def read_usual_entries(
    bytes source not None, Py_ssize_t position, Py_ssize_t end, list times not None, list lines not None,
    list metadata not None, dict known not None, add,
):
    """See pushed_entries_plain.read_usual_entries."""
    cdef const unsigned char* data = <const unsigned char*> PyBytes_AS_STRING(source)
    cdef const char* text = PyBytes_AS_STRING(source)
    cdef Py_ssize_t at, start, stop, stamp_end, line_start, length
    cdef long long seconds, nanos
    cdef bytes raw
    if end > len(source):
        raise IndexError
    while position < end:
        at = position
        if data[at] != 0x12:
            return at
        start = at + 1
        length = read_size(data, &start, end)
        if length < 0:
            return at
        stop = start + length
        if stop > end:
            raise IndexError
        # 0a <size of the timestamp> 08 <five bytes of seconds> 10 <up to five bytes of nanos>
        if length <= 10 or data[start] != 0x0A or data[start + 2] != 0x08 or data[start + 8] != 0x10:
            return at
        stamp_end = start + 2 + data[start + 1]
        if not (0 < stamp_end - start - 9 < 6 and stamp_end < stop - 1 and data[stamp_end] == 0x12):
            return at
        seconds = read_number(data + start + 3, 5)
        nanos = read_number(data + start + 9, stamp_end - start - 9)
        if not 0 <= seconds <= SECONDS_MAX or nanos < 0:
            return at
        line_start = stamp_end + 1
        length = read_size(data, &line_start, stop)
        if length < 0 or line_start + length > stop:
            return at
        raw = PyBytes_FromStringAndSize(text + line_start + length, stop - line_start - length)
        number = known.get(raw)
        if number is None:
            number = add(raw)
            if number is None:
                return at
        times.append(seconds * NANOS + nanos)
        lines.append(PyBytes_FromStringAndSize(text + line_start, length))
        metadata.append(number)
        position = stop
    return position


def read_metadata(bytes encoded not None, dict pairs_seen not None, dict names_seen not None, pair_of):
    """See pushed_entries_plain.read_metadata."""
    cdef const unsigned char* data = <const unsigned char*> PyBytes_AS_STRING(encoded)
    cdef Py_ssize_t position = 0, end = len(encoded), stop
    cdef bint ordered = True
    cdef list pairs = []
    cdef tuple pair
    cdef str name, last = None
    cdef bytes raw
    while position < end:
        if data[position] != 0x1A or position + 1 == end or data[position + 1] > 127:
            return plain.read_metadata(encoded, pairs_seen, names_seen, pair_of)
        stop = position + 2 + data[position + 1]
        if stop > end:
            raise IndexError
        raw = PyBytes_FromStringAndSize(<const char*> data + position, stop - position)
        pair = <tuple> pairs_seen.get(raw)
        if pair is None:
            pair = read_pair(raw, names_seen, pair_of)
            pairs_seen[raw] = pair
        name = <str> pair[0]
        if last is not None and not last < name:
            ordered = False
        last = name
        pairs.append(pair)
        position = stop
    return tuple(pairs) if ordered else tuple(sorted(dict(pairs).items()))


cdef tuple read_pair(bytes raw, dict names_seen, pair_of):
    """Return the pair of an encoded field 3 of less than 130 bytes."""
    cdef const unsigned char* data = <const unsigned char*> PyBytes_AS_STRING(raw)
    cdef Py_ssize_t end = len(raw), middle
    cdef tuple pair
    cdef bytes encoded_name
    # 1a <size> 0a <size of the name> <name> 12 <size of the value> <value>
    middle = 4 + data[3] if end > 3 and data[2] == 0x0A and data[3] < 128 else end
    if middle + 2 > end or data[middle] != 0x12 or middle + 2 + data[middle + 1] != end:
        return <tuple?> pair_of(raw)
    encoded_name = PyBytes_FromStringAndSize(<const char*> data + 4, data[3])
    name = names_seen.get(encoded_name)
    if name is None:
        pair = <tuple?> pair_of(raw)
        names_seen[encoded_name] = pair[0]
        return pair
    try:
        return name, PyUnicode_DecodeUTF8(<const char*> data + middle + 2, end - middle - 2, NULL)
    except UnicodeDecodeError:
        return <tuple?> pair_of(raw)
