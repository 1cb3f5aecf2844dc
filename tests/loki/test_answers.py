"""What Loki's answers to pushes mean."""

import pytest

from tracetail.loki.answers import (
    PushAnswer,
    RateLimit,
    Verdict,
    is_outcome_unknown,
    is_stream_limit,
    rate_limit,
    refusal_kind,
    setting_for,
    verdict,
)

MIB = 1 << 20

TENANT = (
    "ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec) while attempting to ingest '20' lines "
    "totaling '4000000' bytes, reduce log volume"
)
STREAM = (
    "Per stream rate limit exceeded (limit: 3MB/sec) while attempting to ingest for stream '{a=\"b\"}' "
    "totaling 4.5MB, consider splitting a stream"
)


@pytest.mark.parametrize(
    ("text", "limit", "own"),
    [
        (TENANT, RateLimit(4_194_304, 4_000_000, of_stream=False), False),
        (STREAM, RateLimit(3 * MIB, int(4.5 * MIB), of_stream=True), True),
        (STREAM.replace("3MB", "512KB").replace("4.5MB", "900B"), RateLimit(512 * 1024, 900, of_stream=True), True),
        ("Maximum active stream limit exceeded", None, True),
        ("", None, True),
    ],
)
def test_what_a_429_says_of_limits(text: str, limit: RateLimit | None, own: bool) -> None:
    assert rate_limit(text) == limit
    assert is_stream_limit(PushAnswer(429, text, 0)) is own


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("max entry size '262144' bytes exceeded for stream '{}' while adding an entry", "too long"),
        ("entry too far behind, oldest acceptable timestamp is: 2026", "time"),
        ("entry for stream '{}' has timestamp too old: 2026", "time"),
        ("entry for stream '{}' has timestamp too new: 2026", "time"),
        ("stream '{}' has structured metadata too large", "structured metadata"),
        ("stream '{}' has 16 label names; limit 15", "labels"),
        ("something new", "other"),
    ],
)
def test_refusals_are_counted_by_a_bounded_set_of_kinds(text, kind):
    assert refusal_kind(text) == kind


@pytest.mark.parametrize(
    ("status", "text", "meaning"),
    [
        (204, "", Verdict.DELIVERED),
        (200, "", Verdict.TRY_AGAIN),
        (260, "ingestion is blocked", Verdict.TRY_AGAIN),
        (302, "", Verdict.TRY_AGAIN),
        (400, "max entry size '262144' bytes exceeded", Verdict.SOME_REFUSED),
        (400, "stream '{}' has 16 label names; limit 15", Verdict.ALL_REFUSED),
        (400, "max entry size '9' bytes exceeded for stream '{a=\"label value: \\\"}\"}'", Verdict.SOME_REFUSED),
        (422, "at least one valid stream is required for ingestion", Verdict.ALL_REFUSED),
        (413, "", Verdict.TOO_MUCH),
        (429, "", Verdict.TOO_MUCH),
        (401, "", Verdict.SETTINGS),
        (500, "", Verdict.TRY_AGAIN),
    ],
)
def test_only_204_is_delivered(status, text, meaning):
    assert verdict(PushAnswer(status, text, 0)) is meaning


def test_a_single_entry_that_is_too_large_is_refused_for_good():
    assert verdict(PushAnswer(413, "", 0), one_entry=True) is Verdict.ALL_REFUSED


@pytest.mark.parametrize(
    ("status", "text", "unknown"),
    [
        (500, "", True),
        (504, "", True),
        (408, "", True),
        (429, STREAM, True),
        (429, "maximum active stream limit exceeded when trying to create stream {}", True),
        (429, TENANT, False),
        (429, "", False),
        (260, "ingestion blocked", False),
        (401, "", False),
    ],
)
def test_after_which_answers_entries_may_be_stored_all_the_same(status, text, unknown):
    assert is_outcome_unknown(PushAnswer(status, text, 0)) is unknown


def test_a_loki_with_tenants_is_said_to_need_one():
    assert "loki.tenant" in setting_for(401, "no org id\n")
    assert "bearer_token_file" in setting_for(401, "unauthorized")
