# cython: language_level=3, boundscheck=False, wraparound=False
"""The loops of running_sums_plain.py, compiled. Tests compare the results."""

from array import array

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint32_t, uint64_t

cdef object ZERO = array("q", [0])


def running_sums(differences not None):
    """See running_sums_plain.running_sums."""
    cdef Py_ssize_t index, count = len(differences)
    cdef uint64_t total = 0  # the sums of damaged data wrap, which is defined for unsigned numbers
    cdef Py_buffer read, written
    if differences.itemsize != sizeof(uint64_t):
        raise TypeError("the differences are not of typecode q")
    made = ZERO * count
    PyObject_GetBuffer(differences, &read, PyBUF_SIMPLE)
    PyObject_GetBuffer(made, &written, PyBUF_WRITABLE)
    for index in range(count):
        total += (<uint64_t*> read.buf)[index]
        (<uint64_t*> written.buf)[index] = total
    PyBuffer_Release(&read)
    PyBuffer_Release(&written)
    return made


def line_starts(lengths not None):
    """See running_sums_plain.line_starts."""
    cdef Py_ssize_t index, count = len(lengths)
    cdef uint64_t start = 0
    cdef Py_buffer read, written
    if lengths.itemsize != sizeof(uint32_t):
        raise TypeError("the lengths are not of typecode I")
    made = ZERO * (count + 1)
    PyObject_GetBuffer(lengths, &read, PyBUF_SIMPLE)
    PyObject_GetBuffer(made, &written, PyBUF_WRITABLE)
    for index in range(count):
        start += (<uint32_t*> read.buf)[index] + <uint64_t> 1
        (<uint64_t*> written.buf)[index + 1] = start
    PyBuffer_Release(&read)
    PyBuffer_Release(&written)
    return made
