# cython: language_level=3, boundscheck=False, wraparound=False
"""The loop of streams_json_plain.py, compiled. Tests compare the results."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.tuple cimport PyTuple_GetItem
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcpy

from tracetail.store.http import streams_json_plain as plain

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef enum:
    ESCAPED_BYTES_MAX = 6
    TIME_BYTES_MAX = 20
    ENTRY_BYTES = 200
    TIME = 0
    LINE = 4
    LABELS = 5

cdef uint64_t EACH = 0x0101010101010101u
cdef uint64_t HIGHEST = 0x8080808080808080u
cdef const char* HEX = b"0123456789abcdef"
cdef char short_escape[256]
short_escape[:] = [0] * 256
for code, letter in zip(b'"\\\b\f\n\r\t', b'"\\bfnrt'):
    short_escape[code] = letter


cdef class Buffer:
    """Bytes that grow."""

    cdef char* data
    cdef Py_ssize_t size, capacity

    def __dealloc__(self):
        free(self.data)

    cdef int reserve(self, Py_ssize_t more) except -1:
        """Make room for this many more bytes."""
        cdef Py_ssize_t wanted = self.size + more
        cdef char* data
        if wanted > self.capacity:
            wanted += wanted // 2
            data = <char*> realloc(self.data, wanted)
            if data == NULL:
                raise MemoryError
            self.data = data
            self.capacity = wanted
        return 0

    cdef int add(self, const char* text, Py_ssize_t size) except -1:
        self.reserve(size)
        memcpy(self.data + self.size, text, size)
        self.size += size
        return 0

    cdef int add_string(self, const char* text, Py_ssize_t size) except -1:
        """Add UTF-8 as a JSON string, escaped as orjson does."""
        cdef Py_ssize_t i = 0
        cdef uint64_t word
        cdef unsigned char byte
        cdef char* to
        self.reserve(ESCAPED_BYTES_MAX * size + 2 + sizeof(word))
        to = self.data + self.size
        to[0] = c'"'
        to += 1
        while i < size:
            if size - i >= <Py_ssize_t> sizeof(word):
                memcpy(&word, text + i, sizeof(word))
                if not has_escaped(word):
                    memcpy(to, &word, sizeof(word))
                    to += sizeof(word)
                    i += sizeof(word)
                    continue
            byte = <unsigned char> text[i]
            i += 1
            if byte >= 0x20 and byte != c'"' and byte != c"\\":
                to[0] = byte
                to += 1
                continue
            to[0] = c"\\"
            if short_escape[byte]:
                to[1] = short_escape[byte]
                to += 2
                continue
            memcpy(to + 1, b"u00", 3)
            to[4] = HEX[byte >> 4]
            to[5] = HEX[byte & 15]
            to += 6
        to[0] = c'"'
        self.size = to + 1 - self.data
        return 0

    cdef int add_text(self, str text) except -1:
        cdef Py_ssize_t size
        cdef const char* encoded = PyUnicode_AsUTF8AndSize(text, &size)
        return self.add_string(encoded, size)

    cdef int add_line(self, bytes line) except -1:
        if not is_ascii(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line)):
            line = line.decode("utf-8", "replace").encode()
        return self.add_string(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))

    cdef int add_time(self, long long time_ns) except -1:
        """Add a time as a JSON string."""
        cdef char digits[TIME_BYTES_MAX]
        cdef int at = TIME_BYTES_MAX
        cdef uint64_t rest = 0 - <uint64_t> time_ns if time_ns < 0 else <uint64_t> time_ns
        while True:
            at -= 1
            digits[at] = <char> (c"0" + rest % 10)
            rest //= 10
            if rest == 0:
                break
        if time_ns < 0:
            at -= 1
            digits[at] = c"-"
        return self.add_string(digits + at, TIME_BYTES_MAX - at)


cdef inline bint has_escaped(uint64_t word) noexcept:
    """Return whether one of eight bytes is a control character, a quotation mark or a backslash."""
    # A byte below n borrows from its highest bit when n is subtracted; one that was set before is none below n.
    cdef uint64_t quote = word ^ EACH * c'"', backslash = word ^ EACH * c"\\"
    cdef uint64_t found = (word - EACH * 0x20) & ~word | (quote - EACH) & ~quote | (backslash - EACH) & ~backslash
    return found & HIGHEST != 0


cdef bint is_ascii(const char* text, Py_ssize_t size) noexcept:
    cdef unsigned char every = 0
    cdef Py_ssize_t i
    for i in range(size):
        every |= <unsigned char> text[i]
    return every < 0x80


cdef inline object field(entry, Py_ssize_t number):
    """Return a field of an Entry, a subclass of tuple."""
    return <object> PyTuple_GetItem(entry, number)


cdef bytes key_of(tuple labels):
    """Return bytes that are as much less than those of other labels as the labels are; None if there are none."""
    cdef Buffer buffer = Buffer()
    cdef Py_ssize_t size
    cdef const char* encoded
    for pair in labels:
        for text in <tuple?> pair:
            encoded = PyUnicode_AsUTF8AndSize(text, &size)
            # Each text ends with NUL, which is less than what another may go on with.
            if memchr(encoded, 0, size) != NULL:
                return None
            buffer.add(encoded, size + 1)
    return PyBytes_FromStringAndSize(buffer.data, buffer.size)


def encode_streams(list entries not None):
    """See streams_json_plain.encode_streams."""
    cdef dict by_object = {}, by_key = {}
    cdef list members
    cdef bytes key
    cdef Buffer buffer = Buffer()
    cdef Py_ssize_t size = 0
    cdef bint first
    try:
        for entry in entries:
            labels = field(entry, LABELS)
            size += len(<bytes?> field(entry, LINE))
            found = by_object.get(id(labels))
            if found is None:
                key = key_of(labels)
                if key is None:
                    return plain.encode_streams(entries)
                found = by_object[id(labels)] = by_key.setdefault(key, [])
            (<list> found).append(entry)
        buffer.reserve(size + size // 8 + ENTRY_BYTES * len(entries))
        buffer.add(b"[", 1)
        for key in sorted(by_key):
            members = by_key[key]
            if buffer.size > 1:
                buffer.add(b",", 1)
            buffer.add(b'{"stream":{', 11)
            first = True
            for name, value in field(members[0], LABELS):
                if not first:
                    buffer.add(b",", 1)
                first = False
                buffer.add_text(name)
                buffer.add(b":", 1)
                buffer.add_text(value)
            buffer.add(b'},"values":[', 12)
            first = True
            for entry in members:
                if not first:
                    buffer.add(b",", 1)
                first = False
                buffer.add(b"[", 1)
                buffer.add_time(field(entry, TIME))
                buffer.add(b",", 1)
                buffer.add_line(<bytes> field(entry, LINE))
                buffer.add(b"]", 1)
            buffer.add(b"]}", 2)
        buffer.add(b"]", 1)
    except UnicodeEncodeError:
        return plain.encode_streams(entries)
    return PyBytes_FromStringAndSize(buffer.data, buffer.size)
