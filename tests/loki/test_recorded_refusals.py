"""What a Loki of August 2026 (main, after 3.8.0), with low limits, answered to what exceeds them."""

import json
from pathlib import Path

from tracetail.loki.answers import PushAnswer, Verdict, is_outcome_unknown, rate_limit, verdict
from tracetail.loki.entries import Entry, encode_metadata
from tracetail.loki.query_limits import QueryLimits, is_about_size, share_that_fits
from tracetail.loki.refusals import refusals_of

DATA = Path(__file__).parents[1] / "data" / "loki-contract" / "refusals.json"
RECORDED = {case["case"]: case for case in json.loads(DATA.read_text(encoding="utf-8"))}
REFUSED = {"too long": [1, 2], "old and new": [0, 1, 3], "metadata": [0], "behind": [0, 1]}
"""By case: the indexes of the entries that were refused."""


def test_refused_entries_are_determined_from_the_text():
    for name, expected in REFUSED.items():
        case = RECORDED[name]
        meta = encode_metadata({str(number): "1" for number in range(case["metadata"])})
        entries = [Entry(time_ns, b"x" * size, meta) for time_ns, size in case["entries"]]
        found = refusals_of(case["text"], entries)
        assert found is not None, name
        assert [index for index, entry in enumerate(entries) if entry.time_ns in found.reasons] == expected, name
        assert not found.unknown, name
        assert verdict(PushAnswer(case["status"], case["text"], 0)) is Verdict.SOME_REFUSED


def test_labels_are_refused_as_a_whole():
    case = RECORDED["labels"]
    assert verdict(PushAnswer(case["status"], case["text"], 0)) is Verdict.ALL_REFUSED


def test_a_limit_of_a_stream_lets_a_part_through():
    case = RECORDED["stream rate"]
    limit = rate_limit(case["text"])
    assert is_outcome_unknown(PushAnswer(case["status"], case["text"], 0))
    assert limit is not None
    assert (limit.limit, limit.of_stream) == (1024, True)


def test_limits_of_queries_are_learned():
    limits = QueryLimits()
    assert limits.learn(RECORDED["query entries"]["text"])
    assert limits.learn(RECORDED["query length"]["text"])
    assert not limits.learn(RECORDED["query length"]["text"])
    assert (limits.entries, limits.length_ns) == (1000, 86_400 * 1_000_000_000)


def test_a_query_that_loki_counts_as_a_little_longer_than_its_limit_is_made_shorter():
    refusal = "the query time range exceeds the limit (query length: {}, limit: 1h)"
    limits = QueryLimits()
    assert limits.learn(refusal.format("20h0m0s"))
    assert limits.learn(refusal.format("1h0m28s"))
    assert limits.range(0, 24 * 3600 * 10**9)[1] <= (3600 - 28) * 10**9
    assert not limits.learn(refusal.format("20h0m0s")), "one that was asked for before the limit was known"


def test_an_answer_that_is_too_large_is_asked_for_by_as_many_lines_as_fit():
    text = RECORDED["answer size"]["text"]
    assert is_about_size(text)
    assert 0.4 < share_that_fits(text) <= 0.5
    assert share_that_fits(text.replace("6405830", "64058300")) < 4194304 / 64058300
    assert share_that_fits("the query needs more than 64 MB of memory (query_memory_mb)") == 0.5


def test_the_window_of_a_step_that_is_longer_than_a_query_is_a_part_of_it():
    limits = QueryLimits()
    assert limits.learn(RECORDED["query length of one step"]["text"])
    hour_ns = 3600 * 10**9
    assert limits.window(5 * hour_ns) == 5 * hour_ns
    for step_hours in (6, 8, 24, 7):
        window = limits.window(step_hours * hour_ns)
        assert window < 6 * hour_ns
        assert step_hours * hour_ns % window == 0
        assert limits.points(window) * window <= 6 * hour_ns
