# cython: language_level=3, binding=False
"""The loops of `scan_plain.py`, compiled; tests/agent/test_loops.py compares their results."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memcpy

from tracetail.agent.parsing import scan_plain as plain

cdef extern from "string.h" nogil:
    void* memmem(const void* text, size_t size, const void* needle, size_t length)

cdef Py_ssize_t HEAD_BYTES = plain.HEAD_BYTES
cdef Py_ssize_t NANOS_AT = plain.NANOS_AT
cdef Py_ssize_t OFFSET_AT = plain.OFFSET_AT
cdef bytes REQUEST = plain.REQUEST
cdef bytes STATS = plain.STATS
cdef bytes TRACEBACK_END = plain.TRACEBACK_END
cdef bytes FRAME_START = plain.FRAME_START
cdef bytes JSON_MESSAGE = plain.JSON_MESSAGE
cdef bytes NEEDLE = plain.NEEDLE
cdef bytes EMPTY = b""
cdef Py_ssize_t NOT_FOUND = -1


cdef inline Py_ssize_t _find(const char* text, Py_ssize_t start, Py_ssize_t end, const char* needle, Py_ssize_t length):
    cdef const char* found
    if start >= end:
        return NOT_FOUND
    found = <const char*> memmem(text + start, end - start, needle, length)
    return NOT_FOUND if found == NULL else found - text


cdef inline bint _holds(const char* text, Py_ssize_t size, bytes needle):
    return memmem(text, size, PyBytes_AS_STRING(needle), PyBytes_GET_SIZE(needle)) != NULL


cdef bytes _json_key(const char* text, Py_ssize_t size):
    """Return the cache key of a JSON line, as HeaderCache.json_line makes it; None if the line has another shape."""
    cdef Py_ssize_t fields, message, tail, at
    cdef bytes key
    cdef char* out
    fields = _find(text, 0, size, b'", "', 4)
    if fields < 0:
        return None
    fields += 4
    message = _find(text, fields, size, PyBytes_AS_STRING(JSON_MESSAGE), PyBytes_GET_SIZE(JSON_MESSAGE))
    if message < 0:
        return None
    tail = message + PyBytes_GET_SIZE(JSON_MESSAGE)
    at = size - 4
    while at >= tail:
        if text[at] == b'"' and memcmp(text + at, b'", "', 4) == 0:
            tail = at + 4
            break
        at -= 1
    key = PyBytes_FromStringAndSize(NULL, message - fields + 1 + size - tail)
    out = PyBytes_AS_STRING(key)
    memcpy(out, text + fields, message - fields)
    out[message - fields] = b"\n"
    memcpy(out + (message - fields + 1), text + tail, size - tail)
    return key


cdef object _bracketed(bytes text, const char* p, Py_ssize_t size, dict headers):
    """Return what HeaderCache.bracketed returns, or None where it takes a closer look to decide."""
    cdef Py_ssize_t end = _find(p, 0, size, b"] ", 2) + 2
    if end < 2 or end + 1 >= size:
        return None
    if p[end] in b"[(eEwtl" or (b"A" <= p[end] <= b"Z" and b"A" <= p[end + 1] <= b"Z"):
        return None
    known = headers.get(PyBytes_FromStringAndSize(p, end))
    if known is None or memmem(p + end, size - end, PyBytes_AS_STRING(NEEDLE), PyBytes_GET_SIZE(NEEDLE)) != NULL:
        return None
    return known


def look_up(list texts not None, cache, dict open_tracebacks not None, level, resolve):
    """See scan_plain.look_up."""
    cdef dict heads = cache.heads
    cdef dict starts = cache.starts
    cdef dict json = cache.json
    cdef dict bracketed = cache.bracketed_headers
    cdef dict sources
    json_head = cache.json_head
    cdef list metas = []
    cdef list levels = []
    cdef list fields = []
    cdef list requests = []
    cdef list stats = []
    cdef bytes text
    cdef const char* p
    cdef Py_ssize_t size, at, end, index
    cdef bint level_only = True
    cdef bint may_be_stats = False
    cdef bint severe = level.severe
    cdef Py_ssize_t traceback_end = PyBytes_GET_SIZE(TRACEBACK_END)
    before = None  # the header of the line before: its attributes are in local variables
    meta = None
    name = None
    for index in range(len(texts)):
        text = <bytes?> texts[index]
        p = PyBytes_AS_STRING(text)
        size = PyBytes_GET_SIZE(text)
        known = found = None
        if size > 0 and p[0] == b" ":
            if (
                EMPTY not in open_tracebacks
                and not (
                    size >= traceback_end
                    and memcmp(p + size - traceback_end, PyBytes_AS_STRING(TRACEBACK_END), traceback_end) == 0
                )
                and not (severe and _holds(p, size, FRAME_START))
            ):
                known = found = level.without_header
        elif size >= HEAD_BYTES:
            if p[HEAD_BYTES - 1] == b" " or p[0] == b"{":
                known = found = heads.get(PyBytes_FromStringAndSize(p, HEAD_BYTES))
                if known is json_head:
                    key = _json_key(p, size)
                    known = found = None if key is None else json.get(key)
            if p[0] == b"[":
                known = found = _bracketed(text, p, size, bracketed)
            if known is None and p[0] != b"{":
                at = _find(p, 0, size, b" [", 2)
                if at >= 0:
                    found = starts.get(PyBytes_FromStringAndSize(p, at))
                    if found is not None:
                        end = _find(p, at + 2, size, b"] ", 2)
                        if end >= 0:
                            sources = found.sources
                            known = sources.get(PyBytes_FromStringAndSize(p + at + 2, end - at - 2))
        if known is None:
            known, found = resolve(text, level, index == 0)
        if known is not before:
            before = known
            level = known.level
            severe = level.severe
            name = level.name
            meta = known.meta
            level_only = known.level_only
            may_be_stats = known.may_be_stats
        metas.append(meta)
        levels.append(name)
        fields.append(found)
        if not level_only:
            if _holds(p, size, REQUEST):
                requests.append(index)
            if may_be_stats and _holds(p, size, STATS):
                stats.append(index)
    return metas, levels, fields, requests, stats, level


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
