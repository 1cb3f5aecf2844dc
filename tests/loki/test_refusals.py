"""Which entries of a push a refusal is about; the texts are those of a real Loki (tests/data/loki-contract)."""

from datetime import UTC, datetime

import pytest

from tracetail.loki.entries import NS_PER_SECOND, Entry, encode_metadata
from tracetail.loki.refusals import refusals_of

NAME = '{engine="vllm", launchId="20261122T211210-4bf92f", service_name="max entry size"}'
BASE = int(datetime(2026, 11, 22, 13, 0, tzinfo=UTC).timestamp()) * NS_PER_SECOND


def at(seconds: float, text: bytes = b"x", meta: bytes = b"") -> Entry:
    return Entry(BASE + int(seconds * 1e9), text, meta)


def indexes(text: str, entries: list[Entry]) -> tuple[list[int], list[int]] | None:
    found = refusals_of(text, entries)
    if found is None:
        return None
    return (
        [index for index, entry in enumerate(entries) if entry.time_ns in found.reasons],
        [index for index, entry in enumerate(entries) if entry.time_ns in found.unknown],
    )


def too_long(limit: int, length: int) -> str:
    entry = f"for stream '{NAME}' while adding an entry with length '{length}' bytes"
    return f"max entry size '{limit}' bytes exceeded {entry}"


def too_old(seconds: str) -> str:
    return (
        f"entry for stream '{NAME}' has timestamp too old: 2026-11-22T13:00:{seconds}Z,"
        " oldest acceptable timestamp is: 2026-11-22T13:00:10Z"
    )


def too_new(seconds: str) -> str:
    return f"entry for stream '{NAME}' has timestamp too new: 2026-11-22T13:00:{seconds}Z"


def behind(listed: str, ignored: int, received: int) -> str:
    return f"{listed}user 'fake', total ignored: {ignored} out of {received} for stream: {NAME}"


def listed(fraction: str, cutoff: str = "2026-11-22T13:00:05Z") -> str:
    return (
        f"entry with timestamp 2026-11-22 13:00:0{fraction} +0000 UTC ignored, reason: 'entry too far behind, entry"
        f" timestamp is: 2026-11-22T13:00:0{fraction[0]}Z, oldest acceptable timestamp is: {cutoff}',\n"
    )


def test_lines_over_the_limit_are_known_by_their_length():
    entries = [at(1, b"short"), at(2, b"x" * 300), at(3, b"x" * 100), at(4, b"y" * 101)]
    assert indexes(f"{too_long(100, 300)}", entries[:3]) == ([1], [])
    assert indexes(f"1 errors like: {too_long(100, 300)}; 1 errors like: {too_long(100, 101)}", entries) == (
        [1, 3],
        [],
    )


def test_lines_over_an_unknown_limit_beside_others_are_looked_for():
    entries = [at(1, b"short"), at(2, b"x" * 300), at(3, b"other")]
    assert indexes(f"1 errors like: {too_long(100, 300)}; 1 errors like: no poems please", entries) == ([1], [0, 2])
    assert indexes(f"2 errors like: {too_long(100, 300)}", entries) == ([1], [0, 2])


def test_old_and_new_entries_are_the_first_and_the_last_ones():
    entries = [at(1), at(10.2), at(10.4), at(30), at(50.1), at(50.9), at(55)]
    text = f"2 errors like: {too_old('10')}; 1 errors like: {too_old('01')}; 1 errors like: {too_new('50')}"
    assert indexes(f"{text}; 1 errors like: {too_new('55')}", entries) == ([0, 1, 2, 5, 6], [])
    # One of two entries in the second of the boundary: the count decides.
    assert indexes(f"1 errors like: {too_old('01')}; 1 errors like: {too_old('10')}", entries) == ([0, 1], [])


def test_entries_in_the_second_of_the_boundary_are_unknown_if_the_text_was_cut():
    entries = [at(1), at(2), at(10.2), at(30)]
    assert indexes(too_old("01"), entries) == ([0, 1], [2, 3])


@pytest.mark.parametrize(
    ("reason", "refused"),
    [
        (
            f"3 errors like: stream '{NAME}' includes structured metadata, but this feature is disallowed. Please",
            [1, 2, 3],
        ),
        (f"stream '{NAME}' has structured metadata too large: '105' bytes, limit: '64' bytes. Please see", [2]),
        (f"stream '{NAME}' has too many structured metadata labels: '3', limit: '2'. Please see", [3]),
    ],
)
def test_metadata_is_compared_with_the_limit(reason, refused):
    metadata = [{}, {"level": "info"}, {"level": "x" * 100}, {"a": "1", "b": "2", "c": "3"}]
    entries = [at(number, meta=encode_metadata(pairs)) for number, pairs in enumerate(metadata)]
    assert indexes(reason, entries) == (refused, [])


def test_entries_too_far_behind_are_the_listed_ones_or_the_oldest():
    entries = [at(1.5), at(2.25), at(6)]
    assert indexes(behind(listed("1.5"), 1, 3), entries) == ([0], [])
    assert indexes(behind(listed("1.5"), 2, 3), entries) == ([0, 1], [])


def test_what_the_ingester_did_not_count_is_unknown():
    """The distributor had refused it before, or another shard of the stream has it."""
    entries = [at(1.5), at(2.25), at(6)]
    assert indexes(behind(listed("1.5"), 1, 2), entries) == ([0, 1], [2])


def test_an_entry_that_exceeds_a_rate_is_not_refused_for_good():
    entries = [at(1.5), at(2.25), at(6)]
    rate = (
        "entry with timestamp 2026-11-22 13:00:06 +0000 UTC ignored, reason: 'Per stream rate limit exceeded (limit:"
    )
    rate += f" 100B/sec) while attempting to ingest for stream '{NAME}' totaling 9B, consider',\n"
    assert indexes(behind(rate + listed("1.5"), 2, 3), entries) == ([0], [2])


@pytest.mark.parametrize("text", ["", "some rule that nobody knows yet", f"stream '{NAME}' is not to my taste"])
def test_other_texts_name_no_entries(text):
    assert refusals_of(text, [at(1), at(2)]) is None
