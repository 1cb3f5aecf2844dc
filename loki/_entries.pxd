from cpython.object cimport PyObject


cdef struct Entry:
    const char* text
    Py_ssize_t size
    PyObject* meta  # bytes, a reference of its own
    long long time_ns


cdef class Columns:
    cdef Entry* entries
    cdef Py_ssize_t count
    cdef Py_ssize_t places
    cdef list owners  # of the texts' memory

    cdef int append(self, bytes owner, const char* text, Py_ssize_t size, bytes meta, long long time_ns) except -1
    cdef Py_ssize_t place(self, Py_ssize_t index) except -1
