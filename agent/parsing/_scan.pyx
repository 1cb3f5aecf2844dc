# cython: language_level=3, binding=False
"""The loops of `scan_plain.py`, compiled, and others that take the lines of a whole block.

`add_stamped` and `add_unstamped` find line ends, stamps and headers in one pass, and add the lines to the columns of a
stream as addresses in the block; Python is called for a header that was not seen before. What they do not take, the
parser takes line by line. tests/agent/test_loops.py compares the results.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t
from libc.string cimport memchr, memcmp, memcpy

from tracetail.contract._needles cimport Finder
from tracetail.loki._entries cimport Columns

from tracetail.agent.parsing import scan_plain as plain
from tracetail.agent.parsing.header_cache import REQUEST_PAIRS as ALL_REQUEST_PAIRS
from tracetail.contract.request_ids import PREFIXES

cdef extern from "string.h" nogil:
    void* memmem(const void* text, size_t size, const void* needle, size_t length)

cdef Py_ssize_t HEAD_BYTES = plain.HEAD_BYTES
cdef Py_ssize_t NANOS_AT = plain.NANOS_AT
cdef Py_ssize_t OFFSET_AT = plain.OFFSET_AT
cdef Py_ssize_t SECONDS_AT = plain.NANOS_AT - 3
cdef long long NS_PER_SECOND = plain.NS_PER_SECOND
cdef long long FAR_AHEAD_NS = 9_000_000_000 * NS_PER_SECOND  # in 2255; not all seconds of the last minute of 2262 are times
cdef bytes STATS = plain.STATS
cdef bytes TRACEBACK_END = plain.TRACEBACK_END
cdef bytes FRAME_START = plain.FRAME_START
cdef bytes JSON_MESSAGE = plain.JSON_MESSAGE
cdef bytes NEEDLE = plain.NEEDLE
cdef tuple FRAME_STATES = plain.FRAME_STATES
cdef Py_ssize_t STATS_G = STATS.index(b"g")
cdef Py_ssize_t FRAME_QUOTE = FRAME_START.index(b'"')
cdef bytes EMPTY = b""
cdef Py_ssize_t NOT_FOUND = -1
cdef enum:
    CLOCK_BYTES = 14
cdef const char* CLOCK_SHAPE = b"00-00 00:00:00"
cdef bytes JSON_TIME = plain.JSON_TIME
cdef Py_ssize_t JSON_TIME_AT = plain.JSON_TIME_AT
cdef long long AHEAD_MAX_NS = plain.AHEAD_MAX_NS
cdef list REQUEST_PAIRS = ALL_REQUEST_PAIRS
cdef list ENGINES_PREFIXES = [f"{prefix}-".encode() for prefix in PREFIXES]


cdef bytes _table(bytes alphabet):
    """Return 256 flags: which bytes an alphabet has."""
    return bytes(byte in alphabet for byte in range(256))


cdef bytes ID_BYTES = _table(bytes(byte for byte in range(256) if byte not in b" \t\n\r,'\""))
cdef bytes LETTERS = _table(b"abcdefghijklmnopqrstuvwxyz")
cdef bytes CLIENTS_ID_BYTES = _table(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-")
cdef bytes HEX = _table(b"0123456789abcdef")
cdef enum:
    REQUEST_TRIES_MAX = 4
    ENGINES_ID_MAX = 110
    NAME_MIN = 2
    NAME_MAX = 12
    CLIENTS_ID_MIN = 8
    CLIENTS_ID_MAX = 96
    DIGIT_WITHIN = 97
    HEX_MIN = 16
    HEX_MAX = 32


cdef inline Py_ssize_t _find(const char* text, Py_ssize_t start, Py_ssize_t end, const char* needle, Py_ssize_t length):
    cdef const char* found
    if start >= end:
        return NOT_FOUND
    found = <const char*> memmem(text + start, end - start, needle, length)
    return NOT_FOUND if found == NULL else found - text


cdef inline bint _holds(const char* text, Py_ssize_t size, bytes needle, Py_ssize_t rarest) noexcept:
    """Return whether a text contains a needle, by the needle's byte that is rarest in logs, of which this is the offset."""
    cdef const char* wanted = PyBytes_AS_STRING(needle)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(needle)
    cdef const char* at = text + rarest
    cdef const char* end = text + size - (length - rarest - 1)
    while at < end:
        at = <const char*> memchr(at, wanted[rarest], end - at)
        if at == NULL:
            return False
        if memcmp(at - rarest, wanted, length) == 0:
            return True
        at += 1
    return False


cdef inline bint _holds_traceback(const char* text, Py_ssize_t size) noexcept:
    return _holds(text, size, NEEDLE, 0)


cdef enum:
    SETS = 1024
    WAYS = 4
    SLOTS = 4096
    HEADER, TIMED_HEADER, BRACKETED, JSON, TEXT, PLACED
    LAYOUTS = 8
    SHAPE_MAX = 40


cdef class _Meaning:
    """A KnownHeader and the HeaderFields of a line, with what the loops need of them."""

    cdef object known, found, level, name
    cdef _Meaning without_header  # of a line without a header that continues this one
    cdef bytes meta
    cdef bint severe, level_only, may_be_stats


cdef struct Layout:
    # Where headers have their time and their end.
    Py_ssize_t at, size  # of the time
    char shape[SHAPE_MAX]  # of the time, see _has_shape
    Py_ssize_t fraction, digits  # offset in the time, and number, of the digits of its fraction; 0: none
    int brackets  # that close in the header; it ends with the last
    bint blank  # and one blank


cdef class KnownHeaders:
    """Meanings that were found in the dictionaries of a HeaderCache, by the bytes that they were found by.

    What a header means does not change, so nothing is ever removed but by another one: a hash chooses WAYS slots, and
    the one that was filled first is filled anew. With one slot each, one in seven of 600 headers would share it.
    """

    cdef uint64_t hashes[SLOTS]
    cdef list keys
    cdef list meanings
    cdef unsigned char turns[SETS]
    cdef Layout layouts[LAYOUTS]
    cdef Py_ssize_t layout_count
    cdef dict of_levels
    cdef bytes heads
    cdef list of_heads

    def __cinit__(self, cache):
        self.keys = [EMPTY] * SLOTS
        self.meanings = [None] * SLOTS
        self.of_levels = {}
        self.heads = b"".join(cache.heads)
        self.of_heads = [self.meaning(known, known) for known in cache.heads.values()]

    cdef _Meaning meaning(self, known, found):
        """Return a meaning, made anew."""
        cdef _Meaning meaning = _Meaning()
        level = known.level
        meaning.known, meaning.found, meaning.level, meaning.name = known, found, level, level.name
        meaning.meta, meaning.severe = known.meta, level.severe
        meaning.level_only, meaning.may_be_stats = known.level_only, known.may_be_stats
        meaning.without_header = meaning if known is level.without_header else self.without_header(level)
        return meaning

    cdef _Meaning without_header(self, level):
        """Return the meaning of a line that has no header and gets this level."""
        found = self.of_levels.get(level)
        if found is None:
            found = self.of_levels[level] = self.meaning(level.without_header, level.without_header)
        return found

    cdef _Meaning head(self, const char* text):
        """Return the meaning of a line by its first HEAD_BYTES; None if it is not one of HeaderCache.heads."""
        cdef const char* heads = PyBytes_AS_STRING(self.heads)
        cdef Py_ssize_t index
        for index in range(PyBytes_GET_SIZE(self.heads) // HEAD_BYTES):
            if heads[index * HEAD_BYTES] == text[0] and memcmp(heads + index * HEAD_BYTES, text, HEAD_BYTES) == 0:
                return <_Meaning> self.of_heads[index]
        return None

    cdef _Meaning get(self, const char* start, Py_ssize_t size, const char* more, Py_ssize_t more_size, uint64_t hashed):
        """Return what was put here for two parts of a line; None if nothing was."""
        cdef Py_ssize_t first = hashed % SETS * WAYS, slot
        cdef const char* key
        for slot in range(first, first + WAYS):
            if self.hashes[slot] != hashed or PyBytes_GET_SIZE(<bytes> self.keys[slot]) != size + more_size + 1:
                continue
            key = PyBytes_AS_STRING(<bytes> self.keys[slot])
            if key[size] == b"\n" and memcmp(key, start, size) == 0 and memcmp(key + size + 1, more, more_size) == 0:
                return <_Meaning> self.meanings[slot]
        return None

    cdef _Meaning put(
        self, const char* start, Py_ssize_t size, const char* more, Py_ssize_t more_size, uint64_t hashed, known, found
    ):
        """Put a meaning here, by two parts of a line, and return it."""
        cdef Py_ssize_t chosen = hashed % SETS, slot = chosen * WAYS + self.turns[chosen]
        cdef _Meaning meaning = self.meaning(known, found)
        self.turns[chosen] = (self.turns[chosen] + 1) % WAYS
        self.keys[slot] = PyBytes_FromStringAndSize(start, size) + b"\n" + PyBytes_FromStringAndSize(more, more_size)
        self.hashes[slot] = hashed
        self.meanings[slot] = meaning
        return meaning

    cdef int learn(self, const char* text, Py_ssize_t size, known) except -1:
        """Put the meaning of a line here whose header has a place (see KnownHeader)."""
        cdef Py_ssize_t start, end, header_end, at, layout
        cdef Layout found
        cdef uint64_t hashed
        start, end, header_end = known.place
        if not 0 <= start < end <= start + SHAPE_MAX or not end < header_end < size:
            return 0  # with the line the header ends, too: one that goes on may have none
        found.at, found.size, found.brackets = start, end - start, 0
        for at in range(start, end):
            found.shape[at - start] = b"0" if b"0" <= text[at] <= b"9" else text[at]
        for at in range(header_end):
            found.brackets += text[at] == b"]"
        found.blank = text[header_end - 1] == b" "
        found.fraction = found.digits = 0
        for at in range(found.size - 4):
            if found.shape[at] == b":" and (found.shape[at + 3] == b"." or found.shape[at + 3] == b","):
                found.fraction, found.digits = at + 4, 0
                while found.fraction + found.digits < found.size and found.shape[found.fraction + found.digits] == b"0":
                    found.digits += 1
        at = found.fraction + found.digits
        if found.digits > FRACTION_MAX or (at < found.size and found.shape[at] in b".,"):
            found.fraction = found.digits = 0  # CANN prints milliseconds and microseconds
        for layout in range(self.layout_count):
            if _is_layout(&self.layouts[layout], &found):
                break
        else:
            if self.layout_count == LAYOUTS:
                return 0
            layout = self.layout_count
            self.layouts[layout] = found
            self.layout_count += 1
        hashed = _hash(text + end, header_end - end, _hash(text, start, PLACED + layout))
        self.put(text, start, text + end, header_end - end, hashed, known, known)
        return 0


cdef inline bint _is_layout(const Layout* one, const Layout* other) noexcept:
    return (
        one.at == other.at and one.size == other.size and one.brackets == other.brackets and one.blank == other.blank
        and memcmp(one.shape, other.shape, one.size) == 0
    )


cdef inline Py_ssize_t _header_end(const char* text, Py_ssize_t size, const Layout* layout) noexcept:
    """Return the offset behind a header of a layout; -1 if the line is none of that layout."""
    cdef const char* end = text + layout.at + layout.size
    cdef int bracket
    if layout.at + layout.size >= size or not _has_shape(text + layout.at, layout.shape, layout.size):
        return NOT_FOUND
    for bracket in range(layout.brackets):
        end = <const char*> memchr(end, b"]", text + size - end)
        if end == NULL:
            return NOT_FOUND
        end += 1
    if not layout.blank:
        return end - text
    return end + 1 - text if end < text + size and end[0] == b" " else NOT_FOUND


cdef inline bint _has_shape(const char* text, const char* shape, Py_ssize_t size) noexcept:
    """Return whether a text is like a shape, in which 0 stands for a digit."""
    cdef Py_ssize_t index
    for index in range(size):
        if b"0" <= text[index] <= b"9":
            if shape[index] != b"0":
                return False
        elif text[index] != shape[index]:
            return False
    return True


cdef inline uint64_t _hash(const char* text, Py_ssize_t size, uint64_t before) noexcept:
    """Return the hash of a text, given that of the text in front of it, or else the kind of text."""
    cdef uint64_t hashed = before + size, word
    while size >= 8:
        memcpy(&word, text, 8)
        hashed = (hashed ^ word) * <uint64_t> 0x9E3779B97F4A7C15
        hashed ^= hashed >> 29
        text += 8
        size -= 8
    word = 0
    memcpy(&word, text, size)
    hashed = (hashed ^ word) * <uint64_t> 0x9E3779B97F4A7C15
    return hashed ^ hashed >> 32


cdef inline Py_ssize_t _find_bracket(const char* text, Py_ssize_t size) noexcept:
    """Return the offset of the first ` [`; -1 if there is none."""
    cdef const char* found = text
    while True:
        found = <const char*> memchr(found, b"[", text + size - found)
        if found == NULL:
            return NOT_FOUND
        if found > text and found[-1] == b" ":
            return found - text - 1
        found += 1


cdef inline Py_ssize_t _find_bracket_end(const char* text, Py_ssize_t start, Py_ssize_t size) noexcept:
    """Return the offset of the first `] ` from start on; -1 if there is none."""
    cdef const char* found = text + start
    while True:
        found = <const char*> memchr(found, b"]", text + size - found)
        if found == NULL or found + 1 == text + size:
            return NOT_FOUND
        if found[1] == b" ":
            return found - text
        found += 1


cdef inline Py_ssize_t _find_request(const char* text, Py_ssize_t start, Py_ssize_t size) noexcept:
    """Return the offset behind the first REQUEST from start on, found by its rarest letter; -1 if there is none."""
    cdef const char* at = text + start
    cdef const char* end = text + size
    while at < end:
        at = <const char*> memchr(at, b"q", end - at)
        if at == NULL:
            break
        if at > text + start and at[-1] == b"e" and end - at >= 5 and memcmp(at, b"quest", 5) == 0:
            return at + 5 - text
        at += 1
    return NOT_FOUND


cdef inline bint _is_word(char byte) noexcept:
    return b"0" <= byte <= b"9" or b"a" <= byte <= b"z" or b"A" <= byte <= b"Z" or byte == b"_"


cdef inline Py_ssize_t _run(const char* text, Py_ssize_t start, Py_ssize_t end, const char* alphabet) noexcept:
    """Return the offset of the first byte from start on that an alphabet does not have: a table of 256 flags."""
    while start < end and alphabet[<unsigned char> text[start]]:
        start += 1
    return start


cdef bint _engines_id(const char* text, Py_ssize_t at, Py_ssize_t size, Py_ssize_t* end) noexcept:
    """Return whether an engine's own id begins at an offset, `cmpl-…`, and set its end."""
    cdef bytes prefix
    cdef Py_ssize_t start, stop
    for prefix in ENGINES_PREFIXES:
        start = at + PyBytes_GET_SIZE(prefix)
        if start <= size and memcmp(text + at, PyBytes_AS_STRING(prefix), PyBytes_GET_SIZE(prefix)) == 0:
            stop = _run(text, start, min(size, start + ENGINES_ID_MAX + 1), PyBytes_AS_STRING(ID_BYTES))
            while stop > start and text[stop - 1] in b":.;)]":
                stop -= 1
            end[0] = stop
            return stop > start
    return False


cdef bint _clients_id(const char* text, Py_ssize_t at, Py_ssize_t size, Py_ssize_t* end) noexcept:
    """Return whether an id with a name in front begins at an offset, `chatcmpl_…7`, and set its end."""
    cdef Py_ssize_t start = _run(text, at, min(size, at + NAME_MAX + 1), PyBytes_AS_STRING(LETTERS)), digit
    if not NAME_MIN <= start - at <= NAME_MAX or start == size or not (text[start] == b"-" or text[start] == b"_"):
        return False
    end[0] = _run(text, start + 1, min(size, start + 1 + CLIENTS_ID_MAX), PyBytes_AS_STRING(CLIENTS_ID_BYTES))
    if end[0] - start - 1 < CLIENTS_ID_MIN:
        return False
    for digit in range(at, min(size, at + DIGIT_WITHIN)):
        if b"0" <= text[digit] <= b"9":
            return True
        if text[digit] == b" " or b"\t" <= text[digit] <= b"\r":
            return False
    return False


cdef bint _find_request_id(const char* text, Py_ssize_t size, Py_ssize_t* start, Py_ssize_t* end) noexcept:
    """Set start and end of what engine_lines.find_request_id returns; return whether there is an id."""
    cdef Py_ssize_t tries, at = 0, id_at, separators
    for tries in range(REQUEST_TRIES_MAX):
        at = _find_request(text, at, size)
        if at < 0:
            return False
        id_at = at
        if size - id_at >= 3 and memcmp(text + id_at, b"(s)", 3) == 0:
            id_at += 3
        elif id_at < size and text[id_at] == b"s":
            id_at += 1
        separators = id_at
        while id_at < size and id_at - separators < 3 and text[id_at] in b" =:":
            id_at += 1
        if id_at == separators:
            continue
        if id_at < size and text[id_at] == b"'":
            id_at += 1
        start[0] = id_at
        if _engines_id(text, id_at, size, end) or _clients_id(text, id_at, size, end):
            return True
        end[0] = _run(text, id_at, min(size, id_at + HEX_MAX), PyBytes_AS_STRING(HEX))
        if end[0] - id_at >= HEX_MIN and (end[0] == size or not _is_word(text[end[0]])):
            return True
    return False


def find_request_id(bytes text not None):
    """See engine_lines.find_request_id."""
    cdef Py_ssize_t start, end
    if not _find_request_id(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), &start, &end):
        return None
    return text[start:end]


cdef class _Lookup:
    """The look-up of successive lines: what it knows, and the line before."""

    cdef object json_head, resolve, level
    cdef dict starts, json, bracketed_headers, by_text, open_tracebacks, headed_tracebacks
    cdef KnownHeaders known_headers
    cdef _Meaning meaning  # of the line
    cdef _Meaning error, without_header
    cdef const char* clock  # of the line, if the meaning was found without it
    cdef const Layout* layout  # of the clock, if that is not vLLM's
    cdef bint severe, cut, without_clocks

    def __cinit__(
        self, cache, dict open_tracebacks not None, dict headed_tracebacks not None, level, resolve, bint cut=True,
        bint without_clocks=False,
    ):
        """cut: the first line may continue one that was cut.

        without_clocks: found need not be that of the line's own second, if clock is given; see there.
        """
        self.starts = cache.starts
        self.json = cache.json
        self.bracketed_headers = cache.bracketed_headers
        self.json_head = cache.json_head
        if cache.known_headers is None:
            cache.known_headers = KnownHeaders(cache)
        self.known_headers = cache.known_headers
        self.by_text = cache.by_text
        self.error = self.known_headers.without_header(cache.levels["error"])
        self.cut = cut
        self.without_clocks = without_clocks
        self.open_tracebacks = open_tracebacks
        self.headed_tracebacks = headed_tracebacks
        self.resolve = resolve
        self.level = level
        self.severe = level.severe
        self.without_header = self.known_headers.without_header(level)

    cdef bint next(self, const char* p, Py_ssize_t size, bytes text, bint first) except -1:
        """Set meaning, level and clock to those of the next line; return whether meaning is another than before.

        text: the line; None: it is made if needed.
        """
        cdef _Meaning meaning = None
        cdef uint64_t hashed
        cdef bint in_traceback
        self.clock = NULL
        if size > 0 and p[0] == b" ":
            meaning = self.indented(p, size)
        elif size >= HEAD_BYTES:
            if p[HEAD_BYTES - 1] == b" " or p[0] == b"{":
                meaning = self.known_headers.head(p)
                if meaning is not None and meaning.known is self.json_head:
                    meaning = self.json_line(p, size)
            if p[0] == b"[":
                meaning = self.bracketed(p, size)
            if meaning is None and p[0] != b"{":
                meaning = self.header(p, size)
            if meaning is None and self.without_clocks:
                meaning = self.placed(p, size)
        if meaning is None and not ((first and self.cut) or self.severe or self.open_tracebacks or self.headed_tracebacks):
            hashed = _hash(p, size, TEXT)
            meaning = self.known_headers.get(p, size, NULL, 0, hashed)
            if meaning is None:
                text = PyBytes_FromStringAndSize(p, size) if text is None else text
                known = self.by_text.get(text)
                if known is not None:
                    meaning = self.known_headers.put(p, size, NULL, 0, hashed, known, known)
        if meaning is None:
            text = PyBytes_FromStringAndSize(p, size) if text is None else text
            known, found = self.resolve(text, self.level, first)
            meaning = self.known_headers.meaning(known, found)
            if known.place is not None:
                self.known_headers.learn(p, size, known)
        if meaning is self.meaning:
            return False
        self.meaning = meaning
        self.level, self.severe, self.without_header = meaning.level, meaning.severe, meaning.without_header
        return True

    cdef _Meaning indented(self, const char* p, Py_ssize_t size):
        """Return the meaning of an indented line; None where it takes a closer look to decide."""
        cdef Py_ssize_t length = PyBytes_GET_SIZE(TRACEBACK_END)
        state = self.open_tracebacks.get(EMPTY) if self.open_tracebacks else None
        if state is not None:
            if state in FRAME_STATES and not self.headed_tracebacks and not _holds_traceback(p, size):
                return self.error
        elif (
            not (size >= length and memcmp(p + size - length, PyBytes_AS_STRING(TRACEBACK_END), length) == 0)
            and not (self.severe and _holds(p, size, FRAME_START, FRAME_QUOTE))
        ):
            return self.without_header
        return None

    cdef _Meaning header(self, const char* p, Py_ssize_t size):
        """Return the meaning of a line with a header of the shape `… [source] `, by that; None if it is not known."""
        cdef Py_ssize_t at = _find_bracket(p, size), end, clock = 0
        cdef uint64_t hashed
        cdef _Meaning meaning
        if at < 0:
            return None
        end = _find_bracket_end(p, at + 2, size)
        if end < 0:
            return None
        if self.without_clocks:
            if at < CLOCK_BYTES or not _has_shape(p + at - CLOCK_BYTES, CLOCK_SHAPE, CLOCK_BYTES):
                return None
            clock = CLOCK_BYTES
        hashed = _hash(p + at, end - at, _hash(p, at - clock, HEADER if self.without_clocks else TIMED_HEADER))
        meaning = self.known_headers.get(p, at - clock, p + at, end - at, hashed)
        if meaning is None:
            found = self.starts.get(PyBytes_FromStringAndSize(p, at))
            if found is None:
                return None
            known = (<dict> found.sources).get(PyBytes_FromStringAndSize(p + at + 2, end - at - 2))
            if known is None:
                return None
            meaning = self.known_headers.put(p, at - clock, p + at, end - at, hashed, known, found)
        if self.without_clocks:
            self.clock, self.layout = p + at - CLOCK_BYTES, NULL
        return meaning

    cdef _Meaning bracketed(self, const char* p, Py_ssize_t size):
        """Return what HeaderCache.bracketed returns, or None where it takes a closer look to decide."""
        cdef Py_ssize_t end = _find_bracket_end(p, 0, size) + 2
        cdef uint64_t hashed
        cdef _Meaning meaning
        if end < 2 or end + 1 >= size:
            return None
        if p[end] in b"[(eEwtl" or (b"A" <= p[end] <= b"Z" and b"A" <= p[end + 1] <= b"Z"):
            return None
        hashed = _hash(p, end, BRACKETED)
        meaning = self.known_headers.get(p, end, NULL, 0, hashed)
        if meaning is None:
            known = self.bracketed_headers.get(PyBytes_FromStringAndSize(p, end))
            if known is None:
                return None
            meaning = self.known_headers.put(p, end, NULL, 0, hashed, known, known)
        return None if _holds_traceback(p + end, size - end) else meaning

    cdef _Meaning placed(self, const char* p, Py_ssize_t size):
        """Return the meaning of a line that differs from one with a placed header in its time; None if it is not known."""
        cdef KnownHeaders headers = self.known_headers
        cdef const Layout* layout
        cdef Py_ssize_t number, behind, end
        cdef uint64_t hashed
        cdef _Meaning meaning
        for number in range(headers.layout_count):
            layout = &headers.layouts[number]
            end = _header_end(p, size, layout)
            if end < 0:
                continue
            behind = layout.at + layout.size
            hashed = _hash(p + behind, end - behind, _hash(p, layout.at, PLACED + number))
            meaning = headers.get(p, layout.at, p + behind, end - behind, hashed)
            if meaning is not None:
                if _holds_traceback(p + end, size - end):
                    return None
                self.clock, self.layout = p + layout.at, layout
                return meaning
        return None

    cdef _Meaning json_line(self, const char* p, Py_ssize_t size):
        """Return what HeaderCache.json_line returns for a line that it has seen; None if the line has another shape."""
        cdef Py_ssize_t fields, message, tail, at
        cdef uint64_t hashed
        cdef _Meaning meaning
        fields = _find(p, 0, size, b'", "', 4)
        if fields < 0:
            return None
        fields += 4
        message = _find(p, fields, size, PyBytes_AS_STRING(JSON_MESSAGE), PyBytes_GET_SIZE(JSON_MESSAGE))
        if message < 0:
            return None
        tail = message + PyBytes_GET_SIZE(JSON_MESSAGE)
        at = size - 4
        while at >= tail:
            if p[at] == b'"' and memcmp(p + at, b'", "', 4) == 0:
                tail = at + 4
                break
            at -= 1
        hashed = _hash(p + tail, size - tail, _hash(p + fields, message - fields, JSON))
        meaning = self.known_headers.get(p + fields, message - fields, p + tail, size - tail, hashed)
        if meaning is None:
            known = self.json.get(
                PyBytes_FromStringAndSize(p + fields, message - fields)
                + b"\n"
                + PyBytes_FromStringAndSize(p + tail, size - tail)
            )
            if known is not None:
                meaning = self.known_headers.put(
                    p + fields, message - fields, p + tail, size - tail, hashed, known, known
                )
        return meaning


def look_up(list texts not None, cache, tracebacks, level, resolve):
    """See scan_plain.look_up."""
    cdef _Lookup lookup = _Lookup(cache, tracebacks.open, tracebacks.headed, level, resolve)
    cdef list metas = []
    cdef list levels = []
    cdef list fields = []
    cdef list requests = []
    cdef list stats = []
    cdef bytes text
    cdef const char* p
    cdef Py_ssize_t size, index
    cdef _Meaning meaning
    for index in range(len(texts)):
        text = <bytes?> texts[index]
        p = PyBytes_AS_STRING(text)
        size = PyBytes_GET_SIZE(text)
        lookup.next(p, size, text, index == 0)
        meaning = lookup.meaning
        metas.append(meaning.meta)
        levels.append(meaning.name)
        fields.append(meaning.found)
        if not meaning.level_only:
            if _find_request(p, 0, size) >= 0:
                requests.append(index)
            if meaning.may_be_stats and _holds(p, size, STATS, STATS_G):
                stats.append(index)
    return metas, levels, fields, requests, stats, lookup.level


cdef enum:
    JSON_TIME_BYTES = 23
    JSON_SECOND_BYTES = 19
    FRACTION_MAX = 9
cdef const char* JSON_TIME_SHAPE = b"0000-00-00 00:00:00,000"


cdef bytes _timestamp(const char* clock, Py_ssize_t size):
    """Return the timestamp of a header (see contract.header) whose time is printed like this: glog's has no hyphen."""
    cdef bytes printed = PyBytes_FromStringAndSize(clock, size)
    cdef Py_ssize_t blank = printed.find(b" ")
    if 3 <= blank <= 4:
        return b"%s-%s" % (printed[: blank - 2].zfill(2), printed[blank - 2 :])
    return printed


cdef class _Times:
    """The engine's times of successive lines. Of a run that differ in their fractions two are parsed, the first and last."""

    cdef object engine_time
    cdef const char* second  # the time of the line before, if that has a fraction and could be parsed
    cdef Py_ssize_t size, at, digits  # of that time, and of its fraction
    cdef long long second_ns, ahead_ns  # of that time without its fraction
    cdef const char* skipped  # the time of the line before, if it was not parsed

    def __cinit__(self, engine_time, long long ahead_ns):
        """engine_time: see add_unstamped; it refuses times later than ahead_ns."""
        self.engine_time = engine_time
        self.ahead_ns = ahead_ns

    cdef bint parse(self, bytes timestamp, long long* time_ns) except -1:
        """Set the time that a timestamp stands for; return whether there is one."""
        self.finish()
        self.second = NULL
        found = self.engine_time(timestamp)
        time_ns[0] = 0 if found is None else found
        return found is not None

    cdef bint parse_printed(
        self, const char* text, Py_ssize_t size, Py_ssize_t at, Py_ssize_t digits, long long* time_ns
    ) except -1:
        """Set the time that a header's printed time stands for, whose fraction are the digits from an offset on."""
        cdef long long fraction = 0
        cdef Py_ssize_t index
        cdef bint has_time
        for index in range(FRACTION_MAX):
            fraction = fraction * 10 + (text[at + index] - 48 if index < digits else 0)
        if (
            self.second != NULL
            and self.size == size
            and self.at == at
            and self.digits == digits
            and memcmp(self.second, text, at) == 0
            and memcmp(self.second + at + digits, text + at + digits, size - at - digits) == 0
            and self.second_ns + fraction <= self.ahead_ns
        ):
            self.skipped = text
            time_ns[0] = self.second_ns + fraction
            return True
        has_time = self.parse(_timestamp(text, size), time_ns)
        if has_time:
            self.second, self.size, self.at, self.digits = text, size, at, digits
            self.second_ns = time_ns[0] - fraction
        return has_time

    cdef bint parse_json(self, const char* text, Py_ssize_t size, long long* time_ns) except -1:
        """Set the time of a JSON line."""
        if size == JSON_TIME_BYTES and _has_shape(text, JSON_TIME_SHAPE, size):
            return self.parse_printed(text, size, JSON_SECOND_BYTES + 1, size - JSON_SECOND_BYTES - 1, time_ns)
        return self.parse(PyBytes_FromStringAndSize(text, size), time_ns)

    cdef int finish(self) except -1:
        """Parse the last time that was skipped: the next ones depend on it."""
        if self.skipped != NULL:
            self.engine_time(_timestamp(self.skipped, self.size))
            self.skipped = NULL
        return 0


cdef class _Added:
    """The lines that a loop adds to the columns of a stream."""

    cdef Columns columns
    cdef _Lookup lookup
    cdef bint structured_metadata
    cdef bytes block
    cdef dict counts
    cdef list stats
    cdef object name
    cdef Py_ssize_t of_level

    def __cinit__(
        self, Columns columns not None, bytes block not None, dict counts not None, list stats not None, tracker
    ):
        cache = tracker.cache
        self.columns = columns
        self.block = block
        self.counts = counts
        self.stats = stats
        self.lookup = _Lookup(
            cache, tracker.tracebacks.open, tracker.tracebacks.headed, tracker.level, tracker.resolve, tracker.cut, True
        )
        self.structured_metadata = cache.structured_metadata

    cdef int look_up(self, const char* p, Py_ssize_t size, bint first) except -1:
        """Find the header of the next line."""
        if self.lookup.next(p, size, None, first) and self.name is not self.lookup.meaning.name:
            self.count()
            self.name = self.lookup.meaning.name
        self.of_level += 1
        return 0

    cdef int add(self, const char* p, Py_ssize_t size, long long time_ns) except -1:
        """Add the line whose header was found."""
        return self.columns.append(self.block, p, size, self.meta_of(p, size), time_ns) or self.add_stats(p, size, time_ns)

    cdef bytes meta_of(self, const char* p, Py_ssize_t size):
        """Return the metadata of the line whose header was found."""
        cdef _Meaning meaning = self.lookup.meaning
        cdef Py_ssize_t start, end
        cdef bytes pair, meta
        cdef char* out
        if meaning.level_only or not self.structured_metadata or not _find_request_id(p, size, &start, &end):
            return meaning.meta
        pair = <bytes> REQUEST_PAIRS[end - start]
        meta = PyBytes_FromStringAndSize(
            NULL, PyBytes_GET_SIZE(meaning.meta) + PyBytes_GET_SIZE(pair) + end - start
        )
        out = PyBytes_AS_STRING(meta)
        memcpy(out, PyBytes_AS_STRING(meaning.meta), PyBytes_GET_SIZE(meaning.meta))
        out += PyBytes_GET_SIZE(meaning.meta)
        memcpy(out, PyBytes_AS_STRING(pair), PyBytes_GET_SIZE(pair))
        memcpy(out + PyBytes_GET_SIZE(pair), p + start, end - start)
        return meta

    cdef int add_stats(self, const char* p, Py_ssize_t size, long long time_ns) except -1:
        """Add a line that was added to the statistics, if it belongs to them."""
        cdef _Meaning meaning = self.lookup.meaning
        if meaning.may_be_stats and not meaning.level_only and _holds(p, size, STATS, STATS_G):
            self.stats.append((time_ns, PyBytes_FromStringAndSize(p, size)))
        return 0

    cdef int count(self) except -1:
        """Add the lines since the level changed to their level's number."""
        if self.of_level:
            self.counts[self.name] = self.counts.get(self.name, 0) + self.of_level
            self.of_level = 0
        return 0

    cdef int finish(self, tracker, Py_ssize_t lines) except -1:
        """Set the tracker's state to that after the lines that were added."""
        self.count()
        tracker.level = self.lookup.level
        if lines:
            tracker.cut = False
        return 0


cdef inline bint _is_same_minute(const char* stamp, const char* other) noexcept:
    """Return whether a text begins as a stamp of the same minute up to its nanoseconds."""
    return (
        memcmp(stamp, other, SECONDS_AT) == 0
        and b"0" <= other[SECONDS_AT] <= b"5"
        and b"0" <= other[SECONDS_AT + 1] <= b"9"
        and other[SECONDS_AT + 2] == stamp[SECONDS_AT + 2]
    )


cdef inline int _two_digits(const char* text) noexcept:
    return (text[0] - 48) * 10 + text[1] - 48


def add_stamped(
    Columns columns not None, bytes block not None, Py_ssize_t at, bytes fixed not None, long long last_ns, second,
    dict counts not None, list stats not None, tracker
):
    """Add the lines of a keeper from an offset on, up to the first that is not ordinary.

    Ordinary: its stamp is later than the entry before, and the bytes `fixed` follow its nanoseconds.

    Args:
        columns: of the stream that the lines belong to.
        block: whole lines.
        at: where the first line begins.
        fixed: the bytes between a stamp's nanoseconds and the text.
        last_ns: the time of the entry before.
        second: returns a stamp's second in nanoseconds since the epoch, given the bytes before its nanoseconds; None
            if they are not a stamp's.
        counts: number of lines by level, which is increased.
        stats: time and text of lines of engine statistics, which are added.
        tracker: a LevelTracker; its level is set.

    Returns:
        Where the next line begins, the number of lines added, the last one's time.

    """
    cdef _Added added = _Added(columns, block, counts, stats, tracker)
    cdef const char* data = PyBytes_AS_STRING(block)
    cdef const char* fixed_bytes = PyBytes_AS_STRING(fixed)
    cdef const char* p
    cdef const char* line_end
    cdef const char* end = data + PyBytes_GET_SIZE(block)
    cdef const char* known_second = NULL
    cdef Py_ssize_t length = PyBytes_GET_SIZE(fixed)
    cdef Py_ssize_t text_at = OFFSET_AT + length
    cdef Py_ssize_t digit, lines = 0
    cdef long long number, base = 0
    if not 0 <= at <= PyBytes_GET_SIZE(block):
        raise ValueError("the block has no such offset")
    p = data + at
    while p < end:
        line_end = <const char*> memchr(p, b"\n", end - p)
        if line_end == NULL or line_end - p < text_at or memcmp(p + OFFSET_AT, fixed_bytes, length) != 0:
            break
        number = 0
        for digit in range(NANOS_AT, OFFSET_AT):
            if not b"0" <= p[digit] <= b"9":
                number = -1
                break
            number = number * 10 + (p[digit] - 48)
        if number < 0:
            break
        if known_second != NULL and base < FAR_AHEAD_NS and _is_same_minute(known_second, p):
            base += (_two_digits(p + SECONDS_AT) - _two_digits(known_second + SECONDS_AT)) * NS_PER_SECOND
            known_second = p
        else:
            found = second(PyBytes_FromStringAndSize(p, NANOS_AT))
            if found is None:
                break
            base = found
            known_second = p
        if base + number <= last_ns:
            break
        added.look_up(p + text_at, line_end - p - text_at, lines == 0)
        last_ns = base + number
        added.add(p + text_at, line_end - p - text_at, last_ns)
        lines += 1
        p = line_end + 1
    added.finish(tracker, lines)
    return p - data, lines, last_ns


def add_unstamped(
    Columns columns not None, bytes block not None, long long last_ns, now_ns, bint behind, engine_time, with_own_time,
    dict counts not None, list stats not None, tracker
):
    """Add all lines of a block, with the engine's time of each.

    Args:
        columns: of the stream that the lines belong to.
        block: whole lines.
        last_ns: the time of the entry before.
        now_ns: the time of reading, for lines without a time.
        behind: such a line gets the timestamp after the line before.
        engine_time: returns the time that a timestamp as printed stands for, in nanoseconds since the epoch, or None.
        with_own_time: called with text and own time of a line that gets a much later timestamp; returns its text and
            more metadata.
        counts, stats, tracker: as in add_stamped.

    Returns:
        The number of lines, the last one's time.

    """
    cdef _Added added = _Added(columns, block, counts, stats, tracker)
    cdef const char* p = PyBytes_AS_STRING(block)
    cdef const char* end = p + PyBytes_GET_SIZE(block)
    cdef const char* line_end
    cdef _Times times = _Times(engine_time, now_ns + AHEAD_MAX_NS)
    cdef Py_ssize_t size, lines = 0, quote
    cdef long long time_ns = 0, parsed_ns = 0, now = now_ns
    cdef bint has_time = False, has_parsed = False, in_line = False, is_late
    cdef bytes own, more, parsed_timestamp = None
    cdef const Layout* layout
    previous = None
    while p < end:
        line_end = <const char*> memchr(p, b"\n", end - p)
        if line_end == NULL:
            break
        size = line_end - p
        if size and p[size - 1] == b"\r":
            size -= 1
        added.look_up(p, size, lines == 0)
        if added.lookup.clock != NULL:
            in_line = False
            previous = None
            layout = added.lookup.layout
            if layout != NULL:
                parsed_timestamp = None
                has_time = times.parse_printed(
                    added.lookup.clock, layout.size, layout.fraction, layout.digits, &time_ns
                )
            else:
                if (
                    parsed_timestamp is None
                    or PyBytes_GET_SIZE(parsed_timestamp) != CLOCK_BYTES
                    or memcmp(PyBytes_AS_STRING(parsed_timestamp), added.lookup.clock, CLOCK_BYTES) != 0
                ):
                    parsed_timestamp = PyBytes_FromStringAndSize(added.lookup.clock, CLOCK_BYTES)
                    has_parsed = times.parse(parsed_timestamp, &parsed_ns)
                has_time, time_ns = has_parsed, parsed_ns
        elif added.lookup.meaning.found is not previous:
            previous = added.lookup.meaning.found
            timestamp = previous.timestamp
            in_line = timestamp is JSON_TIME
            if timestamp is None or in_line:
                has_time = False
            else:
                if timestamp != parsed_timestamp:
                    parsed_timestamp = timestamp
                    has_parsed = times.parse(timestamp, &parsed_ns)
                has_time, time_ns = has_parsed, parsed_ns
        if in_line:
            parsed_timestamp = JSON_TIME
            quote = _find(p, 0, size, b'", "', 4)
            # What stands in front of the quote need not be a time: the header was found by what follows it.
            has_time = times.parse_json(p + JSON_TIME_AT, max(quote - JSON_TIME_AT, 0), &time_ns)
        is_late = False
        if has_time:
            if time_ns > last_ns:
                last_ns = time_ns
            else:
                last_ns += 1
                is_late = last_ns - time_ns > AHEAD_MAX_NS
        elif (behind and last_ns) or now <= last_ns:
            last_ns += 1
        else:
            last_ns = now
        if is_late:
            own, more = with_own_time(PyBytes_FromStringAndSize(p, size), time_ns)
            columns.append(own, PyBytes_AS_STRING(own), PyBytes_GET_SIZE(own), added.meta_of(p, size) + more, last_ns)
            added.add_stats(PyBytes_AS_STRING(own), PyBytes_GET_SIZE(own), last_ns)
        else:
            added.add(p, size, last_ns)
        lines += 1
        p = line_end + 1
    times.finish()
    added.finish(tracker, lines)
    return lines, last_ns


def find(bytes text not None, bytes wanted not None, Py_ssize_t start):
    """Do what bytes.find does; memmem needs a third of its time for a long text."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text)
    return _find(PyBytes_AS_STRING(text), max(start, 0), size, PyBytes_AS_STRING(wanted), PyBytes_GET_SIZE(wanted))


def with_needles(Columns columns not None, Finder finder not None):
    """Return the indexes of the entries in whose texts a needle stands."""
    cdef Py_ssize_t index
    return [
        index
        for index in range(columns.count)
        if finder.search(columns.entries[index].text, columns.entries[index].size, NULL)
    ]


def split_stamps(list lines not None, Py_ssize_t start, bytes fixed not None):
    """See scan_plain.split_stamps."""
    cdef list texts = []
    cdef list nanos = []
    cdef list runs = []
    cdef bytes line
    cdef const char* p
    cdef const char* previous = NULL
    cdef const char* fixed_bytes = PyBytes_AS_STRING(fixed)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(fixed)
    cdef Py_ssize_t text_at = OFFSET_AT + length
    cdef Py_ssize_t index, digit, run_start
    cdef Py_ssize_t count = len(lines)
    cdef long number
    run_start = start
    index = start
    while index < count:
        line = <bytes?> lines[index]
        p = PyBytes_AS_STRING(line)
        if PyBytes_GET_SIZE(line) < text_at or memcmp(p + OFFSET_AT, fixed_bytes, length) != 0:
            break
        number = 0
        for digit in range(NANOS_AT, OFFSET_AT):
            if not b"0" <= p[digit] <= b"9":
                number = -1
                break
            number = number * 10 + (p[digit] - 48)
        if number < 0:
            break
        if previous != NULL:
            if memcmp(previous, p, OFFSET_AT) >= 0:
                break
            if memcmp(previous, p, NANOS_AT) != 0:
                runs.append((PyBytes_FromStringAndSize(previous, NANOS_AT), index - run_start))
                run_start = index
        nanos.append(number)
        texts.append(PyBytes_FromStringAndSize(p + text_at, PyBytes_GET_SIZE(line) - text_at))
        previous = p
        index += 1
    if previous != NULL:
        runs.append((PyBytes_FromStringAndSize(previous, NANOS_AT), index - run_start))
    return runs, nanos, texts
