"""Decoding of push requests: protobuf and JSON, compression, labels, invalid input."""

import gzip
import json
import zlib

import cramjam
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracetail.store.ingest.labels import make_labels, parse_labels, with_service_name
from tracetail.store.ingest.push import decode
from tracetail.store.ingest.stream import BodyTooLargeError, PushError

MEGABYTE = 1024 * 1024
TIME = 1_795_350_000_000_000_000


def protobuf(data):
    return decode(bytes(cramjam.snappy.compress_raw(data)), "application/x-protobuf", "", MEGABYTE)


def as_pushed(stream):
    """Return a decoded stream as labels and a list of (time, line, metadata)."""
    return dict(stream.labels), [(t, line, dict(metadata)) for t, line, metadata in stream.entries.identities()]


@pytest.fixture(scope="module")
def push_pb2(tmp_path_factory):
    """Loki's messages, compiled by the real protobuf compiler."""
    import importlib.util
    import sys

    from grpc_tools import protoc

    directory = tmp_path_factory.mktemp("proto")
    (directory / "store_push.proto").write_text(PROTO)
    assert protoc.main(["protoc", f"-I{directory}", f"--python_out={directory}", "store_push.proto"]) == 0
    spec = importlib.util.spec_from_file_location("store_push_pb2", directory / "store_push_pb2.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROTO = """
syntax = "proto3";
package store_test;
message PushRequest { repeated Stream streams = 1; string format = 2; }
message Stream { string labels = 1; repeated Entry entries = 2; uint64 hash = 3; }
message Timestamp { int64 seconds = 1; int32 nanos = 2; }
message Pair { string name = 1; string value = 2; }
message Entry {
  Timestamp timestamp = 1; string line = 2; repeated Pair structuredMetadata = 3; repeated Pair parsed = 4;
}
"""

names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=300)
pushed_entries = st.tuples(
    st.integers(-(2**33), 2**34), st.integers(0, 999_999_999), texts, st.dictionaries(names, texts, max_size=4)
)


@given(labels=st.dictionaries(names, st.text('abc"\\\n模', min_size=1, max_size=9)), values=st.lists(pushed_entries))
def test_requests_of_the_protobuf_library_are_decoded(push_pb2, labels, values):
    from tracetail.loki.logql import selector

    request = push_pb2.PushRequest()
    stream = request.streams.add(labels=selector(labels), hash=7)
    for seconds, nanos, line, metadata in values:
        entry = stream.entries.add(line=line)
        entry.timestamp.seconds, entry.timestamp.nanos = seconds, nanos
        for name, value in metadata.items():
            entry.structuredMetadata.add(name=name, value=value)
        entry.parsed.add(name="ignored", value="x")
    [decoded] = protobuf(request.SerializeToString())
    assert as_pushed(decoded) == (
        labels,
        [(s * 10**9 + n, line.encode(), metadata) for s, n, line, metadata in values],
    )


@example(values=[(2**28, 1, "", {})])  # the protobuf library leaves out empty fields
@given(values=st.lists(pushed_entries.filter(lambda e: e[0] > 0), min_size=1))
def test_json_and_protobuf_decode_to_the_same_entries(push_pb2, values):
    request = push_pb2.PushRequest()
    stream = request.streams.add(labels='{a="b"}')
    for seconds, nanos, line, metadata in values:
        entry = stream.entries.add(line=line)
        entry.timestamp.seconds, entry.timestamp.nanos = seconds, nanos
        for name, value in metadata.items():
            entry.structuredMetadata.add(name=name, value=value)
    body = {
        "streams": [
            {
                "stream": {"a": "b"},
                "values": [[str(s * 10**9 + n), line, metadata] for s, n, line, metadata in values],
            }
        ]
    }
    by_json = decode(json.dumps(body).encode(), "application/json; charset=utf-8", "", MEGABYTE)
    assert [as_pushed(s) for s in by_json] == [as_pushed(s) for s in protobuf(request.SerializeToString())]


def json_push(line="x", time=str(TIME), **more):
    return json.dumps({"streams": [{"stream": {"a": "b"}, "values": [[time, line]]}]} | more).encode()


def test_gzip_and_deflate_are_decompressed():
    for encoding, body in (("gzip", gzip.compress(json_push())), ("deflate", zlib.compress(json_push()))):
        [stream] = decode(body, "application/json", encoding, MEGABYTE)
        assert as_pushed(stream) == ({"a": "b"}, [(TIME, b"x", {})])


def test_each_invalid_byte_becomes_a_replacement_character():
    entry = b"\x0a\x06\x08\x80\xde\xa0\xcb\x05" + b"\x12\x05a\xff\xe4\xbdb"
    [stream] = protobuf(message(entry))
    assert stream.entries.lines == ["a\ufffd\ufffd\ufffdb".encode()]
    body = json_push(line="a??b").replace(b"??", b"\xe4\xbd")
    [stream] = decode(body, "application/json", "", MEGABYTE)
    assert stream.entries.lines == ["a\ufffd\ufffdb".encode()]


def message(entry, labels=b'{a="b"}'):
    stream = b"\x0a" + bytes([len(labels)]) + labels + b"\x12" + bytes([len(entry)]) + entry
    return b"\x0a" + bytes([len(stream)]) + stream


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"streams": [{"values": [["1"]]}]}',
        b'{"streams": [{"values": [["1", 2]]}]}',
        b'{"streams": [{"values": [["1", "x", {"k": 1}]]}]}',
        b'{"streams": [{"values": [["1", "x", {"k": {"n": "x"}}]]}]}',
        b'{"streams": [{"values": [["1.5", "x"]]}]}',
        b'{"streams": [{"values": [[1.5, "x"]]}]}',
        b'{"streams": [{"values": [["", "x"]]}]}',
        b'{"streams": [{"values": [["999999999999999999999999", "x"]]}]}',
        b'{"streams": [{"stream": {"not a name": "x"}, "values": []}]}',
        b'{"streams": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"other": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"streams": [{"values": [["1", "x", ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"]]}]}",
    ],
)
def test_invalid_json_requests_are_refused(body):
    with pytest.raises(PushError):
        decode(body, "application/json", "", MEGABYTE)


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\xff",
        b"\x0a\x05\x12\x03\x0a",
        b"\x0f\x00",
        b"\xff" * 11,
        b"\x0a\x09\x0a\x07{a='b'}",
        b'\x0a\x09\x0a\x07{a="b"x',
        b"\x0a\x05\x0a\x03{a}",
    ],
)
def test_invalid_protobuf_requests_are_refused(data):
    with pytest.raises(PushError):
        protobuf(data)


def assert_sound_or_refused(body, content_type, content_encoding=""):
    """Decode a body; what is not refused must hold valid UTF-8 and times of the range that is stored."""
    try:
        streams = decode(body, content_type, content_encoding, MEGABYTE)
    except (PushError, BodyTooLargeError):
        return
    for labels, entries in map(as_pushed, streams):
        texts = [*labels, *labels.values()]
        for time_ns, line, metadata in entries:
            assert -(2**63) <= time_ns < 2**63
            texts += [line.decode() if isinstance(line, bytes) else line, *metadata, *metadata.values()]
        assert all(text.encode().decode() == text for text in texts)


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_raise_push_error(data):
    for content_type, body in (
        ("application/json", data),
        ("", data),
        ("", bytes(cramjam.snappy.compress_raw(data))),
    ):
        for encoding in ("", "gzip"):
            assert_sound_or_refused(body, content_type, encoding)


@given(st.data())
def test_a_damaged_request_decodes_or_raises_push_error(data):
    entry = (
        b"\x0a\x0c\x08\x80\xde\xa0\xcb\x05\x10\xff\x93\xeb\xdc\x03" + b"\x12\x04line" + b"\x1a\x06\x0a\x01k\x12\x01v"
    )
    body = bytearray(message(entry) * 2)
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(body[: data.draw(st.integers(0, len(body)))])
    assert_sound_or_refused(bytes(cramjam.snappy.compress_raw(cut)), "application/x-protobuf")


def test_bodies_that_decompress_to_too_much_are_refused():
    bomb = gzip.compress(b" " * (2 * MEGABYTE))
    with pytest.raises(BodyTooLargeError):
        decode(bomb, "application/json", "gzip", MEGABYTE)
    with pytest.raises(BodyTooLargeError):
        decode(bytes(cramjam.snappy.compress_raw(b"\0" * (2 * MEGABYTE))), "", "", MEGABYTE)


def test_a_snappy_body_with_a_false_size_is_refused_without_reserving_memory():
    claim = b"\xff\xff\xff\x1f" + b"\0" * 10
    with pytest.raises(PushError):
        decode(claim, "", "", 1 << 40)


def test_unknown_encodings_are_refused():
    with pytest.raises(PushError, match="br"):
        decode(json_push(), "application/json", "br", MEGABYTE)
    with pytest.raises(PushError, match="gzip"):
        decode(b"\0", "application/x-protobuf", "gzip", MEGABYTE)


def test_labels_are_parsed_from_a_selector():
    assert parse_labels('{b="x\\"y", a=`z`}') == (("a", "z"), ("b", 'x"y'))
    assert parse_labels('{a="", b="c",}') == (("b", "c"),)
    for text in ('a="b"', '{a="b"', "{a=b}", '{a="b" c="d"}', '{a="b",a="c"}', '{1a="b"}', '{a="\\q"}'):
        with pytest.raises(PushError, match="error parsing labels"):
            parse_labels(text)


def test_service_name_is_added_as_loki_does():
    assert with_service_name(make_labels([("app", "x")])) == (("app", "x"), ("service_name", "x"))
    assert with_service_name(make_labels([("job", "j"), ("container", "c")]))[-1] == ("service_name", "c")
    assert with_service_name(()) == (("service_name", "unknown_service"),)
    assert with_service_name(make_labels([("service_name", "s")])) == (("service_name", "s"),)


def test_names_of_metadata_are_converted_to_label_names():
    body = json.dumps({"streams": [{"values": [[str(TIME), "x", {"a.b": "1", "9c": "2"}]]}]}).encode()
    [stream] = decode(body, "application/json", "", MEGABYTE)
    assert stream.entries.metadata_sets == [(("a_b", "1"), ("key_9c", "2"))]
