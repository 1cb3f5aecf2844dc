cdef struct Needle:
    const unsigned char* text
    const unsigned char* either  # 0x20 where the letter's case does not matter
    Py_ssize_t size
    Py_ssize_t rarest  # offset behind the bytes that are hashed
    const unsigned char* alphabet  # of the run behind it: a table of 256 flags; NULL if there is none
    Py_ssize_t length
    int end  # the character behind the run; -1: any
    bint bounded  # a word boundary is in front of it
    int next  # the next needle with the same hash; -1: none


cdef class Finder:
    cdef Needle* needles
    cdef int count
    cdef unsigned char* pairs  # by two bytes: they stand in a needle, before its offset `rarest`
    cdef unsigned char* grams  # by hash of three bytes: they stand in a needle, before its offset `rarest`
    cdef int* heads  # by hash: the first needle whose offset `rarest` is 3; -1: none
    cdef int* long_heads  # those with a larger one
    cdef list owners
    cdef int singles  # the first needle of one byte; -1: none
    cdef int runs  # the first that is a run alone
    cdef const unsigned char* word

    cdef bint _stands(self, const Needle* needle, const unsigned char* text, Py_ssize_t size, Py_ssize_t at) noexcept nogil
    cdef bint _compare(self, const unsigned char* text, Py_ssize_t size, Py_ssize_t end, unsigned char* found) noexcept nogil
    cdef bint _marked(self, const unsigned char* text, Py_ssize_t size, Py_ssize_t end, unsigned char* found) noexcept nogil
    cdef bint _any_of_four(self, const unsigned char* text, Py_ssize_t size, Py_ssize_t end, unsigned char* found) noexcept nogil
    cdef bint search(self, const char* text, Py_ssize_t size, unsigned char* found) noexcept nogil
