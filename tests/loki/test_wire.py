"""The protobuf wire format: strict and bounded, whatever the bytes are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetail.loki.wire import WireFormatError, delimited, read_field, read_fields, read_varint, varint


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_a_varint_is_read_as_it_was_written(value: int, rest: bytes) -> None:
    data = varint(value) + rest
    assert read_varint(data, 0) == (value, len(data) - len(rest))


@given(st.lists(st.tuples(st.integers(1, 15), st.binary(max_size=300)), max_size=8))
def test_fields_are_read_as_they_were_written(fields: list[tuple[int, bytes]]) -> None:
    data = b"".join(delimited(number, content) for number, content in fields)
    assert [(number, data[start:end]) for number, start, end in read_fields(data, 0, len(data))] == fields


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        for _, start, end in read_fields(data, 0, len(data)):
            assert 0 < start <= end <= len(data)
    except (WireFormatError, IndexError):
        pass


def test_a_varint_of_eleven_bytes_is_refused() -> None:
    assert read_varint(b"\xff" * 9 + b"\x01", 0) == (2**64 - 1, 10)
    with pytest.raises(WireFormatError, match="longer than ten bytes"):
        read_varint(b"\x80" * 10 + b"\x01", 0)


def test_other_wire_types_are_passed_and_groups_are_refused() -> None:
    fixed = b"\x09" + bytes(8) + b"\x0d" + bytes(4) + b"\x08\x96\x01"
    assert [number for number, _, _ in read_fields(fixed, 0, len(fixed))] == [0, 0, 0]
    with pytest.raises(WireFormatError, match="wire type 3"):
        read_field(b"\x0b\x00", 0, 2)


def test_a_field_beyond_its_message_is_an_index_error() -> None:
    data = delimited(1, b"abc")
    with pytest.raises(IndexError):
        read_field(data, 0, len(data) - 1)
