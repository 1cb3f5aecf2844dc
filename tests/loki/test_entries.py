"""Entries encoded for a push: compiled and in plain Python alike, and as the official protobuf library reads them."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.agent_loki import decode

from tracetail.loki import entries, entries_plain
from tracetail.loki.entries import (
    NS_PER_SECOND,
    decode_metadata,
    decode_request,
    encode_metadata,
    encode_request,
    encode_second,
)

NOW = 1_795_353_130_000_000_000
INSTALLED = entries.Columns
"""Compiled, if there was a compiler."""


def is_compiled() -> bool:
    """Return whether the compiled loop is there; fail without it where every program must be."""
    if not entries.COMPILED and os.environ.get("TRACETAIL_TEST_REQUIRE_PROGRAMS"):
        pytest.fail("the loop was not compiled: there was no C compiler when tracetail was installed")
    return entries.COMPILED


@pytest.fixture(scope="module", params=["compiled", "plain"])
def either_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a test with both forms of the loop."""
    if request.param == "compiled" and not is_compiled():
        pytest.skip("the loop was not compiled")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "plain":
            patch.setattr(entries, "Columns", entries_plain.Columns)
        yield


@pytest.fixture(scope="module")
def compiled_loop() -> None:
    """Skip a test of the compiled form, INSTALLED, where there is none."""
    if not is_compiled():
        pytest.skip("the loop was not compiled")


pushed = st.lists(
    st.tuples(
        st.integers(0, 4 * 10**18),
        st.text(max_size=200).map(str.encode),
        st.dictionaries(st.sampled_from(["level", "pid", "kind"]), st.text(max_size=20), max_size=3),
    ),
    min_size=1,
    max_size=1100,
)


@pytest.mark.usefixtures("either_loop")
@settings(max_examples=60)
@given(pushed)
def test_decode_of_encode_is_the_identity_with_the_official_library_and_with_ours(rows: list) -> None:
    labels = {"traceId": 't"\\\n', "service_name": "Qwen/Qwen2-7B"}
    columns = entries.Columns()
    for time_ns, text, pairs in rows:
        columns.add(time_ns, text, encode_metadata(pairs))
    body = encode_request(labels, [columns.encode()])
    official = [(entry.time_ns, entry.line.encode(), dict(entry.metadata)) for entry in decode(body)]
    assert official == rows
    said, ours = decode_request(body)
    assert said == '{traceId="t\\"\\\\\\n", service_name="Qwen/Qwen2-7B"}'
    assert [(entry.time_ns, entry.text, decode_metadata(entry.meta)) for entry in ours] == rows


@pytest.mark.usefixtures("either_loop")
def test_long_lines_and_many_entries_are_encoded_as_well() -> None:
    columns = entries.Columns()
    for number in range(3000):
        columns.add(NOW + number, b"x" * (number * 97 % 260_000), encode_metadata({"level": "info"}))
    found = decode(encode_request({"a": "b"}, [columns.encode()]))
    assert [(entry.time_ns, len(entry.line)) for entry in found] == [(NOW + n, n * 97 % 260_000) for n in range(3000)]


encodable = st.lists(
    st.tuples(
        st.integers(0, 4 * 10**18),
        st.one_of(
            st.binary(max_size=50),
            st.sampled_from([2000, 2047, 2048, 16_383, 70_000]).map(bytes),
            st.sampled_from(["密码".encode(), b"\xe5\xaf", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"]),
        ),
        st.sampled_from([b"", b"m" * 40, b"m" * 60]),
    ),
    min_size=1,
    max_size=40,
)


def as_columns(form, rows):
    columns = form()
    for time_ns, text, meta in rows:
        columns.add(time_ns, text, meta)
    return columns


def content(columns):
    times = [columns.time_ns(index) for index in range(len(columns))]
    assert columns.texts == [columns.text(index) for index in range(len(columns))]
    assert columns.metas == [columns.meta(index) for index in range(len(columns))]
    return times, columns.texts, columns.metas, columns.encode(), columns.longest(), columns.not_utf8()


@pytest.mark.usefixtures("compiled_loop")
@given(encodable, st.integers(0, 40), st.integers(0, 40), st.binary(max_size=9))
def test_columns_hold_and_encode_entries_alike(rows, start, end, text):
    compiled, plain = (as_columns(form, rows) for form in (INSTALLED, entries_plain.Columns))
    assert content(compiled) == content(plain)
    assert compiled.time_ns(-1) == plain.time_ns(-1) == rows[-1][0]
    assert content(compiled.part(start, end)) == content(plain.part(start, end))
    for columns in (compiled, plain):
        columns.extend([encode_second(7), encode_second(8)], [1, NS_PER_SECOND - 1], [b"a", b"b"], [b"", b"m"])
        columns.replace(start % len(columns), text)
    assert content(compiled) == content(plain)


@pytest.mark.usefixtures("compiled_loop")
def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="different length"):
        INSTALLED().extend([encode_second(1)], [1], [b"a", b"b"], [b""])
    with pytest.raises(IndexError):
        INSTALLED().time_ns(0)


@pytest.mark.usefixtures("compiled_loop")
@pytest.mark.parametrize("wrong", [None, "text", 7])
def test_what_is_not_bytes_is_refused(wrong):
    with pytest.raises(TypeError):
        INSTALLED().extend([encode_second(1)], [1], [wrong], [b""])
    with pytest.raises(TypeError):
        INSTALLED().add(1, wrong, b"")


@pytest.mark.parametrize("offset", [0, 1, 63, 64, 1023, 1024, 1025])
def test_nanoseconds_are_encoded_alike_in_any_number(offset: int) -> None:
    nanos = [n * 999_983 % NS_PER_SECOND for n in range(offset)] + [0, NS_PER_SECOND - 1]
    seconds = [encode_second(n // 100) for n in range(len(nanos))]
    for number, second, data in zip(nanos, seconds, entries_plain.timestamps(seconds, nanos), strict=True):
        assert data[:-5] == second
        assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(data[-5:])) == number


@pytest.mark.parametrize("cut", [1, 2, 5, 20])
def test_a_request_that_is_cut_is_an_error(cut: int) -> None:
    import cramjam

    columns = entries.Columns()
    columns.add(NOW, b"line", encode_metadata({"level": "info"}))
    raw = bytes(cramjam.snappy.decompress_raw(encode_request({"a": "b"}, [columns.encode()])))
    with pytest.raises(ValueError, match=r"push request|field|values to unpack"):
        decode_request(bytes(cramjam.snappy.compress_raw(raw[:-cut])))
