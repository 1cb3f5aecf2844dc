# cython: language_level=3, boundscheck=False, wraparound=False
"""Makes the filter of a text, and looks for a text in it.

What a filter is made of is described in text_filter.py, with the same constants.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef extern from "<string.h>":
    void* memmem(const void* text, size_t size, const void* needle, size_t needle_size) noexcept nogil

cdef extern from *:
    """
    #define TRIGRAM_FACTOR 0x9E3779B1u
    #define GRAM_FACTOR 0x9E3779B97F4A7C15ull
    """
    const uint32_t TRIGRAM_FACTOR
    const uint64_t GRAM_FACTOR
cdef enum:
    BITS_LOG2 = 16
    GRAM = 8
    WINDOW = 9

cdef unsigned char lower[256]
cdef bint is_alphanumeric[256]
cdef int code
for code in range(256):
    lower[code] = code + 32 if c"A" <= code <= c"Z" else code
    is_alphanumeric[code] = c"a" <= lower[code] <= c"z" or c"0" <= code <= c"9"


cdef void add_run(unsigned char* marks, const unsigned char* text, Py_ssize_t size) noexcept nogil:
    """Add the smallest gram of each window of a run of letters and digits, which has one window at least."""
    cdef uint64_t hashes[WINDOW]
    cdef uint64_t gram = 0, smallest
    cdef Py_ssize_t i, k, count = size - GRAM + 1
    for i in range(GRAM - 1):
        gram = gram >> 8 | <uint64_t> lower[text[i]] << 56
    for i in range(count):
        gram = gram >> 8 | <uint64_t> lower[text[i + GRAM - 1]] << 56
        hashes[i % WINDOW] = gram * GRAM_FACTOR
        if i >= WINDOW - 1:
            smallest = hashes[0]
            for k in range(1, WINDOW):
                if hashes[k] < smallest:
                    smallest = hashes[k]
            marks[smallest * GRAM_FACTOR >> (64 - BITS_LOG2)] = 1


def is_in_text(bytes needle not None, text not None):
    """Return whether a text contains the needle. text: an object that gives access to its bytes."""
    cdef Py_buffer view
    PyObject_GetBuffer(text, &view, PyBUF_SIMPLE)
    try:
        return memmem(view.buf, view.len, PyBytes_AS_STRING(needle), len(needle)) != NULL
    finally:
        PyBuffer_Release(&view)


def bits_of_text(bytes source not None):
    """Return the filter of a text, as bytes."""
    cdef const unsigned char* text = <const unsigned char*> PyBytes_AS_STRING(source)
    cdef Py_ssize_t size = len(source), i, run = 0
    cdef uint32_t trigram = 0
    cdef unsigned char character
    cdef bytes made = PyBytes_FromStringAndSize(NULL, 1 << (BITS_LOG2 - 3))
    cdef unsigned char* bits = <unsigned char*> PyBytes_AS_STRING(made)
    # A byte for each bit at first: it is set without being read.
    cdef unsigned char* marks = <unsigned char*> calloc(1 << BITS_LOG2, 1)
    if marks == NULL:
        raise MemoryError
    with nogil:
        for i in range(size):
            character = lower[text[i]]
            trigram = trigram >> 8 | <uint32_t> character << 16
            if i >= 2:
                marks[trigram * TRIGRAM_FACTOR >> (32 - BITS_LOG2)] = 1
            if is_alphanumeric[character]:
                run += 1
                continue
            if run >= GRAM + WINDOW - 1:
                add_run(marks, text + i - run, run)
            run = 0
        if run >= GRAM + WINDOW - 1:
            add_run(marks, text + size - run, run)
        memset(bits, 0, 1 << (BITS_LOG2 - 3))
        for i in range(1 << BITS_LOG2):
            bits[i >> 3] |= marks[i] << (i & 7)
        free(marks)
    return made
