# cython: language_level=3, boundscheck=False, wraparound=False
"""The loops of running_sums_plain.py, compiled. Tests compare the results."""

from array import array

from libc.stdint cimport uint32_t, uint64_t

cdef object ZERO = array("q", [0])


def running_sums(differences not None):
    """See running_sums_plain.running_sums."""
    cdef Py_ssize_t index, count = len(differences)
    cdef uint64_t total = 0  # the sums of damaged data wrap, which is defined for unsigned numbers
    cdef const uint64_t[::1] values
    cdef uint64_t[::1] sums
    made = ZERO * count
    if count:
        values, sums = memoryview(differences).cast("B").cast("Q"), memoryview(made).cast("B").cast("Q")
        for index in range(count):
            total += values[index]
            sums[index] = total
    return made


def line_starts(lengths not None):
    """See running_sums_plain.line_starts."""
    cdef Py_ssize_t index, count = len(lengths)
    cdef uint64_t start = 0
    cdef const uint32_t[::1] values
    cdef uint64_t[::1] starts
    made = ZERO * (count + 1)
    if count:
        values, starts = lengths, memoryview(made).cast("B").cast("Q")
        for index in range(count):
            start += values[index] + <uint64_t> 1
            starts[index + 1] = start
    return made
