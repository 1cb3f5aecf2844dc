"""The compiled loop over the entries of a result writes what the plain one writes."""

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracetail.store.http import streams_json, streams_json_plain
from tracetail.store.query.log_query import Entry


@pytest.fixture(scope="module", autouse=True)
def compiled():
    if not streams_json.COMPILED:
        why = "the loop was not compiled: there was no C compiler when tracetail was installed"
        pytest.fail(why) if os.environ.get("TRACETAIL_TEST_REQUIRE_PROGRAMS") else pytest.skip(why)


characters = st.sampled_from('"\\/\0\x01\x1f\x7f \b\f\n\r\tab模é\U0001f600')
texts = st.text(characters, max_size=20) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
labels = st.dictionaries(texts | st.sampled_from(("a", "ab", "a\0")), texts, max_size=4).map(
    lambda found: tuple(sorted(found.items()))
)
lines = texts.map(str.encode) | st.binary(max_size=40)
times = st.integers(-(2**63), 2**63 - 1)


@st.composite
def results(draw):
    """Return entries of a few streams; some labels are one object, and some are others that are equal."""
    known = draw(st.lists(labels, min_size=1, max_size=5))
    known += [(*each,) for each in known]
    entries = st.builds(Entry, times, st.just(1), st.just(1), st.just(0), lines, st.sampled_from(known))
    return draw(st.lists(entries, max_size=12))


@given(results())
@example([Entry(0, 1, 1, 0, bytes(range(256)) * 2, (("a", "b"),))])
@example([Entry(0, 1, 1, 0, bytes([byte]) + b"1234567", ()) for byte in range(256)])
@example([Entry(0, 1, 1, 0, b"1234567" + bytes([byte]), ()) for byte in range(256)])
@example([Entry(-1, 1, 1, 0, b"", (("a", value),)) for value in ("b", "", "b\0", "b\x01", "\U0001f600", "\uffff")])
def test_the_compiled_loop_writes_what_the_plain_one_writes(entries):
    assert streams_json.encode_streams(entries) == streams_json_plain.encode_streams(entries)


def test_what_cannot_be_written_is_refused_alike():
    entries = [Entry(0, 1, 1, 0, b"", (("a", "\ud800"),))]
    for encode in (streams_json.encode_streams, streams_json_plain.encode_streams):
        with pytest.raises(TypeError):
            encode(entries)
