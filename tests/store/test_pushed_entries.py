"""The compiled loop over pushed entries reads what the plain one reads, and stops where the plain one stops."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracetail.loki.wire import WireFormatError, delimited, varint
from tracetail.store.ingest import protobuf_body, pushed_entries, pushed_entries_plain
from tracetail.store.ingest.stream import PushError


@pytest.fixture(scope="module", autouse=True)
def compiled():
    if not pushed_entries.COMPILED:
        why = "the loop was not compiled: there was no C compiler when tracetail was installed"
        pytest.fail(why) if os.environ.get("TRACETAIL_TEST_REQUIRE_PROGRAMS") else pytest.skip(why)


def padded(number, size):
    """Return a number as a varint of this many bytes."""
    return bytes([number >> 7 * i & 0x7F | (0x80 if i < size - 1 else 0) for i in range(size)])


sizes = st.integers(1, 5)
nanos = st.builds(padded, st.integers(0, 10**9 - 1), sizes) | st.binary(max_size=6)
seconds = st.integers(0, 2**34).map(lambda n: padded(n, 5)) | st.integers(0, 2**64 - 1).map(varint)
stamps = st.builds(lambda s, n: b"\x08" + s + b"\x10" + n, seconds, nanos) | st.binary(max_size=12)
pairs = st.builds(
    lambda name, value: delimited(3, delimited(1, name) + delimited(2, value)),
    st.sampled_from((b"level", b"request_id", b"0 odd")),
    st.binary(max_size=140),
)
texts = st.sampled_from((b"", b"a line", b"x" * 127, b"x" * 128, b"y" * 20_000, "模型\n".encode())) | st.binary(
    max_size=20
)
usual = st.builds(
    lambda stamp, line, metadata: delimited(1, stamp) + delimited(2, line) + b"".join(metadata),
    stamps,
    texts,
    st.lists(pairs, max_size=2),
)
entries = (usual | st.binary(max_size=20)).map(lambda content: delimited(2, content))
fields = entries | st.just(delimited(1, b'{a="b"}')) | st.binary(max_size=6)


def read_all(read, data, end):
    """Return what a loop has read of a stream, and where it stopped or with which error."""
    times, lines, metadata, known = [], [], [], {}

    def add(encoded):
        if not encoded.startswith(b"\x1a") and encoded:
            return None
        return known.setdefault(encoded, len(known))

    try:
        stopped = read(data, 0, end, times, lines, metadata, known, add)
    except (IndexError, WireFormatError):
        stopped = -1
    return stopped, times, lines, metadata, list(known)


@settings(max_examples=400, deadline=None)
@given(parts=st.lists(fields, max_size=6), cut=st.integers(0, 40))
def test_both_loops_read_the_same_entries_and_stop_at_the_same_field(parts, cut):
    data = b"".join(parts)
    end = max(len(data) - cut, 0)
    ours = read_all(pushed_entries_plain.read_usual_entries, data, end)
    theirs = read_all(pushed_entries.read_usual_entries, data, end)
    if ours[0] == -1 or theirs[0] == -1:
        # Where a field ends after the end, one may notice it and the other may leave it to the reading of any field.
        assert ours[1:] == theirs[1:]
    else:
        assert ours == theirs


@settings(max_examples=300, deadline=None)
@given(parts=st.lists(fields, max_size=6), cut=st.integers(0, 40))
def test_a_request_is_decoded_or_refused_equally_with_and_without_the_compiled_loop(parts, cut):
    data = delimited(1, b"".join(parts))
    data = data[: max(len(data) - cut, 0)]

    def decoded():
        try:
            return protobuf_body.decode_protobuf(data)
        except PushError:
            return "refused"

    compiled_form = decoded()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protobuf_body, "read_usual_entries", pushed_entries_plain.read_usual_entries)
        assert decoded() == compiled_form
        patch.setattr(protobuf_body, "read_usual_entries", lambda _, position, *__: position)
        assert decoded() == compiled_form
