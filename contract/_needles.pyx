# cython: language_level=3, binding=False, boundscheck=False, wraparound=False
"""Finds many short texts at once; `needles.py` says what a needle is and what is found.

Of each needle two bytes that are rare in texts are marked in a table of all pairs of bytes: one look at it for each byte
of a text costs about a cycle. Where it is marked, a hash of these and the byte in front of them says whether a needle may
stand there, and one with a fourth byte which: few do, and these are compared.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint16_t, uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memchr, memcpy, memset

cdef enum:
    HASH_BITS = 14
    SHORT = 3
    LONG = 4


cdef inline uint16_t _pair(const unsigned char* end) noexcept nogil:
    """Return the two bytes before an address, as a number of this machine."""
    cdef uint16_t pair
    memcpy(&pair, end - 2, 2)
    return pair


cdef inline uint32_t _hash(const unsigned char* end, bint long_needle) noexcept nogil:
    """Return the hash of the three or four bytes before an address; it is the same for both cases of a letter."""
    cdef uint32_t gram = end[-3] | <uint32_t> end[-2] << 8 | <uint32_t> end[-1] << 16
    if long_needle:
        gram |= <uint32_t> end[-4] << 24
    return <uint32_t> ((gram | <uint32_t> 0x20202020) * <uint32_t> 0x9E3779B1) >> (32 - HASH_BITS)


cdef class Finder:
    """The needles of a list, compiled."""

    def __cinit__(self, list needles not None, bytes word not None):
        """needles: see needles.py. word: a table of 256 flags, the bytes between which there is no word boundary."""
        cdef Needle* needle
        cdef uint32_t place
        cdef int number
        cdef unsigned char ending[2]
        self.owners = [word]
        self.word = <const unsigned char*> PyBytes_AS_STRING(word)
        self.needles = <Needle*> calloc(len(needles) + 1, sizeof(Needle))
        self.pairs = <unsigned char*> calloc(1 << 16, 1)
        self.grams = <unsigned char*> calloc(1 << HASH_BITS, 1)
        self.heads = <int*> malloc(sizeof(int) << (HASH_BITS + 1))
        if self.needles == NULL or self.pairs == NULL or self.grams == NULL or self.heads == NULL:
            raise MemoryError
        memset(self.heads, 0xFF, sizeof(int) << (HASH_BITS + 1))
        self.long_heads = self.heads + (1 << HASH_BITS)
        self.count = len(needles)
        self.singles = self.runs = -1
        for number, (text, either, rarest, alphabet, length, end, bounded) in enumerate(needles):
            if not (isinstance(text, bytes) and isinstance(either, bytes) and len(text) == len(either)):
                raise TypeError("a needle is bytes")
            if alphabet is not None and len(alphabet) != 256:
                raise ValueError("an alphabet is a table of 256 flags")
            self.owners.append((text, either, alphabet))
            needle = &self.needles[number]
            needle.text = <const unsigned char*> PyBytes_AS_STRING(text)
            needle.either = <const unsigned char*> PyBytes_AS_STRING(either)
            needle.size = len(text)
            needle.rarest = rarest
            needle.alphabet = NULL if alphabet is None else <const unsigned char*> PyBytes_AS_STRING(alphabet)
            needle.length = length
            needle.end = end
            needle.bounded = bounded
            if needle.size == 1:
                needle.next = self.singles
                self.singles = number
                continue
            if needle.size == 0:
                needle.next = self.runs
                self.runs = number
                continue
            if not SHORT <= needle.rarest <= needle.size:
                raise ValueError("a needle of two bytes, or its rarest bytes are not in it")
            self.grams[_hash(needle.text + needle.rarest, False)] = 1
            place = _hash(needle.text + needle.rarest, needle.rarest >= LONG)
            if needle.rarest >= LONG:
                needle.next = self.long_heads[place]
                self.long_heads[place] = number
            else:
                needle.next = self.heads[place]
                self.heads[place] = number
            for change in {0, either[rarest - 2]}:
                for other in {0, either[rarest - 1]}:
                    ending = [text[rarest - 2] ^ change, text[rarest - 1] ^ other]
                    self.pairs[_pair(ending + 2)] = 1

    def __dealloc__(self):
        free(self.needles)
        free(self.pairs)
        free(self.grams)
        free(self.heads)

    cdef bint _stands(self, const Needle* needle, const unsigned char* text, Py_ssize_t size, Py_ssize_t at) noexcept nogil:
        """Return whether a needle stands in a text at an offset."""
        cdef Py_ssize_t index, end = at + needle.size
        if at < 0 or end > size:
            return False
        for index in range(needle.size):
            if (text[at + index] ^ needle.text[index]) & ~needle.either[index]:
                return False
        if needle.bounded and at > 0 and self.word[text[at - 1]]:
            return False
        if needle.alphabet == NULL:
            return True
        if end + needle.length > size:
            return False
        for index in range(end, end + needle.length):
            if not needle.alphabet[text[index]]:
                return False
        end += needle.length
        return needle.end < 0 or (end < size and text[end] == needle.end)

    cdef bint _compare(self, const unsigned char* text, Py_ssize_t size, Py_ssize_t end, unsigned char* found) noexcept nogil:
        """Return whether a needle stands in a text whose offset `rarest` is at an offset of the text; see search."""
        cdef const Needle* needle
        cdef bint any_found = False
        cdef int number
        cdef int head
        for head in range(2):
            if head:
                number = self.long_heads[_hash(text + end, True)] if end >= LONG else -1
            else:
                number = self.heads[_hash(text + end, False)]
            while number >= 0:
                needle = &self.needles[number]
                if self._stands(needle, text, size, end - needle.rarest):
                    if found == NULL:
                        return True
                    any_found = True
                    found[number] = 1
                number = needle.next
        return any_found

    cdef inline bint _marked(
        self, const unsigned char* text, Py_ssize_t size, Py_ssize_t end, unsigned char* found
    ) noexcept nogil:
        """Do what _compare does, where the tables say that it may be worth it."""
        return (
            self.pairs[_pair(text + end)]
            and self.grams[_hash(text + end, False)]
            and self._compare(text, size, end, found)
        )

    cdef inline bint _any_of_four(
        self, const unsigned char* text, Py_ssize_t size, Py_ssize_t end, unsigned char* found
    ) noexcept nogil:
        """Do that at four offsets from this one on."""
        return (
            self._marked(text, size, end, found)
            | self._marked(text, size, end + 1, found)
            | self._marked(text, size, end + 2, found)
            | self._marked(text, size, end + 3, found)
        )

    cdef bint search(self, const char* signed_text, Py_ssize_t size, unsigned char* found) noexcept nogil:
        """Return whether a needle stands in a text; if found is given, set its flag for each that does."""
        cdef const unsigned char* text = <const unsigned char*> signed_text
        cdef const Needle* needle
        cdef bint any_found = False
        cdef Py_ssize_t at, start, end, step
        cdef int number
        cdef unsigned char first, second
        cdef const unsigned char* pairs = self.pairs
        number = self.singles
        while number >= 0:
            if memchr(text, self.needles[number].text[0], size) != NULL:
                if found == NULL:
                    return True
                any_found = True
                found[number] = 1
            number = self.needles[number].next
        at = SHORT
        while at + 7 <= size:
            first = (
                pairs[_pair(text + at)] | pairs[_pair(text + at + 1)]
                | pairs[_pair(text + at + 2)] | pairs[_pair(text + at + 3)]
            )
            second = (
                pairs[_pair(text + at + 4)] | pairs[_pair(text + at + 5)]
                | pairs[_pair(text + at + 6)] | pairs[_pair(text + at + 7)]
            )
            if first | second:
                if first:
                    any_found |= self._any_of_four(text, size, at, found)
                if second:
                    any_found |= self._any_of_four(text, size, at + 4, found)
                if any_found and found == NULL:
                    return True
            at += 8
        for end in range(at, size + 1):
            if self._marked(text, size, end, found):
                if found == NULL:
                    return True
                any_found = True
        number = self.runs
        while number >= 0:
            needle = &self.needles[number]
            # A run of this length covers one of the offsets with this distance, and three more bytes.
            step = needle.length // 2
            at = 0
            while at < size:
                if at + 3 >= size:
                    break
                if not (
                    needle.alphabet[text[at]]
                    and needle.alphabet[text[at + 1]]
                    and needle.alphabet[text[at + 2]]
                    and needle.alphabet[text[at + 3]]
                ):
                    at += step
                    continue
                start = at
                while start > 0 and needle.alphabet[text[start - 1]]:
                    start -= 1
                end = at
                while end < size and needle.alphabet[text[end]]:
                    end += 1
                if self._stands(needle, text, size, start):
                    if found == NULL:
                        return True
                    any_found = True
                    found[number] = 1
                at = end + step
            number = needle.next
        return any_found

    def numbers(self, bytes text not None):
        """Return the numbers of the needles that stand in a text."""
        cdef unsigned char* found = <unsigned char*> calloc(self.count + 1, 1)
        cdef int number
        if found == NULL:
            raise MemoryError
        try:
            self.search(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), found)
            return [number for number in range(self.count) if found[number]]
        finally:
            free(found)

    def lines(self, bytes block not None):
        """Return the offset and end of each line of a block in which a needle stands."""
        cdef const char* text = PyBytes_AS_STRING(block)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(block)
        cdef Py_ssize_t start = 0, end
        cdef const char* line_end
        cdef list found = []
        while start < size:
            line_end = <const char*> memchr(text + start, b"\n", size - start)
            end = size if line_end == NULL else line_end - text
            if self.search(text + start, end - start, NULL):
                found.append((start, end))
            start = end + 1
        return found
