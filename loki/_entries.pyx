# cython: language_level=3, binding=False
"""Encodes columns of entries: entries_plain.py, compiled. Tests compare the results of both."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from tracetail.loki import entries_plain as plain

cdef Py_ssize_t SECOND_BYTES = plain.SECOND_BYTES
cdef Py_ssize_t SHORT_MAX = plain.SHORT_MAX
cdef Py_ssize_t NANOS_BYTES = 5


cdef inline Py_ssize_t _varint_size(size_t value):
    cdef Py_ssize_t size = 1
    while value > 0x7F:
        value >>= 7
        size += 1
    return size


cdef inline char* _put_varint(char* out, size_t value):
    while value > 0x7F:
        out[0] = <char> (value & 0x7F | 0x80)
        out += 1
        value >>= 7
    out[0] = <char> value
    return out + 1


def encode_columns(list seconds not None, list nanos not None, list texts not None, list metas not None):
    """See plain.encode_columns."""
    cdef Py_ssize_t count = len(texts)
    cdef Py_ssize_t place, size, total = 0
    cdef Py_ssize_t timestamp = SECOND_BYTES + NANOS_BYTES
    cdef Py_ssize_t text_size, meta_size, group
    cdef bytes second, text, meta, result
    cdef unsigned long nanosecond
    cdef char* out
    if not (len(seconds) == len(nanos) == len(metas) == count):
        raise ValueError("the columns are of different length")
    for place in range(count):
        text = <bytes?> texts[place]
        meta = <bytes?> metas[place]
        second = <bytes?> seconds[place]
        if PyBytes_GET_SIZE(second) != SECOND_BYTES:
            raise ValueError("a second is not encoded")
        text_size = PyBytes_GET_SIZE(text)
        size = text_size + PyBytes_GET_SIZE(meta)
        size += timestamp + 1 + (2 if size < SHORT_MAX else _varint_size(text_size))
        total += size + 1 + _varint_size(size)
    result = PyBytes_FromStringAndSize(NULL, total)
    out = PyBytes_AS_STRING(result)
    for place in range(count):
        text = <bytes?> texts[place]
        meta = <bytes?> metas[place]
        second = <bytes?> seconds[place]
        nanosecond = nanos[place]
        text_size = PyBytes_GET_SIZE(text)
        meta_size = PyBytes_GET_SIZE(meta)
        size = text_size + meta_size
        out[0] = 0x12
        out = _put_varint(
            out + 1, size + timestamp + 1 + (2 if size < SHORT_MAX else _varint_size(text_size))
        )
        memcpy(out, PyBytes_AS_STRING(second), SECOND_BYTES)
        out += SECOND_BYTES
        for group in range(NANOS_BYTES):
            out[group] = <char> (nanosecond & 0x7F | (0x80 if group < NANOS_BYTES - 1 else 0))
            nanosecond >>= 7
        out += NANOS_BYTES
        out[0] = 0x12
        if size < SHORT_MAX:
            out[1] = <char> (text_size & 0x7F | 0x80)
            out[2] = <char> (text_size >> 7)
            out += 3
        else:
            out = _put_varint(out + 1, text_size)
        memcpy(out, PyBytes_AS_STRING(text), text_size)
        out += text_size
        memcpy(out, PyBytes_AS_STRING(meta), meta_size)
        out += meta_size
    return result
