# cython: language_level=3, binding=False
"""Entries of one stream, and their encoding: `Columns` of entries_plain.py, compiled. Tests compare the results.

A text is an address in the block that was read, so that no object is made for a line.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from tracetail.loki import entries_plain as plain

cdef Py_ssize_t SHORT_MAX = plain.SHORT_MAX

cdef enum:
    SECOND_BYTES = 9
    NANOS_BYTES = 5
    NANOS = 1_000_000_000


cdef inline Py_ssize_t _varint_size(size_t value) noexcept:
    cdef Py_ssize_t size = 1
    while value > 0x7F:
        value >>= 7
        size += 1
    return size


cdef inline char* _put_varint(char* out, size_t value) noexcept:
    while value > 0x7F:
        out[0] = <char> (value & 0x7F | 0x80)
        out += 1
        value >>= 7
    out[0] = <char> value
    return out + 1


cdef inline char* _put_five(char* out, long long value) noexcept:
    """Write a varint of five bytes, with leading zero groups."""
    cdef Py_ssize_t group
    for group in range(5):
        out[group] = <char> (value & 0x7F | (0x80 if group < 4 else 0))
        value >>= 7
    return out + 5


cdef class Columns:
    """See plain.Columns."""

    def __cinit__(self):
        self.owners = []

    def __dealloc__(self):
        cdef Py_ssize_t index
        for index in range(self.count):
            Py_DECREF(<object> self.entries[index].meta)
        free(self.entries)

    def __len__(self):
        return self.count

    cdef int append(self, bytes owner, const char* text, Py_ssize_t size, bytes meta, long long time_ns) except -1:
        """Add an entry. owner: the bytes that text points into."""
        cdef Entry* entry
        cdef Py_ssize_t places
        if self.count == self.places:
            places = self.places * 2 + 64
            entry = <Entry*> realloc(self.entries, places * sizeof(Entry))
            if entry == NULL:
                raise MemoryError
            self.entries, self.places = entry, places
        if not self.owners or self.owners[-1] is not owner:
            self.owners.append(owner)
        entry = &self.entries[self.count]
        entry.text, entry.size, entry.time_ns = text, size, time_ns
        Py_INCREF(meta)
        entry.meta = <PyObject*> meta
        self.count += 1
        return 0

    cdef Py_ssize_t place(self, Py_ssize_t index) except -1:
        if index < 0:
            index += self.count
        if not 0 <= index < self.count:
            raise IndexError("there is no such entry")
        return index

    def add(self, long long time_ns, bytes text not None, bytes meta not None):
        """See plain.Columns.add."""
        self.append(text, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), meta, time_ns)

    def extend(self, list seconds not None, list nanos not None, list texts not None, list metas not None):
        """See plain.Columns.extend."""
        cdef Py_ssize_t index, group
        cdef bytes second, text, known = None
        cdef long long base = 0
        if not (len(seconds) == len(nanos) == len(texts) == len(metas)):
            raise ValueError("the columns are of different length")
        for index in range(len(texts)):
            second, text = <bytes?> seconds[index], <bytes?> texts[index]
            if second is not known:
                if PyBytes_GET_SIZE(second) != SECOND_BYTES:
                    raise ValueError("a second is not encoded")
                known, base = second, 0
                for group in range(5):
                    base |= <long long> (PyBytes_AS_STRING(second)[3 + group] & 0x7F) << 7 * group
                base *= NANOS
            self.append(
                text, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), <bytes?> metas[index], base + <long> nanos[index]
            )

    def time_ns(self, Py_ssize_t index):
        """See plain.Columns.time_ns."""
        return self.entries[self.place(index)].time_ns

    def text(self, Py_ssize_t index):
        """See plain.Columns.text."""
        cdef Entry* entry = &self.entries[self.place(index)]
        return PyBytes_FromStringAndSize(entry.text, entry.size)

    def meta(self, Py_ssize_t index):
        """See plain.Columns.meta."""
        return <object> self.entries[self.place(index)].meta

    def replace(self, Py_ssize_t index, bytes text not None):
        """See plain.Columns.replace."""
        cdef Entry* entry = &self.entries[self.place(index)]
        self.owners.append(text)
        entry.text, entry.size = PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)

    @property
    def texts(self):
        """See plain.Columns.texts; a copy."""
        cdef Py_ssize_t index
        return [
            PyBytes_FromStringAndSize(self.entries[index].text, self.entries[index].size) for index in range(self.count)
        ]

    @property
    def metas(self):
        """See plain.Columns.metas; a copy."""
        cdef Py_ssize_t index
        return [<object> self.entries[index].meta for index in range(self.count)]

    def longest(self):
        """See plain.Columns.longest."""
        cdef Py_ssize_t index, size = 0
        for index in range(self.count):
            size = max(size, self.entries[index].size)
        return size

    def not_utf8(self):
        """See plain.Columns.not_utf8."""
        cdef Py_ssize_t index, at
        cdef list found = []
        cdef const char* text
        cdef char every
        for index in range(self.count):
            text = self.entries[index].text
            every = 0
            for at in range(self.entries[index].size):
                every |= text[at]
            if every & 0x80:
                try:
                    PyUnicode_DecodeUTF8(text, self.entries[index].size, NULL)
                except UnicodeDecodeError:
                    found.append(index)
        return found

    def part(self, Py_ssize_t start, Py_ssize_t end):
        """See plain.Columns.part."""
        cdef Columns part = Columns()
        cdef Py_ssize_t index
        cdef Entry* entry
        for index in range(start, min(end, self.count)):
            entry = &self.entries[index]
            part.append(b"", entry.text, entry.size, <bytes> entry.meta, entry.time_ns)
        part.owners = self.owners
        return part

    def encode(self):
        """See plain.Columns.encode."""
        cdef Py_ssize_t index, size, meta_size, total = 0
        cdef Py_ssize_t timestamp = SECOND_BYTES + NANOS_BYTES
        cdef Entry* entry
        cdef bytes result
        cdef char* out
        cdef long long second = -1, base = 0
        cdef char encoded_second[SECOND_BYTES]
        encoded_second[0], encoded_second[1], encoded_second[2], encoded_second[8] = 0x0A, 0x0C, 0x08, 0x10
        for index in range(self.count):
            entry = &self.entries[index]
            size = entry.size + PyBytes_GET_SIZE(<bytes> entry.meta)
            size += timestamp + 1 + (2 if size < SHORT_MAX else _varint_size(entry.size))
            total += size + 1 + _varint_size(size)
        result = PyBytes_FromStringAndSize(NULL, total)
        out = PyBytes_AS_STRING(result)
        for index in range(self.count):
            entry = &self.entries[index]
            meta_size = PyBytes_GET_SIZE(<bytes> entry.meta)
            size = entry.size + meta_size
            if second < 0 or not 0 <= entry.time_ns - base < NANOS:
                second = entry.time_ns // NANOS
                base = second * NANOS
                _put_five(encoded_second + 3, second)
            out[0] = 0x12
            out = _put_varint(
                out + 1, size + timestamp + 1 + (2 if size < SHORT_MAX else _varint_size(entry.size))
            )
            memcpy(out, encoded_second, SECOND_BYTES)
            out = _put_five(out + SECOND_BYTES, entry.time_ns - base)
            out[0] = 0x12
            if size < SHORT_MAX:
                out[1] = <char> (entry.size & 0x7F | 0x80)
                out[2] = <char> (entry.size >> 7)
                out += 3
            else:
                out = _put_varint(out + 1, entry.size)
            memcpy(out, entry.text, entry.size)
            out += entry.size
            memcpy(out, PyBytes_AS_STRING(<bytes> entry.meta), meta_size)
            out += meta_size
        return result
